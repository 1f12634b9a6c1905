#pragma once

/// What the judging half of `fulgur bench` shares: its exit codes, and how its errors end it.

#include <CLI/CLI.hpp>

#include "bench/bench_error.h"
#include "bench/store.h"
#include "cli/bench_codes.h"
#include "cli/command.h"

namespace fulgur::cli {

inline ExitCode to_exit_code(bench::Exit exit) {
    return static_cast<ExitCode>(static_cast<std::uint8_t>(exit));
}

/// Reports a failure under the name that its code has in `fulgur bench`.
inline ExitCode fail_bench(Context& context, bench::Exit exit, const std::string& message,
                           const std::string& advice) {
    const char* const name = exit == bench::Exit::kEnvironmentRefused ? "refused" : "error";
    return context.fail(to_exit_code(exit), message, advice, Json{{"error", name}});
}

/// Runs `work`; what it throws becomes a message and an exit code.
template <typename Work>
ExitCode judged(Context& context, const Work& work) {
    try {
        return work();
    } catch (const bench::Failure& error) {
        return context.fail(kBenchError, error.what());
    } catch (const bench::BenchError& error) {
        const bool refused = error.exit() == bench::Exit::kEnvironmentRefused;
        return fail_bench(context, error.exit(), error.what(),
                          refused ? "--any-machine compares them all the same" : "");
    }
}

/// Sub-commands of `bench`.
Command add_bench_compare(CLI::App& bench);
Command add_bench_validate(CLI::App& bench);
Command add_bench_baseline(CLI::App& bench);

}  // namespace fulgur::cli
