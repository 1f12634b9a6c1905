#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>

#include "storage/extent_set.h"

namespace fulgur::storage {

/// Free sectors, and an index over the whole blocks inside them. Not thread-safe.
///
/// An extent of free sectors is filed under the number of aligned whole blocks inside it: one bin
/// for each number below 64, then one for each power of two. A bin keeps its extents by address.
/// (The bins are those of a segregated-fit allocator; Wilson et al., "Dynamic storage allocation: a
/// survey", 1995. Address order within a bin keeps the file compact.)
class FreeSpace {
public:
    /// No sector of `extent` is free.
    void insert(Extent extent);
    /// All of `extent` is free.
    void erase(Extent extent);

    /// Removes a run of whole blocks and returns it: the one of `at_most` blocks with the lowest
    /// address, as far as the bins tell; else the largest of at least `at_least`. O(log n), but for
    /// `at_least` of 64 blocks and more, where one bin may be searched.
    std::optional<Extent> take_blocks(std::uint64_t at_least, std::uint64_t at_most);

    /// Removes the run with the lowest address inside `window` that has `at_least` blocks, and
    /// takes up to `at_most` of it. O(log n) for each bin, but where a bin must be searched.
    std::optional<Extent> take_blocks_within(Extent window, std::uint64_t at_least,
                                             std::uint64_t at_most);

    const ExtentSet& extents() const { return extents_; }
    void clear();

private:
    static constexpr std::size_t kExactBins = 64;
    static constexpr std::size_t kBins = kExactBins + 58;  // 2^6 ... 2^63

    static std::size_t bin_of(std::uint64_t blocks);
    static bool exact(std::size_t bin) { return bin < kExactBins; }
    void file(Extent extent);
    void unfile(Extent extent);
    std::optional<std::uint64_t> lowest_fit(std::uint64_t blocks) const;
    std::optional<std::uint64_t> largest(std::uint64_t at_least) const;

    ExtentSet extents_;
    std::array<std::set<std::uint64_t>, kBins> bins_;  // first sectors
};

/// The aligned whole blocks inside `extent`; empty when there is none.
constexpr Extent whole_blocks(Extent extent) {
    const std::uint64_t begin = round_up(extent.sector, kBlockSectors);
    const std::uint64_t end = round_down(extent.end(), kBlockSectors);
    return begin < end ? Extent{begin, end - begin} : Extent{begin, 0};
}

}  // namespace fulgur::storage
