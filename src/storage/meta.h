// The catalog of one checkpoint: keyspaces, free space, pending space. One extent, written whole,
// its checksum in the superblock.
//
// Bytes, little-endian, no gaps; docs/format.md is the authority:
//
//   header     0 next keyspace id u32 | 4 keyspaces u32 | 8 free extents u64
//              16 pending extents u64
//   keyspace   0 id u32 | 4 height u32 | 8 flags u8 | 9 name size u8 | 10 zero u16
//              12 inner extents u32 | 16 root PageRef (80) | 96 name
//              then its inner extents {sector u64, sectors u64}
//   free       {sector u64, sectors u64}
//   pending    {sector u64, sectors u64, tag u64}
//   zeros      to the length that the superblock states
//
// The padding solves a riddle: the catalog lists free space and takes space itself. Its extent is
// allocated first, with room to spare, then the lists are taken, and the catalog is padded to fill
// the extent exactly; so the superblock's length says which sectors it owns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "storage/extent.h"

namespace fulgur::storage {

/// A named tree, as a checkpoint knows it.
struct KeyspaceMeta {
    static constexpr std::uint8_t kDropped = 1;  ///< flags: the walker frees its pages bit by bit

    std::uint32_t id = 0;
    std::uint8_t flags = 0;
    std::string name;          ///< 1 to kKeyspaceNameBytesMax bytes; unique among the not dropped
    PageRef root;              ///< sector 0: the tree is empty
    std::uint32_t height = 0;  ///< levels; 0 for an empty tree
    /// Extents of the inner pages of level 2 and up: the next walk replaces them all, and should
    /// not have to visit them to know where they are. In any order.
    std::vector<Extent> upper;

    bool dropped() const { return (flags & kDropped) != 0; }
};

struct Meta {
    std::uint32_t next_keyspace_id = 0;  ///< never used again: tells dropped from lost
    std::vector<KeyspaceMeta> keyspaces;
    std::vector<Extent> free;            ///< by sector
    std::vector<PendingExtent> pending;  ///< by sector

    std::size_t encoded_size() const;
    /// @param padded_size  zeros are added up to it; at least encoded_size(), or 0 for no padding.
    std::string encode(std::size_t padded_size = 0) const;

    /// Never allocates more than a small multiple of `bytes`.
    /// @param file_sectors  from the superblock: extents beyond it are damage.
    /// @return kCorruption naming what is wrong and the byte in the catalog: out of bounds, unknown
    ///         flags, an id or a name twice, extents out of order or overlapping.
    static Result<Meta> decode(Bytes bytes, std::uint64_t file_sectors);
};

}  // namespace fulgur::storage
