#include "storage/space.h"

#include <gtest/gtest.h>

#include <atomic>

#include "os/random.h"
#include "os/thread.h"

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kFirst = kFirstDataSector;
constexpr std::uint64_t kNobody = SpaceManager::kNoPins;

Meta persisted(const SpaceManager& space, std::uint64_t c) {
    Meta meta;
    EXPECT_EQ(space.persist(c, meta), space.file_sectors());
    return meta;
}

std::vector<Extent> extents_of(const std::vector<PendingExtent>& pending) {
    std::vector<Extent> extents;
    for (const PendingExtent& entry : pending) extents.push_back(entry.extent());
    return extents;
}

using Extents = std::vector<Extent>;

TEST(SpaceTest, GrowsAnEmptyFileFromTheFirstDataSector) {
    SpaceManager space;
    const Extent run = space.allocate_blocks(1, 64).value();
    EXPECT_EQ(run, (Extent{kFirst, 64}));
    EXPECT_EQ(space.file_sectors(), kFirst + 64);
}

TEST(SpaceTest, HandsOutWholeBlocksForAnyNumberOfSectors) {
    SpaceManager space;
    for (const std::uint64_t sectors : {1, 7, 8, 9, 15, 16, 17}) {
        const Extent run = space.allocate_blocks(sectors, sectors).value();
        EXPECT_EQ(run.sector % kBlockSectors, 0U);
        EXPECT_EQ(run.sectors, round_up(sectors, kBlockSectors));
    }
}

TEST(SpaceTest, KeepsABlockBackWhileOneSectorOfItIsInUse) {
    SpaceManager space;
    const std::uint64_t sector = space.allocate(3).value();  // Five sectors of the block are free.
    EXPECT_EQ(space.stats().free_sectors, 5U);
    EXPECT_NE(space.allocate(1).value(), sector);
    EXPECT_EQ(space.file_sectors(), kFirst + 16);
    space.give_back({sector, 3});
    EXPECT_EQ(space.allocate(8).value(), sector);
}

TEST(SpaceTest, PrefersTheLowestRunThatFitsWhole) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(800, 800)->sector, kFirst);
    space.give_back({kFirst + 8, 16});     // 2 blocks
    space.give_back({kFirst + 80, 80});    // 10 blocks
    space.give_back({kFirst + 400, 160});  // 20 blocks
    EXPECT_EQ(space.allocate_blocks(8, 64).value(), (Extent{kFirst + 80, 64}));
    EXPECT_EQ(space.allocate_blocks(8, 64).value(), (Extent{kFirst + 400, 64}));
    // Nothing holds 20 blocks any more: the largest that is there, before the file grows.
    EXPECT_EQ(space.allocate_blocks(8, 160).value(), (Extent{kFirst + 464, 96}));
    EXPECT_EQ(space.allocate_blocks(8, 160).value(), (Extent{kFirst + 8, 16}));
}

TEST(SpaceTest, GrowsFromAFreeTailThatIsTooShort) {
    SpaceManager space;
    ASSERT_TRUE(space.allocate(80).ok());
    space.give_back({kFirst + 60, 20});  // Whole blocks from kFirst + 64 on.
    EXPECT_EQ(space.allocate_blocks(40, 40).value(), (Extent{kFirst + 64, 40}));
    EXPECT_EQ(space.file_sectors(), kFirst + 104);
    EXPECT_EQ(space.stats().free_sectors, 4U);
}

TEST(SpaceTest, IsFullAtTheCapacityAndNotBefore) {
    SpaceManager space(kFirst + 24);
    EXPECT_EQ(space.allocate_blocks(8, 800)->sectors, 24U);  // As much as there is.
    const Result<Extent> more = space.allocate_blocks(1, 1);
    ASSERT_FALSE(more.ok());
    EXPECT_EQ(more.error().code(), ErrorCode::kNoSpace);
    EXPECT_FALSE(space.allocate(~std::uint64_t{0}).ok());
    space.give_back({kFirst + 8, 8});
    EXPECT_EQ(space.allocate(8).value(), kFirst + 8);
}

TEST(SpaceTest, ReusesAReleasedExtentOnlyAfterTwoPublishes) {
    SpaceManager space;
    const Extent extent = space.allocate_blocks(8, 8).value();
    space.published(1, kNobody);
    space.release(extent, 2, 0);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.published(2, kNobody);  // Superblock 1 refers to it and may still be needed.
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.published(3, kNobody);
    EXPECT_EQ(space.stats().pending_sectors, 0U);
    EXPECT_EQ(space.allocate_blocks(8, 8).value(), extent);
}

