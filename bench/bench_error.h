// What ends a command of the benchmark, and the exit codes of its judging half.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace fulgur::bench {

/// Scripts rely on these numbers. They are those of `fulgur bench` alone.
enum class Exit : std::uint8_t {
    kOk = 0,
    kRegression = 1,          ///< Something became slower by more than the threshold.
    kError = 2,               ///< Wrong arguments, unreadable input, a command that failed.
    kInconclusive = 3,        ///< The noise is greater than what was asked about.
    kValidationFailed = 4,    ///< A target was missed.
    kEnvironmentRefused = 5,  ///< Another machine, another build, a load that makes it worthless.
};

/// Thrown inside bench/ and caught by the command, which prints it and leaves with `exit`.
class BenchError : public std::runtime_error {
public:
    explicit BenchError(const std::string& what, Exit exit = Exit::kError)
        : std::runtime_error(what), exit_(exit) {}
    Exit exit() const { return exit_; }

private:
    Exit exit_;
};

}  // namespace fulgur::bench
