// What a keyspace does in a transaction of its own: conditional puts, counters, whole ranges; and
// what it knows about the size of a range.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

class KeyspaceOperationsTest : public ::testing::Test {
protected:
    void put_rows(std::uint64_t count, std::size_t size = 20) {
        for (std::uint64_t begin = 0; begin < count; begin += 1000) {
            WriteBatch batch;
            for (std::uint64_t n = begin; n < std::min(begin + 1000, count); ++n) {
                batch.put(rows, row_key(n), row_value(n, size));
            }
            ASSERT_TRUE(database.commit(batch, Durability::kBuffered).ok());
        }
    }
    std::string now(Bytes key) { return rows.get(key).value().value_or("-"); }

    Database database = in_memory(64_MiB).value();
    Keyspace rows = database.keyspace("rows").value();
};

TEST_F(KeyspaceOperationsTest, PutsIfTheConditionHolds) {
    EXPECT_EQ(rows.put_if("a", "1", Condition::present()).value(), std::nullopt);
    EXPECT_EQ(rows.put_if("a", "1", Condition::equals("")).value(), std::nullopt);
    EXPECT_EQ(now("a"), "-");
    EXPECT_TRUE(rows.put_if("a", "1", Condition::absent()).value());
    EXPECT_EQ(rows.put_if("a", "2", Condition::absent()).value(), std::nullopt);
    EXPECT_EQ(rows.put_if("a", "2", Condition::equals("11")).value(), std::nullopt);
    EXPECT_EQ(now("a"), "1");
    EXPECT_TRUE(rows.put_if("a", "2", Condition::equals("1")).value());
    EXPECT_TRUE(rows.put_if("a", "3", Condition::present(), Durability::kBuffered).value());
    EXPECT_EQ(now("a"), "3");
    const Sequence done = *rows.put_if("a", "4", Condition::equals("3")).value();
    EXPECT_EQ(done, database.reader().sequence());
    EXPECT_TRUE(is_error(rows.put_if(std::string(kKeyBytesMax + 1, 'k'), "", Condition::absent()),
                         ErrorCode::kLimit));
}

TEST_F(KeyspaceOperationsTest, CountsFromZeroInLittleEndian) {
    EXPECT_EQ(rows.increment("n").value(), 1);
    EXPECT_EQ(now("n"), std::string("\x01\0\0\0\0\0\0\0", 8));
    EXPECT_EQ(rows.increment("n", -3).value(), -2);
    EXPECT_EQ(now("n"), std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8));
    EXPECT_EQ(rows.increment("n", 1000, Durability::kBuffered).value(), 998);
}

TEST_F(KeyspaceOperationsTest, RefusesWhatDoesNotFitOrIsNoCounter) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(rows.increment("n", kMost).value(), kMost);
    EXPECT_TRUE(is_error(rows.increment("n"), ErrorCode::kLimit));
    EXPECT_EQ(rows.increment("n", -kMost).value(), 0);
    EXPECT_EQ(rows.increment("n", -kMost - 1).value(), -kMost - 1);
    EXPECT_TRUE(is_error(rows.increment("n", -1), ErrorCode::kLimit));
    EXPECT_EQ(rows.increment("n", 0).value(), -kMost - 1);
    for (const char* value : {"", "1234567", "123456789"}) {
        ASSERT_TRUE(rows.put("text", value).ok());
        EXPECT_TRUE(is_error(rows.increment("text"), ErrorCode::kInvalid));
        EXPECT_EQ(now("text"), value);
    }
}

