// Targets that a run has to meet, from a file:
//
//     {"format": "bench-targets/1", "targets": [
//       {"workload": "readrandom", "side": "fulgur", "throughput_min": 1000000},
//       {"workload": "readrandom", "side": "fulgur", "percentile": 99, "latency_ns_max": 20000},
//       {"workload": "fillseq", "side": "fulgur", "counter": "disk_bytes", "max": 200000000},
//       {"workload": "readrandom", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 3},
//       {"side": "fulgur", "error_rate_max": 0}]}
//
// A target without "workload" or "side" is for all of them; "parameters" narrows it further. A
// target that no result answers is missed, not met: a workload that was renamed must not pass. Any
// thread may call.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/bench_error.h"
#include "bench/result.h"

namespace fulgur::bench {

struct Target {
    enum class Kind : std::uint8_t {
        kThroughput,  ///< Operations a second, by the median slice.
        kPercentile,  ///< Of the latency, in nanoseconds.
        kCounter,     ///< Any counter of the result: bytes, memory, allocations.
        kRatio,       ///< How many times as fast as another side of the same group.
        kErrorRate,   ///< Counter "errors" by operations and errors.
    };
    Kind kind = Kind::kThroughput;
    std::string workload;  ///< Empty: any. So are the next two.
    std::string side;
    std::map<std::string, std::string> parameters;
    std::string counter;
    std::string ratio_to;
    double percentile = 0;
    std::optional<double> min;
    std::optional<double> max;
};

/// What one result (or the lack of one) says to one target.
struct TargetOutcome {
    std::string what;  ///< "readrandom fulgur: throughput at least 1e+06 a second"
    std::optional<double> measured;
    bool met = false;
    std::string note;  ///< Why it was not measured.
};

/// Throws BenchError with the name and the target's number for what is no target.
std::vector<Target> read_targets(const std::string& path);
std::vector<Target> parse_targets(const std::string& text, const std::string& name);
/// Those of the engine itself, which a run with --figures answers.
std::vector<Target> engine_targets();

/// In the order of the targets, then of the results.
std::vector<TargetOutcome> validate(const Run& run, const std::vector<Target>& targets);

bool all_met(const std::vector<TargetOutcome>& outcomes);
/// Missed ones first.
std::string to_text(const std::vector<TargetOutcome>& outcomes);
nlohmann::ordered_json to_json(const std::vector<TargetOutcome>& outcomes);

}  // namespace fulgur::bench
