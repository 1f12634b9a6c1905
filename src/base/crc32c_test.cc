#include "base/crc32c.h"

#include <string>

#include <gtest/gtest.h>

#include "base/coding.h"
#include "os/random.h"

namespace fulgur {
namespace {

std::string random_bytes(std::size_t size, std::uint64_t seed) {
    os::Random random(seed);
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.next());
    return bytes;
}

// RFC 3720, appendix B.4.
TEST(Crc32cTest, AgreesWithTheStandard) {
    std::string ascending(32, '\0');
    for (std::size_t i = 0; i < 32; ++i) ascending[i] = static_cast<char>(i);
    for (auto* function : {&crc32c, &crc32c_portable}) {
        EXPECT_EQ(function("", 0), 0U);
        EXPECT_EQ(function("123456789", 0), 0xE3069283);
        EXPECT_EQ(function(std::string(32, '\0'), 0), 0x8A9136AA);
        EXPECT_EQ(function(std::string(32, '\xFF'), 0), 0x62A8AB43);
        EXPECT_EQ(function(ascending, 0), 0x46DD794E);
    }
}

TEST(Crc32cTest, TwinsAgreeAtEachSizeAndAlignment) {
    const std::string bytes = random_bytes(40'000, 1);
    os::Random random(2);
    const auto check = [&](std::size_t begin, std::size_t size) {
        const Bytes part(bytes.data() + begin, size);
        const auto seed = static_cast<std::uint32_t>(random.next());
        ASSERT_EQ(crc32c(part, seed), crc32c_portable(part, seed)) << begin << ", " << size;
    };
    for (std::size_t size = 0; size < 900; ++size) check(size % 9, size);
    // Around the sizes where three chains begin and end.
    for (std::size_t size = 12'200; size < 12'400; ++size) check(size % 9, size);
    for (int i = 0; i < 200; ++i) check(random.below(64), random.below(39'000));
}

TEST(Crc32cTest, SeedContinues) {
    const std::string bytes = random_bytes(5000, 3);
    const std::uint32_t whole = crc32c(bytes);
    for (std::size_t cut : {0U, 1U, 7U, 8U, 100U, 768U, 4999U, 5000U}) {
        const Bytes all = bytes;
        EXPECT_EQ(crc32c(all.substr(cut), crc32c(all.substr(0, cut))), whole);
    }
}

TEST(Crc32cTest, WordsAreTheirBytes) {
    os::Random random(5);
    for (int i = 0; i < 200; ++i) {
        const auto first = static_cast<std::uint32_t>(random.next());
        const std::uint64_t words[] = {random.next(), random.next(), random.next()};
        char bytes[28];
        store_le(bytes, first);
        for (std::size_t k = 0; k < 3; ++k) store_le(bytes + 4 + 8 * k, words[k]);
        const auto seed = static_cast<std::uint32_t>(random.next());
        ASSERT_EQ(crc32c_words(first, words, seed), crc32c(Bytes(bytes, sizeof bytes), seed));
    }
}

TEST(Crc32cTest, FindsEachFlippedBit) {
    std::string bytes = random_bytes(300, 4);
    const std::uint32_t before = crc32c(bytes);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
        EXPECT_NE(crc32c(bytes), before);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
}

}  // namespace
}  // namespace fulgur
