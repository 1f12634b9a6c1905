#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/completion.h"

namespace fulgur::cli {

Command add_completion(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("completion", "Print the completion for a shell");
    const auto shell = std::make_shared<std::string>();
    app->add_option("SHELL", *shell, "The shell: bash")
        ->required()
        ->check(CLI::IsMember({"bash"}))
        ->type_name("");
    app->footer("To use it: source <(fulgur completion bash)");
    return {app, [&root, shell](Context& context) {
                context.out.write(bash_completion(root));
                return ExitCode::kOk;
            }};
}

}  // namespace fulgur::cli
