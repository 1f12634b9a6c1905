#include "os/sim_file_system.h"

#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "os/random.h"
#include "os/sim_clock.h"
#include "os/thread.h"

namespace fulgur::os {
namespace {

using Mode = FileSystem::Mode;
constexpr std::size_t kSector = 512;
constexpr std::uint64_t kSeeds = 300;

/// A directory "db" that is durable.
std::unique_ptr<SimFileSystem> make_disk(std::uint64_t seed = 1) {
    auto disk = std::make_unique<SimFileSystem>(seed);
    disk->make_directory("db").value();
    disk->sync_directory("").value();
    return disk;
}

/// A file whose name and content are durable.
std::unique_ptr<File> make_file(SimFileSystem& disk, const std::string& path,
                                const std::string& content) {
    auto file = disk.open(path, Mode::kCreate).value();
    file->write_at(0, content).value();
    file->sync().value();
    disk.sync_directory("db").value();
    return file;
}

/// One letter for each sector: its byte when all are equal, '~' when torn.
std::string letters(const std::string& content) {
    std::string result;
    for (std::size_t begin = 0; begin < content.size(); begin += kSector) {
        const std::string sector = content.substr(begin, kSector);
        const bool even = sector.find_first_not_of(sector[0]) == std::string::npos;
        result += !even ? '~' : sector[0] == 0 ? '0' : sector[0];
    }
    return result;
}

std::string sectors(std::size_t count, char letter) { return std::string(count * kSector, letter); }

TEST(SimFileSystemTest, SyncedDataIsNeverLost) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(8, 'a'));
    file->write_at(2 * kSector, sectors(2, 'b')).value();
    file->write_at(8 * kSector, sectors(1, 'c')).value();
    file->sync().value();
    EXPECT_EQ(disk->unsynced_sectors(), 0U);
    file->write_at(9 * kSector, sectors(3, 'd')).value();  // Unsynced: must not harm the rest.
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const std::string after = letters(disk->recover(seed)->contents("db/data").value());
        ASSERT_EQ(after.substr(0, 9), "aabbaaaac") << "seed " << seed;
    }
}

TEST(SimFileSystemTest, SyncedBytesOfASectorThatIsWrittenAgainAreNeverLost) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/log", std::string(100, 'a'));
    file->write_at(100, std::string(1000, 'b')).value();
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const std::string after = disk->recover(seed)->contents("db/log").value();
        ASSERT_EQ(after.substr(0, 100), std::string(100, 'a')) << "seed " << seed;
    }
}

TEST(SimFileSystemTest, UnsyncedSectorsAreKeptLostOrTornEachOnItsOwn) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(4, 'a'));
    file->write_at(0, sectors(4, 'b')).value();
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        seen.insert(letters(disk->recover(seed)->contents("db/data").value()));
    }
    EXPECT_TRUE(seen.contains("aaaa"));
    EXPECT_TRUE(seen.contains("bbbb"));
    EXPECT_TRUE(seen.contains("abbb")) << "a later piece survives an earlier one";
    EXPECT_TRUE(seen.contains("bbba"));
    bool torn = false;
    for (const std::string& letters : seen) torn |= letters.find('~') != std::string::npos;
    EXPECT_TRUE(torn);
    EXPECT_GT(seen.size(), 12U);
}

TEST(SimFileSystemTest, LaterWritesMaySurviveEarlierOnes) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(2, 'a'));
    file->write_at(0, sectors(1, 'b')).value();
    file->write_at(kSector, sectors(1, 'c')).value();
    std::map<std::string, int> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        ++seen[letters(disk->recover(seed)->contents("db/data").value())];
    }
    for (const char* outcome : {"aa", "ba", "ac", "bc"}) EXPECT_GT(seen[outcome], 5) << outcome;
}

TEST(SimFileSystemTest, AnIntermediateContentMayBeWhatLasts) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(1, 'a'));
    for (const char letter : {'b', 'c', 'd'}) file->write_at(0, sectors(1, letter)).value();
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        seen.insert(letters(disk->recover(seed)->contents("db/data").value()));
    }
    for (const char* outcome : {"a", "b", "c", "d"}) EXPECT_TRUE(seen.contains(outcome)) << outcome;
}

TEST(SimFileSystemTest, UnsyncedGrowthMayBeLostOrLeaveZeros) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/log", sectors(1, 'a'));
    file->write_at(kSector, sectors(1, 'b')).value();
    file->write_at(2 * kSector, sectors(1, 'c')).value();
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        seen.insert(letters(disk->recover(seed)->contents("db/log").value()));
    }
    for (const char* outcome : {"a", "ab", "a0", "abc", "a0c", "ab0"}) {
        EXPECT_TRUE(seen.contains(outcome)) << outcome;
    }
}

