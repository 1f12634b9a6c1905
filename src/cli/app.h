#pragma once

/// The whole command: parses arguments, runs one sub-command, completes standard output.

#include <cstddef>
#include <span>

#include "cli/context.h"
#include "cli/exit_codes.h"

namespace fulgur::cli {

/// @param arguments  as main gets them, the program's own name first.
ExitCode run_command_line(std::span<char* const> arguments, Context& context);

}  // namespace fulgur::cli
