// Transactions whose pages are not in memory, and what of them is on the disk after a crash.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "os/random.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

// ---- pages that are not in memory ---------------------------------------------------------------

TEST(TransactionColdTest, ChecksPagesThatAreNotInMemory) {
    os::SimFileSystem disk(1);
    db::EngineOptions options = small_engine(disk, "db");
    for (const bool changed : {false, true}) {
        {
            Database database = db::open_database(options).value();
            Keyspace rows = database.keyspace("rows").value();
            for (std::uint64_t n = 0; n < 5000; ++n) {
                ASSERT_TRUE(rows.put(row_key(n), row_value(n), Durability::kBuffered).ok());
            }
            ASSERT_TRUE(database.close().ok());
        }
        Database database = db::open_database(options).value();
        Keyspace rows = database.keyspace("rows").value();
        Transaction transaction = database.begin().value();
        ASSERT_TRUE(transaction.get(rows, row_key(100)).ok());
        TransactionCursor cursor = transaction.cursor(rows, from(row_key(4990)));
        while (cursor.valid()) cursor.next();
        ASSERT_TRUE(transaction.put(rows, row_key(3000), "own").ok());
        const std::uint64_t elsewhere = changed ? 4995 : 2000;
        ASSERT_TRUE(rows.put(row_key(elsewhere), "2", Durability::kBuffered).ok());
        const Result<Sequence> done = transaction.commit();
        EXPECT_EQ(done.ok(), !changed);
        if (!done) {
            EXPECT_TRUE(is_error(done, ErrorCode::kConflict, row_key(elsewhere)));
        }
        // Nothing but what was read and written came into memory.
        EXPECT_LT(database.stats().pages_read, 12u);
    }
}

/// A commit finds room for the pages it writes in that of the pages it has checked: the transaction
/// itself must not keep these.
TEST(TransactionColdTest, FindsRoomForPagesThatAreNotInMemory) {
    constexpr std::uint64_t kRows = 120'000, kStep = kRows / 200;
    os::SimFileSystem disk(1);
    db::EngineOptions options = small_engine(disk, "db");
    options.user.memory_budget = kMemoryBudgetMin;
    Database database = db::open_database(options).value();
    Keyspace rows = database.keyspace("rows").value();
    for (std::uint64_t n = 0; n < kRows; ++n) {
        ASSERT_TRUE(rows.put(row_key(n), row_value(n), Durability::kBuffered).ok());
    }
    Transaction transaction = database.begin().value();
    for (std::uint64_t n = 0; n < kRows; n += kStep) {
        ASSERT_TRUE(transaction.get(rows, row_key(n)).ok());
        ASSERT_TRUE(transaction.put(rows, row_key(n + kStep / 2), "own").ok());
        transaction.release_views();
    }
    for (std::uint64_t n = 1; n < kRows; n += kStep) {
        ASSERT_TRUE(rows.put(row_key(n), "other", Durability::kBuffered).ok());
    }
    const Result<Sequence> done = transaction.commit(Durability::kBuffered);
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(rows.get(row_key(kStep / 2)).value(), "own");
}

// ---- the disk -----------------------------------------------------------------------------------

TEST(TransactionDiskTest, DurableReadersShowOnlyWhatIsOnTheDisk) {
    auto disk = std::make_unique<os::SimFileSystem>(1);
    Database database = db::open_database(small_engine(*disk, "db")).value();
    Keyspace rows = database.keyspace("rows").value();
    ASSERT_TRUE(rows.put("a", "1", Durability::kBuffered).ok());
    ASSERT_LT(database.stats().durable, database.reader().sequence());
    {
        Reader reader = database.durable_reader().value();
        EXPECT_EQ(**reader.get(rows, "a"), "1");
        EXPECT_GE(database.stats().durable, reader.sequence());
    }
    ASSERT_TRUE(rows.put("b", "1", Durability::kBuffered).ok());
    Transaction buffered = database.begin().value();
    ASSERT_TRUE(buffered.get(rows, "b").ok());
    const Sequence moment = buffered.commit(Durability::kBuffered).value();
    EXPECT_LT(database.stats().durable, moment);
    Transaction synced = database.begin().value();
    ASSERT_TRUE(synced.get(rows, "b").ok());
    EXPECT_EQ(synced.commit(Durability::kSync).value(), moment);
    EXPECT_GE(database.stats().durable, moment);

    // What is durable is shown even when the disk takes no more; what is not is refused.
    EXPECT_TRUE(database.durable_reader().ok());
    ASSERT_TRUE(rows.put("c", "1", Durability::kBuffered).ok());
    disk->fail_at(1, EIO, "sync log", 100);
    EXPECT_FALSE(database.durable_reader().ok());
    disk->clear_faults();
    EXPECT_TRUE(is_error(database.durable_reader(), ErrorCode::kPoisoned));
    EXPECT_TRUE(database.try_reader().ok());
}

