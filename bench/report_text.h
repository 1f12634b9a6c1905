// A run for the eyes of whoever started it: one block a workload, the sides below each other.
#pragma once

#include <string>

#include "bench/result.h"

namespace fulgur::bench {

std::string to_text(const Run& run);

}  // namespace fulgur::bench
