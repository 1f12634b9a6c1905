#include "storage/tree_node.h"

namespace fulgur::storage {

// docs/format.md section 5.4: the fields in their order, one zero byte after the flags.
//    0 sector u64     8 length u32     12 codec u8    13 level u8   14 flags u8   15 zero
//   16 checksum u64  24 checkpoint    32 newest      40 count u32  44 memory length u32
//   48 delta sector  56 delta length u32  60 delta count u32  64 delta checksum  72 delta newest

void PageRef::encode(char* to) const {
    store_le(to, sector);
    store_le(to + 8, length);
    store_le(to + 12, codec);
    store_le(to + 13, level);
    store_le(to + 14, flags);
    store_le(to + 15, std::uint8_t{0});
    store_le(to + 16, checksum);
    store_le(to + 24, checkpoint);
    store_le(to + 32, newest);
    store_le(to + 40, count);
    store_le(to + 44, memory_length);
    store_le(to + 48, delta_sector);
    store_le(to + 56, delta_length);
    store_le(to + 60, delta_count);
    store_le(to + 64, delta_checksum);
    store_le(to + 72, delta_newest);
}

PageRef PageRef::decode(const char* from) {
    PageRef ref;
    ref.sector = load_le<std::uint64_t>(from);
    ref.length = load_le<std::uint32_t>(from + 8);
    ref.codec = load_le<std::uint8_t>(from + 12);
    ref.level = load_le<std::uint8_t>(from + 13);
    ref.flags = load_le<std::uint8_t>(from + 14);
    ref.checksum = load_le<std::uint64_t>(from + 16);
    ref.checkpoint = load_le<std::uint64_t>(from + 24);
    ref.newest = load_le<std::uint64_t>(from + 32);
    ref.count = load_le<std::uint32_t>(from + 40);
    ref.memory_length = load_le<std::uint32_t>(from + 44);
    ref.delta_sector = load_le<std::uint64_t>(from + 48);
    ref.delta_length = load_le<std::uint32_t>(from + 56);
    ref.delta_count = load_le<std::uint32_t>(from + 60);
    ref.delta_checksum = load_le<std::uint64_t>(from + 64);
    ref.delta_newest = load_le<std::uint64_t>(from + 72);
    return ref;
}

}  // namespace fulgur::storage
