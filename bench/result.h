// What a run of the benchmark tool leaves behind, in memory. result_file.h writes and reads it as
// JSON lines, docs/bench-format.md has every field.
//
// A run is one process on one machine at one commit. It holds results: one for each workload and
// side (an engine, or a variant of one). The sides of a workload took turns in slices, so slice i
// of one side and slice i of another were neighbours in time: they may be compared pair by pair.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/histogram.h"

namespace fulgur::bench {

/// Where and of what a run was made. Runs are comparable in time only when `machine` is the same.
struct Environment {
    std::string machine;    ///< fingerprint of processor, cores, memory, kernel: 16 hex digits
    std::string processor;  ///< as the kernel names it
    std::uint64_t cores = 0;
    std::uint64_t memory_bytes = 0;
    std::string kernel;
    std::string compiler;
    std::string build;        ///< "release", or what makes the figures worthless: "assertions"
    std::string file_system;  ///< under the databases: type and device
    std::string commit;       ///< git's, with "+changes" when the tree was not clean; or "unknown"
    std::string governor;     ///< of the processor's frequency; "unknown" in most virtual machines
    std::string huge_pages;   ///< transparent_hugepage/enabled
    double load_before = 0;   ///< one-minute load average when the run began
    double load_after = 0;
    double steal_percent = 0;  ///< time that the host took away during the run
    std::string started;       ///< UTC, 2026-01-31T12:00:00Z
};

/// One side's figures in one workload.
struct Result {
    std::string workload;
    std::string side;        ///< "fulgur", "lmdb", ...
    std::string version;     ///< of the side
    std::string settings;    ///< of the side, for people
    std::string durability;  ///< "buffered" or "sync": only equals are compared
    std::string unit;        ///< of an operation: "get", "row", "commit"
    std::map<std::string, std::string> parameters;  ///< rows, value bytes, threads, batch, ...
    std::vector<double> slices_ns;                  ///< time per operation of each slice, in order
    std::uint64_t operations = 0;                   ///< timed ones
    std::uint64_t verified = 0;                     ///< values read and found right
    /// Sampled, or of each operation where the load is open: from the intended start.
    Histogram latency_ns;
    std::vector<double> per_second;          ///< operations in each second of the run
    std::map<std::string, double> counters;  ///< disk_bytes, written_bytes, allocations_per_op, ...
    std::string note;                        ///< why there are no figures: "refused: ..."; or empty
};

struct Run {
    static constexpr const char* kFormat = "bench/1";
    Environment environment;
    bool quick = false;        ///< never quoted
    bool interrupted = false;  ///< ended before all was measured
    /// Of the reader, for people: what was missing or cut off.
    std::vector<std::string> warnings;
    std::vector<Result> results;
};

}  // namespace fulgur::bench
