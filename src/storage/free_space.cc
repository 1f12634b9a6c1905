#include "storage/free_space.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace fulgur::storage {

std::size_t FreeSpace::bin_of(std::uint64_t blocks) {
    if (blocks < kExactBins) return static_cast<std::size_t>(blocks);
    const auto power = static_cast<std::size_t>(std::bit_width(blocks)) - 1;
    return kExactBins + power - static_cast<std::size_t>(std::bit_width(kExactBins) - 1);
}

void FreeSpace::file(Extent extent) {
    const std::uint64_t blocks = whole_blocks(extent).sectors / kBlockSectors;
    if (blocks != 0) bins_[bin_of(blocks)].insert(extent.sector);
}

void FreeSpace::unfile(Extent extent) {
    const std::uint64_t blocks = whole_blocks(extent).sectors / kBlockSectors;
    if (blocks != 0) bins_[bin_of(blocks)].erase(extent.sector);
}

void FreeSpace::insert(Extent extent) {
    const Extent merged = extents_.insert(extent);
    unfile({merged.sector, extent.sector - merged.sector});
    unfile({extent.end(), merged.end() - extent.end()});
    file(merged);
}

void FreeSpace::erase(Extent extent) {
    const Extent whole = extents_.erase(extent);
    unfile(whole);
    file({whole.sector, extent.sector - whole.sector});
    file({extent.end(), whole.end() - extent.end()});
}

std::optional<std::uint64_t> FreeSpace::lowest_fit(std::uint64_t blocks) const {
    std::optional<std::uint64_t> best;
    const std::size_t first = bin_of(blocks);
    for (std::size_t bin = first; bin < kBins; ++bin) {
        for (const std::uint64_t sector : bins_[bin]) {
            if (best && *best < sector) break;
            // Only the first bin, and only when it is not exact, may hold runs that are too small.
            if (bin == first && !exact(bin) &&
                whole_blocks(extents_.at(sector)).sectors < blocks * kBlockSectors) {
                continue;
            }
            best = sector;
            break;
        }
    }
    return best;
}

std::optional<std::uint64_t> FreeSpace::largest(std::uint64_t at_least) const {
    for (std::size_t bin = kBins; bin-- > bin_of(at_least);) {
        for (const std::uint64_t sector : bins_[bin]) {
            if (whole_blocks(extents_.at(sector)).sectors >= at_least * kBlockSectors) {
                return sector;
            }
        }
    }
    return std::nullopt;
}

std::optional<Extent> FreeSpace::take_blocks(std::uint64_t at_least, std::uint64_t at_most) {
    assert(at_least != 0 && at_least <= at_most);
    std::optional<std::uint64_t> sector = lowest_fit(at_most);
    if (!sector && at_least < at_most) sector = largest(at_least);
    if (!sector) return std::nullopt;
    Extent run = whole_blocks(extents_.at(*sector));
    run.sectors = std::min(run.sectors, at_most * kBlockSectors);
    erase(run);
    return run;
}

std::optional<Extent> FreeSpace::take_blocks_within(Extent window, std::uint64_t at_least,
                                                    std::uint64_t at_most) {
    assert(at_least != 0 && at_least <= at_most);
    std::optional<Extent> best;
    const auto consider = [&](Extent free) {
        const std::uint64_t begin = std::max(free.sector, window.sector);
        const std::uint64_t end = std::min(free.end(), window.end());
        if (begin >= end) return false;
        Extent run = whole_blocks({begin, end - begin});
        if (run.sectors < at_least * kBlockSectors) return false;
        run.sectors = std::min(run.sectors, at_most * kBlockSectors);
        best = run;
        return true;
    };
    // One that begins before the window and reaches into it is the lowest there can be.
    if (!consider(extents_.at(window.sector))) {
        for (std::size_t bin = bin_of(at_least); bin < kBins; ++bin) {
            for (auto i = bins_[bin].lower_bound(window.sector); i != bins_[bin].end(); ++i) {
                if (*i >= window.end() || (best && best->sector <= *i)) break;
                if (consider(extents_.at(*i))) break;
            }
        }
    }
    if (best) erase(*best);
    return best;
}

void FreeSpace::clear() {
    extents_.clear();
    for (auto& bin : bins_) bin.clear();
}

}  // namespace fulgur::storage
