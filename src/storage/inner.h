// An inner page: immutable but for its child words. A new separator makes a new page (copy and
// swap), which is rare; so search needs no latch and no version check.
//
// Layout behind the header (count = children, capacity = room in the arrays):
//   heads     capacity x u64: first eight bytes of each separator behind the common prefix
//   children  capacity x atomic u64
//   slots     capacity x u32: distance of the separator from the page's end (few separators of 64
//   KiB
//             outgrow 16 bits, whatever the unit)
//   heap      from the end: fences, common prefix, then separators {u16 size, bytes behind the
//   prefix,
//             a zero if the size is odd}
// Child i covers [separator i, separator i+1); child 0 begins at the page's lower fence, so entry 0
// of heads and slots is unused.
//
// The common prefix is taken from the separators themselves, not from the fences: at the tree's
// outer edges the fences share nothing, and all heads would be equal.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "storage/tree_node.h"

namespace fulgur::storage {

class Inner : public PageHeader {
public:
    struct Entry {
        std::string separator;  ///< whole; unused in entry 0
        ChildWord child;
    };

    /// Bytes a page with these entries needs at least.
    static std::size_t bytes_needed(std::span<const Entry> entries, Bytes low, Bytes high);

    /// Builds a page of `size` bytes in `frame`.
    static Inner* build(char* frame, std::size_t size, std::uint8_t level,
                        std::span<const Entry> entries, Bytes low, Bytes high, bool has_high);

    /// The copy of `source` in which child `index` is `left` and is followed by (separator, right),
    /// if that fits a frame of the same size and the prefix stays; null otherwise: then rebuild.
    static Inner* copy_with_split(char* frame, const Inner& source, std::size_t index,
                                  ChildWord left, Bytes separator, ChildWord right);

    std::size_t children() const { return count.load(std::memory_order_relaxed); }
    ChildSlot& child(std::size_t index) { return child_array()[index]; }
    const ChildSlot& child(std::size_t index) const {
        return const_cast<Inner*>(this)->child_array()[index];
    }
    /// Child that covers `key`. O(log children), branch-free on heads; whole keys only on ties.
    std::size_t search(Bytes key) const;
    /// Bounds of a child's range.
    std::string child_low(std::size_t index) const;
    std::string child_high(std::size_t index) const;  ///< meaningless when !child_has_high
    bool child_has_high(std::size_t index) const { return index + 1 < children() || has_high(); }

    /// All entries, for a rebuild. Latch holder only.
    std::vector<Entry> entries() const;

    const std::uint64_t* heads() const {
        return reinterpret_cast<const std::uint64_t*>(base() + sizeof(PageHeader));
    }
    Bytes common() const {
        return {end() - fence_bytes(low_size, high_size) - fence_bytes(prefix_size, 0),
                prefix_size};
    }

private:
    static constexpr std::size_t kArrayBytesPerChild = 20;  // head, child, slot

    std::uint64_t* heads() { return reinterpret_cast<std::uint64_t*>(base() + sizeof(PageHeader)); }
    ChildSlot* child_array() { return reinterpret_cast<ChildSlot*>(heads() + capacity); }
    std::uint32_t* slots() { return reinterpret_cast<std::uint32_t*>(child_array() + capacity); }
    const std::uint32_t* slots() const { return const_cast<Inner*>(this)->slots(); }
    Bytes separator_suffix(std::size_t index) const {
        const char* at = end() - slots()[index];
        return {at + 2, load_le<std::uint16_t>(at)};
    }
    std::size_t free_bytes() const {
        return size - sizeof(PageHeader) - kArrayBytesPerChild * capacity - heap_bytes;
    }
    void add_separator(std::size_t index, Bytes suffix);
    static Inner* format(char* frame, std::size_t size, std::uint8_t level, std::size_t capacity,
                         Bytes low, Bytes high, bool has_high, Bytes common);
};

}  // namespace fulgur::storage
