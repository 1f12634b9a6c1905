#pragma once

/// The sub-commands. Each has a file of its own, `<name>_command.cc`, with one function that
/// defines its arguments and says what it does.

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/context.h"
#include "cli/exit_codes.h"

namespace fulgur::cli {

struct Command {
    CLI::App* app;
    std::function<ExitCode(Context&)> run;
};

/// The sub-command of that name; null when there is none.
const CLI::App* find_command(const CLI::App& root, const std::string& name);

Command add_create(CLI::App& root);
Command add_open(CLI::App& root);
Command add_put(CLI::App& root);
Command add_get(CLI::App& root);
Command add_del(CLI::App& root);
Command add_scan(CLI::App& root);
Command add_count(CLI::App& root);
Command add_load(CLI::App& root);
Command add_dump(CLI::App& root);
Command add_stats(CLI::App& root);
Command add_changes(CLI::App& root);
Command add_verify(CLI::App& root);
Command add_compact(CLI::App& root);
Command add_bench(CLI::App& root);
Command add_store_conformance(CLI::App& root);
Command add_completion(CLI::App& root);
Command add_help(CLI::App& root);
Command add_version(CLI::App& root);

}  // namespace fulgur::cli
