// Slot files and their lives: makes segments ready before they are needed, and uses files again.
//
// A slot file is `free` (its life is over, or it never had one), or a `spare` (it has the header of
// its next life, durably, and waits to be taken), or a live segment of the Log, or gone (removed).
//
// Invariants
//  * A segment is handed out only when its header is on the disk, and its name in the directory: a
//    number that may stand in any fragment was burnt before, and is never given out again.
//  * Bytes below `prepared_end` have been written (with zeros, or in a former life): writing there
//    takes no space. So a log that writes only there cannot meet a full disk.
//  * Zeros are written at and behind `prepared_end` only, and fragments below it only.
//
// Errors: what fails here has harmed nothing that was acknowledged. The free slot stays free, and
// its next life begins with a new number and a new sync.
//
// Thread safety: all calls from any thread. `io_mutex_` makes preparing, extending and removing one
// at a time and is held during I/O; `mutex_` guards the lists and is never held during I/O. Order:
// io_mutex_ before mutex_.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fulgur/result.h>

#include "base/thread_annotations.h"
#include "os/file.h"
#include "os/mutex.h"
#include "storage/log_format.h"

namespace fulgur::storage {

struct LogOptions {
    /// A multiple of 4 KiB between kSegmentBytesMin and kSegmentBytesMax. Segments of a log may
    /// differ: it may change from open to open.
    std::uint32_t segment_bytes = 64_MiB;
    /// Bytes between append and write; a power of two, 64 KiB and up.
    std::size_t buffer_bytes = 4_MiB;
    /// So far ahead of use the background writes zeros into a new file.
    std::uint32_t prepare_ahead_bytes = 4_MiB;
    /// Files kept for use when their lives are over; what is above is removed.
    std::size_t spare_segments_max = 4;
    /// Segments that replay does not need any more stay as long as all but the newest hold no more,
    /// a file counted as 64 KiB at least.
    std::uint64_t kept_bytes = 0;
    /// A buffered commit that finds so much unwritten hands it over itself.
    std::uint32_t hand_over_bytes = 1_MiB;
    /// Written but not synced: the background syncs when this is older, or when it is more.
    std::uint32_t sync_ms = 1000;
    std::uint64_t sync_bytes = 32_MiB;
    /// Called, from an appending thread, when the background had been told that it may sleep and
    /// there is work again. Must be quick and must not call the log.
    std::function<void()> wake;
};

/// A new file begins so long; what is used gets more, ahead of use.
inline constexpr std::uint32_t kNewSegmentBytes = 64_KiB;

/// One life of a slot.
struct LogSegment {
    std::uint32_t number = 0;
    std::uint32_t slot = 0;
    std::uint32_t bytes = 0;  ///< Where it must end.
    std::shared_ptr<os::File> file;
    std::atomic<std::uint32_t> prepared_end{0};

    // Set by the Log when it enters the segment, and not changed afterwards.
    Sequence first_sequence{};      ///< The first one that begins here or later.
    std::uint64_t buffer_base = 0;  ///< Place of offset 0 in the log's stream of buffer bytes.
};

/// `DIR/log.<slot>`
std::string log_file_path(const std::string& directory, std::uint32_t slot);

class LogSegments {
public:
    /// @param used_slots   of live segments; @param free_slots  files that may be written over.
    LogSegments(os::FileSystem& files, std::string directory, std::uint32_t segment_bytes,
                std::size_t spares_max, std::uint64_t database_id, std::uint32_t next_number,
                const std::vector<std::uint32_t>& used_slots,
                const std::vector<std::uint32_t>& free_slots);

    /// Makes spares until there are `count`, each prepared up to `prepared_bytes` at least.
    /// @return kNoSpace when the disk is full.
    Result<void> prepare(std::size_t count, std::uint32_t prepared_bytes) EXCLUDES(io_mutex_);

    /// The oldest spare; null when there is none.
    std::shared_ptr<LogSegment> take() EXCLUDES(mutex_);

    /// Writes zeros up to `to`, or the segment's end. Not synced.
    Result<void> extend(LogSegment& segment, std::uint32_t to) EXCLUDES(io_mutex_);

    /// The segment's life is over: nobody needs its bytes again, even after a crash.
    void give_back(std::uint32_t slot) EXCLUDES(mutex_);

    /// Removes free files above the number that is kept.
    Result<void> trim() EXCLUDES(io_mutex_);

    std::size_t spare_count() const EXCLUDES(mutex_);
    std::uint64_t sync_count() const { return syncs_.load(std::memory_order_relaxed); }
    std::uint32_t segment_bytes() const { return segment_bytes_; }

    /// What a segment prepared to its end takes for bodies and headers of fragments, at the least:
    /// a sync may cost a block, and so may the next one, while the fragments of one record go in.
    static std::uint32_t capacity_min(std::uint32_t segment_bytes, std::uint32_t fragment_bytes);

private:
    Result<std::shared_ptr<LogSegment>> make(std::uint32_t prepared_bytes) REQUIRES(io_mutex_);
    Result<void> begin_life(LogSegment& segment) REQUIRES(io_mutex_);
    Result<void> extend_held(LogSegment& segment, std::uint32_t to) REQUIRES(io_mutex_);
    std::uint32_t pick_slot(bool* is_new) EXCLUDES(mutex_);

    os::FileSystem& files_;
    const std::string directory_;
    const std::uint32_t segment_bytes_;
    const std::size_t spares_max_;
    const std::uint64_t database_id_;

    os::Mutex io_mutex_;
    std::uint32_t next_number_ GUARDED_BY(io_mutex_);

    mutable os::Mutex mutex_;
    std::deque<std::shared_ptr<LogSegment>> spares_ GUARDED_BY(mutex_);
    std::deque<std::uint32_t> free_slots_ GUARDED_BY(mutex_);
    std::set<std::uint32_t> known_slots_ GUARDED_BY(mutex_);  ///< Every file there is.

    std::atomic<std::uint64_t> syncs_{0};
};

}  // namespace fulgur::storage
