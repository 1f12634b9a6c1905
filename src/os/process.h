#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fulgur/result.h>

namespace fulgur::os {

/// A program to be run to its end, or to its limit.
struct ProcessRequest {
    std::vector<std::string> arguments = {};  ///< The program first, searched for on the path.
    /// "NAME=value"; empty means this process's own environment.
    std::vector<std::string> environment = {};
    std::uint64_t limit_ms = 600'000;
    /// Of what it prints on both streams, the last so many bytes are kept; the rest is dropped.
    std::size_t output_bytes_max = 64 << 10;
};

struct ProcessOutcome {
    int exit_code = 0;          ///< 128 + the signal's number when a signal ended it.
    bool timed_out = false;     ///< It was killed at its limit, with all that it had started.
    std::uint64_t wall_ns = 0;  ///< From before it was started until it was gone.
    std::uint64_t user_ns = 0;  ///< Of it and of the children that it waited for.
    std::uint64_t system_ns = 0;
    std::uint64_t memory_bytes_max = 0;
    std::string output;

    bool succeeded() const { return exit_code == 0 && !timed_out; }
};

/// Runs a program with nothing on its standard input, in a process group of its own, and waits.
/// What it left running in its group is killed too. Any thread may call.
/// @return kInvalid when there is no such program or it may not be run; kLimit when the system
///   starts no more processes.
Result<ProcessOutcome> run_process(const ProcessRequest& request);

/// Where this program's own file is.
std::string own_executable();

/// A variable of this process's environment; empty when it is not set.
std::string environment_variable(const char* name);

}  // namespace fulgur::os
