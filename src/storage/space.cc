#include "storage/space.h"

#include <algorithm>
#include <cassert>

#include "base/planted.h"

namespace fulgur::storage {

namespace {

bool by_sector(const Extent& a, const Extent& b) { return a.sector < b.sector; }

/// Sorts, and joins what touches or overlaps.
void normalise(std::vector<Extent>& extents) {
    std::sort(extents.begin(), extents.end(), by_sector);
    std::size_t kept = 0;
    for (const Extent extent : extents) {
        if (kept != 0 && extent.sector <= extents[kept - 1].end()) {
            Extent& last = extents[kept - 1];
            last.sectors = std::max(last.end(), extent.end()) - last.sector;
        } else {
            extents[kept++] = extent;
        }
    }
    extents.resize(kept);
}

}  // namespace

Result<Extent> SpaceManager::allocate_blocks(std::uint64_t at_least, std::uint64_t at_most,
                                             Emission emission) {
    os::MutexLock lock(mutex_);
    Result<Extent> run = allocate_locked(at_least, at_most);
    if (run.ok() && emission == Emission::kLater) unemitted_.insert_any(*run);
    return run;
}

Result<std::uint64_t> SpaceManager::allocate(std::uint64_t sectors, Emission emission) {
    os::MutexLock lock(mutex_);
    const Result<Extent> run = allocate_locked(sectors, sectors);
    if (!run.ok()) return run.error();
    const Extent extent{run->sector, sectors};
    if (extent.end() != run->end()) free_.insert({extent.end(), run->end() - extent.end()});
    if (emission == Emission::kLater) unemitted_.insert_any(extent);
    return extent.sector;
}

Result<Extent> SpaceManager::allocate_blocks_within(Extent window, std::uint64_t at_least,
                                                    std::uint64_t at_most) {
    os::MutexLock lock(mutex_);
    const std::uint64_t blocks_at_least = round_up(at_least, kBlockSectors) / kBlockSectors;
    const std::uint64_t blocks_at_most = std::max(blocks_at_least, at_most / kBlockSectors);
    if (const auto run = free_.take_blocks_within(window, blocks_at_least, blocks_at_most)) {
        return *run;
    }
    if (window.end() > file_sectors_ && window.sector <= file_sectors_) {
        return grow(blocks_at_least, blocks_at_most, window.sector);
    }
    return Error(ErrorCode::kNoSpace, "there is no free space where it was asked for");
}

Result<Extent> SpaceManager::allocate_locked(std::uint64_t at_least, std::uint64_t at_most) {
    assert(at_least != 0);
    if (at_least > kSectorsMax) return Error(ErrorCode::kNoSpace, "no file can be so large");
    const std::uint64_t blocks_at_least = round_up(at_least, kBlockSectors) / kBlockSectors;
    const std::uint64_t blocks_at_most =
        std::max(blocks_at_least, std::min(at_most, kSectorsMax) / kBlockSectors);
    if (const auto run = free_.take_blocks(blocks_at_least, blocks_at_most)) return *run;
    return grow(blocks_at_least, blocks_at_most);
}

Result<Extent> SpaceManager::grow(std::uint64_t blocks_at_least, std::uint64_t blocks_at_most,
                                  std::uint64_t floor) {
    // A free tail too short for the request becomes its beginning.
    const Extent last = free_.extents().last();
    const std::uint64_t start = last.end() == file_sectors_ && last.sectors != 0
                                    ? round_up(std::max(last.sector, floor), kBlockSectors)
                                    : file_sectors_;
    const std::uint64_t room =
        capacity_sectors_ > start ? (capacity_sectors_ - start) / kBlockSectors : 0;
    if (room < blocks_at_least) {
        return Error(ErrorCode::kNoSpace, "the data file may not grow any further")
            .at("data", start * kSectorBytes);
    }
    const Extent run{start, std::min(blocks_at_most, room) * kBlockSectors};
    assert(run.end() > file_sectors_);  // Else the run was there to be taken.
    if (start < file_sectors_) free_.erase({start, file_sectors_ - start});
    file_sectors_ = run.end();
    return run;
}

bool SpaceManager::check_used(Extent extent) {
    const bool used = extent.within(file_sectors_) && !free_.extents().intersects(extent) &&
                      !pending_.intersects(extent);
    assert(used && "released twice, or never allocated");
    if (!used) ++double_releases_;
    return used;
}

void SpaceManager::make_free(Extent extent) {
    unemitted_.erase_any(extent);
    free_.insert(extent);
}

void SpaceManager::give_back(Extent extent) {
    if (extent.sectors == 0) return;
    os::MutexLock lock(mutex_);
    if (check_used(extent)) make_free(extent);
}

void SpaceManager::release(Extent extent, std::uint64_t tag, std::uint64_t epoch) {
    os::MutexLock lock(mutex_);
    release_locked(extent, tag, epoch);
}

void SpaceManager::release(Extent extent, const CheckpointClock& clock,
                           CheckpointClock::Attempt emitted, std::uint64_t epoch) {
    os::MutexLock lock(mutex_);
    release_locked(extent, clock.first_without(emitted), epoch);
}

void SpaceManager::release_locked(Extent extent, std::uint64_t tag, std::uint64_t epoch) {
    if (extent.sectors == 0 || !check_used(extent)) return;
    pending_.insert(extent);
    if (tag == kNeverPublished || tag < published_) {
        pinned_.push_back({extent, tag, epoch});
        pinned_epoch_min_ = std::min(pinned_epoch_min_, epoch);
    } else {
        waiting_[tag].push_back({extent, tag, epoch});
        waiting_sectors_.fetch_add(extent.sectors, std::memory_order_relaxed);
    }
}

void SpaceManager::abandoned(CheckpointClock& clock, std::uint64_t number) {
    os::MutexLock lock(mutex_);
    clock.set(number, 0);
    assert(number >= published_);  // Neither tag is ready: both wait for a publish.
    auto node = waiting_.extract(number + 1);
    if (node.empty() || FULGUR_PLANTED("space_loses_abandoned")) return;
    std::vector<Released>& list = waiting_[number];
    for (Released released : node.mapped()) {
        released.tag = number;
        list.push_back(released);
    }
}

void SpaceManager::count_waiting() {
    std::uint64_t sectors = 0;
    for (const auto& [tag, list] : waiting_) {
        for (const Released& released : list) sectors += released.extent.sectors;
    }
    waiting_sectors_.store(sectors, std::memory_order_relaxed);
}

void SpaceManager::note_unemitted(Extent extent) {
    os::MutexLock lock(mutex_);
    assert(extent.within(file_sectors_) && !free_.extents().intersects(extent));
    unemitted_.insert_any(extent);
}

void SpaceManager::note_emitted(Extent extent) {
    os::MutexLock lock(mutex_);
    unemitted_.erase_any(extent);
}

void SpaceManager::published(std::uint64_t c, std::uint64_t min_pinned_epoch) {
    os::MutexLock lock(mutex_);
    assert(c > published_);
    published_ = c;
    // Tags below c: superblock c has overwritten c - 2, the last one that referred to them.
    const std::uint64_t ready = FULGUR_PLANTED("space_reused_after_one_publish") ? c + 1 : c;
    while (!waiting_.empty() && waiting_.begin()->first < ready) {
        for (const Released& released : waiting_.begin()->second) {
            pinned_.push_back(released);
            pinned_epoch_min_ = std::min(pinned_epoch_min_, released.epoch);
        }
        waiting_.erase(waiting_.begin());
    }
    count_waiting();
    collect_locked(min_pinned_epoch);
}

void SpaceManager::collect(std::uint64_t min_pinned_epoch) {
    os::MutexLock lock(mutex_);
    collect_locked(min_pinned_epoch);
}

void SpaceManager::collect_locked(std::uint64_t min_pinned_epoch) {
    if (FULGUR_PLANTED("space_ignores_pins")) min_pinned_epoch = kNoPins;
    if (pinned_.empty() || pinned_epoch_min_ >= min_pinned_epoch) return;
    pinned_epoch_min_ = kNoPins;
    std::size_t kept = 0;
    for (const Released& released : pinned_) {
        if (released.epoch < min_pinned_epoch) {
            pending_.erase(released.extent);
            make_free(released.extent);
        } else {
            pinned_epoch_min_ = std::min(pinned_epoch_min_, released.epoch);
            pinned_[kept++] = released;
        }
    }
    pinned_.erase(pinned_.begin() + static_cast<std::ptrdiff_t>(kept), pinned_.end());
}

std::uint64_t SpaceManager::persist(std::uint64_t c, Meta& meta) const {
    os::MutexLock lock(mutex_);
    assert(c >= published_);
    ExtentSet unemitted = unemitted_;
    std::vector<Extent> free;
    std::vector<Extent> pending;
    free.reserve(free_.extents().size() + pinned_.size() + unemitted.size());
    free_.extents().for_each([&free](Extent extent) { free.push_back(extent); });
    for (const Released& released : pinned_) free.push_back(released.extent);
    for (const auto& [tag, list] : waiting_) {
        if (tag > c && !FULGUR_PLANTED("space_lists_what_is_referred_to")) break;
        for (const Released& released : list) {
            (tag == c ? pending : free).push_back(released.extent);
            if (tag == c) unemitted.erase_any(released.extent);
        }
    }
    if (!FULGUR_PLANTED("space_forgets_unemitted")) {
        unemitted.for_each([&free](Extent extent) { free.push_back(extent); });
    }
    normalise(free);
    normalise(pending);

    meta.free = std::move(free);
    meta.pending.clear();
    for (const Extent extent : pending) meta.pending.push_back({extent.sector, extent.sectors, c});
    return file_sectors_;
}

Result<void> SpaceManager::load(const Meta& meta, std::uint64_t c, std::uint64_t file_sectors) {
    os::MutexLock lock(mutex_);
    free_.clear();
    pending_.clear();
    unemitted_.clear();
    waiting_.clear();
    pinned_.clear();
    pinned_epoch_min_ = kNoPins;
    double_releases_ = 0;
    published_ = c;
    file_sectors_ = round_up(file_sectors, kBlockSectors);
    for (const Extent extent : meta.free) {
        if (!extent.within(file_sectors_) || free_.extents().intersects(extent)) {
            return Error(ErrorCode::kCorruption, "free space overlaps or lies outside the file")
                .at("data", extent.sector * kSectorBytes);
        }
        free_.insert(extent);
    }
    for (const PendingExtent& pending : meta.pending) {
        const Extent extent = pending.extent();
        if (pending.tag != c || !extent.within(file_sectors_) ||
            free_.extents().intersects(extent) || pending_.intersects(extent)) {
            return Error(ErrorCode::kCorruption, "pending space has a wrong tag, or overlaps")
                .at("data", extent.sector * kSectorBytes);
        }
        pending_.insert(extent);
        waiting_[c].push_back({extent, c, 0});
    }
    count_waiting();
    return {};
}

std::uint64_t SpaceManager::overlap_of_loaded(Extent extent) const {
    const auto loaded = waiting_.find(published_);
    if (loaded == waiting_.end()) return 0;
    std::uint64_t total = 0;
    for (const Released& released : loaded->second) {
        if (!released.extent.overlaps(extent)) continue;
        total += std::min(released.extent.end(), extent.end()) -
                 std::max(released.extent.sector, extent.sector);
    }
    return total;
}

void SpaceManager::carve_loaded(Extent extent) {
    std::vector<Released> kept;
    std::vector<Released>& loaded = waiting_[published_];
    for (const Released& released : loaded) {
        const Extent old = released.extent;
        if (!old.overlaps(extent)) {
            kept.push_back(released);
            continue;
        }
        if (old.sector < extent.sector) {
            kept.push_back(
                {{old.sector, extent.sector - old.sector}, released.tag, released.epoch});
        }
        if (extent.end() < old.end()) {
            kept.push_back(
                {{extent.end(), old.end() - extent.end()}, released.tag, released.epoch});
        }
    }
    loaded = std::move(kept);
    pending_.erase_any(extent);
    count_waiting();
}

bool SpaceManager::take(Extent extent) {
    os::MutexLock lock(mutex_);
    if (!extent.within(kSectorsMax)) return false;
    Extent known = extent;  // The part inside the file as it is known.
    if (known.end() > file_sectors_) {
        known.sectors = known.sector < file_sectors_ ? file_sectors_ - known.sector : 0;
    }
    if (known.sectors != 0 && !free_.extents().contains(known)) {
        const std::uint64_t loaded = overlap_of_loaded(known);
        if (free_.extents().overlap(known) + loaded != known.sectors) return false;
        if (loaded != 0) {
            std::vector<Extent> parts;
            pending_.for_each_in(known, [&parts](Extent part) { parts.push_back(part); });
            carve_loaded(known);
            for (const Extent part : parts) free_.insert(part);
        }
    }
    if (extent.end() > file_sectors_) {
        const std::uint64_t end = round_up(extent.end(), kBlockSectors);
        free_.insert({file_sectors_, end - file_sectors_});
        file_sectors_ = end;
    }
    free_.erase(extent);
    return true;
}

bool SpaceManager::is_pending(Extent extent) const {
    os::MutexLock lock(mutex_);
    return pending_.contains(extent);
}

Result<void> SpaceManager::cut_file(
    const std::function<Result<void>(std::uint64_t sectors)>& resize) const {
    os::MutexLock lock(mutex_);
    return resize(file_sectors_);
}

std::uint64_t SpaceManager::shrinkable_tail() const {
    os::MutexLock lock(mutex_);
    const Extent last = free_.extents().last();
    return last.end() == file_sectors_ ? whole_blocks(last).sectors : 0;
}

std::uint64_t SpaceManager::cut_tail(std::uint64_t floor) {
    os::MutexLock lock(mutex_);
    const Extent tail = whole_blocks(free_.extents().last());
    const std::uint64_t begin = std::max(tail.sector, floor);
    if (begin < tail.end() && tail.end() == file_sectors_) {
        free_.erase({begin, tail.end() - begin});
        file_sectors_ = begin;
    }
    return file_sectors_;
}

std::uint64_t SpaceManager::file_sectors() const {
    os::MutexLock lock(mutex_);
    return file_sectors_;
}

SpaceManager::Stats SpaceManager::stats() const {
    os::MutexLock lock(mutex_);
    Stats stats;
    stats.total_sectors = file_sectors_ - kFirstDataSector;
    stats.free_sectors = free_.extents().sectors();
    stats.pending_sectors = pending_.sectors();
    stats.used_sectors = stats.total_sectors - stats.free_sectors - stats.pending_sectors;
    stats.pinned_sectors = stats.pending_sectors - waiting_sectors_.load(std::memory_order_relaxed);
    stats.unemitted_sectors = unemitted_.sectors();
    stats.free_extents = free_.extents().size();
    stats.double_releases = double_releases_;
    return stats;
}

void SpaceManager::for_each_free(const std::function<void(Extent)>& visit) const {
    os::MutexLock lock(mutex_);
    free_.extents().for_each(visit);
}

void SpaceManager::for_each_pending(
    const std::function<void(const PendingExtent&, std::uint64_t epoch)>& visit) const {
    os::MutexLock lock(mutex_);
    const auto show = [&visit](const Released& released) {
        visit({released.extent.sector, released.extent.sectors, released.tag}, released.epoch);
    };
    for (const auto& [tag, list] : waiting_) {
        for (const Released& released : list) show(released);
    }
    for (const Released& released : pinned_) show(released);
}

}  // namespace fulgur::storage