TEST(SimFileSystemTest, UnsyncedCutEitherLastsOrNot) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/log", sectors(4, 'a'));
    file->resize(kSector).value();
    file->resize(4 * kSector).value();
    file->write_at(3 * kSector, sectors(1, 'b')).value();
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        seen.insert(letters(disk->recover(seed)->contents("db/log").value()));
    }
    // What was written after the cut never stands beside what the cut removed.
    for (const std::string& outcome : seen) {
        EXPECT_FALSE(outcome.ends_with('b') && outcome.starts_with("aa")) << outcome;
    }
    for (const char* outcome : {"aaaa", "a", "a000", "a00b"}) {
        EXPECT_TRUE(seen.contains(outcome)) << outcome;
    }
}

TEST(SimFileSystemTest, SyncedCutLasts) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/log", sectors(4, 'a'));
    file->write_at(0, sectors(4, 'c')).value();
    file->resize(kSector).value();
    file->resize(4 * kSector).value();
    file->write_at(3 * kSector, sectors(1, 'b')).value();
    file->sync().value();
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        ASSERT_EQ(letters(disk->recover(seed)->contents("db/log").value()), "c00b");
    }
}

TEST(SimFileSystemTest, NamesNeedTheirDirectorySynced) {
    const auto disk = make_disk();
    disk->open("db/new", Mode::kCreate).value()->sync().value();  // Not the name.
    make_file(*disk, "db/old", "old");
    disk->open("db/newer", Mode::kCreate).value()->sync().value();
    disk->rename("db/old", "db/renamed").value();
    std::set<bool> newer;
    std::set<bool> renamed;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto after = disk->recover(seed);
        ASSERT_TRUE(after->exists("db/new").value());
        newer.insert(after->exists("db/newer").value());
        renamed.insert(after->exists("db/renamed").value());
        ASSERT_NE(after->exists("db/renamed").value(), after->exists("db/old").value());
    }
    EXPECT_EQ(newer.size(), 2U);
    EXPECT_EQ(renamed.size(), 2U);
}

TEST(SimFileSystemTest, RenameOverAFileIsTheOldOrTheNewOne) {
    const auto disk = make_disk();
    make_file(*disk, "db/current", "old");
    make_file(*disk, "db/next", "new");
    disk->rename("db/next", "db/current").value();
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        seen.insert(disk->recover(seed)->contents("db/current").value());
    }
    EXPECT_EQ(seen, (std::set<std::string>{"old", "new"}));
}

TEST(SimFileSystemTest, SyncedNamesLast) {
    const auto disk = make_disk();
    make_file(*disk, "db/a", "a");
    make_file(*disk, "db/b", "b");
    disk->rename("db/a", "db/c").value();
    disk->remove("db/b").value();
    disk->sync_directory("db").value();
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        ASSERT_EQ(disk->recover(seed)->list("db").value(), std::vector<std::string>{"c"});
    }
}

TEST(SimFileSystemTest, ALostDirectoryTakesItsFilesAlong) {
    SimFileSystem disk;
    disk.make_directory("db").value();
    disk.open("db/data", Mode::kCreate).value()->sync().value();
    disk.sync_directory("db").value();
    std::set<bool> seen;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto after = disk.recover(seed);
        seen.insert(after->exists("db").value());
        ASSERT_EQ(after->exists("db/data").value(), after->exists("db").value());
    }
    EXPECT_EQ(seen.size(), 2U);
}

// The same small program, stopped at each of its I/Os.
Result<void> run_program(FileSystem& disk) {
    Result<std::unique_ptr<File>> file = disk.open("db/log.0", Mode::kCreate);
    if (!file) return file.error();
    if (const auto done = disk.sync_directory("db"); !done) return done;
    for (std::uint64_t i = 0; i < 3; ++i) {
        const auto written = file.value()->write_at(i * kSector, sectors(1, 'a'));
        if (!written) return written;
        if (const auto synced = file.value()->sync(); !synced) return synced;
    }
    return {};
}

