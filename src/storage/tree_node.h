// What a tree is made of besides leaves: child words, disk references, large values, inner pages.
//
// A child word is either the address of a frame (lowest bit 0) or of a Descriptor (lowest bit 1).
// Writers store it with release under the latch of the page it stands in; readers load it with
// acquire and so see the whole frame or descriptor behind it.
#pragma once

#include <atomic>
#include <cstdint>

#include "storage/page_format.h"

namespace fulgur::storage {

/// Disk addresses count sectors; the allocator hands out whole blocks of eight (space.h).
inline constexpr std::uint64_t kSectorBytes = 512;

/// Where an image lies and how to know it is the right one; docs/format.md section 5.4.
struct PageRef {
    static constexpr std::size_t kEncodedSize = 80;
    static constexpr std::uint8_t kHasLarge = 1;  ///< the leaf refers to large values

    std::uint64_t sector = 0;  ///< 0: none (the superblock is there)
    std::uint32_t length = 0;  ///< stored bytes
    std::uint8_t codec = 0;    ///< 0: none
    std::uint8_t level = 0;
    std::uint8_t flags = 0;
    std::uint64_t checksum =
        0;  ///< of the stored bytes: guards against lost and misdirected writes
    std::uint64_t checkpoint = 0;     ///< that wrote it: incremental backups prune by it
    std::uint64_t newest = 0;         ///< greatest sequence inside
    std::uint32_t count = 0;          ///< records or children
    std::uint32_t memory_length = 0;  ///< bytes after decompression
    std::uint64_t delta_sector = 0;   ///< a delta extent of blind writes; 0: none
    std::uint32_t delta_length = 0;
    std::uint32_t delta_count = 0;
    std::uint64_t delta_checksum = 0;
    std::uint64_t delta_newest = 0;

    void encode(char* to) const;
    static PageRef decode(const char* from);
    std::uint64_t sectors() const { return (length + kSectorBytes - 1) / kSectorBytes; }
};

/// A PageRef in memory, immutable but for what the parent's latch guards; retired through the
/// epochs.
struct Descriptor {
    PageRef ref;
    Descriptor* next = nullptr;  ///< in a `carried` chain, or what an early image superseded; under
                                 ///< the parent's latch
    std::uint64_t ticket = 0;    ///< of the walker's writer: readable once that is written
    bool unemitted = false;  ///< an early image that no walk has passed; under the parent's latch
    std::uint64_t emitted =
        0;  ///< checkpoint attempt that last passed it; under the parent's latch
};

/// A value above kInlineValueBytesMax, shared by the records (of one leaf and its successors) that
/// point to it; retired through the epochs when consolidation drops the last of them.
///
/// Concurrency: `length` and `checksum` never change. `bytes` goes from null to memory once (a
/// loader wins by compare-exchange), and back to null when the clock (evict.h) drops what the disk
/// has. `sector` goes from 0 to its place once, by the committer or
/// the walker, before anyone needs it; or to kDropped, by whoever drops the value before that:
/// walker and dropper decide by compare-exchange who was first, and the second one lets the place
/// go. Later only the walker changes it, from one place to another where it has copied the value:
/// under the latch of the leaf's parent, as the value's end is decided (checkpoint_move.cc). Who
/// is pinned may go on reading where it was.
struct LargeValue {
    /// A `sector` that says: dropped before it had a place, and it gets none.
    static constexpr std::uint64_t kDropped = ~std::uint64_t{0};

    std::uint64_t length = 0;
    std::uint64_t checksum = 0;
    std::atomic<std::uint64_t> sector{0};
    std::atomic<char*> bytes{nullptr};
    /// Of the walker's writer: the bytes are at `sector` once that is written. Set before `sector`.
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<bool> emitted{false};  ///< some image refers to it; see SpaceManager
    /// The bytes at `sector`, or where it was before, were found to be the value's: who copies them
    /// checks them.
    std::atomic<bool> checked{false};

    std::uint64_t sectors() const { return (length + kSectorBytes - 1) / kSectorBytes; }
};

inline LargeValue* large_value_of(const Record& record) {
    return reinterpret_cast<LargeValue*>(record.large_reference().memory);
}

/// The pointer inside an atomic child word.
class ChildWord {
public:
    ChildWord() = default;
    explicit ChildWord(PageHeader* page) : bits_(reinterpret_cast<std::uintptr_t>(page)) {}
    explicit ChildWord(Descriptor* descriptor)
        : bits_(reinterpret_cast<std::uintptr_t>(descriptor) | 1) {}
    static ChildWord from_bits(std::uint64_t bits) {
        ChildWord word;
        word.bits_ = bits;
        return word;
    }
    std::uint64_t bits() const { return bits_; }
    bool resident() const { return (bits_ & 1) == 0; }
    PageHeader* page() const { return reinterpret_cast<PageHeader*>(bits_); }
    Descriptor* descriptor() const {
        return reinterpret_cast<Descriptor*>(bits_ & ~std::uint64_t{1});
    }
    friend bool operator==(ChildWord, ChildWord) = default;

private:
    std::uint64_t bits_ = 0;
};

/// Where a child word stands.
using ChildSlot = std::atomic<std::uint64_t>;

inline ChildWord load_child(const ChildSlot& slot) {
    return ChildWord::from_bits(slot.load(std::memory_order_acquire));
}

}  // namespace fulgur::storage