TEST(SpaceTest, WaitsForPinsThatAreNotNewerThanTheRelease) {
    SpaceManager space;
    const Extent extent = space.allocate_blocks(8, 8).value();
    space.release(extent, 1, 40);
    space.published(1, kNobody);
    space.published(2, 40);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.collect(40);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.collect(41);
    EXPECT_EQ(space.stats().pending_sectors, 0U);
}

TEST(SpaceTest, LetsWhatNoSuperblockKnewWaitForPinsAlone) {
    SpaceManager space;
    const Extent extent = space.allocate_blocks(8, 8).value();
    space.release(extent, SpaceManager::kNeverPublished, 7);
    space.collect(7);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.collect(8);
    EXPECT_EQ(space.stats().free_sectors, 8U);
}

TEST(SpaceTest, ListsPendingByWhoStillRefersToIt) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(80, 80)->sector, kFirst);
    space.published(4, kNobody);
    space.release({kFirst, 8}, 4, 0);        // 4 does not refer to it, 3 did: 3's slot goes to 5.
    space.release({kFirst + 16, 8}, 5, 0);   // 4 refers to it, 5 does not.
    space.release({kFirst + 32, 8}, 6, 0);   // 5 refers to it still.
    space.release({kFirst + 48, 8}, 0, 90);  // Nobody ever did; a pin does not survive a crash.
    const Meta meta = persisted(space, 5);
    EXPECT_EQ(meta.free, (Extents{{kFirst, 8}, {kFirst + 48, 8}}));
    EXPECT_EQ(meta.pending, (std::vector<PendingExtent>{{kFirst + 16, 8, 5}}));
}

TEST(SpaceTest, ListsUnemittedSpaceAsFreeUntilAnImageRefersToIt) {
    SpaceManager space;
    const std::uint64_t sector = space.allocate(8, SpaceManager::Emission::kLater).value();
    EXPECT_EQ(persisted(space, 1).free, (Extents{{sector, 8}}));
    EXPECT_EQ(space.stats().used_sectors, 8U);
    space.note_emitted({sector, 8});
    EXPECT_EQ(persisted(space, 1).free, Extents{});
    space.note_unemitted({sector, 8});
    EXPECT_EQ(persisted(space, 1).free, (Extents{{sector, 8}}));
}

TEST(SpaceTest, DoesNotLoseAValueThatIsDroppedBeforeAnyImageRefersToIt) {
    SpaceManager space;
    const std::uint64_t sector = space.allocate(8, SpaceManager::Emission::kLater).value();
    space.release({sector, 8}, 2, 0);  // During checkpoint 1, which never met it.
    EXPECT_EQ(persisted(space, 1).free, (Extents{{sector, 8}}));
    space.published(1, kNobody);
    const Meta second = persisted(space, 2);  // The log after 1 may name it: 1 is still protected.
    EXPECT_EQ(second.free, Extents{});
    EXPECT_EQ(extents_of(second.pending), (Extents{{sector, 8}}));
}

TEST(SpaceTest, RetagsWhatAnAbandonedCheckpointHeld) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(16, 16)->sector, kFirst);
    space.published(1, kNobody);
    space.release({kFirst, 8}, 3, 0);  // While 2 was being written.
    EXPECT_EQ(persisted(space, 2).pending, std::vector<PendingExtent>{});
    CheckpointClock clock;
    space.abandoned(clock, 2);
    EXPECT_EQ(clock.number(), 2U);
    EXPECT_EQ(persisted(space, 2).pending, (std::vector<PendingExtent>{{kFirst, 8, 2}}));
    space.published(2, kNobody);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    space.published(3, kNobody);
    EXPECT_EQ(space.stats().pending_sectors, 0U);
}

TEST(SpaceTest, TakesExactlyWhatIsFree) {
    SpaceManager space;
    Meta meta;
    meta.free = {{kFirst + 3, 20}};
    ASSERT_TRUE(space.load(meta, 1, kFirst + 40).ok());
    EXPECT_FALSE(space.take({kFirst, 8}));
    EXPECT_FALSE(space.take({kFirst + 20, 8}));
    EXPECT_FALSE(space.take({kFirst + 8, 0}));
    EXPECT_FALSE(space.take({8, 8}));  // A superblock.
    EXPECT_TRUE(space.take({kFirst + 8, 9}));
    EXPECT_FALSE(space.take({kFirst + 8, 9}));
    EXPECT_EQ(space.stats().free_sectors, 11U);
}

