// The bytes of the log; this file is the authority for them.
//
// A log is a chain of segments. A segment is one life of a slot file `log.<slot>`; the file is used
// again and again, each time under a new segment number that was never used before.
//
//   block 0 (4 KiB)   segment header: 64 bytes, the rest zero. On the disk before anything else of
//                     this life is written, so that a number is never used twice.
//   byte 4096         link: a fragment that says where the segment before this one ended
//   behind it         fragments: records, whole or in parts
//
// Integers are little-endian. Fragments begin at multiples of 8 and never cross the segment's end.
// After a sync the next fragment begins on a fresh 4 KiB block, so that a block which was ever
// acknowledged is never written again; what lies between is padding (any bytes). A reader therefore
// looks directly behind a fragment first, and then at the next block.
//
// Segment header                              Fragment header
//    0  u32  crc32c of bytes [4, 64)             0  u32  crc32c of bytes [4, 40), keyed
//    4  u32  format version                      4  u32  crc32c of the body
//    8  u64  magic "FULGURLG"                    8  u32  length of the body
//   16  u64  database id                        12  u8   type
//   24  u32  segment number                     13  u8   0
//   28  36 x 0                                  14  u16  index within its record: 0, 1, 2, ...
//                                               16  u64  position of this header
// Body of a link                                24  u64  sequence
//    0  u64  position where the segment         32  u64  synced: everything before this position
//            before ended; 0: none                       was on the disk when this was written
//    8  u64  0                                  40  body, then zeros up to a multiple of 8
//
// The key of a fragment's checksum is the crc32c of the database id's 8 bytes: a fragment that was
// stored as somebody's value, or that came from another database, is not taken for one of ours.
// `position` guards against stale bytes of a former life and against misdirected writes.
//
// A link's sequence is the first one that begins behind it. An end mark is written by a clean close
// and carries the next sequence. All other fragments carry their record's sequence; sequences are
// dense, and so are the indexes within a record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <fulgur/bytes.h>
#include <fulgur/options.h>

#include "base/coding.h"
#include "base/crc32c.h"

namespace fulgur::storage {

/// A place in the log: segment number << 32 | byte offset in the segment. Later in the log is
/// greater. A type of its own, so that it is never mixed up with an offset in a file.
enum class LogPosition : std::uint64_t {};

constexpr LogPosition log_position(std::uint32_t segment, std::uint32_t offset) {
    return LogPosition{std::uint64_t{segment} << 32 | offset};
}
constexpr std::uint32_t segment_of(LogPosition p) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(p) >> 32);
}
constexpr std::uint32_t offset_of(LogPosition p) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(p));
}

inline constexpr std::uint32_t kLogFormatVersion = 1;
inline constexpr std::uint32_t kLogBlockBytes = 4096;

inline constexpr std::uint32_t kSegmentBytesMin = 64_KiB;
inline constexpr std::uint32_t kSegmentBytesMax = 1_GiB;

/// Bodies above this are stored as several fragments; it bounds a reader's buffer.
inline constexpr std::uint32_t kFragmentBodyBytesMax = 1_MiB;

/// The longest record: a batch of kBatchBytesMax and room for what the engine adds to it.
inline constexpr std::size_t kLogRecordBytesMax = 96_MiB;

/// `log.<slot>`
inline constexpr const char* kLogFilePrefix = "log.";
inline constexpr std::uint32_t kLogSlotsMax = 1U << 20;

struct SegmentHeader {
    static constexpr std::size_t kEncodedBytes = 64;
    static constexpr std::uint64_t kMagic = 0x474C525547'4C5546;  // "FULGURLG"

    std::uint32_t version = kLogFormatVersion;
    std::uint64_t database_id = 0;  ///< Guards against the file of another database.
    std::uint32_t number = 0;       ///< 1 and up.

    void encode(char* to) const;
    /// @param from  kEncodedBytes bytes.
    /// @return nothing unless checksum and magic hold. The caller looks at version and id.
    static std::optional<SegmentHeader> decode(const char* from);
};

enum class FragmentType : std::uint8_t {
    kFull = 1,    ///< A whole record.
    kFirst = 2,   ///< A record's first part,
    kMiddle = 3,  ///< any number of these,
    kLast = 4,    ///< and its last.
    kLink = 5,    ///< The first fragment of a segment.
    kEnd = 6,     ///< Closed cleanly here.
};

/// The key of fragment checksums for a database.
std::uint32_t fragment_key(std::uint64_t database_id);

struct FragmentHeader {
    static constexpr std::size_t kEncodedBytes = 40;

    std::uint32_t body_crc = 0;
    std::uint32_t length = 0;
    FragmentType type{};
    std::uint16_t index = 0;
    LogPosition position{};
    Sequence sequence{};
    LogPosition synced{};  ///< Tells damage from a torn tail; never above `position`.

    /// In whole words: a commit waits for this, and nearly half of that was the checksum reading
    /// what had just been stored in smaller pieces.
    void encode(char* to, std::uint32_t key) const {
        const std::uint64_t words[] = {
            length | std::uint64_t{static_cast<std::uint8_t>(type)} << 32 |
                std::uint64_t{index} << 48,
            static_cast<std::uint64_t>(position), static_cast<std::uint64_t>(sequence),
            static_cast<std::uint64_t>(synced)};
        const std::uint64_t crc = crc32c_words(body_crc, words, key);
        store_le(to, crc | std::uint64_t{body_crc} << 32);
        for (std::size_t i = 0; i < 4; ++i) store_le(to + 8 + 8 * i, words[i]);
    }

    /// @param from  kEncodedBytes bytes, read at `position`.
    /// @return nothing unless this is a fragment written there by this database.
    static std::optional<FragmentHeader> decode(const char* from, std::uint32_t key,
                                                LogPosition position) {
        // Cheap, and nearly always the answer for bytes that are not a fragment.
        if (load_le<LogPosition>(from + 16) != position) return std::nullopt;
        return decode_found(from, key);
    }

    /// Header, body and padding.
    std::uint32_t stored_bytes() const { return stored_bytes_of(length); }
    static constexpr std::uint32_t stored_bytes_of(std::uint32_t length) {
        return round_up(static_cast<std::uint32_t>(kEncodedBytes) + length, 8);
    }

    bool continues() const { return type == FragmentType::kMiddle || type == FragmentType::kLast; }

private:
    static std::optional<FragmentHeader> decode_found(const char* from, std::uint32_t key);
};

struct LinkBody {
    static constexpr std::size_t kEncodedBytes = 16;

    LogPosition previous_end{};  ///< 0: this is the first segment of the log.

    void encode(char* to) const;
    static std::optional<LinkBody> decode(Bytes body);
};

/// A link as it is stored, and the offset of the first fragment behind it.
inline constexpr std::uint32_t kLinkOffset = kLogBlockBytes;
inline constexpr std::uint32_t kLinkStoredBytes =
    FragmentHeader::stored_bytes_of(LinkBody::kEncodedBytes);
inline constexpr std::uint32_t kFirstRecordOffset = kLinkOffset + kLinkStoredBytes;
static_assert(kFirstRecordOffset == 4152);

}  // namespace fulgur::storage