/// Money moves between accounts, and the power fails at any I/O: what was acknowledged is there,
/// nothing is there by half, and the sum is what it was.
TEST(TransactionDiskTest, ACrashLeavesAllOrNothingOfATransaction) {
    constexpr std::uint64_t kAccounts = 20;
    const Seeds seeds(kSlowBuild ? 30 : 100);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE(testing::Message() << "run again with FULGUR_SEED=" << seed);
        os::Random random(seed);
        auto disk = std::make_unique<os::SimFileSystem>(seed);
        std::uint64_t acknowledged = 0;
        {
            Database database = db::open_database(small_engine(*disk, "db")).value();
            Keyspace accounts = database.keyspace("accounts").value();
            Keyspace journal = database.keyspace("journal").value();
            for (std::uint64_t n = 0; n < kAccounts; ++n) {
                ASSERT_TRUE(accounts.increment(row_key(n), 1000).ok());
            }
            disk->crash_at(1 + random.below(60));
            for (bool alive = true; alive;) {
                const std::string from = row_key(random.below(kAccounts));
                const std::string to = row_key(random.below(kAccounts));
                const auto level = static_cast<Durability>(random.below(3));
                const Result<Sequence> moved = database.transact(
                    [&](Transaction& transaction) -> Result<void> {
                        for (const auto& [key, by] : {std::pair{from, -7}, std::pair{to, 7}}) {
                            Result<std::optional<Bytes>> found = transaction.get(accounts, key);
                            if (!found) return found.error();
                            std::int64_t sum = 0;
                            std::memcpy(&sum, (*found)->data(), sizeof(sum));
                            sum += by;
                            const Bytes bytes(reinterpret_cast<const char*>(&sum), sizeof(sum));
                            Result<void> put = transaction.put(accounts, key, bytes);
                            if (!put) return put;
                        }
                        TransactionCursor last = transaction.cursor(journal);
                        last.seek_to_last();
                        const std::uint64_t n =
                            last.valid() ? std::stoull(std::string(last.key())) : 0;
                        std::string next = std::to_string(n + 1);
                        next.insert(0, 8 - next.size(), '0');
                        return transaction.put(journal, next, from + to);
                    },
                    {.durability = level});
                alive = moved.ok();
                if (alive && level == Durability::kSync) {
                    acknowledged = number(*moved);
                }
                if (random.one_in(20)) alive = database.checkpoint().ok() && alive;
            }
        }
        disk = disk->recover(seed);
        Result<Database> opened = db::open_database(small_engine(*disk, "db"));
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        Keyspace accounts = opened->keyspace("accounts").value();
        Keyspace journal = opened->keyspace("journal").value();
        Reader reader = opened->reader();
        EXPECT_GE(number(reader.sequence()), acknowledged);
        std::map<std::string, std::int64_t> expected;
        for (std::uint64_t n = 0; n < kAccounts; ++n) expected[row_key(n)] = 1000;
        for (Cursor line = reader.cursor(journal); line.valid(); line.next()) {
            expected[std::string(line.value().substr(0, 11))] -= 7;
            expected[std::string(line.value().substr(11))] += 7;
        }
        for (const auto& [key, sum] : expected) {
            std::int64_t found = 0;
            std::memcpy(&found, (*reader.get(accounts, key))->data(), sizeof(found));
            EXPECT_EQ(found, sum) << key;
        }
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace fulgur::system_test
