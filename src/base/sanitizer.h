#pragma once

// Which sanitizer this build runs under, in one spelling for gcc and clang, and the address
// sanitizer's poison calls, which are nothing in other builds.

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FULGUR_THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define FULGUR_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FULGUR_THREAD_SANITIZER 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define FULGUR_ADDRESS_SANITIZER 1
#endif

#if defined(FULGUR_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

#include <cstddef>

namespace fulgur {

/// From here on the address sanitizer reports any access to these bytes.
inline void poison([[maybe_unused]] const char* begin, [[maybe_unused]] std::size_t size) {
#if defined(FULGUR_ADDRESS_SANITIZER)
    __asan_poison_memory_region(begin, size);
#endif
}

/// Ends `poison`.
inline void unpoison([[maybe_unused]] const char* begin, [[maybe_unused]] std::size_t size) {
#if defined(FULGUR_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(begin, size);
#endif
}

}  // namespace fulgur
