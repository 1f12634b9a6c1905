// The decoders of superblocks and of the catalog. The first byte of an input says which: 'M' for
// the catalog, anything else for a superblock, whose end is made of zeros and whose CRC is then
// made right, so that what lies behind the check is reached. What decodes must come back the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "storage/meta.h"
#include "storage/superblock.h"

using fulgur::Bytes;
using fulgur::storage::Meta;
using fulgur::storage::Superblock;

namespace {

void require(bool held) {
    if (!held) std::abort();
}

void superblock(Bytes input) {
    std::string block(Superblock::kEncodedSize, '\0');
    std::memcpy(block.data(), input.data(), std::min(input.size(), block.size()));
    for (const bool right : {false, true}) {
        if (right) {
            const std::size_t crc_at = block.size() - 4;
            fulgur::store_le(&block[crc_at], fulgur::crc32c(Bytes(block).substr(0, crc_at)));
        }
        for (const std::uint64_t position : {0, 4096}) {
            const auto decoded = Superblock::decode(block, position);
            if (!decoded.ok()) continue;
            std::string again(Superblock::kEncodedSize, '\xee');
            decoded->encode(std::span<char, Superblock::kEncodedSize>(again));
            require(Superblock::decode(again, position).value() == *decoded);
            require(decoded->checkpoint % 2 == position / 4096);
            require(decoded->catalog.extent().end() <= decoded->file_sectors);
        }
    }
    const auto as_it_is = Superblock::decode(input, 0);  // Of any size.
    require(!as_it_is.ok() || input.size() == Superblock::kEncodedSize);
}

void catalog(Bytes input) {
    for (const std::uint64_t file_sectors : {std::uint64_t{320}, fulgur::storage::kSectorsMax}) {
        const auto decoded = Meta::decode(input, file_sectors);
        if (!decoded.ok()) continue;
        // Padding and one unused byte in a page reference are all that may be lost.
        require(decoded->encoded_size() <= input.size());
        const std::string again = decoded->encode(input.size());
        require(Meta::decode(again, file_sectors).value().encode(input.size()) == again);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // A copy of exactly its size, so that the address sanitizer sees a read past the end.
    const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] == 'M') {
        catalog(input);
    } else {
        superblock(input);
    }
    return 0;
}