TEST(SpaceTest, TakesBeyondTheKnownEndOfTheFile) {
    SpaceManager space;
    Meta meta;
    meta.free = {{kFirst + 32, 8}};
    ASSERT_TRUE(space.load(meta, 1, kFirst + 40).ok());
    EXPECT_TRUE(space.take({kFirst + 80, 5}));
    EXPECT_EQ(space.file_sectors(), kFirst + 88);
    EXPECT_TRUE(space.take({kFirst + 80 - 16, 16}));  // The gap before it is free.
    EXPECT_TRUE(space.take({kFirst + 85, 8}));        // From its last block across the end.
    EXPECT_EQ(space.file_sectors(), kFirst + 96);
    EXPECT_FALSE(space.take({kFirst + 24, 8000}));  // Across the end, but it begins in used space.
    EXPECT_FALSE(space.take({~std::uint64_t{0} - 4, 8}));
    EXPECT_EQ(space.file_sectors(), kFirst + 96);
}

TEST(SpaceTest, TakesWhatWasReusedUnderASuperblockThatIsLost) {
    SpaceManager space;  // Recovery from 6, because 7 is damaged; 7's publish had freed this.
    Meta meta;
    meta.free = {{kFirst, 8}};
    meta.pending = {{kFirst + 8, 16, 6}};
    ASSERT_TRUE(space.load(meta, 6, kFirst + 40).ok());
    EXPECT_TRUE(space.take({kFirst, 12}));
    EXPECT_EQ(space.stats().pending_sectors, 12U);
    EXPECT_TRUE(space.take({kFirst + 14, 4}));
    EXPECT_FALSE(space.take({kFirst + 14, 4}));
    EXPECT_EQ(extents_of(persisted(space, 6).pending),
              (Extents{{kFirst + 12, 2}, {kFirst + 18, 6}}));
    space.published(7, kNobody);
    EXPECT_EQ(space.stats().free_sectors, 8U);
}

TEST(SpaceTest, RejectsListsThatCannotBe) {
    const auto refused = [](Extents free, std::vector<PendingExtent> pending) {
        SpaceManager space;
        Meta meta;
        meta.free = std::move(free);
        meta.pending = std::move(pending);
        const Result<void> loaded = space.load(meta, 3, kFirst + 40);
        return !loaded.ok() && loaded.error().code() == ErrorCode::kCorruption;
    };
    EXPECT_FALSE(refused({{kFirst, 8}}, {{kFirst + 8, 8, 3}}));
    EXPECT_TRUE(refused({{kFirst, 8}, {kFirst + 7, 8}}, {}));
    EXPECT_TRUE(refused({{kFirst, 8}}, {{kFirst + 7, 8, 3}}));
    EXPECT_TRUE(refused({{kFirst + 39, 2}}, {}));
    EXPECT_TRUE(refused({{8, 8}}, {}));
    EXPECT_TRUE(refused({}, {{kFirst, 8, 4}}));
    EXPECT_TRUE(refused({}, {{kFirst, 8, 3}, {kFirst, 8, 3}}));
}

TEST(SpaceTest, CutsTheFreeTailInWholeBlocks) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(80, 80)->sector, kFirst);
    EXPECT_EQ(space.shrinkable_tail(), 0U);
    space.give_back({kFirst + 8, 8});
    EXPECT_EQ(space.cut_tail(), kFirst + 80);
    space.give_back({kFirst + 43, 37});
    EXPECT_EQ(space.shrinkable_tail(), 32U);
    EXPECT_EQ(space.cut_tail(), kFirst + 48);
    EXPECT_EQ(space.shrinkable_tail(), 0U);
    EXPECT_EQ(space.stats().free_sectors, 8U + 5U);
    EXPECT_EQ(space.allocate_blocks(16, 16).value(), (Extent{kFirst + 48, 16}));
}

TEST(SpaceTest, NoticesADoubleRelease) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(16, 16)->sector, kFirst);
    space.release({kFirst, 8}, 1, 0);
#ifdef NDEBUG
    space.release({kFirst + 4, 8}, 1, 0);
    space.give_back({kFirst, 8});
    space.give_back({kFirst + 12, 8});  // Beyond the end.
    EXPECT_EQ(space.stats().double_releases, 3U);
    EXPECT_EQ(space.stats().pending_sectors, 8U);
    EXPECT_EQ(space.stats().free_sectors, 0U);
#else
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(space.release({kFirst + 4, 8}, 1, 0), "released twice");
    EXPECT_DEATH(space.give_back({kFirst + 12, 8}), "released twice");
#endif
}

