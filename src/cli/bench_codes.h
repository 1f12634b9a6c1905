#pragma once

/// Exit codes of `fulgur bench`: what a script that guards performance wants to know. They are
/// numbers of their own, printed by `fulgur help bench`.

#include "cli/exit_codes.h"

namespace fulgur::cli {

inline constexpr auto kBenchRegression = static_cast<ExitCode>(1);
inline constexpr auto kBenchError = static_cast<ExitCode>(2);
inline constexpr auto kBenchInconclusive = static_cast<ExitCode>(3);
inline constexpr auto kBenchMissed = static_cast<ExitCode>(4);
inline constexpr auto kBenchRefused = static_cast<ExitCode>(5);

}  // namespace fulgur::cli
