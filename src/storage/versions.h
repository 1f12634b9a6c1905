// Versions: which sequence readers see, who reads at which moment, what may be dropped, and when
// unlinked memory may be used again. One class, because each of these answers leans on the others.
//
// A *pin* is a reader's slot {epoch, sequence}. Pinning (1) stores the sequence it is about to read
// at, S0 = visible; (2) stores the current epoch; (3) orders both before its later loads; (4) loads
// visible again: S >= S0 is what it reads at.
//
// Reclamation. Unlinked memory is stamped with the epoch, which each retirement then advances; it
// is freed when every pin's epoch is greater than the stamp. Argument: the reclaimer passes
// process_barrier() after the unlinking store and before it reads the slots. A reader whose slot it
// sees empty either stores its slot later than the barrier, and then its later loads see the
// unlinking; or it has the slot's store still in its own store buffer, which the barrier flushes.
// A reader whose slot it sees with an epoch above the stamp loaded that epoch after the unlinking
// (the epoch's fetch_add is sequenced after it, and the reader's load acquires it).
// Where membarrier(2) is missing, and under the thread sanitizer, both sides use read-modify-writes
// on the slot's epoch word: these are totally ordered, so that either the reclaimer reads the
// reader's epoch, or the reader's exchange reads the reclaimer's value and synchronizes with it.
//
// Horizon. H = min(visible, each pin's stored sequence), visible loaded before the barrier, the
// slots read after it. A reader that is missed loads its S after the barrier, so S >= that visible.
// H is cached (an older H only keeps more) and refreshed on demand. Snapshots are registered while
// their creator is pinned; consolidation reads H first and the snapshots afterwards, so a snapshot
// below H is always seen: its creator's unpin (release) came after registering, and computing H
// read that slot (acquire).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <fulgur/bytes.h>

#include "base/thread_annotations.h"
#include "os/mutex.h"

namespace fulgur::storage {

class Versions {
public:
    struct alignas(64) Slot {
        std::atomic<std::uint64_t> epoch{0};  ///< 0: not pinned
        std::atomic<std::uint64_t> sequence{0};
        std::atomic<bool> taken{false};
    };

    explicit Versions(std::size_t slots_max);

    Sequence visible() const { return Sequence{visible_.load(std::memory_order_acquire)}; }
    /// Single caller at a time, ascending.
    void set_visible(Sequence sequence) {
        visible_.store(static_cast<std::uint64_t>(sequence), std::memory_order_release);
    }

    /// Takes a slot; null when all are taken. O(slots in use).
    Slot* take_slot();
    void give_slot(Slot* slot) { slot->taken.store(false, std::memory_order_release); }

    /// Pins, or moves a pin forward; the views of the old pin end. About a nanosecond.
    /// @return the newest visible sequence, which the pin protects.
    Sequence pin(Slot& slot);
    /// The same for one who reads pages at no moment in particular: memory that he may reach stays,
    /// but versions go as if he were not there.
    void pin_memory(Slot& slot);
    void unpin(Slot& slot) { slot.epoch.store(0, std::memory_order_release); }

    /// Registers a moment. Precondition: the caller is pinned at `sequence` or before.
    /// @param now_ns  the clock; of a moment that is registered already the first one stays.
    void add_snapshot(Sequence sequence, std::uint64_t now_ns);
    void remove_snapshot(Sequence sequence);
    /// Registered moments, ascending. Read it after the horizon.
    void snapshots(std::vector<Sequence>& into) const;
    std::size_t snapshot_count() const { return snapshot_count_.load(std::memory_order_acquire); }
    struct OldestSnapshot {
        Sequence sequence{};
        std::uint64_t since_ns = 0;  ///< the oldest registered moment's; monotone clock
    };
    std::optional<OldestSnapshot> oldest_snapshot() const;

    /// Versions superseded at or below it may go. Cached; older than the truth, never newer.
    Sequence horizon() const { return Sequence{horizon_.load(std::memory_order_acquire)}; }
    /// Computes it anew: one process barrier.
    Sequence refresh_horizon();

    using Free = void (*)(void* context, void* memory, std::size_t bytes);
    /// Hands over unlinked memory: `free(context, memory, bytes)` runs when no pin can see it.
    /// Precondition: nothing reachable from a root points to it any more.
    void retire(void* memory, std::size_t bytes, Free free, void* context);
    /// Frees what can be freed; called by retire now and then. One process barrier.
    void reclaim();
    /// Frees everything without asking: nobody may be pinned any more.
    void reclaim_all();
    std::uint64_t retired_bytes() const { return retired_bytes_.load(std::memory_order_relaxed); }

    /// Stamp for something unlinked just now that is not memory (disk space).
    std::uint64_t advance_epoch() { return epoch_.fetch_add(1, std::memory_order_acq_rel); }
    /// The oldest pin's epoch, or the greatest number when there is none. One process barrier.
    std::uint64_t oldest_epoch();

    /// Of a slot, for who keeps something for each; below `used_slots`.
    std::size_t index_of(const Slot& slot) const {
        return static_cast<std::size_t>(&slot - slots_.get());
    }
    /// Slots that were ever taken: those above it need no look.
    std::size_t used_slots() const;
    std::size_t slots_max() const { return slots_max_; }

    struct Readers {
        std::size_t count = 0;
        Sequence oldest{};  ///< visible when there is none
    };
    Readers readers() const;

private:
    struct Retired {
        std::uint64_t epoch;
        void* memory;
        std::size_t bytes;
        Free free;
        void* context;
    };

    void pin_epoch(Slot& slot);
    std::uint64_t slot_epoch(Slot& slot) const;
    static void free_all(const std::vector<Retired>& ready);

    alignas(64) std::atomic<std::uint64_t> visible_{0};
    alignas(64) std::atomic<std::uint64_t> epoch_{1};
    alignas(64) std::atomic<std::uint64_t> horizon_{0};
    std::unique_ptr<Slot[]> slots_;
    std::size_t slots_max_;
    mutable std::atomic<std::size_t> slots_used_{0};  ///< slots ever taken: the others need no look

    mutable os::Mutex snapshot_mutex_;
    struct Registered {
        std::size_t count = 0;
        std::uint64_t since_ns = 0;
    };
    std::map<Sequence, Registered> snapshots_ GUARDED_BY(snapshot_mutex_);
    std::atomic<std::size_t> snapshot_count_{0};

    os::Mutex retire_mutex_;
    std::deque<Retired> retired_ GUARDED_BY(retire_mutex_);  ///< by ascending epoch
    std::size_t retired_since_reclaim_ GUARDED_BY(retire_mutex_) = 0;
    std::atomic<std::uint64_t> retired_bytes_{0};
};

}  // namespace fulgur::storage
