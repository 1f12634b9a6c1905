// The bytes of a page; docs/format.md section 5 is the authority.
//
// A page in memory (a frame) and a leaf image on disk have one layout, so that one decoder and one
// fuzzer serve both:
//
//   header    64 bytes; the first 32 are stored, the rest lives in memory only and is zero on disk
//   prints    `capacity` bytes: one byte of the key's hash per record
//   slots     `capacity` x 2 bytes: distance of the record from the page's END, in units of 8 bytes
//   free
//   heap      grows down from the page's end: the two fences, then records
//
// Slots count from the end, so a heap moves between pages of different sizes by one memcpy.
//
// Invariant: records [0, sorted_count) are in key order, newest first within a key; the others are
// in order of arrival. Records are multiples of 8 bytes and never change once `count` covers them.
#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <fulgur/bytes.h>
#include <fulgur/options.h>

#include "base/coding.h"

namespace fulgur::storage {

static_assert(std::endian::native == std::endian::little, "pages are little-endian in memory too");

inline constexpr std::size_t kFrameBytesMin = 8_KiB;
inline constexpr std::size_t kFrameBytesMax = 512_KiB;

/// Above this a value sits in memory of its own, and the record holds a reference.
inline constexpr std::size_t kInlineValueBytesMax = 2_KiB;

/// Sequences are stored in 48 bits: 2.8e14 commits, nine years at a million a second.
inline constexpr std::uint64_t kSequenceMax = (std::uint64_t{1} << 48) - 1;

constexpr std::uint64_t to_number(Sequence sequence) {
    return static_cast<std::uint64_t>(sequence);
}

/// Of PageHeader::superseded.
inline constexpr std::size_t kSupersededUnit = 8_KiB;

enum class PageKind : std::uint8_t { kLeaf = 1, kInner = 2 };

struct Descriptor;  // tree_node.h: where a page lies on disk

/// The first line of every frame and image.
struct PageHeader {
    static constexpr std::size_t kStoredBytes = 32;
    static constexpr std::uint16_t kHasHigh =
        1;  ///< flags: the upper fence exists (else +infinity)

    PageKind kind;
    std::uint8_t level;  ///< 0 for leaves
    std::uint16_t flags;
    std::uint32_t size;                ///< of this frame or image, in bytes
    std::atomic<std::uint16_t> count;  ///< published records; inner pages: children
    std::uint16_t sorted_count;
    std::uint16_t capacity;     ///< of prints and slots; a multiple of 64 in memory, of 8 on disk
    std::uint16_t prefix_size;  ///< leading bytes that both fences, and so all keys, share
    std::uint16_t low_size;
    std::uint16_t high_size;
    std::uint32_t heap_bytes : 21;  ///< used from the end; the latch holder's, like its neighbours
    std::uint32_t holds_large : 1;  ///< in memory only: some record refers to a large value
    std::uint32_t superseded : 10;  ///< in memory only: of large values, since the page was made,
                                    ///< in units of kSupersededUnit; the greatest number says
                                    ///< "or more"
    std::atomic<std::uint64_t> newest;  ///< no record that is or was in the page is newer

    // In memory only.
    std::atomic<std::uint32_t> latch;    ///< see latch.h
    std::atomic<std::uint8_t> replaced;  ///< set under the latch: descend again from the root
    std::atomic<std::uint8_t> marks;     ///< kOutOfOrder, kReferenced
    std::uint16_t imaged_count;          ///< records in `disk`'s image; under the parent's latch
    Descriptor* disk;       ///< newest image of this page, or null; under the parent's latch
    Descriptor* carried;    ///< images this page's successor image supersedes; likewise
    std::uint64_t emitted;  ///< lowest inner pages (and a root leaf): the checkpoint attempt that
                            ///< last wrote them; under their own latch (the root's: root latch)

    /// An append was older than `newest`.
    static constexpr std::uint8_t kOutOfOrder = 1;
    /// Somebody looked a key up in it, or wrote, since the clock's hand passed (evict.h). One byte
    /// with the other, so that a get that finds both as usual compares once.
    static constexpr std::uint8_t kReferenced = 2;

    /// More would put the heap's top among the fences, and the next entry behind the frame.
    void set_heap_bytes(std::size_t bytes) {
        assert(bytes <= kHeapBytesMax);
        heap_bytes = bytes & kHeapBytesMax;
    }
    static constexpr std::size_t kHeapBytesMax = (std::size_t{1} << 21) - 1;
    void set_superseded(std::size_t units) { superseded = units & kSupersededMax; }
    static constexpr std::size_t kSupersededMax = (std::size_t{1} << 10) - 1;

    bool has_high() const { return (flags & kHasHigh) != 0; }
    char* base() { return reinterpret_cast<char*>(this); }
    const char* base() const { return reinterpret_cast<const char*>(this); }
    const char* end() const { return base() + size; }

