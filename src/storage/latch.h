// A page latch: one word in the page's header (0 free, 1 held, 2 held and somebody sleeps).
// It excludes other latch holders only; readers of pages never take it.
//
// lock() acquires and unlock() releases, so whatever was written under it is seen by the next
// holder. Waiting sleeps in the kernel (std::atomic::wait): on a machine with two cores a spinning
// waiter only delays the holder. Source of the three states: Drepper, "Futexes Are Tricky", 2011.
#pragma once

#include <atomic>
#include <cstdint>

#include "os/thread.h"

namespace fulgur::storage {

using LatchWord = std::atomic<std::uint32_t>;

inline bool try_latch(LatchWord& word) {
    std::uint32_t expected = 0;
    return word.compare_exchange_strong(expected, 1, std::memory_order_acquire,
                                        std::memory_order_relaxed);
}

inline void latch(LatchWord& word) {
    os::yield_point("latch");
    if (try_latch(word)) [[likely]] {
        return;
    }
    while (word.exchange(2, std::memory_order_acquire) != 0) {
        word.wait(2, std::memory_order_relaxed);
    }
}

inline void unlatch(LatchWord& word) {
    if (word.exchange(0, std::memory_order_release) == 2) [[unlikely]] {
        word.notify_one();
    }
}

/// Holds a latch for a scope.
class LatchGuard {
public:
    explicit LatchGuard(LatchWord& word) : word_(&word) { latch(*word_); }
    ~LatchGuard() { release(); }
    LatchGuard(const LatchGuard&) = delete;
    LatchGuard& operator=(const LatchGuard&) = delete;
    void release() {
        if (word_ != nullptr) unlatch(*word_);
        word_ = nullptr;
    }

private:
    LatchWord* word_;
};

}  // namespace fulgur::storage
