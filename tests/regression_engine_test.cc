// Faults of the engine that a reviewer once found: how long things stay, who may still be inside,
// and what recovery may take for granted.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "os/sim_file_system.h"
#include "storage/superblock.h"
#include "tests/bad_days.h"
#include "tests/hooked_file_system.h"

namespace fulgur::system_test {
namespace {

db::EngineOptions no_checkpoints(os::FileSystem& files) {
    db::EngineOptions options = small_engine(files, "db");
    options.user.log_bytes_target = 64_MiB;
    options.user.checkpoint_on_close = false;
    return options;
}

void expect_sound(Database& database) {
    const Result<Database::VerifyReport> sound = database.verify();
    EXPECT_TRUE(sound.ok()) << sound.error().message();
}

// ---- versions -----------------------------------------------------------------------------------

TEST(RegressionEngineTest, ReplayDropsVersionsThatNobodyReads) {
    auto disk = std::make_unique<os::SimFileSystem>(1);
    std::uint64_t n = 0;
    {
        Result<Database> database = db::open_database(no_checkpoints(*disk));
        ASSERT_TRUE(database.ok());
        const Keyspace rows = *database->keyspace("rows");
        std::optional<Reader> reader(database->reader());
        for (; rows.put("hot", row_value(n), Durability::kBuffered).ok(); ++n) {
            ASSERT_LT(n, 100'000u) << "the page takes any number of versions";
        }
        ASSERT_TRUE(database->checkpoint().ok());  // Its image has them all.
        reader.reset();
        ASSERT_TRUE(rows.put("hot", row_value(n), Durability::kSync).ok());
        disk = disk->recover_after_kill(1);
    }
    Result<Database> database = db::open_database(no_checkpoints(*disk));
    ASSERT_TRUE(database.ok()) << database.error().message();
    const auto found = database->keyspace("rows")->get("hot");
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(*found == row_value(n));
}

TEST(RegressionEngineTest, RefreshedReaderOfASnapshotLetsVersionsGo) {
    Result<Database> database = in_memory(64_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    ASSERT_TRUE(rows.put("hot", "first").ok());
    Snapshot snapshot = *database->snapshot();
    Reader reader = *snapshot.reader();
    for (std::uint64_t n = 0; n < 20'000; ++n) {
        const Result<Sequence> done = rows.put("hot", row_value(n));
        ASSERT_TRUE(done.ok()) << n << ": " << done.error().message();
        if (n % 100 == 0) {
            reader.refresh();
            ASSERT_EQ(**reader.get(rows, "hot"), "first");
        }
    }
}

// ---- large values -------------------------------------------------------------------------------

TEST(RegressionEngineTest, RewrittenLargeValueTakesAFewTimesItsSize) {
    constexpr std::size_t kBytes = 4'000'000;
    const TempDirectory directory;
    db::EngineOptions options = small_engine(os::real_file_system(), directory / "db");
    options.user.log_bytes_target = 1_MiB;  // The log stays below it: waiting space is the reason.
    options.background = true;
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    for (std::uint64_t n = 0; n < 40; ++n) {
        ASSERT_TRUE(rows.put("movie", row_value(n, kBytes)).ok());
        for (int ms = 0; database->stats().data_pending_bytes > 3 * kBytes; ++ms) {
            ASSERT_LT(ms, 10'000) << "no checkpoint came";
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    EXPECT_LE(database->stats().data_file_bytes, 8 * kBytes);
    EXPECT_TRUE(*rows.get("movie") == row_value(39, kBytes));
    expect_sound(*database);
}

TEST(RegressionEngineTest, ErasedLargeValuesGoBeforeTheirPageIsFull) {
    constexpr std::size_t kBytes = 200'000;
    Options options;
    options.memory_budget = 64_MiB;
    options.log_bytes_target = 1_GiB;  // No checkpoint keeps retired memory in the meantime.
    Result<Database> database = Database::in_memory(options);
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    for (std::uint64_t n = 0; n < 50; ++n) {
        ASSERT_TRUE(rows.put(row_key(n), row_value(n, kBytes)).ok());
    }
    const std::uint64_t used = database->stats().memory_used;
    ASSERT_GT(used, 50 * kBytes);
    for (std::uint64_t n = 0; n < 49; ++n) ASSERT_TRUE(rows.erase(row_key(n)).ok());
    // What is retired waits for the next reclamation only.
    const Stats stats = database->stats();
    EXPECT_LT(stats.memory_used - stats.memory_retired, used / 4);
    EXPECT_TRUE(*rows.get(row_key(49)) == row_value(49, kBytes));
}

/// A commit meets a checkpoint among an inner page's large values: what the walker keeps
/// from being freed is no reason to refuse.
TEST(RegressionEngineTest, CommitsWaitForTheWalkerRatherThanFail) {
    constexpr std::size_t kBytes = 200'000;
    const TempDirectory directory;
    HookedFileSystem files(os::real_file_system());
    db::EngineOptions options = small_engine(files, directory / "db");
    options.user.memory_budget = 32_MiB;
    options.user.log_bytes_target = 64_MiB;
    options.background = true;
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok()) << database.error().message();
    const Keyspace rows = *database->keyspace("rows");
    constexpr std::uint64_t kRows = 70;
    for (std::uint64_t n = 0; n < kRows; ++n) {
        ASSERT_TRUE(rows.put(row_key(n), row_value(n, kBytes), Durability::kBuffered).ok());
    }
    std::thread writer;
    std::atomic<bool> done = false;
    std::string refusal;
    files.before_data_write([&] {
        writer = std::thread([&] {
            for (std::uint64_t n = 0; n < 200 && refusal.empty(); ++n) {
                const Result<Sequence> put =
                    rows.put(row_key(n % kRows), row_value(n, kBytes), Durability::kBuffered);
                if (!put) refusal = put.error().message();
            }
            done = true;
        });
        for (int ms = 0; ms < 300 && !done; ++ms) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    const Result<void> checkpointed = database->checkpoint();
    ASSERT_TRUE(writer.joinable());
    writer.join();
    EXPECT_TRUE(checkpointed.ok());
    EXPECT_EQ(refusal, "");
    for (std::uint64_t n = 130; n < 200; ++n) {
        EXPECT_TRUE(*rows.get(row_key(n % kRows)) == row_value(n, kBytes)) << n;
    }
}

/// The file's newest superblock decays.
void damage_newest_superblock(os::SimFileSystem& disk) {
    const std::string data = *disk.contents("db/data");
    std::uint64_t newest = 0, place = 0;
    for (std::uint64_t number = 0; number < 2; ++number) {
        const std::uint64_t position = storage::Superblock::position_of(number);
        const auto decoded = storage::Superblock::decode(
            Bytes(data).substr(position, storage::Superblock::kEncodedSize), position);
        if (!decoded || decoded->checkpoint < newest) continue;
        newest = decoded->checkpoint;
        place = position;
    }
    ASSERT_GT(newest, 2u);
    ASSERT_TRUE(disk.corrupt("db/data", place + 100, 0xFF).ok());
}

/// A large value is put and replaced while a checkpoint runs, before the walker comes to its page.
/// Both superblocks after that checkpoint may need a replay that begins before the value's record,
/// so nobody else may get its place yet.
TEST(RegressionEngineTest, PlaceOfALoggedValueIsNotReusedWhileItsRecordMayBeReplayed) {
    auto disk = std::make_unique<os::SimFileSystem>(1);
    HookedFileSystem files(*disk);
    std::map<std::string, ModelValue> expected;
    {
        Result<Database> database = db::open_database(no_checkpoints(files));
        ASSERT_TRUE(database.ok());
        for (const char* name : {"before", "and before"}) {
            const Keyspace before = *database->keyspace(name);
            for (std::uint64_t n = 0; n < 2000; ++n) {
                ASSERT_TRUE(before.put(row_key(n), row_value(n, 1500), Durability::kBuffered).ok());
            }
        }
        const Keyspace rows = *database->keyspace("rows");
        const auto put = [&](const std::string& key, ModelValue value) {
            ASSERT_TRUE(rows.put(key, value.make()).ok());
            expected[key] = value;
        };
        put("other", {9, 300'000});
        const auto consolidate = [&] {
            const std::uint64_t before = database->stats().consolidations;
            for (std::uint64_t n = 0; database->stats().consolidations == before; ++n) {
                put("row" + std::to_string(n % 10), {n, 300});
            }
        };
        files.before_data_write([&] {
            put("replaced", {1, 900'000});
            put("replaced", {2, 700'000});
            files.before_data_write([&] { consolidate(); });
        });
        ASSERT_TRUE(database->checkpoint().ok());
        files.before_data_write(nullptr);
        ASSERT_LT(database->stats().checkpointed, database->stats().visible);
        ASSERT_TRUE(database->checkpoint().ok());
        put("new", {3, 900'000});
        damage_newest_superblock(*disk);
        disk = disk->recover_after_kill(1);
    }
    Result<Database> database = db::open_database(no_checkpoints(*disk));
    ASSERT_TRUE(database.ok()) << database.error().message();
    const Keyspace rows = *database->keyspace("rows");
    for (int round = 0; round < 3; ++round) {
        for (const auto& [key, value] : expected) {
            const auto found = rows.get(key);
            ASSERT_TRUE(found.ok()) << key << ": " << found.error().message();
            ASSERT_TRUE(*found && **found == value.make()) << key;
        }
        ASSERT_TRUE(database->checkpoint().ok());
        expect_sound(*database);
        ASSERT_TRUE(rows.put("fill" + std::to_string(round), row_value(7, 900'000)).ok());
    }
}

// ---- damage -------------------------------------------------------------------------------------

/// A keyspace of many pages, "gone", and one row in "stays"; closed.
void fill_two_keyspaces(os::SimFileSystem& disk) {
    Result<Database> database = db::open_database(small_engine(disk, "db"));
    ASSERT_TRUE(database.ok());
    const Keyspace gone = *database->keyspace("gone");
    for (std::uint64_t n = 0; n < 3000; ++n) {
        ASSERT_TRUE(gone.put(row_key(n), row_value(n, 3000), Durability::kBuffered).ok());
    }
    ASSERT_TRUE(database->keyspace("stays")->put("key", "value").ok());
    ASSERT_TRUE(database->close().ok());
}

TEST(RegressionEngineTest, DroppedKeyspaceWithADamagedPageDoesNotStopCheckpoints) {
    os::SimFileSystem disk(1);
    ASSERT_NO_FATAL_FAILURE(fill_two_keyspaces(disk));
    // Every page but the catalog's and the other keyspace's: leaves, and inner pages.
    const std::string bytes(*disk.contents("db/data"));
    const std::uint64_t kept = bytes.find("keyvalue") / 4096 * 4096;
    std::vector<storage::Extent> catalogs;
    for (const std::uint64_t position :
         {storage::Superblock::position_of(0), storage::Superblock::position_of(1)}) {
        const auto found = storage::Superblock::decode(
            {bytes.data() + position, storage::Superblock::kEncodedSize}, position);
        if (found.ok() && found->catalog.length != 0) catalogs.push_back(found->catalog.extent());
    }
    for (std::uint64_t at = 64 * 1024; at + 4096 < bytes.size(); at += 4096) {
        bool spared = at == kept || at + 4096 == kept || at == kept + 4096;
        for (const storage::Extent& catalog : catalogs) {
            const std::uint64_t sector = at / storage::kSectorBytes;
            spared = spared || (sector + 8 > catalog.sector && sector < catalog.end());
        }
        if (spared) continue;
        ASSERT_TRUE(disk.corrupt("db/data", at + 7, 0x40).ok());
    }
    Result<Database> database = db::open_database(small_engine(disk, "db"));
    ASSERT_TRUE(database.ok()) << database.error().message();
    ASSERT_TRUE(database->drop_keyspace("gone").ok());
    for (int i = 0; i < 3; ++i) {
        const Result<void> done = database->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
    EXPECT_EQ(database->keyspace_names(), std::vector<std::string>{"stays"});
    EXPECT_EQ(**database->keyspace("stays")->get("key"), "value");
}

/// A read that fails once is no damage: nothing is lost by it.
TEST(RegressionEngineTest, DroppedKeyspaceThatCannotBeReadNowKeepsItsSpaceForTheNextCheckpoint) {
    os::SimFileSystem disk(1);
    ASSERT_NO_FATAL_FAILURE(fill_two_keyspaces(disk));
    Result<Database> database = db::open_database(small_engine(disk, "db"));
    ASSERT_TRUE(database.ok()) << database.error().message();
    ASSERT_TRUE(database->drop_keyspace("gone").ok());
    disk.fail_at(3, EIO, "read data");
    ASSERT_TRUE(is_error(database->checkpoint(), ErrorCode::kIo, "data"));
    disk.clear_faults();
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(database->keyspace("stays")->put("key", std::to_string(i)).ok());
        const Result<void> done = database->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
        expect_sound(*database);
    }
    EXPECT_LT(database->stats().data_used_bytes, 1_MiB);
}

TEST(RegressionEngineTest, LogWithoutItsDataFileIsKept) {
    os::SimFileSystem disk(1);
    {
        Result<Database> database = db::open_database(no_checkpoints(disk));
        ASSERT_TRUE(database.ok());
        ASSERT_TRUE(database->keyspace("rows")->put("key", "value").ok());
    }
    const std::string data = *disk.contents("db/data");
    const std::string log = *disk.contents("db/log.0");
    ASSERT_TRUE(disk.remove("db/data").ok());
    const Result<Database> refused = db::open_database(no_checkpoints(disk));
    ASSERT_TRUE(is_error(refused, ErrorCode::kCorruption, "log."));
    EXPECT_TRUE(*disk.contents("db/log.0") == log);
    {
        auto file = disk.open("db/data", os::FileSystem::Mode::kCreate);
        ASSERT_TRUE(file.ok());
        ASSERT_TRUE((*file)->write_at(0, data).ok());
    }
    Result<Database> database = db::open_database(no_checkpoints(disk));
    ASSERT_TRUE(database.ok()) << database.error().message();
    EXPECT_EQ(**database->keyspace("rows")->get("key"), "value");
}

// ---- closing ------------------------------------------------------------------------------------

/// The next database may be at the address of the one before, and its keyspaces have other numbers.
TEST(RegressionEngineTest, BatchOfADatabaseThatWasClosedIsRefused) {
    WriteBatch batch, beyond;
    for (int i = 0; i < 20; ++i) {
        Result<Database> database = in_memory(64_MiB);
        ASSERT_TRUE(database.ok());
        const Keyspace other = *database->keyspace("other");
        if (i != 0) {
            ASSERT_TRUE(is_error(database->commit(batch), ErrorCode::kInvalid));
            ASSERT_TRUE(is_error(database->commit(beyond), ErrorCode::kInvalid));
            ASSERT_FALSE((*other.get("key")).has_value());
        }
        batch.clear();
        batch.put(other, "key", "value");
        ASSERT_TRUE(database->keyspace("second").ok());
        beyond.clear();
        beyond.put(*database->keyspace("third"), "key", "value");
    }
}

/// Once the directory is let go its files may be another's: nothing is read from them, and nothing
/// that makes room for what would be read is written.
TEST(RegressionEngineTest, CursorThatNeedsTheDiskAfterCloseSaysClosed) {
    os::SimFileSystem disk(1);
    constexpr std::uint64_t kRows = 4000;
    {
        Result<Database> database = db::open_database(small_engine(disk, "db"));
        ASSERT_TRUE(database.ok());
        const Keyspace rows = *database->keyspace("rows");
        for (std::uint64_t n = 0; n < kRows; ++n) {
            ASSERT_TRUE(rows.put(row_key(n), row_value(n, 1000), Durability::kBuffered).ok());
        }
        ASSERT_TRUE(rows.put("large", row_value(1, 300'000)).ok());
        ASSERT_TRUE(database->close().ok());
    }
    Result<Database> database = db::open_database(small_engine(disk, "db"));
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    Reader reader = database->reader();
    Cursor cursor = reader.cursor(rows, from("row"));
    Cursor large = reader.cursor(rows);
    ASSERT_TRUE(cursor.valid() && large.valid());
    ASSERT_TRUE(database->close().ok());
    {
        Result<Database> next = db::open_database(small_engine(disk, "db"));
        ASSERT_TRUE(next.ok());
        const Keyspace again = *next->keyspace("rows");
        for (std::uint64_t n = 0; n < kRows; ++n) {
            ASSERT_TRUE(again.put(row_key(n), row_value(n + 1, 900), Durability::kBuffered).ok());
        }
        ASSERT_TRUE(next->close().ok());
    }
    const std::string data = *disk.contents("db/data");
    std::uint64_t seen = 0;
    for (; cursor.valid(); cursor.next(), ++seen)
        ASSERT_TRUE(cursor.value() == row_value(seen, 1000));
    EXPECT_LT(seen, kRows);
    EXPECT_TRUE(is_error(cursor.status(), ErrorCode::kInvalid));
    EXPECT_EQ(large.key(), "large");
    EXPECT_TRUE(large.value().empty());
    EXPECT_TRUE(is_error(large.status(), ErrorCode::kInvalid));
    reader.refresh();
    EXPECT_TRUE(*disk.contents("db/data") == data);
}

TEST(RegressionEngineTest, VerifyRefusesWhatWouldWaitForItself) {
    Result<Database> database = in_memory(64_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    ASSERT_TRUE(rows.put("key", "value").ok());
    ASSERT_TRUE(database->checkpoint().ok());
    int told = 0;
    const auto report = database->verify([&](std::uint64_t, std::uint64_t) {
        ++told;
        EXPECT_TRUE(is_error(database->checkpoint(), ErrorCode::kInvalid));
        EXPECT_TRUE(is_error(database->verify(), ErrorCode::kInvalid));
        EXPECT_TRUE(is_error(database->close(), ErrorCode::kInvalid));
    });
    EXPECT_TRUE(report.ok());
    EXPECT_GT(told, 0);
    EXPECT_TRUE(database->checkpoint().ok());
    EXPECT_TRUE(database->close().ok());
}

/// Whoever hears that it is closed may open it again.
TEST(RegressionEngineTest, SecondCloseReturnsWhenTheFirstIsDone) {
    os::SimFileSystem disk(1);
    HookedFileSystem files(disk);
    Result<Database> database = db::open_database(small_engine(files, "db"));
    ASSERT_TRUE(database.ok());
    const Keyspace rows = *database->keyspace("rows");
    ASSERT_TRUE(rows.put("key", "value").ok());
    std::atomic<bool> closing = false, go_on = false, second_done = false;
    files.before_data_write([&] {
        closing = true;
        while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    std::thread first([&] { EXPECT_TRUE(database->close().ok()); });
    while (!closing) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::thread second([&] {
        EXPECT_TRUE(is_error(database->close(), ErrorCode::kInvalid));
        second_done = true;
        EXPECT_TRUE(db::open_database(small_engine(files, "db")).ok());
    });
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(second_done);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    go_on = true;
    first.join();
    second.join();
}

/// A commit writes a large value to the data file while another thread closes the database. Nobody
/// else may own the files before that write is over.
TEST(RegressionEngineTest, CloseWaitsForCommitsThatAreInside) {
    const TempDirectory directory;
    HookedFileSystem files(os::real_file_system());
    db::EngineOptions options = small_engine(files, directory / "db");
    options.background = true;
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok()) << database.error().message();
    const Keyspace rows = *database->keyspace("rows");
    std::atomic<bool> writing = false, go_on = false, closed = false;
    files.before_data_write([&] {
        writing = true;
        while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    Result<Sequence> committed = Sequence{0};
    std::thread committer([&] { committed = rows.put("key", row_value(1, 400'000)); });
    while (!writing) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Result<void> close;
    std::thread closer([&] {
        close = database->close();
        closed = true;
    });
    for (int i = 0; i < 50; ++i) {
        const Result<Database> second = db::open_database(options);
        EXPECT_TRUE(is_error(second, ErrorCode::kBusy));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_FALSE(closed);
    go_on = true;
    committer.join();
    closer.join();
    EXPECT_TRUE(close.ok()) << close.error().message();
    Result<Database> second = db::open_database(options);
    ASSERT_TRUE(second.ok()) << second.error().message();
    const auto found = second->keyspace("rows")->get("key");
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->has_value(), committed.ok());
    expect_sound(*second);
}

}  // namespace
}  // namespace fulgur::system_test