    Bytes low() const { return {end() - fence_bytes(low_size, 0), low_size}; }
    Bytes high() const { return {end() - fence_bytes(low_size, high_size), high_size}; }
    Bytes prefix() const { return {low().data(), prefix_size}; }
    /// Bytes that the fences take at the end of the page.
    static std::size_t fence_bytes(std::size_t low_size, std::size_t high_size) {
        return round_up(low_size, 8) + round_up(high_size, 8);
    }
    bool covers(Bytes key) const { return low() <= key && (!has_high() || key < high()); }
};
static_assert(sizeof(PageHeader) == 64);
static_assert(kFrameBytesMax <= PageHeader::kHeapBytesMax);

/// No image is longer. Guards against taking memory for a length that no writer wrote. Of inner
/// pages: `Inner::fits` keeps them below it.
inline constexpr std::size_t kImageBytesMax = 2_MiB;
// A page built from an image has no more in its heap than the image has behind its header: what an
// entry takes of the heap is less than its separator and its 80 bytes in the image.
static_assert(kImageBytesMax - sizeof(PageHeader) <= PageHeader::kHeapBytesMax);

/// Flags of a record.
inline constexpr std::uint8_t kTombstone = 1;
inline constexpr std::uint8_t kLarge = 2;    ///< the value field is a LargeReference
inline constexpr std::uint8_t kExpires = 4;  ///< wall-clock milliseconds, u64, stand before the key

/// The value field of a kLarge record. `memory` is a LargeValue* in a frame and zero on disk.
struct LargeReference {
    std::uint64_t length;
    std::uint64_t checksum;  ///< XXH3-64 of the value: guards against a lost or misdirected write
    std::uint64_t sector;
    std::uint64_t memory;
};
static_assert(sizeof(LargeReference) == 32);

/// A record in a heap. A pointer; the page must outlive it.
///   0 key suffix size u16 | 2 value size u16 | 4 flags u8 | 5 zero u8 | 6 sequence u48
///   12 [expiry u64] key suffix, value, zeros to a multiple of 8
class Record {
public:
    static constexpr std::size_t kHeaderBytes = 12;

    explicit Record(const char* bytes) : bytes_(bytes) {}

    static std::size_t size_of(std::size_t suffix, std::size_t value, bool expires) {
        return round_up(kHeaderBytes + (expires ? 8 : 0) + suffix + value, 8);
    }

    const char* bytes() const { return bytes_; }
    /// Starts loading what lies behind the first line, most likely the value, before the first line
    /// has come and told its size.
    void prefetch_rest() const {
        __builtin_prefetch(bytes_ + 64);
        __builtin_prefetch(bytes_ + 128);
    }
    std::size_t suffix_size() const { return load_le<std::uint16_t>(bytes_); }
    std::size_t value_size() const { return load_le<std::uint16_t>(bytes_ + 2); }
    std::uint8_t flags() const { return static_cast<std::uint8_t>(bytes_[4]); }
    bool tombstone() const { return (flags() & kTombstone) != 0; }
    bool large() const { return (flags() & kLarge) != 0; }
    bool expires() const { return (flags() & kExpires) != 0; }
    Sequence sequence() const { return Sequence{load_le<std::uint64_t>(bytes_ + 4) >> 16}; }
    std::uint64_t expiry() const {
        return expires() ? load_le<std::uint64_t>(bytes_ + kHeaderBytes) : 0;
    }
    Bytes suffix() const { return {bytes_ + key_offset(), suffix_size()}; }
    Bytes value() const { return {bytes_ + key_offset() + suffix_size(), value_size()}; }
    std::size_t size() const { return size_of(suffix_size(), value_size(), expires()); }
    LargeReference large_reference() const {
        LargeReference reference;
        std::memcpy(&reference, value().data(), sizeof(reference));
        return reference;
    }

private:
    std::size_t key_offset() const { return kHeaderBytes + (expires() ? 8 : 0); }
    const char* bytes_;
};

/// One byte of the key's hash.
inline std::uint8_t print_of(std::uint64_t hash) { return static_cast<std::uint8_t>(hash); }

/// a == b, without a call for keys of ordinary length.
inline bool same_bytes(Bytes a, Bytes b) {
    const std::size_t size = a.size();
    if (size != b.size()) return false;
    if (size < 8 || size > 64) return a == b;
    std::size_t at = 0;
    for (; at + 8 < size; at += 8) {
        if (load_le<std::uint64_t>(a.data() + at) != load_le<std::uint64_t>(b.data() + at))
            return false;
    }
    // The last eight bytes may overlap the ones before.
    return load_le<std::uint64_t>(a.data() + size - 8) ==
           load_le<std::uint64_t>(b.data() + size - 8);
}

/// Length of the common prefix.
inline std::size_t common_prefix(Bytes a, Bytes b) {
    const std::size_t size = a.size() < b.size() ? a.size() : b.size();
    std::size_t i = 0;
    while (i < size && a[i] == b[i]) ++i;
    return i;
}

}  // namespace fulgur::storage
