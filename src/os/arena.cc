#include "os/arena.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <sys/mman.h>

#include "base/coding.h"
#include "base/sanitizer.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older headers do not know it.
#endif

namespace fulgur::os {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
constexpr std::uint64_t kLookAheadMax = std::uint64_t{64} << 20;
constexpr std::uint32_t kTopOrder = Arena::kClasses - 1;
static_assert(Arena::kFrameBytesMin << kTopOrder == Arena::kFrameBytesMax);

// States of a unit. Only the first unit of a frame has one other than kInside.
constexpr std::uint8_t kInside = 0;
constexpr std::uint8_t kListed = 0x10;   // + order: in the free list of that order.
constexpr std::uint8_t kStacked = 0x20;  // + order: in the stack of that order.
constexpr std::uint8_t kInUse = 0x30;    // + order.

constexpr std::uint8_t state(std::uint8_t kind, std::uint32_t order) {
    return static_cast<std::uint8_t>(kind + order);
}

char* map(std::uint64_t bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

void unmap(void* p, std::uint64_t bytes) {
    if (p != nullptr && bytes != 0) munmap(p, bytes);
}

char* map_aligned(std::uint64_t bytes, std::uint64_t alignment) {
    char* const p = map(bytes + alignment);
    if (p == nullptr) return nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    const std::uint64_t before = round_up(std::uint64_t{address}, alignment) - address;
    unmap(p, before);
    unmap(p + before + bytes, alignment - before);
    return p + before;
}

}  // namespace

Arena::Arena(std::uint64_t reserve_bytes) {
    heads_.fill(kNone);
    const std::uint64_t bytes = round_up(reserve_bytes, kHugePage);
    const std::uint64_t units = bytes / kFrameBytesMin;
    assert(units < kNone);
    if (bytes == 0) return;
    base_ = map_aligned(bytes, kHugePage);
    // Mapped, not allocated: only what belongs to carved memory becomes resident.
    states_ = reinterpret_cast<std::uint8_t*>(map(units));
    links_ = reinterpret_cast<Links*>(map(units * sizeof(Links)));
    reserved_ = bytes;
    if (base_ == nullptr || states_ == nullptr || links_ == nullptr) {
        unmap(base_, bytes);
        unmap(states_, units);
        unmap(links_, units * sizeof(Links));
        reserved_ = 0;  // Nothing can be carved: allocate says so.
        return;
    }
    // Advice: without huge pages everything works, slower.
    madvise(base_, bytes, MADV_HUGEPAGE);
    look_ahead_ = std::min(kLookAheadMax, round_up(bytes / 8, kHugePage));
}

Arena::~Arena() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
    }
    wake_toucher_.notify_all();
    toucher_.join();
    MutexLock lock(mutex_);  // Nobody is left; for the analysis.
    if (reserved_ == 0) return;
    unpoison(base_, carved_);
    unmap(base_, reserved_);
    unmap(states_, reserved_ / kFrameBytesMin);
    unmap(links_, reserved_ / kFrameBytesMin * sizeof(Links));
}

char* Arena::allocate(std::size_t bytes) {
    bytes = frame_bytes(bytes);
    if (bytes > kFrameBytesMax) {
        char* const p = map(bytes);
        if (p != nullptr) large_.fetch_add(bytes, std::memory_order_relaxed);
        return p;
    }
    const Order order = order_of(bytes);
    Unit unit = kNone;
    {
        MutexLock lock(mutex_);
        unit = take(order);
        if (unit == kNone) return nullptr;
        states_[unit] = state(kInUse, order);
        --free_frames_[order];
        in_use_ += bytes;
    }
    unpoison(address(unit), bytes);
    return address(unit);
}

void Arena::free(char* frame, std::size_t bytes) {
    bytes = frame_bytes(bytes);
    if (bytes > kFrameBytesMax) {
        unmap(frame, bytes);
        large_.fetch_sub(bytes, std::memory_order_relaxed);
        return;
    }
    assert(frame >= base_ && frame < base_ + reserved_);
#if !defined(NDEBUG)
    std::memset(frame, 0xDB, bytes);
#endif
    poison(frame, bytes);
    const Order order = order_of(bytes);
    const auto unit = static_cast<Unit>(static_cast<std::size_t>(frame - base_) / kFrameBytesMin);

    MutexLock lock(mutex_);
    assert(states_[unit] == state(kInUse, order));  // Else freed twice, or with another size.
    in_use_ -= bytes;
    ++free_frames_[order];
    Stack& stack = stacks_[order];
    if (stack.size == kStackDepth) {
        // The older half goes, so that neither frees nor allocations that follow hit the end again.
        constexpr std::size_t kHalf = kStackDepth / 2;
        for (std::size_t i = 0; i < kHalf; ++i) give_to_lists(stack.units[i], order);
        std::copy(stack.units.begin() + kHalf, stack.units.end(), stack.units.begin());
        stack.size = kStackDepth - kHalf;
    }
    states_[unit] = state(kStacked, order);
    stack.units[stack.size++] = unit;
}