TEST(SpaceTest, GivesNoSectorToTwoThreads) {
    constexpr std::uint64_t kSectors = 4096;
    SpaceManager space(kSectors);
    std::vector<std::atomic<int>> owner(kSectors);
    std::atomic<std::uint64_t> published{0};
    std::atomic<bool> stop{false};
    const auto mark = [&owner](Extent extent, int from, int to) {
        for (std::uint64_t s = extent.sector; s < extent.end(); ++s) {
            EXPECT_EQ(owner[s].exchange(to, std::memory_order_relaxed), from);
        }
    };
    const auto work = [&](int me) {
        os::Random random(static_cast<std::uint64_t>(me));
        for (int i = 0; i < 2000; ++i) {
            const std::uint64_t sectors = random.between(1, 30);
            const auto sector = space.allocate(sectors, SpaceManager::Emission::kLater);
            if (!sector.ok()) continue;
            const Extent extent{*sector, sectors};
            mark(extent, 0, me);
            if (random.one_in(2)) space.note_emitted(extent);
            mark(extent, me, 0);
            if (random.one_in(3)) {
                space.give_back(extent);
            } else {
                space.release(extent, published.load() + 1, 0);
            }
        }
    };
    {
        const os::Thread walker("walker", [&] {
            for (std::uint64_t c = 1; !stop; ++c) {
                Meta meta;
                EXPECT_LE(space.persist(c, meta), kSectors);
                space.published(c, kNobody);
                published = c;
            }
        });
        {
            const os::Thread one("one", [&work] { work(1); });
            const os::Thread two("two", [&work] { work(2); });
        }
        stop = true;
    }
    space.published(published + 1, kNobody);
    space.published(published + 2, kNobody);
    space.published(published + 3, kNobody);
    EXPECT_EQ(space.stats().used_sectors, 0U);
    EXPECT_EQ(space.stats().free_extents, 1U);
}

TEST(FreeSpaceTest, FindsLargeRunsInTheBinOfTheirPowerOfTwo) {
    FreeSpace free;
    free.insert({0, 70 * kBlockSectors});
    free.insert({1000 * kBlockSectors, 100 * kBlockSectors});
    EXPECT_FALSE(free.take_blocks(101, 101).has_value());
    EXPECT_EQ(free.take_blocks(90, 90)->sector, 1000 * kBlockSectors);
    EXPECT_EQ(free.take_blocks(65, 90)->sectors, 70 * kBlockSectors);
    EXPECT_EQ(free.take_blocks(1, 64)->sectors, 10 * kBlockSectors);
    EXPECT_TRUE(free.extents().empty());
}

TEST(ExtentSetTest, MergesAndSplits) {
    ExtentSet set;
    EXPECT_EQ(set.insert({10, 5}), (Extent{10, 5}));
    EXPECT_EQ(set.insert({20, 5}), (Extent{20, 5}));
    EXPECT_EQ(set.insert({15, 5}), (Extent{10, 15}));
    EXPECT_EQ(set.size(), 1U);
    EXPECT_EQ(set.erase({12, 2}), (Extent{10, 15}));
    EXPECT_EQ(set.at(11), (Extent{10, 2}));
    EXPECT_EQ(set.at(12), (Extent{}));
    EXPECT_EQ(set.overlap({0, 16}), 4U);
    set.insert_any({0, 100});
    EXPECT_EQ(set.last(), (Extent{0, 100}));
    set.erase_any({90, 100});
    EXPECT_EQ(set.sectors(), 90U);
    EXPECT_FALSE(set.contains({89, 2}));
}

TEST(SpaceTest, AllocatesTheLowestRunOfAWindow) {
    SpaceManager space;
    ASSERT_EQ(space.allocate_blocks(800, 800)->sector, kFirst);
    space.give_back({kFirst + 8, 16});      // 2 blocks, below the window
    space.give_back({kFirst + 92, 20});     // 2 whole blocks of it, from 96 on
    space.give_back({kFirst + 160, 80});    // 10 blocks, the last five of them above the window
    space.give_back({kFirst + 400, 80});    // above
    const Extent window{kFirst + 40, 160};  // to 200
    EXPECT_EQ(space.allocate_blocks_within(window, 8, 8).value(), (Extent{kFirst + 96, 8}));
    EXPECT_EQ(space.allocate_blocks_within(window, 20, 24).value(), (Extent{kFirst + 160, 24}));
    // What is left of the window: two runs, of one block and of two.
    EXPECT_EQ(space.allocate_blocks_within(window, 17, 800).error().code(), ErrorCode::kNoSpace);
    EXPECT_EQ(space.allocate_blocks_within(window, 9, 800).value(), (Extent{kFirst + 184, 16}));
    EXPECT_EQ(space.allocate_blocks_within(window, 1, 800).value(), (Extent{kFirst + 104, 8}));
    EXPECT_FALSE(space.allocate_blocks_within(window, 1, 1).ok());
    EXPECT_EQ(space.file_sectors(), kFirst + 800);
    // One that begins before the window and reaches into it.
    space.give_back({kFirst + 600, 64});
    EXPECT_EQ(space.allocate_blocks_within({kFirst + 620, 100}, 8, 8).value(),
              (Extent{kFirst + 624, 8}));
    EXPECT_EQ(space.stats().double_releases, 0U);
}

