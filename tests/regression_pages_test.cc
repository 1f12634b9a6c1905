// Faults in the lives of pages that reviewers found: pages full of one key's versions, trees that
// nobody touches, large values that are dropped while a checkpoint looks at them.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "os/memory_file_system.h"
#include "os/random.h"
#include "os/thread.h"
#include "tests/support.h"

namespace fulgur::system_test {
namespace {

Result<Database> in_memory() { return Database::in_memory({.memory_budget = 256_MiB}); }

/// A pinned reader keeps all versions of one key until its page can hold no more. Then commits are
/// refused, and everything else goes on.
TEST(FullPageTest, CursorsReadAPageOfOneKeysVersions) {
    Result<Database> database = in_memory();
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    ASSERT_TRUE(keyspace.put("hot", "0").ok());
    std::optional<Reader> old(database->reader());
    std::uint64_t versions = 0;
    Result<Sequence> done = Sequence{};
    while (done.ok() && versions < 100'000) {
        std::string value = std::to_string(++versions);
        value.append(100, 'v');
        done = keyspace.put("hot", value, Durability::kBuffered);
    }
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code(), ErrorCode::kBusy) << done.error().message();
    std::string newest = std::to_string(versions - 1);
    newest.append(100, 'v');
    for (int i = 0; i < 3; ++i) {
        Reader reader = database->reader();
        Cursor cursor = reader.cursor(keyspace);
        ASSERT_TRUE(cursor.valid());
        EXPECT_EQ(cursor.value(), newest);
        Cursor before = old->cursor(keyspace);
        ASSERT_TRUE(before.valid());
        EXPECT_EQ(before.value(), "0");
    }
    EXPECT_TRUE(database->checkpoint().ok());
    old.reset();
    EXPECT_TRUE(keyspace.put("hot", "again").ok());
    EXPECT_EQ(*keyspace.get("hot"), "again");
}

/// A batch meets a page that is nearly full of a key's versions: it is refused whole, or done
/// whole.
TEST(FullPageTest, BatchIntoAPageOfOneKeysVersionsIsRefusedOrDone) {
    struct Shape {
        std::size_t key_bytes;
        int versions, others;
    };
    for (const Shape shape : {Shape{60'000, 1, 62}, Shape{60'000, 5, 62}, Shape{16, 100, 400},
                              Shape{16, 126, 400}, Shape{16, 192, 400}, Shape{30'000, 3, 2000}}) {
        SCOPED_TRACE(::testing::Message() << shape.key_bytes << " byte key, " << shape.versions);
        Result<Database> database = in_memory();
        ASSERT_TRUE(database.ok());
        const Keyspace keyspace = *database->keyspace("a");
        const std::string hot(shape.key_bytes, 'h');
        ASSERT_TRUE(keyspace.put(hot, std::string(2000, 'x')).ok());
        const Reader old = database->reader();
        for (int i = 0; i < shape.versions; ++i) {
            const Result<Sequence> done =
                keyspace.put(hot, std::string(2000, 'y'), Durability::kBuffered);
            ASSERT_TRUE(done.ok() || done.error().code() == ErrorCode::kBusy);
        }
        WriteBatch batch;
        batch.put(keyspace, hot, std::string(2000, 'z'));
        for (int i = 0; i < shape.others; ++i) {
            std::string key("z");
            key.append(std::to_string(i));
            batch.put(keyspace, key, "v");
        }
        const Result<Sequence> done = database->commit(batch);
        ASSERT_TRUE(done.ok() || done.error().code() == ErrorCode::kBusy);
        EXPECT_EQ((*keyspace.get("z0")).has_value(), done.ok());
        EXPECT_EQ((*keyspace.get(hot))->front() == 'z', done.ok());
    }
}

TEST(FullPageTest, LongestKeysThatShareNothingFitOneBatch) {
    Result<Database> database = in_memory();
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    for (const char fill : {'a', 'b'}) {
        WriteBatch batch;
        for (int i = 0; i < 40; ++i) {
            batch.put(keyspace, std::string(kKeyBytesMax, static_cast<char>('A' + i)),
                      std::string(2000, fill));
        }
        const Result<Sequence> done = database->commit(batch);
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
    Reader reader = database->reader();
    int rows = 0;
    for (Cursor cursor = reader.cursor(keyspace); cursor.valid(); cursor.next(), ++rows) {
        ASSERT_EQ(cursor.key(), std::string(kKeyBytesMax, static_cast<char>('A' + rows)));
        ASSERT_EQ(cursor.value(), std::string(2000, 'b'));
    }
    EXPECT_EQ(rows, 40);
}

/// Long separators, so that a small tree has levels.
std::string deep_key(int i) {
    std::string number = std::to_string(1'000'000 + i);
    return number.substr(0, 6) + std::string(400, 'p') + number;
}

/// Opens, puts and reads rows whose keys are as long as keys may be.
class LongKeyTest : public ::testing::Test {
protected:
    void open() {
        database_.reset();
        db::EngineOptions options = small_engine(*files_, "db");
        options.user.memory_budget = 256_MiB;
        options.user.log_bytes_target = 512_MiB;  // No checkpoint comes by itself.
        options.log.segment_bytes = 32_MiB;
        Result<Database> opened = db::open_database(options);
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        database_.emplace(*std::move(opened));
    }
    void put(const std::string& key, const std::string& value) {
        const Result<Sequence> done =
            database_->keyspace("rows")->put(key, value, Durability::kBuffered);
        ASSERT_TRUE(done.ok()) << done.error().message();
        model_[key] = value;
    }
    void expect_all() {
        const Keyspace rows = *database_->keyspace("rows");
        for (const auto& [key, value] : model_) {
            const auto found = rows.get(key);
            ASSERT_TRUE(found.ok()) << found.error().message();
            ASSERT_TRUE(*found && **found == value) << key.size() << " byte key";
        }
        const auto sound = database_->verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
    }
    void checkpoint_and_reopen() {
        const Result<void> done = database_->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
        ASSERT_TRUE(database_->close().ok());
        ASSERT_NO_FATAL_FAILURE(open());
        ASSERT_NO_FATAL_FAILURE(expect_all());
    }

    std::optional<os::MemoryFileSystem> files_;
    std::optional<Database> database_;
    std::map<std::string, std::string> model_;
};

/// An image has each separator whole: a page in memory that is small because they share so much may
/// not get an image that is too long to be read.
TEST_F(LongKeyTest, PagesOfKeysThatShareNearlyEverythingAreReadBack) {
    const std::string shared(65'000, 's');
    for (const int step : {1, 7}) {  // Ascending, and all over the place.
        model_.clear();
        database_.reset();
        files_.emplace();
        ASSERT_NO_FATAL_FAILURE(open());
        constexpr int kRows = 600;
        for (int i = 0; i < kRows; ++i) {
            std::string key = shared;
            key.append(std::to_string(10'000 + i * step % kRows));
            ASSERT_NO_FATAL_FAILURE(put(key, std::string(2000, 'v')));
        }
        ASSERT_NO_FATAL_FAILURE(checkpoint_and_reopen());
        for (const char c : {'a', 'z'}) {
            for (int i = 0; i < 40; ++i) {
                std::string key(1, c);
                key.append(std::to_string(i));
                key.append(60'000, 'l');
                ASSERT_NO_FATAL_FAILURE(put(key, std::string(2000, 'w')));
            }
        }
        ASSERT_NO_FATAL_FAILURE(checkpoint_and_reopen());
    }
}

/// The upper pages of a tree are written anew by checkpoints; a tree that is not read meanwhile
/// must not go on naming the former ones.
TEST(ColdTreeTest, StaysWholeWhileCheckpointsGoOn) {
    os::MemoryFileSystem files;
    db::EngineOptions options = small_engine(files, "db");
    options.user.memory_budget = 512_MiB;
    options.user.log_bytes_target = 256_MiB;
    constexpr int kCold = 60'000, kWarm = 4'000;
    const auto fill = [](Database& database, const char* name, int rows, char value) {
        const Keyspace keyspace = *database.keyspace(name);
        WriteBatch batch;
        for (int i = 0; i < rows; ++i) {
            batch.put(keyspace, deep_key(i * 7 % rows), std::string(20, value));
            if (batch.size() < 500 && i + 1 < rows) continue;
            ASSERT_TRUE(database.commit(batch, Durability::kBuffered).ok());
            batch.clear();
        }
    };
    {
        Result<Database> database = db::open_database(options);
        ASSERT_TRUE(database.ok());
        ASSERT_NO_FATAL_FAILURE(fill(*database, "cold", kCold, 'c'));
        ASSERT_NO_FATAL_FAILURE(fill(*database, "warm", kWarm, 'w'));
        EXPECT_GE(database->stats().keyspaces[0].height, 3u);
        ASSERT_TRUE(database->close().ok());
    }
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok());
    for (int i = 0; i < 6; ++i) {
        ASSERT_NO_FATAL_FAILURE(fill(*database, "warm", kWarm, static_cast<char>('a' + i)));
        const Result<void> done = database->checkpoint();
        ASSERT_TRUE(done.ok()) << i << ": " << done.error().message();
    }
    const Keyspace cold = *database->keyspace("cold");
    for (int i = 0; i < kCold; i += 997) {
        const auto found = cold.get(deep_key(i));
        ASSERT_TRUE(found.ok()) << found.error().message();
        ASSERT_EQ(*found, std::string(20, 'c'));
    }
}

/// Values are replaced while checkpoints run. What the running process takes for used must be what
/// the next one, which only knows the disk, takes for used.
TEST(DroppedValueTest, GivesItsPlaceBack) {
    os::MemoryFileSystem files;
    db::EngineOptions options = small_engine(files, "db");
    options.user.memory_budget = 256_MiB;
    options.user.log_bytes_target = 256_MiB;
    options.background = true;
    std::uint64_t used = 0;
    {
        Result<Database> database = db::open_database(options);
        ASSERT_TRUE(database.ok());
        const Keyspace keyspace = *database->keyspace("a");
        std::atomic<bool> stop{false};
        os::Thread writer("writer", [&] {
            os::Random random(1);
            while (!stop.load()) {
                const std::string key = std::to_string(random.below(500));
                ASSERT_TRUE(keyspace.put(key, std::string(6000, 'v'), Durability::kBuffered).ok());
            }
        });
        for (int i = 0; i < 12; ++i) {
            ASSERT_TRUE(database->checkpoint().ok());
        }
        stop.store(true);
        writer.join();
        for (int i = 0; i < 3; ++i) {
            ASSERT_TRUE(keyspace.put("last", std::to_string(i)).ok());
            ASSERT_TRUE(database->checkpoint().ok());
        }
        used = database->stats().data_used_bytes;
        ASSERT_TRUE(database->close().ok());
    }
    Result<Database> database = db::open_database(options);
    ASSERT_TRUE(database.ok());
    // The catalog of one checkpoint more or less is all that may differ.
    EXPECT_NEAR(static_cast<double>(database->stats().data_used_bytes), static_cast<double>(used),
                200'000.0);
}

}  // namespace
}  // namespace fulgur::system_test
