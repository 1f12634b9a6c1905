#include "base/coding.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "os/random.h"

namespace fulgur {
namespace {

TEST(CodingTest, StoresLittleEndianAtAnyAlignment) {
    char bytes[16] = {};
    store_le(bytes + 1, std::uint32_t{0x04030201});
    EXPECT_EQ(std::string(bytes + 1, 4), "\x01\x02\x03\x04");
    store_le(bytes + 3, std::uint64_t{0x8877665544332211});
    EXPECT_EQ(load_le<std::uint64_t>(bytes + 3), 0x8877665544332211);
    EXPECT_EQ(load_le<std::uint16_t>(bytes + 3), 0x2211);
    EXPECT_EQ(load_le<std::uint8_t>(bytes + 10), 0x88);
}

TEST(CodingTest, KeepsSignsAndEnumerators) {
    enum class Kind : std::uint8_t { kA = 7 };
    char bytes[8];
    store_le(bytes, std::int64_t{-2});
    EXPECT_EQ(load_le<std::int64_t>(bytes), -2);
    store_le(bytes, Kind::kA);
    EXPECT_EQ(load_le<Kind>(bytes), Kind::kA);
    store_le(bytes, Sequence{77});
    EXPECT_EQ(load_le<Sequence>(bytes), Sequence{77});
}

TEST(CodingTest, HeadIsTheFirstEightBytesPaddedWithZeros) {
    const std::string key = "\xFF\x01\x02\x03\x04\x05\x06\x07\x08\x09";
    for (std::size_t n = 0; n <= key.size(); ++n) {
        std::uint64_t expected = 0;
        for (std::size_t i = 0; i < 8; ++i) {
            const auto byte = i < n ? static_cast<std::uint8_t>(key[i]) : std::uint8_t{0};
            expected = expected << 8 | byte;
        }
        // A copy of its own size: the address sanitizer sees a read past the end.
        const std::string copy = key.substr(0, n);
        EXPECT_EQ(load_be64_prefix(copy), expected) << n << " bytes";
    }
}

TEST(CodingTest, HeadsOrderAsKeys) {
    os::Random random(7);
    for (int i = 0; i < 20'000; ++i) {
        std::string a(random.below(11), '\0');
        std::string b(random.below(11), '\0');
        for (char& c : a) c = static_cast<char>(random.below(3) * 127);
        for (char& c : b) c = static_cast<char>(random.below(3) * 127);
        const std::uint64_t head_a = load_be64_prefix(a);
        const std::uint64_t head_b = load_be64_prefix(b);
        if (head_a != head_b) {
            EXPECT_EQ(head_a < head_b, a < b);
        }
    }
}

TEST(CodingTest, RoundsToPowersOfTwo) {
    EXPECT_EQ(round_up(std::uint64_t{0}, 512), 0U);
    EXPECT_EQ(round_up(std::uint64_t{1}, 512), 512U);
    EXPECT_EQ(round_up(std::uint64_t{512}, 512), 512U);
    EXPECT_EQ(round_up(std::uint64_t{513}, 512), 1024U);
    EXPECT_EQ(round_down(std::uint32_t{511}, 512), 0U);
    EXPECT_EQ(round_down(std::uint32_t{1023}, 512), 512U);
}

TEST(HashTest, IsXxh3AsOnDisk) {
    // Published values of XXH3-64 with seed 0: these may never change.
    EXPECT_EQ(hash64(""), 0x2D06800538D394C2);
    EXPECT_NE(hash64("a"), hash64("b"));
    EXPECT_EQ(hash64(std::string(100, 'x')), hash64(std::string(100, 'x')));
}

}  // namespace
}  // namespace fulgur
