// Compaction: makes the data file as short as what is used in it, nearly, while the database is in
// use.
//
// Checkpoints do the work (storage/relocation.h): each moves what lies in one part of the file to
// free space in another, and two more let the old places go and cut the file. First what lies above
// the line where the file should end goes below it. What is free there may be in pieces too small
// for an image; so, a window at a time from the file's beginning, everything in the window is moved
// out, which makes one free piece of it, and what lies above the line comes down again. When the
// windows have reached the line it ends, whatever came of it.
//
// What it writes: the windows below the line hold at most what is used, and go up once; down comes
// what lay above at first and what the windows brought up. So it is three times what is used, at
// most. What it takes: the copies of one window, a quarter of the file, when nothing above the line
// comes down between. So no window is begun while readers keep the old places of what was moved
// before: nothing would become free, and each window would grow the file by a quarter.
//
// On a full disk copies that find no room are forgotten, and the checkpoint is published without
// them. What a window brought up by then is brought down again, and kNoSpace told.
#include <algorithm>
#include <optional>

#include "db/engine.h"
#include "db/progress_scope.h"

namespace fulgur::db {

namespace {

using storage::Extent;
using storage::kBlockSectors;
using storage::kFirstDataSector;
using storage::kSectorBytes;

/// Where the file should end: a sixteenth above what is used, and some blocks for the next catalog.
std::uint64_t line_above(std::uint64_t used_sectors) {
    return kFirstDataSector +
           round_up(used_sectors + used_sectors / 16 + 32 * kBlockSectors, kBlockSectors);
}

/// Windows are a quarter of the file, but not smaller than this.
constexpr std::uint64_t kWindowSectorsMin = 1_MiB / kSectorBytes;

}  // namespace

/// One compaction: what was done and what the caller wants to hear of it.
struct Engine::Compaction {
    const std::function<bool(std::uint64_t, std::uint64_t)>& progress;
    Database::CompactReport report;
    std::uint64_t copied = 0;   ///< bytes, also in vain: what progress tells
    std::uint64_t total = 0;    ///< bytes to copy, as far as can be known
    std::optional<Error> full;  ///< the disk

    bool ended() const { return report.stopped || full; }
};

Result<Database::CompactReport> Engine::compact(
    const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
    if (Result<void> outside = check_outside_progress(); !outside) return outside.error();
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    Compaction work{progress, {}, 0, 0, {}};
    work.report.bytes_before = space_.file_sectors() * kSectorBytes;
    if (Result<void> done = compact_all(work); !done) return done.error();
    if (work.full) return *work.full;
    work.report.bytes_after = space_.file_sectors() * kSectorBytes;
    return work.report;
}

Result<void> Engine::compact_all(Compaction& work) {
    if (Result<void> done = settle(work); !done) return done;
    std::uint64_t window_begin = kFirstDataSector;
    const std::uint64_t window =
        round_up(std::max(space_.file_sectors() / 4, kWindowSectorsMin), kBlockSectors);
    for (;;) {
        // Also after a window that found no room: not to leave the file longer than it was.
        const bool last = work.ended();
        const std::uint64_t line = line_above(space_.stats().used_sectors);
        if (work.report.stopped || space_.file_sectors() <= line) return {};
        if (Result<void> done = move_down(line, work); !done) return done;
        // The catalogs of those checkpoints may lie where nothing else does any more.
        if (space_.file_sectors() > line) {
            if (Result<void> done = settle(work); !done) return done;
        }
        if (last || work.ended() || space_.file_sectors() <= line || window_begin >= line) {
            return {};
        }
        const std::uint64_t kept = space_.stats().pinned_sectors;
        if (kept > window / 8) {
            work.report.bytes_kept_for_readers = kept * kSectorBytes;
            return {};
        }
        const Extent from{window_begin, std::min(window, space_.file_sectors() - window_begin)};
        const Extent to{from.end(), storage::kSectorsMax - from.end()};
        if (Result<void> done = relocate(from, to, work); !done) return done;
        window_begin = from.end();
    }
}

/// What lies above the line goes below it, or down to it.
Result<void> Engine::move_down(std::uint64_t line, Compaction& work) {
    const std::uint64_t sectors = space_.file_sectors();  // Others may have cut the file since.
    const std::uint64_t bytes = (sectors - std::min(sectors, line)) * kSectorBytes;
    work.total = std::max(work.total, work.copied + bytes);
    return relocate({line, storage::kSectorsMax - line},
                    {kFirstDataSector, storage::kSectorsMax - kFirstDataSector}, work);
}

Result<void> Engine::relocate(Extent from, Extent to, Compaction& work) {
    if (Result<void> open = check_open(); !open) return open;
    storage::Relocation relocation;
    relocation.from = from;
    relocation.to = to;
    relocation.go_on = [this, &work](std::uint64_t bytes) {
        work.copied += bytes;
        work.total = std::max(work.total, work.copied);
        if (gate_.closed()) return false;  // Who closes is waiting for us.
        if (!work.progress) return true;
        const ProgressScope scope(*this);
        return work.progress(work.copied, work.total);
    };
    {
        os::MutexLock lock(checkpoint_mutex_);
        relocation_ = &relocation;
        Result<void> done = checkpoint_locked();
        relocation_ = nullptr;
        if (!done) return done;
        ++work.report.checkpoints;
    }
    work.report.bytes_moved += relocation.moved_bytes;
    if (relocation.full) {
        work.full = relocation.full;
    } else {
        work.report.stopped = relocation.stopped;
    }
    return settle(work);
}

/// Two checkpoints let go what one has moved; the second one cuts what the first has made free.
Result<void> Engine::settle(Compaction& work) {
    for (int i = 0; i < 2; ++i) {
        if (Result<void> open = check_open(); !open) return open;
        os::MutexLock lock(checkpoint_mutex_);
        cut_short_ = true;
        Result<void> done = checkpoint_locked();
        cut_short_ = false;
        if (!done) return done;
        ++work.report.checkpoints;
        space_.collect(versions_.oldest_epoch());
    }
    return {};
}

}  // namespace fulgur::db
