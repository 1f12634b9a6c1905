#include "cli/app.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/version.h"

namespace fulgur::cli {

namespace {

std::string footer() {
    std::string text = "`fulgur help COMMAND` explains one of them.\n\nExit codes:\n";
    for (const ExitCodeMeaning& code : kExitCodes) {
        text += fmt::format("  {}  {}\n", static_cast<int>(code.code), code.meaning);
    }
    return text;
}

std::vector<Command> define_commands(CLI::App& root, bool& json) {
    root.name("fulgur");
    root.footer(footer());
    root.require_subcommand(1);
    root.set_version_flag("--version", std::string("fulgur ") + kVersion);
    std::vector<Command> commands = {
        add_create(root),  add_open(root),    add_put(root),
        add_get(root),     add_del(root),     add_scan(root),
        add_count(root),   add_load(root),    add_dump(root),
        add_stats(root),   add_changes(root), add_verify(root),
        add_compact(root), add_bench(root),   add_store_conformance(root),
        add_help(root),    add_version(root), add_completion(root)};
    for (const Command& command : commands) {
        command.app->add_flag("--json", json, "Output for programs: JSON, one object a line");
    }
    return commands;
}

/// Of the sub-command that was asked about: `fulgur bench compare --help` is about compare.
std::string help_of_innermost(const CLI::App& root) {
    std::string before;
    const CLI::App* app = &root;
    while (!app->get_subcommands().empty()) {
        before += (before.empty() ? "" : " ") + app->get_name();
        app = app->get_subcommands().front();
    }
    return app == &root ? root.help() : app->help(before);
}

ExitCode fail_usage(Context& context, std::string message, const std::string& command) {
    std::ranges::replace(message, '\n', ' ');
    return context.fail(
        ExitCode::kUsage, message,
        command.empty() ? "see `fulgur help`" : "see `fulgur help " + command + "`");
}

ExitCode run(std::span<char* const> arguments, Context& context) {
    // Known before parsing, so that a usage error is reported in the same way.
    context.json = std::ranges::any_of(
        arguments, [](const char* text) { return std::string_view(text) == "--json"; });
    CLI::App root("An ordered, durable, transactional store of keys and values.");
    bool json = false;
    const std::vector<Command> commands = define_commands(root, json);

    const std::string first = arguments.size() > 1 ? arguments[1] : "";
    const CLI::App* const named = find_command(root, first);
    if (arguments.size() > 1 && named == nullptr && !first.starts_with('-')) {
        return context.fail(ExitCode::kUsage, "no command is named " + first,
                            "`fulgur help` lists them");
    }
    try {
        root.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::CallForHelp&) {
        context.out.write(help_of_innermost(root));
        return ExitCode::kOk;
    } catch (const CLI::CallForVersion& version) {
        context.out.write(std::string(version.what()) + "\n");
        return ExitCode::kOk;
    } catch (const CLI::ParseError& error) {
        return fail_usage(context, arguments.size() > 1 ? error.what() : "a command is missing",
                          named == nullptr ? "" : first);
    }
    context.json = json;
    for (const Command& command : commands) {
        if (command.app->parsed()) return command.run(context);
    }
    return fail_usage(context, "a command is missing", "");
}

}  // namespace

const CLI::App* find_command(const CLI::App& root, const std::string& name) {
    for (const CLI::App* const command : root.get_subcommands({})) {
        if (command->get_name() == name) return command;
    }
    return nullptr;
}

ExitCode run_command_line(std::span<char* const> arguments, Context& context) {
    const ExitCode code = run(arguments, context);
    const Result<void> finished = context.out.finish();
    // What the work itself failed with matters more than what could not be said about it.
    if (finished.ok() || code != ExitCode::kOk) return code;
    return context.fail(finished.error());
}

}  // namespace fulgur::cli
