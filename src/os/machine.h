#pragma once

#include <cstdint>

namespace fulgur::os {

/// Memory that this process may use: the machine's, or its control group's limit when that is less.
std::uint64_t memory_bytes();

/// Cores that this process may run on; 1 at least.
std::uint32_t core_count();

std::uint64_t process_id();

}  // namespace fulgur::os
