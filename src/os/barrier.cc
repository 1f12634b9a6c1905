#include "os/barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fulgur::os {

constinit std::atomic<bool> detail::process_barrier_registered{false};

namespace {

bool register_process() {
#if defined(FULGUR_THREAD_SANITIZER)
    return false;
#else
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}

[[maybe_unused]] const bool registered = [] {
    const bool available = register_process();
    detail::process_barrier_registered.store(available, std::memory_order_relaxed);
    return available;
}();

}  // namespace

void process_barrier() {
    detail::full_barrier();
    if (process_barrier_available()) {
        // Cannot fail once registered.
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
}

}  // namespace fulgur::os
