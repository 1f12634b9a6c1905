// Faults of the engine that the model, or thought, once found.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/sim_file_system.h"
#include "tests/hooked_file_system.h"
#include "tests/support.h"

namespace fulgur::system_test {
namespace {

/// A large value is replaced, and its machine dies before a checkpoint knows; then a smaller one is
/// put, and the machine dies again. The place of the replaced value must stay reserved while the
/// log names it: what replay thinks about it must not touch whoever came later.
class ReplacedLargeValueTest : public ::testing::TestWithParam<bool> {
protected:
    /// Ends a life by a power cut, or by the death of the process.
    void crash() {
        auto after = GetParam() ? disk_->recover(11) : disk_->recover_after_kill(11);
        keyspace_.reset();
        database_.reset();
        files_.reset();
        disk_ = std::move(after);
    }

    void open() {
        files_.emplace(*disk_);
        db::EngineOptions options = small_engine(*files_, "db");
        options.user.log_bytes_target = 64_MiB;  // No checkpoint comes by itself.
        Result<Database> opened = db::open_database(options);
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        database_.emplace(*std::move(opened));
        keyspace_.emplace(*database_->keyspace("values"));
    }

    void put(const std::string& key, const ModelValue& value) {
        const Result<Sequence> done = keyspace_->put(key, value.make());
        ASSERT_TRUE(done.ok()) << done.error().message();
        expected_[key] = value;
    }

