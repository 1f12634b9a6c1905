#include "bench/allocations.h"

#include <cstddef>
#include <cstdlib>

#include "base/sanitizer.h"

#if defined(__GLIBC__) && !defined(FULGUR_THREAD_SANITIZER) && !defined(__SANITIZE_ADDRESS__)
#define FULGUR_COUNT_ALLOCATIONS 1
#endif

namespace fulgur::bench {

namespace {
// In the executable's own thread-local block: reading it never allocates.
thread_local std::uint64_t allocations = 0;
}  // namespace

#if defined(FULGUR_COUNT_ALLOCATIONS)
bool counts_allocations() { return true; }
void count_allocation() { ++allocations; }
#else
bool counts_allocations() { return false; }
#endif

std::uint64_t allocations_so_far() { return allocations; }

}  // namespace fulgur::bench

#if defined(FULGUR_COUNT_ALLOCATIONS)
// glibc's own names for what it offers as malloc and so on; memory from either may be given to
// free.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);

void* malloc(std::size_t bytes) {
    fulgur::bench::count_allocation();
    return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
    fulgur::bench::count_allocation();
    return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
    fulgur::bench::count_allocation();
    return __libc_realloc(memory, bytes);
}
}
#endif
