#include "storage/versions.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "base/planted.h"
#include "os/barrier.h"
#include "os/thread.h"

namespace fulgur::storage {

namespace {

/// A barrier costs microseconds; this many retirements share one.
constexpr std::size_t kRetirementsPerReclaim = 64;

constexpr std::uint64_t kNobody = std::numeric_limits<std::uint64_t>::max();

}  // namespace

Versions::Versions(std::size_t slots_max)
    : slots_(std::make_unique<Slot[]>(slots_max)), slots_max_(slots_max) {}

Versions::Slot* Versions::take_slot() {
    for (std::size_t i = 0; i < slots_max_; ++i) {
        Slot& slot = slots_[i];
        bool free = false;
        if (slot.taken.load(std::memory_order_relaxed) ||
            !slot.taken.compare_exchange_strong(free, true, std::memory_order_acq_rel)) {
            continue;
        }
        // Raised before the slot's first pin: whoever misses it passes a barrier and is covered by
        // the same argument as for an empty slot.
        std::size_t used = slots_used_.load(std::memory_order_relaxed);
        while (used < i + 1 &&
               !slots_used_.compare_exchange_weak(used, i + 1, std::memory_order_acq_rel)) {
        }
        return &slot;
    }
    return nullptr;
}

inline void Versions::pin_epoch(Slot& slot) {
    const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
    if (os::process_barrier_available()) [[likely]] {
        slot.epoch.store(epoch, std::memory_order_release);
        os::light_barrier();
    } else {
        slot.epoch.exchange(epoch, std::memory_order_seq_cst);
    }
    os::yield_point("after pin");
}

Sequence Versions::pin(Slot& slot) {
    slot.sequence.store(visible_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    pin_epoch(slot);
    return visible();
}

void Versions::pin_memory(Slot& slot) {
    slot.sequence.store(kNobody, std::memory_order_relaxed);
    pin_epoch(slot);
}

/// A read-modify-write where the barrier is missing: see the argument above.
std::uint64_t Versions::slot_epoch(Slot& slot) const {
    if (os::process_barrier_available()) return slot.epoch.load(std::memory_order_acquire);
    return slot.epoch.fetch_add(0, std::memory_order_seq_cst);
}

std::size_t Versions::used_slots() const {
    if (os::process_barrier_available()) return slots_used_.load(std::memory_order_acquire);
    return slots_used_.fetch_add(0, std::memory_order_seq_cst);
}

void Versions::add_snapshot(Sequence sequence, std::uint64_t now_ns) {
    os::MutexLock lock(snapshot_mutex_);
    Registered& registered = snapshots_.try_emplace(sequence, Registered{0, now_ns}).first->second;
    ++registered.count;
    snapshot_count_.fetch_add(1, std::memory_order_release);
}

void Versions::remove_snapshot(Sequence sequence) {
    os::MutexLock lock(snapshot_mutex_);
    const auto it = snapshots_.find(sequence);
    assert(it != snapshots_.end());
    if (--it->second.count == 0) snapshots_.erase(it);
    snapshot_count_.fetch_sub(1, std::memory_order_release);
}

void Versions::snapshots(std::vector<Sequence>& into) const {
    into.clear();
    if (snapshot_count() == 0 || FULGUR_PLANTED("snapshots_forgotten")) return;
    os::MutexLock lock(snapshot_mutex_);
    for (const auto& [sequence, count] : snapshots_) into.push_back(sequence);
}

std::optional<Versions::OldestSnapshot> Versions::oldest_snapshot() const {
    os::MutexLock lock(snapshot_mutex_);
    if (snapshots_.empty()) return {};
    const auto& [sequence, registered] = *snapshots_.begin();
    return OldestSnapshot{sequence, registered.since_ns};
}

Sequence Versions::refresh_horizon() {
    std::uint64_t horizon = visible_.load(std::memory_order_acquire);
    os::process_barrier();
    for (std::size_t i = 0; i < used_slots(); ++i) {
        if (slot_epoch(slots_[i]) == 0 || FULGUR_PLANTED("horizon_ignores_pins")) continue;
        horizon = std::min(horizon, slots_[i].sequence.load(std::memory_order_acquire));
    }
    // Two threads may compute at once; the cache keeps the greater, both are right.
    std::uint64_t cached = horizon_.load(std::memory_order_acquire);
    while (cached < horizon &&
           !horizon_.compare_exchange_weak(cached, horizon, std::memory_order_acq_rel)) {
    }
    return Sequence{std::max(cached, horizon)};
}

std::uint64_t Versions::oldest_epoch() {
    os::process_barrier();
    std::uint64_t oldest = kNobody;
    for (std::size_t i = 0; i < used_slots(); ++i) {
        const std::uint64_t epoch = slot_epoch(slots_[i]);
        if (epoch != 0) oldest = std::min(oldest, epoch);
    }
    return oldest;
}

void Versions::free_all(const std::vector<Retired>& ready) {
    for (const Retired& entry : ready) entry.free(entry.context, entry.memory, entry.bytes);
}

void Versions::retire(void* memory, std::size_t bytes, Free free, void* context) {
    bool enough = false;
    {
        os::MutexLock lock(retire_mutex_);
        retired_.push_back({advance_epoch(), memory, bytes, free, context});
        retired_bytes_.fetch_add(bytes, std::memory_order_relaxed);
        enough = ++retired_since_reclaim_ >= kRetirementsPerReclaim;
    }
    if (enough) reclaim();
}

void Versions::reclaim() {
    {
        os::MutexLock lock(retire_mutex_);
        retired_since_reclaim_ = 0;
        if (retired_.empty()) return;
    }
    // Everything stamped below `oldest` was unlinked before the barrier inside oldest_epoch: what
    // is retired after this line has a stamp that a pin of this moment may not exceed.
    const std::uint64_t limit = epoch_.load(std::memory_order_acquire);
    const std::uint64_t oldest =
        FULGUR_PLANTED("memory_freed_under_pins") ? limit : std::min(oldest_epoch(), limit);
    std::vector<Retired> ready;
    std::uint64_t bytes = 0;
    {
        os::MutexLock lock(retire_mutex_);
        while (!retired_.empty() && retired_.front().epoch < oldest) {
            bytes += retired_.front().bytes;
            ready.push_back(retired_.front());
            retired_.pop_front();
        }
    }
    free_all(ready);
    retired_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

void Versions::reclaim_all() {
    std::vector<Retired> ready;
    {
        os::MutexLock lock(retire_mutex_);
        ready.assign(retired_.begin(), retired_.end());
        retired_.clear();
    }
    for (const Retired& entry : ready) {
        retired_bytes_.fetch_sub(entry.bytes, std::memory_order_relaxed);
    }
    free_all(ready);
}

Versions::Readers Versions::readers() const {
    Readers result{0, visible()};
    for (std::size_t i = 0; i < used_slots(); ++i) {
        if (slots_[i].epoch.load(std::memory_order_acquire) == 0) continue;
        const std::uint64_t sequence = slots_[i].sequence.load(std::memory_order_acquire);
        if (sequence == kNobody) continue;  // The walker or the clock: no reader.
        ++result.count;
        result.oldest = std::min(result.oldest, Sequence{sequence});
    }
    return result;
}

}  // namespace fulgur::storage
