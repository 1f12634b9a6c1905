// Runs of other days beside each other: mode `stored`. The machine was in two moods, so that times
// never fail a build here (measured: a test of stored times alarms in 14 to 22 of 100 comparisons
// of identical code); counts of bytes, syncs or allocations may. Any thread may call.
#pragma once

#include <string>
#include <vector>

#include "bench/result.h"
#include "bench/verdict.h"

namespace fulgur::bench {

/// Reads a `bench/1` file, or what Google Benchmark wrote by --benchmark_out with its JSON format.
/// Throws BenchError.
Run load_stored(const std::string& path);
/// From the text of Google Benchmark's JSON; each benchmark is a workload, each repetition a slice.
Run parse_google_benchmark(const std::string& text, const std::string& name);

struct StoredRules {
    double threshold = 0.05;
    double alpha = 0.05;
    bool any_machine = false;
    /// Counters that may fail a build, by the threshold.
    std::vector<std::string> gates = {};
};

/// Compares the results that both runs have, by Mann and Whitney's test on their slices. A/A rows
/// compare the even slices of `before` with its odd ones. Another machine throws BenchError with
/// kEnvironmentRefused unless any_machine; a counter to gate that no result has is an error.
Report compare_stored(const Run& before, const Run& after, const StoredRules& rules);

}  // namespace fulgur::bench