TEST(SpaceTest, GrowsOnlyForAWindowThatReachesBeyondTheEnd) {
    SpaceManager space(kFirst + 1000);
    ASSERT_TRUE(space.allocate_blocks(200, 200).ok());
    space.give_back({kFirst + 100, 100});  // The tail: twelve blocks, from 104 on.
    // It ends with the file, or begins behind it.
    EXPECT_FALSE(space.allocate_blocks_within({kFirst + 160, 40}, 80, 80).ok());
    EXPECT_FALSE(space.allocate_blocks_within({kFirst + 208, 400}, 8, 8).ok());
    EXPECT_EQ(space.file_sectors(), kFirst + 200);
    // A tail too short is the beginning, but nothing of it that lies below the window.
    const Extent grown = space.allocate_blocks_within({kFirst + 160, 800}, 80, 80).value();
    EXPECT_EQ(grown, (Extent{kFirst + 160, 80}));
    EXPECT_EQ(space.file_sectors(), kFirst + 240);
    EXPECT_EQ(space.allocate_blocks(56, 56).value(), (Extent{kFirst + 104, 56}));
    // Where nothing is free at the end it grows from there, to the capacity.
    const Extent most = space.allocate_blocks_within({kFirst + 160, 2000}, 8, 2000).value();
    EXPECT_EQ(most, (Extent{kFirst + 240, 760}));
    EXPECT_FALSE(space.allocate_blocks_within({kFirst + 160, 2000}, 8, 8).ok());
}

TEST(SpaceTest, GivesUpTheFreeTailFromAFloorOn) {
    SpaceManager space;
    ASSERT_TRUE(space.allocate_blocks(200, 200).ok());
    space.give_back({kFirst + 100, 100});
    EXPECT_EQ(space.cut_tail(kFirst + 400), kFirst + 200);
    EXPECT_EQ(space.cut_tail(kFirst + 160), kFirst + 160);
    EXPECT_EQ(space.stats().free_sectors, 60U);
    EXPECT_EQ(space.cut_tail(), kFirst + 104);
    EXPECT_EQ(space.stats().free_sectors, 4U);
    EXPECT_EQ(space.allocate_blocks(8, 8).value(), (Extent{kFirst + 104, 8}));
}

TEST(SpaceTest, CutsTheFileToWhatAnybodyHas) {
    SpaceManager space;
    ASSERT_TRUE(space.allocate_blocks(200, 200).ok());
    std::uint64_t told = 0;
    const auto tell = [&told](std::uint64_t sectors) -> Result<void> {
        told = sectors;
        return {};
    };
    EXPECT_TRUE(space.cut_file(tell).ok());
    EXPECT_EQ(told, kFirst + 200);
    space.give_back({kFirst + 100, 100});
    space.cut_tail();
    ASSERT_TRUE(space.cut_file(tell).ok());
    EXPECT_EQ(told, kFirst + 104);
    const Error full(ErrorCode::kIo, "refused");
    EXPECT_EQ(space.cut_file([&](std::uint64_t) { return Result<void>(full); }).error().code(),
              ErrorCode::kIo);
}

TEST(SpaceTest, CountsWhatOnlyPinsKeep) {
    SpaceManager space;
    ASSERT_TRUE(space.allocate_blocks(200, 200).ok());
    space.release({kFirst, 20}, 1, 5);
    EXPECT_EQ(space.stats().pinned_sectors, 0U);
    space.published(1, 3);
    space.published(2, 3);
    EXPECT_EQ(space.stats().pinned_sectors, 20U);
    EXPECT_EQ(space.stats().pending_sectors, 20U);
    space.collect(kNobody);
    EXPECT_EQ(space.stats().pinned_sectors, 0U);
}

}  // namespace
}  // namespace fulgur::storage
