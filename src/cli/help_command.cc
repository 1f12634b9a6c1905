#include <memory>
#include <string>

#include "cli/command.h"

namespace fulgur::cli {

Command add_help(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("help", "Explain a command, or list them all");
    const auto name = std::make_shared<std::string>();
    app->add_option("COMMAND", *name, "The command to explain")->type_name("");
    return {app, [&root, name](Context& context) {
                if (name->empty()) {
                    context.out.write(root.get_formatter()->make_help(&root, "fulgur",
                                                                      CLI::AppFormatMode::Normal));
                    return ExitCode::kOk;
                }
                const CLI::App* const command = find_command(root, *name);
                if (command == nullptr) {
                    return context.fail(ExitCode::kUsage, "no command is named " + *name,
                                        "`fulgur help` lists them");
                }
                context.out.write(command->help("fulgur"));
                return ExitCode::kOk;
            }};
}

}  // namespace fulgur::cli
