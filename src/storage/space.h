// Who owns which sector of the data file: used, free, or pending (released, but not to be written
// yet). Every data sector is in exactly one of the three. No input or output happens here, but for
// what `cut_file` calls.
//
// Why two publishes. Recovery starts from one of the two newest superblocks, c or c - 1: from c - 1
// when c turns out damaged. Let t be the first checkpoint that does not refer to an extent. When t
// is published, superblock t - 1 is still on the disk and refers to it; only the publish of t + 1
// overwrites that slot. So the extent may be written again after t + 1 is published, and not
// before. Readers that were pinned when it was unlinked may still read it: each pin must be newer,
// too. An extent that no superblock ever referred to has tag 0 and waits for the pins alone.
//
// What superblock c lists. It must describe the file as recovery from c finds it:
//   free      what is free; pending with tag <= c - 1 (neither c nor c - 1 refers to it, and no pin
//             survives a crash); unemitted extents (below)
//   pending   tag == c: c - 1 may still be needed, until c + 1 is published
//   not listed: pending with tag > c. Checkpoint c still refers to them; after a crash they are
//             reached through its tree, and would be owned twice if they were listed.
//
// Unemitted extents are allocated but no image refers to them yet: large values, which are written
// before the log record that names them. They are free in the superblock and, if the log names
// them, replay takes them out of free space before anything is allocated (`take`). An extent stays
// unemitted while it is pending, so that a value which was written, dropped and released within one
// checkpoint is not lost to the file by a crash.
//
// Blocks and sectors. Images are packed at sector granularity inside runs of whole blocks, and
// freed at sector granularity, but only aligned whole blocks are handed out: a device may tear the
// whole block that it writes, and a block with somebody's live bytes must never be at risk.
//
// Thread safety: any thread may call anything; one mutex, held for O(log n) steps except by
// `persist`, `load`, `published` and the visitors, which walk the lists.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include <fulgur/result.h>

#include "os/mutex.h"
#include "storage/checkpoint_clock.h"
#include "storage/extent_set.h"
#include "storage/free_space.h"
#include "storage/meta.h"

namespace fulgur::storage {

/// Lifecycle: made empty, or made and `load`ed; then `allocate`, `release`, and for each checkpoint
/// `persist` followed, when its superblock is durable, by `published`. Misuse: releasing or giving
/// back what is not used is a bug of the engine; debug builds stop, others ignore and count it.
class SpaceManager {
public:
    static constexpr std::uint64_t kUnlimited = kSectorsMax;
    /// The epoch to pass when nobody is pinned.
    static constexpr std::uint64_t kNoPins = ~std::uint64_t{0};
    /// Tag of an extent that no superblock ever referred to, nor any log record that may be
    /// replayed.
    static constexpr std::uint64_t kNeverPublished = 0;

    /// Whether an image will refer to an allocation before the next `persist` (an image of the walk
    /// itself), or perhaps later (see "unemitted" above). It is set together with the allocation,
    /// so that no checkpoint falls between.
    enum class Emission : std::uint8_t { kNow, kLater };

    struct Stats {
        std::uint64_t total_sectors = 0;  ///< of the data part of the file
        std::uint64_t used_sectors = 0;
        std::uint64_t free_sectors = 0;
        std::uint64_t pending_sectors = 0;
        std::uint64_t pinned_sectors = 0;     ///< of the pending: pins alone keep them
        std::uint64_t unemitted_sectors = 0;  ///< of the used and the pending
        std::uint64_t free_extents = 0;
        std::uint64_t double_releases = 0;  ///< internal bugs survived; 0 in a sound build
    };

    /// @param capacity_sectors  the file never grows beyond it.
    explicit SpaceManager(std::uint64_t capacity_sectors = kUnlimited)
        : capacity_sectors_(capacity_sectors) {}

    /// A run of whole aligned blocks for at least `at_least` sectors (> 0) and, where it fits, for
    /// `at_most`. Low addresses first; the file grows when no free run is large enough. Pack images
    /// into it and `give_back` the rest.
    /// @return kNoSpace at the capacity.
    Result<Extent> allocate_blocks(std::uint64_t at_least, std::uint64_t at_most,
                                   Emission emission = Emission::kNow);
    /// The same at the lowest address inside `window`. The file grows only when the window reaches
    /// beyond its end and begins inside it; then the run may pass the end of the window. For moving
    /// things where they should be.
    Result<Extent> allocate_blocks_within(Extent window, std::uint64_t at_least,
                                          std::uint64_t at_most);
    /// Exactly `sectors` (> 0), at the start of a block; the rest of its last block is free again.
    Result<std::uint64_t> allocate(std::uint64_t sectors, Emission emission = Emission::kNow);

    /// Frees at once what nothing ever referred to: the end of a run, an allocation whose write
    /// failed before anyone heard of it.
    void give_back(Extent extent);
    /// Frees later. `tag`: number of the first checkpoint that does not refer to it and whose
    /// replay sequence is not below the release. `epoch`: reclamation stamp of its unlinking.
    void release(Extent extent, std::uint64_t tag, std::uint64_t epoch);