/// A frame that counts as free still; kNone when the reserve is used up.
Arena::Unit Arena::take(Order order) {
    Stack& stack = stacks_[order];
    if (stack.size != 0) return stack.units[--stack.size];
    Unit unit = take_from_lists(order);
    if (unit != kNone) return unit;
    if (empty_stacks()) {
        unit = take_from_lists(order);
        if (unit != kNone) return unit;
    }
    return carve() ? take_from_lists(order) : kNone;
}

/// The last freed frame of the smallest class that is large enough, split down to `order`.
Arena::Unit Arena::take_from_lists(Order order) {
    Order from = order;
    while (from < kClasses && heads_[from] == kNone) ++from;
    if (from == kClasses) return kNone;
    const Unit unit = heads_[from];
    unlink(unit, from);
    for (; from > order; --from) {
        --free_frames_[from];
        free_frames_[from - 1] += 2;
        link(unit + (1U << (from - 1)), from - 1);
    }
    return unit;
}

bool Arena::carve() {
    if (carved_ + kFrameBytesMax > reserved_) return false;
    const auto unit = static_cast<Unit>(carved_ / kFrameBytesMin);
    carved_ += kFrameBytesMax;
    poison(address(unit), kFrameBytesMax);
    link(unit, kTopOrder);
    ++free_frames_[kTopOrder];
    // Wake the toucher seldom: when half of what it has prepared is used.
    if (touched_ < touched_max_ && carved_ + look_ahead_ / 2 > touched_) wake_toucher_.notify_one();
    return true;
}

bool Arena::empty_stacks() {
    bool any = false;
    for (Order order = 0; order < kClasses; ++order) {
        Stack& stack = stacks_[order];
        any |= stack.size != 0;
        while (stack.size != 0) give_to_lists(stack.units[--stack.size], order);
    }
    return any;
}

/// Joins a free frame with its buddy as often as the buddy is free too.
void Arena::give_to_lists(Unit unit, Order order) {
    states_[unit] = kInside;
    for (; order < kTopOrder; ++order) {
        const Unit buddy = unit ^ (1U << order);
        if (states_[buddy] != state(kListed, order)) break;
        unlink(buddy, order);
        free_frames_[order] -= 2;
        ++free_frames_[order + 1];
        unit = std::min(unit, buddy);
    }
    link(unit, order);
}

void Arena::link(Unit unit, Order order) {
    const Unit next = heads_[order];
    links_[unit] = {kNone, next};
    if (next != kNone) links_[next].previous = unit;
    heads_[order] = unit;
    states_[unit] = state(kListed, order);
}

void Arena::unlink(Unit unit, Order order) {
    const auto [previous, next] = links_[unit];
    (previous == kNone ? heads_[order] : links_[previous].next) = next;
    if (next != kNone) links_[next].previous = previous;
    states_[unit] = kInside;
}

Result<void> Arena::start_toucher(std::uint64_t touched_max) {
    if (reserved_ == 0 || toucher_.joinable()) return {};
    {
        MutexLock lock(mutex_);
        touched_max_ = std::min(reserved_, round_down(touched_max, kHugePage));
    }
    Result<Thread> thread = Thread::start("fulgur-touch", [this] { touch_ahead(); });
    if (!thread) return thread.error();
    toucher_ = *std::move(thread);
    return {};
}

/// MADV_POPULATE_WRITE faults pages in as a write would and changes no byte, so the memory may be
/// in use meanwhile.
void Arena::touch_ahead() {
    MutexLock lock(mutex_);
    touched_ = round_down(carved_, kHugePage);
    while (!stopping_ && touched_ < touched_max_) {
        if (touched_ >= std::min(touched_max_, carved_ + look_ahead_)) {
            wake_toucher_.wait(mutex_);
            continue;
        }
        char* const next = base_ + touched_;
        lock.unlock();
        const bool done = madvise(next, kHugePage, MADV_POPULATE_WRITE) == 0;
        const bool out_of_memory = !done && (errno == ENOMEM || errno == EAGAIN);
        lock.lock();
        if (done) {
            touched_ += kHugePage;
        } else if (out_of_memory) {
            wake_toucher_.wait(mutex_);  // Whoever needs it will find out.
        } else {
            return;  // The kernel cannot: memory is touched by its users.
        }
    }
}

Arena::Usage Arena::usage() const {
    MutexLock lock(mutex_);
    Usage usage;
    usage.reserved = reserved_;
    usage.carved = carved_;
    usage.touched = touched_;
    usage.in_use = in_use_;
    usage.large = large_.load(std::memory_order_relaxed);
    usage.free_frames = free_frames_;
    return usage;
}

}  // namespace fulgur::os
