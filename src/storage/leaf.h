// A leaf: the pure part. It knows no latches, epochs or files.
//
// Thread safety. One thread at a time appends (the holder of the page's latch); any number read.
// `append` writes the record, its slot and its print, and then release-stores `count`; readers
// acquire-load `count` and look at nothing at or past it, except that prints are compared 64 at a
// time: positions at or past `count` are masked away, and match_bytes64 (base/simd.h) is the one
// place that says why that load is allowed. Records below `count` never change again: a view into
// one is good as long as the frame is (version.h). `marks` alone is written by readers, too: atomic
// bits that tell the clock what was used, on which no answer depends.
//
// Source of the fingerprints: FPTree (Oukid et al., SIGMOD 2016); of the append-only page with
// versions inside: the Bw-tree's deltas (Levandoski et al., ICDE 2013), kept in the page itself.
#pragma once

#include <optional>

#include "base/simd.h"
#include "storage/page_format.h"

namespace fulgur::storage {

/// What `append` needs to know of one version of a key.
struct RecordParts {
    Bytes suffix;
    Bytes value;  ///< inline bytes, or an encoded LargeReference
    Sequence sequence{};
    std::uint64_t expiry = 0;  ///< 0: none
    std::uint8_t flags = 0;
    std::uint8_t print = 0;

    std::size_t size() const {
        return Record::size_of(suffix.size(), value.size(), (flags & kExpires) != 0);
    }
};

class Leaf : public PageHeader {
public:
    /// Makes an empty leaf of `size` bytes in `frame` for keys in [low, high).
    /// @param capacity  records it can hold; a multiple of 8.
    static Leaf* format(char* frame, std::size_t size, std::size_t capacity, Bytes low, Bytes high,
                        bool has_high);

    /// Bytes of a leaf besides its records.
    static std::size_t overhead(std::size_t capacity, std::size_t low_size, std::size_t high_size) {
        return sizeof(PageHeader) + 3 * capacity + fence_bytes(low_size, high_size);
    }

    Record record(std::size_t index) const {
        return Record(end() - std::size_t{slots()[index]} * 8);
    }
    std::uint8_t print(std::size_t index) const {
        return static_cast<std::uint8_t>(prints()[index]);
    }

    /// Bytes left for records. Latch holder only.
    std::size_t free_bytes() const {
        return size - sizeof(PageHeader) - 3 * std::size_t{capacity} - heap_bytes;
    }
    bool has_room(std::size_t record_bytes) const {
        return count.load(std::memory_order_relaxed) < capacity && record_bytes <= free_bytes();
    }
    /// A record is about to take an older one's place: remembers how much of large values that
    /// supersedes. Latch holder only, in a leaf that holds some.
    void note_superseded(const RecordParts& parts);
    /// Whether so many bytes of large values are superseded that the leaf should be consolidated to
    /// let them go: a mebibyte, and a quarter of what would stay. Latch holder only. O(1) mostly.
    bool wastes_large() const {
        return superseded >= 1_MiB / kSupersededUnit && wastes_a_quarter();
    }
    /// Publishes one more record. Precondition: has_room(parts.size()), latch held (or unshared).
    void append(const RecordParts& parts);

    /// The newest version of a key that is not above `snapshot`, a tombstone included.
    /// @param suffix  the key without the page's prefix.
    std::optional<Record> find(Bytes suffix, std::uint8_t print, Sequence snapshot) const {
        const char* const bytes = locate(suffix, print, snapshot);
        return bytes == nullptr ? std::nullopt : std::optional<Record>(bytes);
    }
    /// The same: its bytes, or null.
    const char* locate(Bytes suffix, std::uint8_t print, Sequence snapshot) const;

    /// The records that `find` has to look at, when the page has at most one line of prints and its
    /// records arrived in order: the common case, to which the hot paths are cut.
    class Candidates {
    public:
        /// The newest that is left; marks it as seen. Precondition: !empty().
        std::size_t take();
        bool empty() const { return mask_ == 0; }

