#pragma once

#include <cstdint>

#include "storage/tree_node.h"

namespace fulgur::storage {

/// What the allocator hands out whole: the unit in which today's devices write. A block that holds
/// anybody's live bytes is never written again (docs/decisions/0003-sectors-and-blocks.md).
inline constexpr std::uint64_t kBlockBytes = 4096;
inline constexpr std::uint64_t kBlockSectors = kBlockBytes / kSectorBytes;

/// The two superblocks take the first two blocks of the data file.
inline constexpr std::uint64_t kFirstDataSector = 2 * kBlockSectors;

/// A file position is a signed 64-bit number of bytes: sectors beyond this cannot exist.
inline constexpr std::uint64_t kSectorsMax = (std::uint64_t{1} << 63) / kSectorBytes;

constexpr std::uint64_t sectors_of(std::uint64_t bytes) {
    return bytes / kSectorBytes + (bytes % kSectorBytes != 0 ? 1 : 0);
}

/// A run of sectors in the data file.
struct Extent {
    std::uint64_t sector = 0;
    std::uint64_t sectors = 0;

    constexpr std::uint64_t end() const { return sector + sectors; }
    constexpr std::uint64_t bytes() const { return sectors * kSectorBytes; }
    constexpr bool overlaps(Extent other) const {
        return sector < other.end() && other.sector < end();
    }
    /// It is not empty and lies in the data part of a file of `file_sectors` (no overflow).
    constexpr bool within(std::uint64_t file_sectors) const {
        return sectors != 0 && sector >= kFirstDataSector && sector <= file_sectors &&
               sectors <= file_sectors - sector;
    }
    friend constexpr bool operator==(Extent, Extent) = default;
};

/// A released extent that an older superblock still refers to; space.h says how it becomes free.
struct PendingExtent {
    std::uint64_t sector = 0;
    std::uint64_t sectors = 0;
    std::uint64_t tag = 0;  ///< number of the first checkpoint that does not refer to it

    constexpr Extent extent() const { return {sector, sectors}; }
    friend constexpr bool operator==(PendingExtent, PendingExtent) = default;
};

}  // namespace fulgur::storage
