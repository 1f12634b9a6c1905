#pragma once

#include <atomic>

#include "base/sanitizer.h"

// An asymmetric memory barrier. Dekker's pattern needs a full barrier between the store and the
// load on both sides; when one side runs a million times as often as the other, the rare side can
// pay for both with membarrier(2), which makes every running thread of the process pass a barrier.
//
//     often:   mine.store(x, relaxed);    light_barrier();    theirs.load(relaxed)
//     rarely:  theirs.store(y, relaxed);  process_barrier();  mine.load(relaxed)
//
// At least one side sees the other's store. Where membarrier(2) is missing both are full barriers,
// so the pattern holds either way. Under the thread sanitizer, which knows neither membarrier nor
// fences, it is reported as unavailable: code under it should exchange instead of store.

namespace fulgur::os {

namespace detail {
/// Set once, before main; false until then, which only makes light_barrier heavier.
extern std::atomic<bool> process_barrier_registered;

inline void full_barrier() {
#if defined(FULGUR_THREAD_SANITIZER)
    std::atomic<int> own{0};  // A locked instruction; fences are refused under this sanitizer.
    own.exchange(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
}  // namespace detail

/// Whether process_barrier makes light_barrier free. Constant after static initialization.
inline bool process_barrier_available() {
    return detail::process_barrier_registered.load(std::memory_order_relaxed);
}

/// The side that runs often: orders the compiler only, when the other side can do the rest.
inline void light_barrier() {
    if (process_barrier_available()) [[likely]] {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
        detail::full_barrier();
    }
}

/// The rare side: some microseconds.
void process_barrier();

}  // namespace fulgur::os