    private:
        friend class Leaf;
        std::uint64_t mask_ = 0;    ///< bit i: record i has the print
        std::uint64_t sorted_ = 0;  ///< the sorted part's bits
    };
    /// @return nothing: the page is not of the common form, use `find`.
    std::optional<Candidates> candidates(std::uint8_t print) const;
    /// Whether the record is the answer of `find`, provided that all newer candidates were not.
    static bool is_match(const Record& record, Bytes suffix, Sequence snapshot) {
        return same_bytes(record.suffix(), suffix) && record.sequence() <= snapshot;
    }

    /// For the clock (evict.h): a get or a write was here. Any thread.
    void mark_referenced() const {
        if ((marks.load(std::memory_order_relaxed) & kReferenced) == 0) {
            marks_of_reader().fetch_or(kReferenced, std::memory_order_relaxed);
        }
    }

    const char* prints() const { return base() + sizeof(PageHeader); }
    const std::uint16_t* slots() const {
        return reinterpret_cast<const std::uint16_t*>(prints() + capacity);
    }
    std::uint16_t* slots() {
        return reinterpret_cast<std::uint16_t*>(base() + sizeof(PageHeader) + capacity);
    }
    void set_print(std::size_t index, std::uint8_t value) {
        std::atomic_ref<char>(base()[sizeof(PageHeader) + index])
            .store(static_cast<char>(value), std::memory_order_relaxed);
    }

private:
    /// The one thing in a page that its readers write.
    std::atomic<std::uint8_t>& marks_of_reader() const {
        return const_cast<std::atomic<std::uint8_t>&>(marks);
    }
    bool wastes_a_quarter() const;
    std::optional<Record> find_in_blocks(Bytes suffix, std::uint8_t print, Sequence snapshot) const;
    std::optional<Record> find_out_of_order(Bytes suffix, std::uint8_t print, Sequence snapshot,
                                            std::size_t n) const;
};

inline std::size_t Leaf::Candidates::take() {
    // The tail holds what came last at its end; the sorted part a key's versions newest first.
    const std::uint64_t tail = mask_ & ~sorted_;
    const int place = tail != 0 ? 63 - std::countl_zero(tail) : std::countr_zero(mask_);
    const auto bit = static_cast<std::size_t>(place);
    mask_ &= ~(std::uint64_t{1} << bit);
    return bit;
}

inline std::optional<Leaf::Candidates> Leaf::candidates(std::uint8_t print) const {
    const std::size_t n = count.load(std::memory_order_acquire);
    if (n - 1 >= 64 || marks.load(std::memory_order_relaxed) != kReferenced) [[unlikely]] {
        mark_referenced();
        if (n - 1 >= 64 || (marks.load(std::memory_order_relaxed) & kOutOfOrder) != 0) {
            return std::nullopt;  // Empty pages too.
        }
    }
    Candidates found;
    found.mask_ = match_bytes64(prints(), print) & (~std::uint64_t{0} >> (64 - n));
    const std::size_t sorted = sorted_count;
    found.sorted_ = sorted == 0 ? 0 : ~std::uint64_t{0} >> (64 - sorted);
    return found;
}

inline const char* Leaf::locate(Bytes suffix, std::uint8_t print, Sequence snapshot) const {
    std::optional<Candidates> left = candidates(print);
    if (!left) [[unlikely]] {
        const std::optional<Record> found = find_in_blocks(suffix, print, snapshot);
        return found ? found->bytes() : nullptr;
    }
    while (!left->empty()) {
        const Record candidate = record(left->take());
        candidate.prefetch_rest();
        if (is_match(candidate, suffix, snapshot)) [[likely]] {
            return candidate.bytes();
        }
    }
    return nullptr;
}

/// Records that a leaf in a frame of `frame_bytes` should have slots for when it holds `count`
/// records of `record_bytes` together: as many as fit at their average size, one more than there
/// are at least, a multiple of 64 (a line of prints).
std::size_t leaf_capacity(std::size_t frame_bytes, std::size_t count, std::size_t record_bytes);

/// Writes a record at `to` (zero-padded to its size).
void encode_record(char* to, const RecordParts& parts);

}  // namespace fulgur::storage
