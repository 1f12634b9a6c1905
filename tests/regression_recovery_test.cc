// Faults of recovery that a reviewer once found: what it believes must be on the disk, what it does
// not believe must not come back, and a full disk must become free again.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "os/sim_file_system.h"
#include "os/thread.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

constexpr std::uint64_t kRows = 600;

db::EngineOptions engine(os::FileSystem& files) {
    db::EngineOptions options = small_engine(files, "db");
    options.user.log_bytes_target = 16_MiB;
    options.user.checkpoint_on_close = false;
    return options;
}

/// All rows in their `version`.
void put_rows(Database& database, std::uint64_t version) {
    const Keyspace rows = *database.keyspace("rows");
    for (std::uint64_t n = 0; n < kRows; ++n) {
        ASSERT_TRUE(rows.put(row_key(n), row_value(n + version, 500), Durability::kBuffered).ok());
    }
    ASSERT_TRUE(database.sync().ok());
}

void expect_version(Database& database, std::uint64_t version) {
    const Keyspace rows = *database.keyspace("rows");
    Reader reader = database.reader();
    for (std::uint64_t n = 0; n < kRows; ++n) {
        const Result<std::optional<Bytes>> found = reader.get(rows, row_key(n));
        ASSERT_TRUE(found.ok()) << found.error().message();
        ASSERT_TRUE(*found && **found == row_value(n + version, 500)) << n;
    }
}

TEST(RegressionRecoveryTest, SuperblockThatCouldNotBeReadOnceDoesNotComeBack) {
    os::SimFileSystem disk(1);
    {
        Result<Database> database = db::open_database(engine(disk));
        ASSERT_TRUE(database.ok());
        for (std::uint64_t version = 0; version < 3; ++version) {
            put_rows(*database, version);
            ASSERT_TRUE(database->checkpoint().ok());
        }
    }
    const std::string big(300'000, 'b');
    unsigned opened_without = 0;
    for (const std::uint64_t read : {1, 2}) {
        SCOPED_TRACE(read);
        std::unique_ptr<os::SimFileSystem> copy = disk.recover_after_kill(read);
        copy->fail_at(read, EIO, "read data");
        Result<Database> database = db::open_database(engine(*copy));
        copy->clear_faults();
        if (!database) continue;  // Refusing is no harm either.
        ++opened_without;
        expect_version(*database, 2);
        // They take space that the older superblock calls free.
        const Keyspace rows = *database->keyspace("rows");
        for (std::uint64_t n = 0; n < 6; ++n) {
            ASSERT_TRUE(rows.put("big" + std::to_string(n), big, Durability::kSync).ok());
        }
        copy->crash();
        const std::unique_ptr<os::SimFileSystem> after = copy->recover(2);
        Result<Database> again = db::open_database(engine(*after));
        ASSERT_TRUE(again.ok()) << again.error().message();
        expect_version(*again, 2);
        for (std::uint64_t n = 0; n < 6; ++n) {
            EXPECT_TRUE(again->keyspace("rows")->get("big" + std::to_string(n)).value() == big);
        }
    }
    EXPECT_GT(opened_without, 0u);
}

TEST(RegressionRecoveryTest, SuperblockWhoseSyncFailedIsSyncedBeforeItIsBuiltUpon) {
    const Seeds seeds(kSlowBuild ? 40 : 120);
    unsigned crashed = 0;
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
        auto disk = std::make_unique<os::SimFileSystem>(seed);
        {
            Result<Database> database = db::open_database(engine(*disk));
            ASSERT_TRUE(database.ok());
            for (std::uint64_t version = 0; version < 3; ++version) {
                put_rows(*database, version);
                // The second sync is the superblock's.
                if (version == 2) disk->fail_at(2, EIO, "sync data");
                ASSERT_EQ(database->checkpoint().ok(), version != 2);
            }
            disk = disk->recover_after_kill(seed);
        }
        Result<Database> database = db::open_database(engine(*disk));
        ASSERT_TRUE(database.ok()) << database.error().message();
        put_rows(*database, 3);
        disk->crash_at(1 + seed % 6, "write data");
        if (database->checkpoint().ok()) continue;
        ++crashed;
        const std::unique_ptr<os::SimFileSystem> after = disk->recover(seed * 7 + 1);
        database = Error(ErrorCode::kInvalid, "ended");
        Result<Database> again = db::open_database(engine(*after));
        ASSERT_TRUE(again.ok()) << again.error().message();
        expect_version(*again, 3);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(crashed, 0u);
}

TEST(RegressionRecoveryTest, FullDiskBecomesFreeByCheckpointsThatNoLogAsksFor) {
    os::SimFileSystem disk(1);
    db::EngineOptions options = engine(disk);
    options.user.memory_budget = 1_GiB;
    options.user.log_bytes_target = 256_MiB;
    options.background = true;
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    disk.set_capacity(disk.used_bytes() + 20'000'000);
    // One value, again and again: there is room for sixty, and far from a target of log.
    Result<Sequence> done = Sequence{};
    std::uint64_t n = 0;
    while (done.ok() && n < 1'000) done = rows.put("big", row_value(n++, 300'000));
    ASSERT_TRUE(is_error(done, ErrorCode::kNoSpace));
    // A checkpoint needs some room itself; for the value it is too little.
    disk.set_capacity(disk.used_bytes() + 250'000);
    for (int tries = 0; !done.ok() && tries < 2'000; ++tries) {
        ASSERT_TRUE(is_error(done, ErrorCode::kNoSpace));
        os::sleep_us(5'000);
        done = rows.put("big", row_value(n, 300'000));
    }
    const Stats stats = database->stats();
    ASSERT_TRUE(done.ok()) << done.error().message() << "; checkpoints " << stats.checkpoints
                           << ", failed " << stats.checkpoint_failures << ", pending "
                           << stats.data_pending_bytes << ", free " << stats.data_free_bytes;
    EXPECT_TRUE(rows.get("big").value() == row_value(n, 300'000));
}

}  // namespace
}  // namespace fulgur::system_test
