#include "storage/log_format.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace fulgur::storage {
namespace {

FragmentHeader example() {
    FragmentHeader header;
    header.body_crc = 0x04030201;
    header.length = 0x00070605;
    header.type = FragmentType::kMiddle;
    header.index = 0xC0B;
    header.position = log_position(0x14131211, 0x100F0E0D & ~7U);
    header.sequence = Sequence{0x201F1E1D'1C1B1A19};
    header.synced = LogPosition{0x10000000'24232221};
    return header;
}

constexpr std::uint32_t kKey = 0x5A5AA5A5;

/// As the table at the head of log_format.h has it, field by field.
TEST(LogFormatTest, FragmentHeaderHasTheBytesOfTheFormat) {
    const FragmentHeader header = example();
    std::array<char, FragmentHeader::kEncodedBytes> expected{};
    store_le(expected.data() + 4, std::uint32_t{0x04030201});
    store_le(expected.data() + 8, std::uint32_t{0x00070605});
    store_le(expected.data() + 12, std::uint8_t{3});
    store_le(expected.data() + 13, std::uint8_t{0});
    store_le(expected.data() + 14, std::uint16_t{0xC0B});
    store_le(expected.data() + 16, std::uint64_t{0x14131211'100F0E08});
    store_le(expected.data() + 24, std::uint64_t{0x201F1E1D'1C1B1A19});
    store_le(expected.data() + 32, std::uint64_t{0x10000000'24232221});
    store_le(expected.data(), crc32c(Bytes(expected.data() + 4, 36), kKey));

    std::array<char, FragmentHeader::kEncodedBytes> encoded{};
    encoded.fill('\xEE');
    header.encode(encoded.data(), kKey);
    EXPECT_EQ(encoded, expected);
}

TEST(LogFormatTest, FragmentHeaderIsReadAsWrittenAndOnlyThere) {
    const FragmentHeader header = example();
    std::string encoded(FragmentHeader::kEncodedBytes, '\0');
    header.encode(encoded.data(), kKey);
    const auto decoded = FragmentHeader::decode(encoded.data(), kKey, header.position);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->body_crc, header.body_crc);
    EXPECT_EQ(decoded->length, header.length);
    EXPECT_EQ(decoded->type, header.type);
    EXPECT_EQ(decoded->index, header.index);
    EXPECT_EQ(decoded->position, header.position);
    EXPECT_EQ(decoded->sequence, header.sequence);
    EXPECT_EQ(decoded->synced, header.synced);

    EXPECT_FALSE(FragmentHeader::decode(encoded.data(), kKey + 1, header.position));
    const LogPosition elsewhere{static_cast<std::uint64_t>(header.position) + 8};
    EXPECT_FALSE(FragmentHeader::decode(encoded.data(), kKey, elsewhere));
    for (std::size_t bit = 0; bit < 8 * encoded.size(); ++bit) {
        std::string flipped = encoded;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        EXPECT_FALSE(FragmentHeader::decode(flipped.data(), kKey, header.position)) << bit;
    }
}

}  // namespace
}  // namespace fulgur::storage
