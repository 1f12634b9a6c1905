#pragma once

#include <cstdint>
#include <map>

#include "storage/extent.h"

namespace fulgur::storage {

/// A set of sectors, kept as the fewest extents: neighbours coalesce. O(log n) unless said.
/// Not thread-safe.
class ExtentSet {
public:
    /// Adds `extent`, which touches no member sector. @return the extent it became part of.
    Extent insert(Extent extent);
    /// Adds `extent`, whatever of it is there already. O(log n) for each extent it meets.
    void insert_any(Extent extent);
    /// Removes `extent`, all of which is there. @return the extent it was part of.
    Extent erase(Extent extent);
    /// Removes what is there of `extent`. O(log n) for each extent it meets.
    void erase_any(Extent extent);

    bool contains(Extent extent) const;
    bool intersects(Extent extent) const { return overlap(extent) != 0; }
    /// Sectors of `extent` that are members.
    std::uint64_t overlap(Extent extent) const;
    /// The extent that begins at or before `sector` and reaches beyond it, or an empty one.
    Extent at(std::uint64_t sector) const;
    /// The last extent, or an empty one.
    Extent last() const;

    std::uint64_t sectors() const { return sectors_; }
    std::size_t size() const { return extents_.size(); }
    bool empty() const { return extents_.empty(); }
    void clear();

    /// Calls visit(Extent) by sector.
    template <typename Visit>
    void for_each(Visit visit) const {
        for (const auto& [sector, sectors] : extents_) visit(Extent{sector, sectors});
    }
    /// Calls visit(Extent) for the parts inside `window`, by sector.
    template <typename Visit>
    void for_each_in(Extent window, Visit visit) const {
        for (auto i = first_meeting(window); i != extents_.end() && i->first < window.end(); ++i) {
            const std::uint64_t begin = i->first > window.sector ? i->first : window.sector;
            const std::uint64_t stop = i->first + i->second;
            visit(Extent{begin, (stop < window.end() ? stop : window.end()) - begin});
        }
    }

private:
    using Map = std::map<std::uint64_t, std::uint64_t>;  // first sector -> sectors

    /// The first extent that ends after the start of `window`.
    Map::const_iterator first_meeting(Extent window) const;

    Map extents_;
    std::uint64_t sectors_ = 0;
};

}  // namespace fulgur::storage
