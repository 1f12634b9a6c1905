// The superblock: the one place from which everything else in the data file is reached.
//
// There are two, in the first two blocks of the file. Checkpoint c writes slot c % 2, so that the
// one before it stays whole whatever happens to the write: after a crash at any moment at least one
// of the last two published superblocks is valid, and the log is kept back to the replay sequence
// of both. A data file that is being created has only one, which a crash may tear: create it under
// another name, sync it, and rename it.
//
// Bytes, little-endian; docs/format.md is the authority:
//
//      0  magic "FULGURDB"             56  replay sequence R
//      8  format version u32           64  newest sequence N
//     12  zero u32                     72  catalog: first sector
//     16  compatible features          80  catalog: length in bytes
//     24  read-only compatible         88  catalog: XXH3-64
//     32  incompatible                 96  file size in sectors
//     40  database id                 104  created, wall clock in ms
//     48  checkpoint number c         112  compression u8, zero u8 x 7
//                                     120  log bytes kept, then reserved, zero
//                                    4092  CRC-32C of the bytes before, u32
//
// Every later format version keeps the magic, the version, the feature bits and the CRC where they
// are, so that an older build can tell a newer file from a damaged one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "storage/data_file.h"
#include "storage/extent.h"

namespace fulgur::storage {

struct Superblock {
    static constexpr std::size_t kEncodedSize = kBlockBytes;
    static constexpr Bytes kMagic = "FULGURDB";
    static constexpr std::uint32_t kFormatVersion = 1;

    /// Feature bits that this build knows. An unknown compatible bit is harmless; with an unknown
    /// read-only compatible bit the file may be read but not written; with an unknown incompatible
    /// bit it may not be opened.
    static constexpr std::uint64_t kCompatibleKnown = 0;
    static constexpr std::uint64_t kReadOnlyCompatibleKnown = 0;
    static constexpr std::uint64_t kIncompatibleKnown = 1;
    static constexpr std::uint64_t kCompressedPages = 1;  ///< incompatible: some image is

    /// Where the catalog (meta.h) lies. `length` 0: there is none, the database is empty.
    struct Catalog {
        std::uint64_t sector = 0;
        std::uint64_t length = 0;    ///< in bytes
        std::uint64_t checksum = 0;  ///< guards against a lost or misdirected write of the catalog

        Extent extent() const { return {sector, sectors_of(length)}; }
        friend bool operator==(const Catalog&, const Catalog&) = default;
    };

    std::uint32_t format_version = kFormatVersion;
    std::uint64_t compatible = 0;
    std::uint64_t read_only_compatible = 0;
    std::uint64_t incompatible = 0;
    std::uint64_t database_id = 0;  ///< random; guards against the log of another database
    std::uint64_t checkpoint = 0;   ///< its number, from 1 on
    Sequence replay{};              ///< R: the log is replayed from R + 1
    Sequence newest{};              ///< N: a log that ends before it lost something
    Catalog catalog;
    std::uint64_t file_sectors = kFirstDataSector;  ///< everything it refers to lies before
    std::uint64_t created_ms = 0;
    /// Advice for whoever writes next and was told nothing: a Compression, or an unknown one.
    std::uint8_t compression = 0;
    std::uint64_t log_bytes_kept = 0;  ///< Advice, too: for those who follow the log.

    /// Position in the file of the superblock of checkpoint `c`, in bytes.
    static constexpr std::uint64_t position_of(std::uint64_t c) { return c % 2 * kBlockBytes; }
    bool writable() const { return (read_only_compatible & ~kReadOnlyCompatibleKnown) == 0; }

    void encode(std::span<char, kEncodedSize> to) const;

    /// Checks and decodes a block.
    /// @param position  in bytes, where `block` was read; guards against a misdirected write or
    /// read.
    /// @return kInvalid: not a Fulgur file; kUnsupported: whole, but of a newer format;
    ///         kCorruption: naming what is wrong, and `position`.
    static Result<Superblock> decode(Bytes block, std::uint64_t position);

    friend bool operator==(const Superblock&, const Superblock&) = default;
};

/// Writes it into its slot. Not durable before `file.sync()`.
Result<void> write_superblock(DataFile& file, const Superblock& superblock);

/// Which of the two counts.
struct SuperblockChoice {
    Superblock superblock;
    /// Why the other slot was not believed. After a crash this is the superblock that was being
    /// written; otherwise the disk lost it, and what is here is one checkpoint older than it could
    /// be (the log from there on is kept, so nothing committed is missing). Empty for a new file
    /// too.
    std::optional<Error> other;
};

/// Makes durable what recovery believed, before anything is built upon it: a superblock whose sync
/// failed is in the kernel's memory only, and one that was passed over because it could not be read
/// may be readable the next time, when the space it refers to is somebody else's.
Result<void> confirm_superblock(DataFile& file, const SuperblockChoice& choice);

/// Reads both slots and takes the valid one with the greater checkpoint number.
/// @return kUnsupported when either is whole and newer than this build; when neither is valid, the
///         error that says most: damaged, then unreadable, then foreign or blank.
Result<SuperblockChoice> choose_superblock(DataFile& file);

}  // namespace fulgur::storage
