#include "storage/log_format.h"

#include <cstring>

namespace fulgur::storage {

void SegmentHeader::encode(char* to) const {
    std::memset(to, 0, kEncodedBytes);
    store_le(to + 4, version);
    store_le(to + 8, kMagic);
    store_le(to + 16, database_id);
    store_le(to + 24, number);
    store_le(to, crc32c(Bytes(to + 4, kEncodedBytes - 4)));
}

std::optional<SegmentHeader> SegmentHeader::decode(const char* from) {
    if (load_le<std::uint64_t>(from + 8) != kMagic) return std::nullopt;
    if (load_le<std::uint32_t>(from) != crc32c(Bytes(from + 4, kEncodedBytes - 4))) {
        return std::nullopt;
    }
    SegmentHeader header;
    header.version = load_le<std::uint32_t>(from + 4);
    header.database_id = load_le<std::uint64_t>(from + 16);
    header.number = load_le<std::uint32_t>(from + 24);
    if (header.number == 0) return std::nullopt;
    return header;
}

std::uint32_t fragment_key(std::uint64_t database_id) {
    char id[8];
    store_le(id, database_id);
    return crc32c(Bytes(id, sizeof id));
}

std::optional<FragmentHeader> FragmentHeader::decode_found(const char* from, std::uint32_t key) {
    if (load_le<std::uint32_t>(from) != crc32c(Bytes(from + 4, kEncodedBytes - 4), key)) {
        return std::nullopt;
    }
    FragmentHeader header;
    header.body_crc = load_le<std::uint32_t>(from + 4);
    header.length = load_le<std::uint32_t>(from + 8);
    header.type = load_le<FragmentType>(from + 12);
    header.index = load_le<std::uint16_t>(from + 14);
    header.position = load_le<LogPosition>(from + 16);
    header.sequence = load_le<Sequence>(from + 24);
    header.synced = load_le<LogPosition>(from + 32);
    const bool known = header.type >= FragmentType::kFull && header.type <= FragmentType::kEnd;
    if (!known || from[13] != 0 || header.length > kFragmentBodyBytesMax ||
        header.synced > header.position || offset_of(header.position) % 8 != 0) {
        return std::nullopt;
    }
    return header;
}

void LinkBody::encode(char* to) const {
    store_le(to, previous_end);
    store_le(to + 8, std::uint64_t{0});
}

std::optional<LinkBody> LinkBody::decode(Bytes body) {
    if (body.size() != kEncodedBytes) return std::nullopt;
    return LinkBody{load_le<LogPosition>(body.data())};
}

}  // namespace fulgur::storage