TEST(SimFileSystemTest, CrashesAtEachIoAndStaysDown) {
    for (std::uint64_t k = 1; k <= 8; ++k) {
        const auto disk = make_disk(k);
        disk->crash_at(k);
        const Result<void> done = run_program(*disk);
        ASSERT_FALSE(done.ok()) << k;
        EXPECT_EQ(done.error().code(), ErrorCode::kIo);
        EXPECT_EQ(done.error().what(), "simulated crash");
        EXPECT_TRUE(disk->crashed());
        EXPECT_FALSE(disk->exists("db").ok());
        EXPECT_FALSE(disk->open("db/log.0", Mode::kCreate).ok());
        const auto after = disk->recover(k);
        const std::size_t synced =
            k < 4 ? 0 : (k - 3) / 2;  // create, sync directory, write, sync...
        if (k > 2) {
            const std::string left = letters(after->contents("db/log.0").value());
            EXPECT_EQ(left.substr(0, synced), std::string(synced, 'a')) << k;
        }
        EXPECT_TRUE(run_program(*after).ok()) << "faults end with the crash";
    }
    const auto disk = make_disk();
    disk->crash_at(9);
    EXPECT_TRUE(run_program(*disk).ok());
}

TEST(SimFileSystemTest, CrashesAndFailsAtASiteAlone) {
    const auto disk = make_disk();
    disk->crash_at(2, "sync log");
    EXPECT_FALSE(run_program(*disk).ok());
    const auto counts = disk->site_counts();
    EXPECT_EQ(counts.at("sync log").calls, 2U);
    EXPECT_EQ(counts.at("sync log").crashes, 1U);
    EXPECT_EQ(counts.at("write log").calls, 2U);
    EXPECT_EQ(counts.at("create log").calls, 1U);
    EXPECT_EQ(counts.at("sync directory").calls, 2U);

    const auto after = disk->recover(1);
    after->fail_at(3, EIO, "write log");
    const Result<void> done = run_program(*after);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().os_error(), EIO);
    EXPECT_EQ(done.error().where(), "db/log.0");
    EXPECT_EQ(after->site_counts().at("write log").failures, 1U);
    EXPECT_EQ(after->site_counts().at("sync log").crashes, 1U) << "counts go on";
}

TEST(SimFileSystemTest, FailsEachIoOnceOrForGood) {
    for (std::uint64_t k = 1; k <= 8; ++k) {
        const auto disk = make_disk(k);
        disk->fail_at(k);
        EXPECT_FALSE(run_program(*disk).ok()) << k;
        EXPECT_FALSE(disk->crashed());
        EXPECT_TRUE(run_program(*disk).ok()) << k;
        disk->fail_at(1, EIO, "", SimFileSystem::kUnlimited);
        EXPECT_FALSE(run_program(*disk).ok());
        EXPECT_FALSE(run_program(*disk).ok());
        disk->clear_faults();
        EXPECT_TRUE(run_program(*disk).ok());
    }
}

TEST(SimFileSystemTest, FailedReadsAndWritesNameTheByte) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(2, 'a'));
    char into[10];
    disk->fail_at(1);
    const auto read = file->read_at(700, into);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code(), ErrorCode::kIo);
    EXPECT_EQ(read.error().offset(), 700U);
    disk->fail_at(1, ENOSPC);
    const auto written = file->write_at(100, "xyz");
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.error().code(), ErrorCode::kNoSpace);
    EXPECT_GE(written.error().offset(), 100U);
    EXPECT_LE(written.error().offset(), 103U);
}

TEST(SimFileSystemTest, FailedSyncLosesPagesForGoodThoughTheyCanBeRead) {
    bool lost = false;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto disk = make_disk(seed);
        const auto file = make_file(*disk, "db/data", sectors(8, 'a'));
        file->write_at(0, sectors(8, 'b')).value();
        disk->fail_at(1, EIO, "sync data");
        ASSERT_FALSE(file->sync().ok());
        EXPECT_EQ(letters(disk->contents("db/data").value()), "bbbbbbbb");
        file->sync().value();  // "Succeeds", as it does with the kernel.
        EXPECT_EQ(disk->unsynced_sectors(), 0U);
        const std::string after = letters(disk->recover(seed)->contents("db/data").value());
        lost |= after.find('a') != std::string::npos;
    }
    EXPECT_TRUE(lost);
}

