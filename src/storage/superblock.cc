#include "storage/superblock.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "storage/page_format.h"

namespace fulgur::storage {

namespace {

constexpr std::size_t kCrcAt = Superblock::kEncodedSize - 4;

Error corrupt(const char* what, std::uint64_t position) {
    return Error(ErrorCode::kCorruption, what).at("data", position);
}

bool is_blank(Bytes block) {
    return std::all_of(block.begin(), block.end(), [](char c) { return c == 0; });
}

/// What a whole block of our own version must fulfil besides its CRC: our own writer never breaks
/// these, so that a breach means a bug or a forgery, and nothing in it can be believed.
const char* implausible(const Superblock& superblock, std::uint64_t position) {
    if (superblock.checkpoint == 0 || Superblock::position_of(superblock.checkpoint) != position) {
        return "superblock of the other slot: a misdirected write";
    }
    if (to_number(superblock.replay) > kSequenceMax ||
        to_number(superblock.newest) > kSequenceMax) {
        return "superblock with an impossible sequence";
    }
    if (superblock.file_sectors < kFirstDataSector || superblock.file_sectors > kSectorsMax ||
        superblock.file_sectors % kBlockSectors != 0) {
        return "superblock with an impossible file size";
    }
    const Superblock::Catalog& catalog = superblock.catalog;
    const bool none = catalog.length == 0 && catalog.sector == 0;
    if (!none && !catalog.extent().within(superblock.file_sectors)) {
        return "superblock whose catalog lies outside the file";
    }
    return nullptr;
}

}  // namespace

void Superblock::encode(std::span<char, kEncodedSize> to) const {
    assert(checkpoint != 0);
    char* const p = to.data();
    std::memset(p, 0, kEncodedSize);
    std::memcpy(p, kMagic.data(), kMagic.size());
    store_le(p + 8, format_version);
    store_le(p + 16, compatible);
    store_le(p + 24, read_only_compatible);
    store_le(p + 32, incompatible);
    store_le(p + 40, database_id);
    store_le(p + 48, checkpoint);
    store_le(p + 56, replay);
    store_le(p + 64, newest);
    store_le(p + 72, catalog.sector);
    store_le(p + 80, catalog.length);
    store_le(p + 88, catalog.checksum);
    store_le(p + 96, file_sectors);
    store_le(p + 104, created_ms);
    store_le(p + 112, compression);
    store_le(p + 120, log_bytes_kept);
    store_le(p + kCrcAt, crc32c({p, kCrcAt}));
}

Result<Superblock> Superblock::decode(Bytes block, std::uint64_t position) {
    if (is_blank(block)) return corrupt("superblock is blank", position);
    if (!block.starts_with(kMagic)) {
        return Error(ErrorCode::kInvalid, "not a Fulgur data file").at("data", position);
    }
    if (block.size() != kEncodedSize) return corrupt("superblock is cut short", position);
    const char* const p = block.data();
    // The checksum comes first: not even the version may be believed before it holds.
    if (load_le<std::uint32_t>(p + kCrcAt) != crc32c({p, kCrcAt}) &&
        !FULGUR_PLANTED("superblock_checksum_unread")) {
        return corrupt("superblock checksum mismatch", position);
    }
    Superblock superblock;
    superblock.format_version = load_le<std::uint32_t>(p + 8);
    superblock.compatible = load_le<std::uint64_t>(p + 16);
    superblock.read_only_compatible = load_le<std::uint64_t>(p + 24);
    superblock.incompatible = load_le<std::uint64_t>(p + 32);
    if (superblock.format_version > kFormatVersion) {
        return Error(ErrorCode::kUnsupported,
                     "the file has a newer format version: open it with a newer fulgur")
            .at("data", position);
    }
    if (superblock.format_version == 0) return corrupt("superblock of version 0", position);
    if ((superblock.incompatible & ~kIncompatibleKnown) != 0) {
        return Error(ErrorCode::kUnsupported,
                     "the file uses features unknown here: open it with a newer fulgur")
            .at("data", position);
    }
    superblock.database_id = load_le<std::uint64_t>(p + 40);
    superblock.checkpoint = load_le<std::uint64_t>(p + 48);
    superblock.replay = load_le<Sequence>(p + 56);
    superblock.newest = load_le<Sequence>(p + 64);
    superblock.catalog.sector = load_le<std::uint64_t>(p + 72);
    superblock.catalog.length = load_le<std::uint64_t>(p + 80);
    superblock.catalog.checksum = load_le<std::uint64_t>(p + 88);
    superblock.file_sectors = load_le<std::uint64_t>(p + 96);
    superblock.created_ms = load_le<std::uint64_t>(p + 104);
    superblock.compression = load_le<std::uint8_t>(p + 112);
    superblock.log_bytes_kept = load_le<std::uint64_t>(p + 120);
    if (const char* what = implausible(superblock, position)) return corrupt(what, position);
    return superblock;
}

Result<void> write_superblock(DataFile& file, const Superblock& superblock) {
    std::array<char, Superblock::kEncodedSize> block;
    superblock.encode(block);
    return file.write(Superblock::position_of(superblock.checkpoint) / kSectorBytes,
                      {block.data(), block.size()});
}

namespace {

/// One slot as it was found. `telling` ranks its error: what says most about the file wins.
struct Slot {
    Result<Superblock> superblock;
    int telling;
};

Slot read_slot(DataFile& file, std::uint64_t position) {
    std::array<char, Superblock::kEncodedSize> block;
    const Result<std::size_t> size = file.read_available(position / kSectorBytes, block);
    if (!size.ok()) return {size.error(), 3};
    const Bytes bytes{block.data(), *size};
    Result<Superblock> decoded = Superblock::decode(bytes, position);
    if (decoded.ok()) return {std::move(decoded), 0};
    // Names the file as the caller knows it: decode has only bytes.
    const Error& found = decoded.error();
    const Error error = Error(found.code(), found.what().data()).at(file.name(), position);
    if (found.code() == ErrorCode::kUnsupported) return {error, 5};
    if (found.code() == ErrorCode::kInvalid) return {error, 2};
    return {error, is_blank(bytes) ? 1 : 4};
}

}  // namespace

Result<SuperblockChoice> choose_superblock(DataFile& file) {
    const Slot even = read_slot(file, Superblock::position_of(0));
    const Slot odd = read_slot(file, Superblock::position_of(1));
    const Slot& more_telling = even.telling >= odd.telling ? even : odd;
    const bool newer_format = !more_telling.superblock.ok() &&
                              more_telling.superblock.error().code() == ErrorCode::kUnsupported;
    if (newer_format || (!even.superblock.ok() && !odd.superblock.ok())) {
        return more_telling.superblock.error();
    }
    if (!even.superblock.ok()) return SuperblockChoice{*odd.superblock, even.superblock.error()};
    if (!odd.superblock.ok()) return SuperblockChoice{*even.superblock, odd.superblock.error()};
    if (even.superblock->database_id != odd.superblock->database_id) {
        return corrupt("the two superblocks belong to different databases", 0)
            .at(file.name(), Superblock::position_of(0));
    }
    const bool odd_is_newer = FULGUR_PLANTED("superblock_older_chosen") !=
                              (odd.superblock->checkpoint > even.superblock->checkpoint);
    return SuperblockChoice{odd_is_newer ? *odd.superblock : *even.superblock, std::nullopt};
}

Result<void> confirm_superblock(DataFile& file, const SuperblockChoice& choice) {
    if (FULGUR_PLANTED("superblock_believed_unsynced")) return {};
    // A crash while it is written again leaves what was there, or the same.
    if (Result<void> done = write_superblock(file, choice.superblock); !done) return done;
    if (Result<void> done = file.sync(); !done) return done;
    if (!choice.other || FULGUR_PLANTED("unread_superblock_left")) return {};
    constexpr std::array<char, Superblock::kEncodedSize> kBlank{};
    const std::uint64_t position = Superblock::position_of(choice.superblock.checkpoint + 1);
    Result<void> done = file.write(position / kSectorBytes, {kBlank.data(), kBlank.size()});
    return done ? file.sync() : done;
}

}  // namespace fulgur::storage
