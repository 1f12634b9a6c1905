// Runs kept for comparisons of later days: FOLDER/MACHINE/NAME.jsonl, where MACHINE is the
// fingerprint of the machine that made them. A quick or interrupted run is no baseline. One thread
// at a time; two processes may save different names at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/result.h"

namespace fulgur::bench {

inline constexpr const char* kBaselineFolder = "bench-baselines";

struct Baseline {
    std::string machine;
    std::string name;
    std::string path;
    std::string commit;
    std::string started;
    std::size_t results = 0;
    std::string fault;  ///< Why it cannot be used; the fields before `path` are set all the same.
};

/// Copies the run in `file`, read and checked, under `name`: letters, digits, '.', '_' and '-'; by
/// default the run's commit. Throws BenchError, also when that name is taken and not `replace`.
Baseline save_baseline(const std::string& file, const std::string& folder, std::string name,
                       bool replace);

/// By machine, the newest first. None when there is no such folder.
std::vector<Baseline> list_baselines(const std::string& folder);

/// The newest one of that machine that can be used.
std::optional<Baseline> newest_baseline(const std::string& folder, const std::string& machine);

}  // namespace fulgur::bench
