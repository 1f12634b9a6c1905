#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <fulgur/result.h>

#include "os/mutex.h"
#include "os/thread.h"

// Memory for pages: one reserved range of addresses, backed by huge pages where the kernel has
// them, because a random access into 4 KiB pages costs twice as much (the TLB misses).
//
// Theory: frames of 8 KiB * 2^k, up to 512 KiB, are handed out by the buddy method: a frame is
// split into two buddies when only a larger one is free, and two free buddies become one again.
// Blocks of 512 KiB are carved off the range in order, only when nothing free is large enough, so
// what was ever touched is bounded by the high-water mark of what was in use, plus fragmentation.
// In front of the buddies stands one short stack per class, so that a page replaced by a page costs
// a push and a pop; it is emptied into the buddies before anything is carved.
//
// All bookkeeping is beside the frames, not in them: a free frame is not touched, and stays
// poisoned for the address sanitizer. Debug builds fill freed frames with 0xDB: a stale view shows
// at once.
//
// Invariants: each 8 KiB unit below the high-water mark is in exactly one frame, which is in use,
// in a stack, or in one free list; no two buddies of one size are both in the free lists.

namespace fulgur::os {

/// Hands out frames. Any thread may call `allocate`, `free` and `usage`. What is handed out is gone
/// when the arena ends.
class Arena {
public:
    static constexpr std::size_t kFrameBytesMin = std::size_t{8} << 10;
    static constexpr std::size_t kFrameBytesMax = std::size_t{512} << 10;
    static constexpr std::size_t kClasses = 7;

    /// Reserves addresses, not memory. When the system refuses even that, the arena is empty.
    /// @param reserve_bytes  rounded up to 2 MiB; all frames up to 512 KiB together fit in it.
    explicit Arena(std::uint64_t reserve_bytes);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    /// What `allocate(bytes)` really takes: the next frame class, or for more than 512 KiB whole
    /// 4 KiB pages.
    static constexpr std::size_t frame_bytes(std::size_t bytes) {
        if (bytes > kFrameBytesMax) return (bytes + 4095) & ~std::size_t{4095};
        return bytes <= kFrameBytesMin ? kFrameBytesMin : std::bit_ceil(bytes);
    }

    /// A frame of at least `bytes` bytes, aligned to its size; its content is arbitrary. Above
    /// 512 KiB it is a mapping of its own, outside the reserve, aligned to 4 KiB and zeroed.
    /// @return nullptr when the reserve is used up, or the system refuses.
    char* allocate(std::size_t bytes);

    /// Takes a frame back. @param bytes  what it was allocated with (or its frame_bytes).
    void free(char* frame, std::size_t bytes);

    /// Starts the thread that touches memory ahead of the high-water mark, so that the page faults
    /// (0.9 ms for 2 MiB) do not fall on whoever allocates: by an eighth of the reserve, at most
    /// 64 MiB, and never beyond `touched_max`. Without it everything works, slower. For the owner,
    /// once.
    Result<void> start_toucher(std::uint64_t touched_max);

    struct Usage {
        std::uint64_t reserved = 0;  ///< Size of the range.
        std::uint64_t carved = 0;    ///< High-water mark in it.
        std::uint64_t touched = 0;   ///< Resident because of the toucher, from its start.
        std::uint64_t in_use = 0;    ///< In frames that are handed out.
        std::uint64_t large = 0;     ///< In mappings of their own.
        std::array<std::uint64_t, kClasses> free_frames{};  ///< Per class, stacks included.
    };
    Usage usage() const;

private:
    using Unit = std::uint32_t;   ///< Number of an 8 KiB unit in the range.
    using Order = std::uint32_t;  ///< A frame of order k is 2^k units.
    static constexpr Unit kNone = ~Unit{0};
    static constexpr std::size_t kStackDepth = 16;

    struct Links {
        Unit previous;
        Unit next;
    };
    struct Stack {
        std::array<Unit, kStackDepth> units;
        std::size_t size = 0;
    };

    static Order order_of(std::size_t frame_bytes) {
        return static_cast<Order>(std::countr_zero(frame_bytes / kFrameBytesMin));
    }
    char* address(Unit unit) const { return base_ + unit * kFrameBytesMin; }

    Unit take(Order order) REQUIRES(mutex_);
    Unit take_from_lists(Order order) REQUIRES(mutex_);
    bool carve() REQUIRES(mutex_);
    bool empty_stacks() REQUIRES(mutex_);
    void give_to_lists(Unit unit, Order order) REQUIRES(mutex_);
    void link(Unit unit, Order order) REQUIRES(mutex_);
    void unlink(Unit unit, Order order) REQUIRES(mutex_);
    void touch_ahead();

    // Set by the constructor.
    std::uint64_t reserved_ = 0;
    std::uint64_t look_ahead_ = 0;  ///< How far beyond the high-water mark memory is touched.
    char* base_ = nullptr;          ///< Aligned to 2 MiB.

    mutable Mutex mutex_;
    std::uint8_t* states_ GUARDED_BY(mutex_) = nullptr;  ///< Per unit, at the first of a frame.
    Links* links_ GUARDED_BY(mutex_) = nullptr;          ///< Per unit, of frames in free lists.
    std::array<Unit, kClasses> heads_ GUARDED_BY(mutex_);
    std::array<Stack, kClasses> stacks_ GUARDED_BY(mutex_);
    std::array<std::uint64_t, kClasses> free_frames_ GUARDED_BY(mutex_){};
    std::uint64_t carved_ GUARDED_BY(mutex_) = 0;
    std::uint64_t touched_ GUARDED_BY(mutex_) = 0;
    std::uint64_t touched_max_ GUARDED_BY(mutex_) = 0;  ///< 0 without a toucher.
    std::uint64_t in_use_ GUARDED_BY(mutex_) = 0;
    bool stopping_ GUARDED_BY(mutex_) = false;
    ConditionVariable wake_toucher_;
    std::atomic<std::uint64_t> large_{0};
    Thread toucher_;  ///< Last, so that it ends first.
};

}  // namespace fulgur::os
