// A leaf: the pure part. It knows no latches, epochs or files.
//
// Thread safety. One thread at a time appends (the holder of the page's latch); any number read.
// `append` writes the record, its slot and its print, and then release-stores `count`; readers
// acquire-load `count` and look at nothing at or past it, except that prints are compared 64 at a
// time: positions at or past `count` are masked away, and match_bytes64 (base/simd.h) is the one
// place that says why that load is allowed. Records below `count` never change again: a view into
// one is good as long as the frame is (version.h).
//
// Source of the fingerprints: FPTree (Oukid et al., SIGMOD 2016); of the append-only page with
// versions inside: the Bw-tree's deltas (Levandoski et al., ICDE 2013), kept in the page itself.
#pragma once

#include <optional>

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
    /// Publishes one more record. Precondition: has_room(parts.size()), latch held (or unshared).
    void append(const RecordParts& parts);

    /// The newest version of a key that is not above `snapshot`, a tombstone included.
    /// @param suffix  the key without the page's prefix.
    std::optional<Record> find(Bytes suffix, std::uint8_t print, Sequence snapshot) const;

    /// Starts loading the record that `find` will look at first.
    void prefetch_match(std::uint8_t print) const;

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
    std::optional<Record> find_out_of_order(Bytes suffix, std::uint8_t print, Sequence snapshot,
                                            std::size_t n) const;
};

/// Records that a leaf in a frame of `frame_bytes` should have slots for when it holds `count`
/// records of `record_bytes` together: as many as fit at their average size, one more than there
/// are at least, a multiple of 64 (a line of prints).
std::size_t leaf_capacity(std::size_t frame_bytes, std::size_t count, std::size_t record_bytes);

/// Writes a record at `to` (zero-padded to its size).
void encode_record(char* to, const RecordParts& parts);

}  // namespace fulgur::storage