    /// Puts a value, replaces it, and goes on until its page was consolidated and forgot it.
    void replace() {
        put("replaced", {1, 900'000});
        put("replaced", {2, 700'000});
        forget();
    }

    void forget() {
        const std::uint64_t before = database_->stats().consolidations;
        for (std::uint64_t n = 0; database_->stats().consolidations < before + 3; ++n) {
            put("row" + std::to_string(n % 10), {n, 300});
        }
    }

    /// Before each write to come.
    void hook_forgetting() {
        files_->before_data_write([this] {
            forget();
            hook_forgetting();
        });
    }

    void check() {
        for (const auto& [key, value] : expected_) {
            const Result<std::optional<std::string>> found = keyspace_->get(key);
            ASSERT_TRUE(found.ok()) << key << ": " << found.error().message();
            ASSERT_TRUE(*found && **found == value.make()) << key;
        }
    }

    void verify() {
        const Result<Database::VerifyReport> sound = database_->verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
    }

    /// The lives after the first: smaller values come, each life a crash, then checkpoints.
    void live_on() {
        crash();
        for (std::uint64_t life = 0; life < 3 && !HasFailure(); ++life) {
            SCOPED_TRACE(life);
            open();
            check();
            verify();
            put("smaller" + std::to_string(life), {10 + life, 300'000});
            check();
            crash();
        }
        for (std::uint64_t life = 0; life < 3 && !HasFailure(); ++life) {
            SCOPED_TRACE(life);
            open();
            check();
            const Result<void> done = database_->checkpoint();
            ASSERT_TRUE(done.ok()) << done.error().message();
            verify();
            put("later" + std::to_string(life), {20 + life, 500'000});
            check();
            crash();
        }
    }

    std::unique_ptr<os::SimFileSystem> disk_ = std::make_unique<os::SimFileSystem>(7);
    std::optional<HookedFileSystem> files_;
    std::optional<Database> database_;
    std::optional<Keyspace> keyspace_;
    std::map<std::string, ModelValue> expected_;
};

TEST_P(ReplacedLargeValueTest, SurvivesWithoutACheckpoint) {
    open();
    put("replaced", {1, 900'000});
    put("replaced", {2, 700'000});
    live_on();
}

TEST_P(ReplacedLargeValueTest, SurvivesWhenItsPageForgotTheFirst) {
    open();
    replace();
    live_on();
}

TEST_P(ReplacedLargeValueTest, SurvivesWhenACheckpointMeetsTheSecondOnly) {
    open();
    // Keyspaces before it are written first, each with writes of its own. The walk is pinned during
    // a write: the value must be replaced in one, and forgotten in a later one.
    ASSERT_TRUE(database_->drop_keyspace("values").ok());
    for (const char* name : {"before", "and before", "and before that"}) {
        const Keyspace before = *database_->keyspace(name);
        for (std::uint64_t n = 0; n < 800; ++n) {
            const std::string value = ModelValue{n, 1'500}.make();
            ASSERT_TRUE(before.put(std::to_string(n), value, Durability::kBuffered).ok());
        }
    }
    keyspace_.emplace(*database_->keyspace("values"));
    files_->before_data_write([this] {
        put("replaced", {1, 900'000});
        put("replaced", {2, 700'000});
        hook_forgetting();
    });
    const Result<void> done = database_->checkpoint();
    ASSERT_TRUE(done.ok()) << done.error().message();
    files_->before_data_write(nullptr);
    ASSERT_LT(database_->stats().checkpointed, database_->stats().visible);
    live_on();
}

TEST_P(ReplacedLargeValueTest, SurvivesTheDropOfItsKeyspace) {
    open();
    replace();
    ASSERT_TRUE(database_->drop_keyspace("values").ok());
    expected_.clear();
    keyspace_.emplace(*database_->keyspace("values"));
    live_on();
}

INSTANTIATE_TEST_SUITE_P(Crashes, ReplacedLargeValueTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& power_cut) {
                             return power_cut.param ? "power_cut" : "kill";
                         });

/// A batch into a page with long fences may be refused whole; then its operations go in one by one.
void put_all(Database& database, const Keyspace& keyspace, const std::vector<std::string>& keys,
             const std::string& value) {
    WriteBatch batch;
    for (const std::string& key : keys) batch.put(keyspace, key, value);
    const Result<Sequence> done = database.commit(batch);
    ASSERT_TRUE(done.ok()) << done.error().message();
}

TEST(RegressionTest, LongKeysThatShareTheirBeginningAreKept) {
    Result<Database> database = Database::in_memory({.memory_budget = 256_MiB});
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    const std::string shared(60'000, 'p');
    std::map<std::string, std::string> expected;
    for (int round = 0; round < 8; ++round) {
        std::vector<std::string> keys;
        for (int i = 0; i < 20; ++i) keys.push_back(shared + std::to_string(i * 37 + round));
        const std::string value(round % 2 == 0 ? 5 : 2000, 'v');
        for (const std::string& key : keys) expected[key] = value;
        put_all(*database, keyspace, keys, value);
        ASSERT_FALSE(HasFailure()) << "round " << round;
    }
    Reader reader = database->reader();
    Cursor cursor = reader.cursor(keyspace);
    for (const auto& [key, value] : expected) {
        ASSERT_TRUE(cursor.valid());
        ASSERT_TRUE(cursor.key() == key && cursor.value() == value);
        cursor.next();
    }
    EXPECT_FALSE(cursor.valid());
    ASSERT_TRUE(database->checkpoint().ok());
    EXPECT_TRUE(database->verify().ok());
}

TEST(RegressionTest, OpeningAndClosingGathersNoLogFiles) {
    os::SimFileSystem disk(1);
    std::uint64_t most = 0;
    for (int i = 0; i < 30; ++i) {
        Result<Database> database = db::open_database(small_engine(disk, "db"));
        ASSERT_TRUE(database.ok()) << database.error().message();
        if (i == 0) {
            ASSERT_TRUE(database->keyspace("a")->put("k", "v").ok());
        }
        most = std::max(most, database->stats().log_segments);
        ASSERT_TRUE(database->close().ok());
    }
    EXPECT_LE(most, 4u);
    Result<Database> database = db::open_database(small_engine(disk, "db"));
    ASSERT_TRUE(database.ok());
    EXPECT_EQ(*database->keyspace("a")->get("k"), "v");
}

TEST(RegressionTest, PartOfADamagedLargeValueIsNotShown) {
    auto disk = std::make_unique<os::SimFileSystem>(1);
    constexpr std::size_t kSize = 3'000'000;
    const ModelValue value{5, kSize};
    {
        Result<Database> database = db::open_database(small_engine(*disk, "db"));
        ASSERT_TRUE(database.ok());
        ASSERT_TRUE(database->keyspace("a")->put("large", value.make()).ok());
        ASSERT_TRUE(database->close().ok());
    }
    for (const bool damaged : {false, true}) {
        if (damaged) {
            // Somewhere in the value: it is most of the file.
            auto file = disk->open("db/data", os::FileSystem::Mode::kReadWrite);
            ASSERT_TRUE(file.ok());
            ASSERT_TRUE(disk->corrupt("db/data", *(*file)->size() / 2, 0x10).ok());
        }
        Result<Database> database = db::open_database(small_engine(*disk, "db"));
        ASSERT_TRUE(database.ok()) << database.error().message();
        const Keyspace keyspace = *database->keyspace("a");
        Reader reader = database->reader();
        std::string part(1000, '\0');
        for (int again = 0; again < 2; ++again) {
            const auto read = reader.read(keyspace, "large", 77, part);
            ASSERT_EQ(read.ok(), !damaged);
            if (damaged) {
                EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
                EXPECT_NE(read.error().offset(), Error::kNoOffset);
            } else {
                EXPECT_TRUE(part == value.make().substr(77, part.size()));
            }
        }
    }
}

}  // namespace
}  // namespace fulgur::system_test
