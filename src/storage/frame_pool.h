// Memory for pages and large values, counted against the budget.
//
// The budget is checked before work begins (has_room); allocation itself does not refuse, because a
// commit that has its sequence must finish. The arena therefore reserves more address space than
// the budget. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "os/arena.h"

namespace fulgur::storage {

class FramePool {
public:
    FramePool(os::Arena& arena, std::uint64_t budget) : arena_(arena), budget_(budget) {}

    bool has_room(std::uint64_t bytes) const { return used() + bytes <= budget_; }

    /// @param bytes  a frame class, or any size above the largest.
    /// Ends the program when the system has no memory left: nothing acknowledged is lost by that.
    char* allocate(std::size_t bytes);
    void free(char* memory, std::size_t bytes) {
        arena_.free(memory, bytes);
        used_.fetch_sub(bytes, std::memory_order_relaxed);
    }
    /// Memory from elsewhere that grows with the data.
    void count(std::size_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
    void discount(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    /// For Versions::retire.
    static void free_retired(void* pool, void* memory, std::size_t bytes) {
        static_cast<FramePool*>(pool)->free(static_cast<char*>(memory), bytes);
    }

    std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
    std::uint64_t budget() const { return budget_; }

private:
    os::Arena& arena_;
    const std::uint64_t budget_;
    std::atomic<std::uint64_t> used_{0};
};

/// The smallest frame class (a power of two from kFrameBytesMin on) of at least `bytes`; above the
/// largest class, `bytes` in whole 4 KiB pages.
std::size_t frame_bytes_for(std::size_t bytes);

}  // namespace fulgur::storage