    /// The same, with the tag `clock.first_without(emitted)` of a moment inside.
    void release(Extent extent, const CheckpointClock& clock, CheckpointClock::Attempt emitted,
                 std::uint64_t epoch);

    /// An attempt at checkpoint `number` was abandoned: sets the clock, and what was released as
    /// needed by it gets the tag `number`, since the next attempt will not refer to it.
    void abandoned(CheckpointClock& clock, std::uint64_t number);

    void note_unemitted(Extent extent);
    void note_emitted(Extent extent);

    /// Superblock `c` is durable. Makes free what that makes free.
    void published(std::uint64_t c, std::uint64_t min_pinned_epoch);
    /// The same for pins that have ended. Cheap when there is nothing to do.
    void collect(std::uint64_t min_pinned_epoch);

    /// Fills `meta.free` and `meta.pending` with what superblock `c` must list.
    /// @return the file size in sectors for the superblock, of the same moment.
    std::uint64_t persist(std::uint64_t c, Meta& meta) const;
    /// Takes over the state that recovery found. `file_sectors` is the superblock's.
    /// @return kCorruption when a pending extent has another tag than `c`.
    Result<void> load(const Meta& meta, std::uint64_t c, std::uint64_t file_sectors);
    /// Replay found `extent` in the log: makes it used if it is wholly free, growing the known file
    /// when it lies beyond. An extent that `load` found pending counts as free: whoever logged it
    /// had seen the next superblock published, which is the one that recovery could not use.
    /// @return false, and changes nothing, otherwise.
    bool take(Extent extent);
    /// Whether all of it was released and waits.
    bool is_pending(Extent extent) const;
    /// What only waits for checkpoints to be published: two of them free it.
    std::uint64_t waiting_sectors() const {
        return waiting_sectors_.load(std::memory_order_relaxed);
    }

    /// Calls `resize` with the file's size in sectors, while nobody can be given space beyond it:
    /// the one call that does input or output here, so that what grows the file meanwhile is not
    /// cut.
    Result<void> cut_file(const std::function<Result<void>(std::uint64_t sectors)>& resize) const;

    /// Sectors that are free at the end of the file, in whole blocks.
    std::uint64_t shrinkable_tail() const;
    /// Gives up the free tail, or what of it lies at `floor` (a block's first sector) and beyond.
    /// @return the file size in sectors. Call before `persist`; cut the file when that checkpoint
    /// is published (`cut_file`). Recovery may still start from an older one, whose file reaches
    /// further than the disk's: that part is free, as it knows, and what is free is never read.
    ///
    /// Also for whom the disk had no room: by then the tail is free, but the disk does not have it,
    /// and while it is on offer others are given it although there is free space below.
    std::uint64_t cut_tail(std::uint64_t floor = 0);

    std::uint64_t file_sectors() const;
    Stats stats() const;
    /// By sector; the visitor must not call back.
    void for_each_free(const std::function<void(Extent)>& visit) const;
    /// In no order. `epoch` as it was released.
    void for_each_pending(
        const std::function<void(const PendingExtent&, std::uint64_t epoch)>& visit) const;

private:
    struct Released {
        Extent extent;
        std::uint64_t tag;
        std::uint64_t epoch;
    };

    Result<Extent> allocate_locked(std::uint64_t at_least, std::uint64_t at_most) REQUIRES(mutex_);
    /// @param floor  no free tail below it is used.
    Result<Extent> grow(std::uint64_t blocks_at_least, std::uint64_t blocks_at_most,
                        std::uint64_t floor = 0) REQUIRES(mutex_);
    /// False, and counted, for what is not in use.
    bool check_used(Extent extent) REQUIRES(mutex_);
    void release_locked(Extent extent, std::uint64_t tag, std::uint64_t epoch) REQUIRES(mutex_);
    void count_waiting() REQUIRES(mutex_);
    void make_free(Extent extent) REQUIRES(mutex_);
    void collect_locked(std::uint64_t min_pinned_epoch) REQUIRES(mutex_);
    std::uint64_t overlap_of_loaded(Extent extent) const REQUIRES(mutex_);
    void carve_loaded(Extent extent) REQUIRES(mutex_);

    const std::uint64_t capacity_sectors_;
    mutable os::Mutex mutex_;
    std::uint64_t file_sectors_ GUARDED_BY(mutex_) = kFirstDataSector;
    std::uint64_t published_ GUARDED_BY(mutex_) = 0;
    FreeSpace free_ GUARDED_BY(mutex_);
    ExtentSet pending_ GUARDED_BY(mutex_);    ///< all of waiting_ and pinned_
    ExtentSet unemitted_ GUARDED_BY(mutex_);  ///< of the used and the pending
    /// Pending for want of a publish, by tag.
    std::map<std::uint64_t, std::vector<Released>> waiting_ GUARDED_BY(mutex_);
    std::atomic<std::uint64_t> waiting_sectors_{0};  ///< of them; written under mutex_
    /// Pending for pins alone.
    std::vector<Released> pinned_ GUARDED_BY(mutex_);
    std::uint64_t pinned_epoch_min_ GUARDED_BY(mutex_) = kNoPins;
    std::uint64_t double_releases_ GUARDED_BY(mutex_) = 0;
};

}  // namespace fulgur::storage
