#include "os/arena.h"

#include <cstring>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "base/sanitizer.h"
#include "os/random.h"

namespace fulgur::os {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::uint64_t free_bytes(const Arena::Usage& usage) {
    std::uint64_t bytes = 0;
    for (std::size_t k = 0; k < Arena::kClasses; ++k) {
        bytes += usage.free_frames[k] * (Arena::kFrameBytesMin << k);
    }
    return bytes;
}

void expect_adds_up(const Arena& arena) {
    const Arena::Usage usage = arena.usage();
    EXPECT_EQ(usage.in_use + free_bytes(usage), usage.carved);
    EXPECT_LE(usage.carved, usage.reserved);
}

TEST(ArenaTest, RoundsToFrameClasses) {
    EXPECT_EQ(Arena::frame_bytes(1), 8192U);
    EXPECT_EQ(Arena::frame_bytes(8192), 8192U);
    EXPECT_EQ(Arena::frame_bytes(8193), 16384U);
    EXPECT_EQ(Arena::frame_bytes(Arena::kFrameBytesMax), Arena::kFrameBytesMax);
    EXPECT_EQ(Arena::frame_bytes(Arena::kFrameBytesMax + 1), Arena::kFrameBytesMax + 4096);
}

// Against a map of what is handed out: aligned, apart from each other, contents kept.
TEST(ArenaTest, FramesNeverOverlap) {
    constexpr std::uint64_t kSeed = 11;
    SCOPED_TRACE(kSeed);
    Random random(kSeed);
    Arena arena(64 * kMiB);
    struct Frame {
        std::size_t bytes;
        char mark;
    };
    std::map<char*, Frame> frames;
    for (int step = 0; step < 20'000; ++step) {
        if (random.below(100) < 52) {
            const std::size_t bytes = Arena::kFrameBytesMin << random.below(random.below(7) + 1);
            char* const p = arena.allocate(bytes);
            if (p == nullptr) continue;
            ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % bytes, 0U);
            const auto next = frames.lower_bound(p);
            if (next != frames.end()) {
                ASSERT_GE(next->first, p + bytes);
            }
            if (next != frames.begin()) {
                const auto before = std::prev(next);
                ASSERT_LE(before->first + before->second.bytes, p);
            }
            const char mark = static_cast<char>(random.next());
            p[0] = mark;
            p[bytes - 1] = mark;
            frames[p] = {bytes, mark};
        } else if (!frames.empty()) {
            auto entry = frames.begin();
            std::advance(entry, random.below(std::min<std::size_t>(frames.size(), 50)));
            const auto [p, frame] = *entry;
            ASSERT_EQ(p[0], frame.mark);
            ASSERT_EQ(p[frame.bytes - 1], frame.mark);
            arena.free(p, frame.bytes);
            frames.erase(entry);
        }
        if (step % 1000 == 0) expect_adds_up(arena);
    }
    for (const auto& [p, frame] : frames) arena.free(p, frame.bytes);
    expect_adds_up(arena);
    EXPECT_EQ(arena.usage().in_use, 0U);
}

TEST(ArenaTest, BuddiesJoinAgain) {
    Arena arena(4 * kMiB);
    std::vector<char*> frames;
    while (char* const p = arena.allocate(8192)) frames.push_back(p);
    EXPECT_EQ(frames.size(), 4 * kMiB / 8192);
    for (char* const p : frames) arena.free(p, 8192);
    // All of it can be had in the largest frames, though it was all in the smallest.
    frames.clear();
    while (char* const p = arena.allocate(Arena::kFrameBytesMax)) frames.push_back(p);
    EXPECT_EQ(frames.size(), 4 * kMiB / Arena::kFrameBytesMax);
    for (char* const p : frames) arena.free(p, Arena::kFrameBytesMax);
}

