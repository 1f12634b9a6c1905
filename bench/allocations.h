// How often a thread has asked for memory. The command's malloc, calloc and realloc are ours and
// count before they pass on to the C library's, so every side is counted alike, C or C++.
#pragma once

#include <cstdint>

namespace fulgur::bench {

/// False under sanitizers and other C libraries: then nothing is counted.
bool counts_allocations();
/// Of the calling thread, since it began.
std::uint64_t allocations_so_far();

}  // namespace fulgur::bench
