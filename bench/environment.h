// Where a run is made, read from the system's files, and whether it is fit for figures.
#pragma once

#include <string>
#include <vector>

#include "bench/result.h"

namespace fulgur::bench {

/// @param directory  where the databases will lie.
Environment read_environment(const std::string& directory);
/// Called at the end of a run: the load then, and what the host took away meanwhile.
void complete(Environment& environment);

/// One line of `fulgur bench doctor`.
struct Finding {
    enum class Weight : std::uint8_t { kGood, kNote, kRefusal };
    Weight weight = Weight::kGood;
    std::string what;
    std::string advice;
};
std::vector<Finding> examine(const Environment& environment, const std::string& directory);

}  // namespace fulgur::bench