TEST(ArenaTest, UsesWhatIsFreeBeforeItCarves) {
    Arena arena(64 * kMiB);
    std::vector<char*> frames;
    for (int i = 0; i < 1000; ++i) frames.push_back(arena.allocate(8192));
    const std::uint64_t carved = arena.usage().carved;
    for (int round = 0; round < 50; ++round) {
        for (char*& p : frames) arena.free(p, 8192);
        for (char*& p : frames) p = arena.allocate(8192);
    }
    EXPECT_EQ(arena.usage().carved, carved);
    for (char* const p : frames) arena.free(p, 8192);
}

TEST(ArenaTest, ExhaustionIsNullAndPasses) {
    Arena arena(2 * kMiB);
    std::vector<char*> frames;
    while (char* const p = arena.allocate(65536)) frames.push_back(p);
    EXPECT_EQ(frames.size(), 32U);
    EXPECT_EQ(arena.allocate(8192), nullptr);
    arena.free(frames.back(), 65536);
    EXPECT_EQ(arena.allocate(131072), nullptr);
    char* const small = arena.allocate(8192);
    EXPECT_NE(small, nullptr);
    Arena empty(0);
    EXPECT_EQ(empty.allocate(8192), nullptr);
}

TEST(ArenaTest, RefusedReserveIsAnEmptyArena) {
    Arena arena(std::uint64_t{1} << 44);  // Above what a 47-bit address space may give: or not.
    if (char* const p = arena.allocate(8192)) p[0] = 1;
}

TEST(ArenaTest, LargeFramesAreMappingsOfTheirOwn) {
    Arena arena(2 * kMiB);
    char* const p = arena.allocate(5 * kMiB + 1);
    ASSERT_NE(p, nullptr);
    p[0] = p[5 * kMiB] = 'x';
    EXPECT_EQ(arena.usage().large, 5 * kMiB + 4096);
    EXPECT_EQ(arena.usage().carved, 0U);
    arena.free(p, 5 * kMiB + 1);
    EXPECT_EQ(arena.usage().large, 0U);
}

#if defined(FULGUR_ADDRESS_SANITIZER)
TEST(ArenaDeathTest, StaleViewIsFound) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    Arena arena(2 * kMiB);
    volatile char* const p = arena.allocate(8192);
    arena.free(const_cast<char*>(p), 8192);
    EXPECT_DEATH(p[100] = 1, "use-after-poison");
}
#endif

TEST(ArenaTest, ThreadsShareItBesideTheToucher) {
    Arena arena(128 * kMiB);
    arena.start_toucher(arena.usage().reserved).value();
    {
        std::vector<Thread> threads;
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            threads.emplace_back("arena-test", [&arena, seed] {
                Random random(seed);
                std::vector<std::pair<char*, std::size_t>> mine;
                for (int step = 0; step < 4000; ++step) {
                    if (random.below(2) == 0 || mine.empty()) {
                        const std::size_t bytes = Arena::kFrameBytesMin << random.below(4);
                        char* const p = arena.allocate(bytes);
                        if (p == nullptr) continue;
                        std::memset(p, static_cast<int>(seed), 64);
                        mine.emplace_back(p, bytes);
                    } else {
                        std::swap(mine[random.below(mine.size())], mine.back());
                        const auto [p, bytes] = mine.back();
                        mine.pop_back();
                        for (int i = 0; i < 64; ++i) ASSERT_EQ(p[i], static_cast<char>(seed));
                        arena.free(p, bytes);
                    }
                }
                for (const auto& [p, bytes] : mine) arena.free(p, bytes);
            });
        }
    }
    expect_adds_up(arena);
    EXPECT_EQ(arena.usage().in_use, 0U);
}

TEST(ArenaTest, ToucherKeepsContents) {
    Arena arena(32 * kMiB);
    char* const before = arena.allocate(Arena::kFrameBytesMax);
    std::memset(before, 'b', Arena::kFrameBytesMax);
    arena.start_toucher(arena.usage().reserved).value();
    for (int wait = 0; wait < 200 && arena.usage().touched < 4 * kMiB; ++wait) sleep_us(1000);
    for (std::size_t i = 0; i < Arena::kFrameBytesMax; ++i) ASSERT_EQ(before[i], 'b');
}

}  // namespace
}  // namespace fulgur::os
