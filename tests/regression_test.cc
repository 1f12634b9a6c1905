// Faults of the engine that the model, or thought, once found.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "os/sim_file_system.h"
#include "tests/support.h"

namespace fulgur::system_test {
namespace {

/// What was written to the data file for a value that was replaced must stay reserved while the log
/// names it: replay writes nothing there, and a later, smaller value does not overlap it.
void replaced_large_value_survives(bool power_cut) {
    auto disk = std::make_unique<os::SimFileSystem>(7);
    const ModelValue first{1, 900'000};
    const ModelValue second{2, 700'000};
    const ModelValue third{3, 300'000};
    const auto open = [&] {
        db::EngineOptions options = small_engine(*disk, "db");
        options.user.log_bytes_target = 16_MiB;  // No checkpoint comes by itself.
        return db::open_database(options);
    };
    for (int life = 0; life < 3; ++life) {
        SCOPED_TRACE(life);
        Result<Database> database = open();
        ASSERT_TRUE(database.ok()) << database.error().message();
        const Keyspace keyspace = *database->keyspace("a");
        if (life == 0) {
            ASSERT_TRUE(keyspace.put("replaced", first.make()).ok());
            ASSERT_TRUE(keyspace.put("replaced", second.make()).ok());
        } else if (life == 1) {
            EXPECT_TRUE(**keyspace.get("replaced") == second.make());
            ASSERT_TRUE(keyspace.put("smaller", third.make()).ok());
        } else {
            EXPECT_TRUE(**keyspace.get("replaced") == second.make());
            EXPECT_TRUE(**keyspace.get("smaller") == third.make());
            const Result<void> done = database->checkpoint();
            ASSERT_TRUE(done.ok()) << done.error().message();
            const Result<Database::VerifyReport> sound = database->verify();
            ASSERT_TRUE(sound.ok()) << sound.error().message();
            EXPECT_GE(sound->large_values, 2u);  // Images may keep the replaced one.
        }
        // The database must end before the disk on which it ran.
        auto after = power_cut ? disk->recover(11) : disk->recover_after_kill(11);
        database = Error(ErrorCode::kInvalid, "ended");
        disk = std::move(after);
    }
    Result<Database> database = open();
    ASSERT_TRUE(database.ok()) << database.error().message();
    Result<Keyspace> keyspace = database->keyspace("a");
    ASSERT_TRUE(keyspace.ok());
    EXPECT_TRUE(**keyspace->get("replaced") == second.make());
    EXPECT_TRUE(**keyspace->get("smaller") == third.make());
    EXPECT_TRUE(database->verify().ok());
}

TEST(RegressionTest, ReplacedLargeValueSurvivesPowerCuts) { replaced_large_value_survives(true); }

TEST(RegressionTest, ReplacedLargeValueSurvivesKills) { replaced_large_value_survives(false); }

// ---- long keys ----------------------------------------------------------------------------------

/// A batch into a page with long fences may be refused whole; then its operations go in one by one.
void put_all(Database& database, const Keyspace& keyspace, const std::vector<std::string>& keys,
             const std::string& value) {
    WriteBatch batch;
    for (const std::string& key : keys) batch.put(keyspace, key, value);
    const Sequence before = database.stats().visible;
    const Result<Sequence> done = database.commit(batch);
    if (done) return;
    ASSERT_EQ(done.error().code(), ErrorCode::kBusy) << done.error().message();
    ASSERT_EQ(database.stats().visible, before);
    for (const std::string& key : keys) {
        const Result<Sequence> one = keyspace.put(key, value);
        ASSERT_TRUE(one.ok()) << one.error().message();
    }
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

}  // namespace
}  // namespace fulgur::system_test