TEST(SimFileSystemTest, FullDiskKeepsWhatFitsAndLetsOverwrite) {
    const auto disk = make_disk();
    disk->set_capacity(3 * 4096);
    const auto file = disk->open("db/data", Mode::kCreate).value();
    file->write_at(0, std::string(2 * 4096, 'a')).value();
    const auto over = file->write_at(2 * 4096 - 10, std::string(5000, 'b'));
    ASSERT_FALSE(over.ok());
    EXPECT_EQ(over.error().code(), ErrorCode::kNoSpace);
    EXPECT_EQ(over.error().os_error(), ENOSPC);
    EXPECT_EQ(over.error().offset(), 3 * 4096U);
    EXPECT_EQ(file->size().value(), 3 * 4096U);
    EXPECT_EQ(disk->used_bytes(), 3 * 4096U);
    EXPECT_TRUE(file->write_at(0, std::string(3 * 4096, 'c')).ok());
    file->resize(1 << 20).value();  // A hole takes nothing; writing into it does.
    EXPECT_FALSE(file->write_at(500'000, "x").ok());
    file->resize(4096).value();
    EXPECT_EQ(disk->used_bytes(), 4096U);
    EXPECT_TRUE(file->write_at(4096, std::string(8192, 'd')).ok());
    disk->remove("db/data").value();
    EXPECT_EQ(disk->used_bytes(), 0U);
}

TEST(SimFileSystemTest, CorruptFlipsBitsEverywhere) {
    const auto disk = make_disk();
    const auto file = make_file(*disk, "db/data", sectors(2, 'a'));
    file->write_at(kSector, sectors(1, 'b')).value();
    disk->corrupt("db/data", 3, 1).value();
    disk->corrupt("db/data", kSector + 3, 1).value();
    EXPECT_EQ(disk->contents("db/data").value()[3], 'a' ^ 1);
    file->sync().value();
    const std::string after = disk->recover(1)->contents("db/data").value();
    EXPECT_EQ(after[3], 'a' ^ 1);
    EXPECT_EQ(after[kSector + 3], 'b' ^ 1);
    EXPECT_FALSE(disk->corrupt("db/data", 2 * kSector, 1).ok());
    EXPECT_FALSE(disk->corrupt("db/absent", 0, 1).ok());
}

TEST(SimFileSystemTest, AKilledProcessLosesNothingWritten) {
    const auto disk = make_disk();
    const auto held = disk->lock("db/lock").value();
    const auto file = disk->open("db/data", Mode::kCreate).value();
    file->write_at(0, sectors(4, 'a')).value();
    const auto after = disk->recover_after_kill(1);
    EXPECT_FALSE(file->sync().ok()) << "the old process is gone";
    EXPECT_EQ(letters(after->contents("db/data").value()), "aaaa");
    EXPECT_TRUE(after->lock("db/lock").ok()) << "and its lock with it";
    std::set<std::string> seen;  // But the power may fail after it.
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const auto later = after->recover(seed)->contents("db/data");
        seen.insert(later ? letters(*later) : "absent");
    }
    EXPECT_TRUE(seen.contains("absent"));
    EXPECT_GT(seen.size(), 3U);
}

/// A run of random calls; everything that can be seen of it.
std::string story(std::uint64_t seed) {
    Random random(seed);
    auto disk = make_disk(seed);
    std::string seen;
    for (int crash = 0; crash < 3; ++crash) {
        const auto file = disk->open("db/data", Mode::kCreate).value();
        disk->fail_at(random.between(3, 30));
        disk->crash_at(random.between(10, 60));
        while (!disk->crashed()) {
            const std::uint64_t position = random.below(20'000);
            Result<void> done;
            switch (random.below(5)) {
                case 0:
                    done = file->sync();
                    break;
                case 1:
                    done = file->resize(position);
                    break;
                case 2:
                    done = disk->sync_directory("db");
                    break;
                default:
                    done = file->write_at(position, std::string(random.below(3000), 'x'));
            }
            seen += done.ok() ? "." : done.error().message();
        }
        disk = disk->recover(random.next());
        const auto left = disk->contents("db/data");
        seen += left ? *left : left.error().message();
    }
    return seen;
}

TEST(SimFileSystemTest, ASeedRepeatsEverything) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) EXPECT_TRUE(story(seed) == story(seed)) << seed;
    EXPECT_FALSE(story(1) == story(2));
}

TEST(SimFileSystemTest, ThreadsMayCrashIt) {
    const auto disk = make_disk();
    disk->crash_at(100);
    std::vector<Thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back("sim-test", [&disk, t] {
            const std::string path = "db/data." + std::to_string(t);
            const auto file = disk->open(path, Mode::kCreate);
            if (!file) return;
            while (file.value()->write_at(0, "x").ok() && file.value()->sync().ok()) {
            }
        });
    }
    threads.clear();
    EXPECT_TRUE(disk->crashed());
    EXPECT_GE(disk->io_count(), 100U);
}

TEST(SimClockTest, MovesOnlyWhenTold) {
    SimClock clock(1000);
    EXPECT_EQ(clock.now_ns(), 0U);
    clock.advance_ms(5);
    EXPECT_EQ(clock.now_ns(), 5'000'000U);
    EXPECT_EQ(clock.wall_ms(), 1005U);
    clock.set_wall_ms(10);
    EXPECT_EQ(clock.wall_ms(), 10U);
    EXPECT_EQ(clock.now_ns(), 5'000'000U);
}

}  // namespace
}  // namespace fulgur::os