TEST_F(KeyspaceOperationsTest, ErasesRangesOfAnySize) {
    put_rows(20'000);
    const std::uint64_t before = number(database.reader().sequence());
    EXPECT_EQ(rows.erase_range(between(row_key(1000), row_key(19'000))).value(), 18'000u);
    EXPECT_GT(number(database.reader().sequence()), before + 3) << "in several commits";
    EXPECT_EQ(rows.count().value(), 2000u);
    EXPECT_NE(now(row_key(999)), "-");
    EXPECT_EQ(now(row_key(1000)), "-");
    EXPECT_EQ(now(row_key(18'999)), "-");
    EXPECT_NE(now(row_key(19'000)), "-");
    EXPECT_EQ(rows.erase_range(between(row_key(1000), row_key(19'000))).value(), 0u);
    EXPECT_EQ(rows.erase_range(between("x", "a")).value(), 0u);
    EXPECT_EQ(rows.erase_range(everything(), Durability::kBuffered).value(), 2000u);
    EXPECT_EQ(rows.count().value(), 0u);
}

TEST(KeyspaceOperationsDiskTest, TheLastPartOfAnErasedRangeMakesAllDurable) {
    auto disk = std::make_unique<os::SimFileSystem>(1);
    {
        Database database = db::open_database(small_engine(*disk, "db")).value();
        Keyspace rows = database.keyspace("rows").value();
        for (std::uint64_t n = 0; n < 9000; ++n) {
            ASSERT_TRUE(rows.put(row_key(n), "", Durability::kBuffered).ok());
        }
        ASSERT_EQ(rows.erase_range(everything(), Durability::kSync).value(), 9000u);
        disk->crash();
    }
    disk = disk->recover(1);
    Database database = db::open_database(small_engine(*disk, "db")).value();
    EXPECT_EQ(database.keyspace("rows")->count().value(), 0u);
}

TEST_F(KeyspaceOperationsTest, CountsExactlyAtOneMoment) {
    put_rows(50'000);
    ASSERT_TRUE(rows.erase(row_key(7)).ok());
    EXPECT_EQ(rows.count().value(), 49'999u);
    EXPECT_EQ(rows.count(between(row_key(5), row_key(10))).value(), 4u);
    EXPECT_EQ(rows.count(between("x", "z")).value(), 0u);
    EXPECT_EQ(rows.count(between("z", "a")).value(), 0u);
    EXPECT_EQ(rows.count(prefix("row000001")).value(), 100u);
    EXPECT_EQ(database.stats().snapshots, 0u);
    EXPECT_EQ(database.stats().readers, 0u);
}

/// Within `percent` of what it is.
testing::AssertionResult is_about(std::uint64_t found, std::uint64_t truth, std::uint64_t percent) {
    if (found * 100 >= truth * (100 - percent) && found * 100 <= truth * (100 + percent)) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << found << " is not about " << truth;
}

TEST_F(KeyspaceOperationsTest, ApproximatesSmallRangesExactly) {
    EXPECT_EQ(rows.approximate_count().value(), 0u);
    put_rows(100);
    ASSERT_TRUE(rows.erase(row_key(50)).ok());
    EXPECT_EQ(rows.approximate_count().value(), 99u);
    EXPECT_EQ(rows.approximate_size().value().bytes, 99u * 31);
    EXPECT_EQ(rows.approximate_count(between(row_key(40), row_key(60))).value(), 19u);
    EXPECT_EQ(rows.approximate_count(between("z", "a")).value(), 0u);
    ASSERT_TRUE(rows.put("large", std::string(100'000, 'x')).ok());
    EXPECT_EQ(rows.approximate_size().value().bytes, 99u * 31 + 100'005);
    put_rows(20'000);
    EXPECT_EQ(rows.approximate_count(between(row_key(9990), row_key(10'010))).value(), 20u);
}

TEST_F(KeyspaceOperationsTest, ApproximatesLargeRanges) {
    constexpr std::uint64_t kRows = kSlowBuild ? 60'000 : 300'000;
    put_rows(kRows);
    EXPECT_TRUE(is_about(rows.approximate_count().value(), kRows, 5));
    EXPECT_TRUE(is_about(rows.approximate_size().value().bytes, kRows * 31, 5));
    const KeyRange half = between(row_key(kRows / 4), row_key(kRows / 4 * 3));
    EXPECT_TRUE(is_about(rows.approximate_count(half).value(), kRows / 2, 5));
    ASSERT_TRUE(rows.erase_range(half, Durability::kBuffered).ok());
    EXPECT_LT(rows.approximate_count(half).value(), kRows / 50) << "erased rows count";
}

TEST(KeyspaceOperationsColdTest, ApproximatesWithoutReadingLeaves) {
    constexpr std::uint64_t kRows = 100'000;
    os::SimFileSystem disk(1);
    db::EngineOptions options = small_engine(disk, "db");
    options.user.log_bytes_target = 64_MiB;
    {
        Database database = db::open_database(options).value();
        Keyspace rows = database.keyspace("rows").value();
        for (std::uint64_t begin = 0; begin < kRows; begin += 1000) {
            WriteBatch batch;
            for (std::uint64_t n = begin; n < begin + 1000; ++n) {
                batch.put(rows, row_key(n), row_value(n, 20));
            }
            ASSERT_TRUE(database.commit(batch, Durability::kBuffered).ok());
        }
        ASSERT_TRUE(database.close().ok());
    }
    Database database = db::open_database(options).value();
    Keyspace rows = database.keyspace("rows").value();
    EXPECT_TRUE(is_about(rows.approximate_count().value(), kRows, 5));
    EXPECT_TRUE(is_about(rows.approximate_size().value().bytes, kRows * 31, 10));
    const KeyRange half = between(row_key(kRows / 4), row_key(kRows / 4 * 3));
    EXPECT_TRUE(is_about(rows.approximate_count(half).value(), kRows / 2, 5));
    EXPECT_LE(database.stats().pages_read, 4u);
}

}  // namespace
}  // namespace fulgur::system_test
