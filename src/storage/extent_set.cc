#include "storage/extent_set.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace fulgur::storage {

ExtentSet::Map::const_iterator ExtentSet::first_meeting(Extent window) const {
    auto i = extents_.upper_bound(window.sector);
    if (i != extents_.begin()) {
        const auto before = std::prev(i);
        if (before->first + before->second > window.sector) return before;
    }
    return i;
}

Extent ExtentSet::insert(Extent extent) {
    assert(extent.sectors != 0 && !intersects(extent));
    sectors_ += extent.sectors;
    const auto next = extents_.lower_bound(extent.sector);
    const bool joins_next = next != extents_.end() && next->first == extent.end();
    const std::uint64_t sectors = extent.sectors + (joins_next ? next->second : 0);
    if (next != extents_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second == extent.sector) {
            before->second += sectors;
            if (joins_next) extents_.erase(next);
            return {before->first, before->second};
        }
    }
    const auto hint = joins_next ? extents_.erase(next) : next;
    extents_.emplace_hint(hint, extent.sector, sectors);
    return {extent.sector, sectors};
}

Extent ExtentSet::erase(Extent extent) {
    assert(contains(extent));
    const auto holder = std::prev(extents_.upper_bound(extent.sector));
    const Extent whole{holder->first, holder->second};
    sectors_ -= extent.sectors;
    if (whole.end() > extent.end()) {
        extents_.emplace_hint(std::next(holder), extent.end(), whole.end() - extent.end());
    }
    if (whole.sector < extent.sector) {
        holder->second = extent.sector - whole.sector;
    } else {
        extents_.erase(holder);
    }
    return whole;
}

void ExtentSet::insert_any(Extent extent) {
    if (extent.sectors == 0) return;
    erase_any(extent);
    insert(extent);
}

void ExtentSet::erase_any(Extent extent) {
    while (true) {
        const auto i = first_meeting(extent);
        if (i == extents_.end() || i->first >= extent.end()) return;
        const std::uint64_t begin = std::max(i->first, extent.sector);
        const std::uint64_t end = std::min(i->first + i->second, extent.end());
        erase({begin, end - begin});
    }
}

bool ExtentSet::contains(Extent extent) const {
    const Extent holder = at(extent.sector);
    return holder.sectors != 0 && extent.end() <= holder.end();
}

std::uint64_t ExtentSet::overlap(Extent extent) const {
    std::uint64_t total = 0;
    for_each_in(extent, [&total](Extent part) { total += part.sectors; });
    return total;
}

Extent ExtentSet::at(std::uint64_t sector) const {
    const auto i = first_meeting({sector, 1});
    if (i == extents_.end() || i->first > sector) return {};
    return {i->first, i->second};
}

Extent ExtentSet::last() const {
    if (extents_.empty()) return {};
    const auto i = std::prev(extents_.end());
    return {i->first, i->second};
}

void ExtentSet::clear() {
    extents_.clear();
    sectors_ = 0;
}

}  // namespace fulgur::storage
