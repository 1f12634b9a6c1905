// An inner page: immutable but for its child words. A new separator makes a new page (copy and
// swap), which is rare; so search needs no latch and no version check.
//
// Layout behind the header (count = children, capacity = room in the arrays, a multiple of 8):
//   samples   heads 8, 16, 24 ..., in groups of four lines (count_below_sorted)
//   heads     capacity x u64: first eight bytes of each separator behind the common prefix
//   children  capacity x atomic u64
//   slots     capacity x u32: distance of the separator from the page's end (few separators of
//             64 KiB outgrow 16 bits, whatever the unit)
//   heap      from the end: fences, common prefix, then separators {u16 size, bytes behind the
//             prefix, a zero if the size is odd}
// Child i covers [separator i, separator i+1); child 0 begins at the page's lower fence, so entry 0
// of heads and slots is unused. Heads and samples at and past count are the greatest number.
//
// A search reads the samples, which few pages share a cache with and so stay near, then one line of
// heads and one line of children that come together: one far miss a page, where a binary search
// over all heads pays three in a row.
//
// The common prefix is taken from the separators themselves, not from the fences: at the tree's
// outer edges the fences share nothing, and all heads would be equal.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/simd.h"
#include "storage/tree_node.h"

namespace fulgur::storage {

/// The frame for a page that needs so many bytes: an eighth of it is free for the next separators,
/// if the largest frame has that.
std::size_t inner_frame_bytes(std::size_t needed);

class Inner : public PageHeader {
public:
    struct Entry {
        std::string separator;  ///< whole; unused in entry 0
        ChildWord child;
    };

    /// Bytes a page with these entries needs at least.
    static std::size_t bytes_needed(std::span<const Entry> entries, Bytes low, Bytes high);
    /// Whether a page may have these entries: the largest frame holds it, and its image, in which
    /// separators stand whole, is not too long to be read back. Two children always fit.
    static bool fits(std::span<const Entry> entries, Bytes low, Bytes high);

    /// Builds a page of `size` bytes in `frame`.
    static Inner* build(char* frame, std::size_t size, std::uint8_t level,
                        std::span<const Entry> entries, Bytes low, Bytes high, bool has_high);

    /// The copy of `source` in which child `index` is `left` and is followed by (separator, right),
    /// if that fits a frame of the same size and an image, and the prefix stays; null otherwise:
    /// then rebuild.
    static Inner* copy_with_split(char* frame, const Inner& source, std::size_t index,
                                  ChildWord left, Bytes separator, ChildWord right);

    std::size_t children() const { return count.load(std::memory_order_relaxed); }
    ChildSlot& child(std::size_t index) { return child_array()[index]; }
    const ChildSlot& child(std::size_t index) const {
        return const_cast<Inner*>(this)->child_array()[index];
    }
    /// A search in two steps, so that searches of many keys can overlap their misses.
    struct Probe {
        Bytes suffix;          ///< the key behind the common prefix
        std::uint64_t head;    ///< its first eight bytes
        std::size_t line;      ///< of heads and children
        bool decided = false;  ///< by the prefix: `line` is the child's index
    };
    /// Starts loading the line that `end_search` needs.
    Probe begin_search(Bytes key) const;
    std::size_t end_search(const Probe& probe) const;
    /// Child that covers `key`. O(log children), branch-free on heads; whole keys only on ties.
    std::size_t search(Bytes key) const { return end_search(begin_search(key)); }
    /// Bounds of a child's range.
    std::string child_low(std::size_t index) const;
    std::string child_high(std::size_t index) const;  ///< meaningless when !child_has_high
    bool child_has_high(std::size_t index) const { return index + 1 < children() || has_high(); }

    /// All entries, for a rebuild. Latch holder only.
    std::vector<Entry> entries() const;

    const std::uint64_t* heads() const { return const_cast<Inner*>(this)->heads(); }
    Bytes common() const {
        return {end() - fence_bytes(low_size, high_size) - fence_bytes(prefix_size, 0),
                prefix_size};
    }

private:
    std::size_t search_ties(Bytes suffix, std::uint64_t head, std::size_t index) const;
    static constexpr std::size_t kLineEntries = 8;

    static constexpr std::size_t kSampleGroupBytes = 256;
    static std::size_t sample_bytes(std::size_t capacity) {
        return round_up(capacity, kSampleGroupBytes);
    }
    static std::size_t array_bytes(std::size_t capacity) {
        return sample_bytes(capacity) +
               capacity * (sizeof(std::uint64_t) + sizeof(ChildSlot) + sizeof(std::uint32_t));
    }
    std::uint64_t* samples() {
        return reinterpret_cast<std::uint64_t*>(base() + sizeof(PageHeader));
    }
    const std::uint64_t* samples() const { return const_cast<Inner*>(this)->samples(); }
    std::uint64_t* heads() { return samples() + sample_bytes(capacity) / sizeof(std::uint64_t); }
    ChildSlot* child_array() { return reinterpret_cast<ChildSlot*>(heads() + capacity); }
    std::uint32_t* slots() { return reinterpret_cast<std::uint32_t*>(child_array() + capacity); }
    const std::uint32_t* slots() const { return const_cast<Inner*>(this)->slots(); }
    Bytes separator_suffix(std::size_t index) const {
        const char* at = end() - slots()[index];
        return {at + 2, load_le<std::uint16_t>(at)};
    }
    /// Of an image at most, with one child more whose separator takes `bytes` of the heap.
    std::size_t image_bytes_with(std::size_t bytes) const {
        return sizeof(PageHeader) + (children() + 1) * (PageRef::kEncodedSize + prefix_size) +
               heap_bytes + bytes + 8;
    }
    std::size_t free_bytes() const {
        return size - sizeof(PageHeader) - array_bytes(capacity) - heap_bytes;
    }
    void add_separator(std::size_t index, Bytes suffix);
    void take_samples();
    static Inner* format(char* frame, std::size_t size, std::uint8_t level, std::size_t capacity,
                         Bytes low, Bytes high, bool has_high, Bytes common);
};

inline Inner::Probe Inner::begin_search(Bytes key) const {
    if (prefix_size != 0) {
        const Bytes prefix = common();
        const int c = key.substr(0, prefix.size()).compare(prefix);
        if (c != 0) [[unlikely]] {
            return {{}, 0, c < 0 ? 0 : children() - 1, true};
        }
        key.remove_prefix(prefix.size());
    }
    const std::uint64_t head = load_be64_prefix(key);
    // How many lines behind the first one begin below `head`.
    const std::size_t line = count_below_sorted(samples(), sample_bytes(capacity) / 8, head);
    __builtin_prefetch(heads() + line * kLineEntries);
    __builtin_prefetch(&child(line * kLineEntries));
    return {key, head, line};
}

inline std::size_t Inner::end_search(const Probe& probe) const {
    if (probe.decided) [[unlikely]] {
        return probe.line;
    }
    const std::uint64_t* const line = heads() + probe.line * kLineEntries;
    // The line's first head is below the key's, or it is the first line's, which counts as one.
    const std::size_t index =
        probe.line * kLineEntries + std::max<std::size_t>(count_below8(line, probe.head), 1) - 1;
    if (index + 1 < children() && heads()[index + 1] == probe.head) [[unlikely]] {
        return search_ties(probe.suffix, probe.head, index);
    }
    return index;
}

}  // namespace fulgur::storage
