#include "cli/command.h"
#include "cli/version.h"

namespace fulgur::cli {

Command add_version(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("version", "Print the version");
    return {app, [](Context& context) {
                if (context.json) {
                    context.print_json({{"version", kVersion}});
                } else {
                    context.out.write(std::string("fulgur ") + kVersion + "\n");
                }
                return ExitCode::kOk;
            }};
}

}  // namespace fulgur::cli
