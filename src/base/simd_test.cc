#include "base/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "os/random.h"

namespace fulgur {
namespace {

std::uint64_t match_by_definition(const char* block, std::uint8_t value) {
    std::uint64_t mask = 0;
    for (std::uint64_t i = 0; i < 64; ++i) {
        if (static_cast<std::uint8_t>(block[i]) == value) mask |= std::uint64_t{1} << i;
    }
    return mask;
}

void expect_all_agree(const char* block, std::uint8_t value) {
    const std::uint64_t expected = match_by_definition(block, value);
    ASSERT_EQ(match_bytes64(block, value), expected);
    ASSERT_EQ(match_bytes64_portable(block, value), expected);
#if defined(__x86_64__)
    ASSERT_EQ(match_bytes64_sse2(block, value), expected);
    if (__builtin_cpu_supports("avx2")) {
        ASSERT_EQ(match_bytes64_avx2(block, value), expected);
    }
    if (__builtin_cpu_supports("avx512bw")) {
        ASSERT_EQ(match_bytes64_avx512(block, value), expected);
    }
#elif defined(__aarch64__)
    ASSERT_EQ(match_bytes64_neon(block, value), expected);
#endif
}

TEST(SimdTest, FindsOneByteAtEachPlace) {
    for (std::size_t place = 0; place < 64; ++place) {
        alignas(64) char block[64] = {};
        block[place] = '\x80';
        expect_all_agree(block, 0x80);
        expect_all_agree(block, 0x00);
        expect_all_agree(block, 0x01);
    }
}

TEST(SimdTest, TwinsAgreeOnAllValues) {
    os::Random random(1);
    for (int round = 0; round < 3000; ++round) {
        alignas(64) char block[64];
        // Few different bytes, neighbours of each other, so that carries between bytes would show.
        const auto base = static_cast<std::uint8_t>(random.next());
        for (char& c : block) c = static_cast<char>(base + random.below(3));
        for (std::uint8_t i = 0; i < 4; ++i) {
            expect_all_agree(block, static_cast<std::uint8_t>(base + i));
        }
        expect_all_agree(block, static_cast<std::uint8_t>(base ^ 0x80));
    }
}

TEST(SimdTest, CountsSortedWordsBelowAValue) {
    os::Random random(7);
    for (int round = 0; round < 2000; ++round) {
        alignas(64) std::array<std::uint64_t, 64> words;
        words.fill(~std::uint64_t{0});
        const std::size_t lines = random.below(2) == 0 ? 4 : 8;
        const std::size_t used = random.below(lines * 8 + 1);
        const std::uint64_t range = random.below(2) == 0 ? 8 : ~std::uint64_t{0};
        for (std::size_t i = 0; i < used; ++i) words[i] = random.below(range);
        std::sort(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(used));
        for (const std::uint64_t value :
             {std::uint64_t{0}, random.below(range), words[used / 2], ~std::uint64_t{0}}) {
            const auto expected = static_cast<std::size_t>(
                std::count_if(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(used),
                              [&](std::uint64_t word) { return word < value; }));
            ASSERT_EQ(count_below_sorted(words.data(), lines * 8, value), expected);
            ASSERT_EQ(count_below_sorted_portable(words.data(), lines * 8, value), expected);
            const auto below = [&](std::size_t first) {
                return std::count_if(words.begin(),
                                     words.begin() + static_cast<std::ptrdiff_t>(first),
                                     [&](std::uint64_t word) { return word < value; });
            };
            ASSERT_EQ(count_below8(words.data(), value), below(8));
        }
    }
}

}  // namespace
}  // namespace fulgur
