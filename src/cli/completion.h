#pragma once

/// Completion for the shell, generated from the definitions of the commands, so that it never lags
/// behind them.

#include <string>

#include <CLI/CLI.hpp>

namespace fulgur::cli {

/// A script for bash: `source <(fulgur completion bash)`.
std::string bash_completion(const CLI::App& root);

}  // namespace fulgur::cli
