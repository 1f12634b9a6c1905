// Data larger than the memory budget: what is used stays, everything can be read, nothing is lost,
// and memory keeps to the budget. tests/model_test.cc (configurations "evicting"), simulation_test
// and concurrent_test evict under random operations, crashes and threads.
#include <gtest/gtest.h>

#include "os/random.h"
#include "os/thread.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

constexpr std::uint64_t kRows = kSlowBuild ? 80'000 : 160'000;  // Some 10 or 19 MB.
constexpr std::uint64_t kFewRows = 50'000;  // Some 6 MB: more than the least budget.

class EvictionTest : public ::testing::Test {
protected:
    EvictionTest() : disk_(std::make_unique<os::SimFileSystem>(1)) {}

    void open(std::uint64_t budget, bool background = false) {
        database_.reset();
        db::EngineOptions options = small_engine(*disk_, "db");
        options.user.memory_budget = budget;
        options.background = background;
        Result<Database> opened = db::open_database(options);
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        database_.emplace(*std::move(opened));
    }

    /// Rows [0, count) in an order that jumps.
    void load(std::uint64_t count, std::size_t size = 100, std::uint64_t batch_rows = 25) {
        const Keyspace keyspace = *database_->keyspace("rows");
        for (std::uint64_t n = 0; n < count;) {
            WriteBatch batch;
            for (std::uint64_t end = std::min(count, n + batch_rows); n < end; ++n) {
                const std::uint64_t row = n * 7919 % count;  // 7919 is prime to the counts here.
                batch.put(keyspace, row_key(row), row_value(row, size));
            }
            const Result<Sequence> done = database_->commit(batch, Durability::kBuffered);
            ASSERT_TRUE(done.ok()) << n << ": " << done.error().message();
            const Stats stats = database_->stats();
            ASSERT_LE(stats.memory_used, stats.memory_budget);
        }
    }

    void expect_row(Reader& reader, const Keyspace& keyspace, std::uint64_t n,
                    std::size_t size = 100) {
        const Result<std::optional<Bytes>> found = reader.get(keyspace, row_key(n));
        const Stats stats = database_->stats();
        ASSERT_TRUE(found.ok()) << n << ": " << found.error().message() << " used "
                                << stats.memory_used << " retired " << stats.memory_retired
                                << " evicted " << stats.pages_evicted;
        ASSERT_TRUE(*found && **found == row_value(n, size)) << n;
    }

    void expect_random_rows(std::uint64_t count, std::size_t size = 100) {
        const Keyspace keyspace = *database_->keyspace("rows");
        os::Random random(count);
        Reader reader = database_->reader();
        for (int i = 0; i < 2'000; ++i) {
            expect_row(reader, keyspace, random.below(count), size);
            if (HasFatalFailure()) return;
            reader.refresh();
        }
    }

    std::unique_ptr<os::SimFileSystem> disk_;
    std::optional<Database> database_;
};

TEST_F(EvictionTest, SeveralTimesTheBudgetIsLoadedReadAndChanged) {
    for (const bool background : {false, true}) {
        SCOPED_TRACE(background);
        disk_ = std::make_unique<os::SimFileSystem>(2);
        open(kMemoryBudgetMin, background);
        load(kRows);
        if (HasFatalFailure()) return;
        expect_random_rows(kRows);
        EXPECT_GT(database_->stats().pages_evicted, kRows / 100);
        EXPECT_GT(database_->stats().pages_evicted_dirty, 0u);
        ASSERT_TRUE(database_->checkpoint().ok());
        const Result<Database::VerifyReport> report = database_->verify();
        ASSERT_TRUE(report.ok()) << report.error().message();
        EXPECT_EQ(report->records, kRows);
        // Every tenth row goes, each in a commit of its own, from leaves that are not in memory.
        const Keyspace keyspace = *database_->keyspace("rows");
        for (std::uint64_t n = 0; n < kRows; n += 10) {
            ASSERT_TRUE(keyspace.erase(row_key(n), Durability::kBuffered).ok());
        }
        open(kMemoryBudgetMin, background);
        const Keyspace again = *database_->keyspace("rows");
        Reader reader = database_->reader();
        for (std::uint64_t n = 0; n < kRows; n += 97) {
            const Result<std::optional<Bytes>> found = reader.get(again, row_key(n));
            ASSERT_TRUE(found.ok()) << found.error().message();
            ASSERT_EQ(found->has_value(), n % 10 != 0) << n;
            reader.refresh();
        }
        database_.reset();
    }
}

TEST_F(EvictionTest, LogIsReplayedInTheBudgetItWasWrittenIn) {
    open(kMemoryBudgetMin);
    load(kFewRows);
    if (HasFatalFailure()) return;
    ASSERT_TRUE(database_->sync().ok());
    // The process ends without a checkpoint.
    std::unique_ptr<os::SimFileSystem> after = disk_->recover(3);
    db::EngineOptions options = small_engine(*after, "db");
    options.user.memory_budget = kMemoryBudgetMin;
    database_.reset();
    Result<Database> opened = db::open_database(options);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    database_.emplace(*std::move(opened));
    EXPECT_LE(database_->stats().memory_used, kMemoryBudgetMin);
    expect_random_rows(kFewRows);
    ASSERT_TRUE(database_->checkpoint().ok());
    EXPECT_TRUE(database_->verify().ok());
    database_.reset();
}

TEST_F(EvictionTest, LogOfLargeValuesIsReplayedInALittleBudget) {
    constexpr std::size_t kSize = 3'000;
    constexpr std::uint64_t kCount = 5'000;  // 15 MB, which no checkpoint has written.
    db::EngineOptions options = small_engine(*disk_, "db");
    options.user.log_bytes_target = 64_MiB;
    database_.emplace(db::open_database(options).value());
    load(kCount, kSize);
    if (HasFatalFailure()) return;
    ASSERT_TRUE(database_->sync().ok());
    ASSERT_EQ(database_->stats().checkpoints, 0u);
    for (const std::uint64_t crash : {3, 4}) {
        disk_ = disk_->recover(crash);
        open(kMemoryBudgetMin);
        if (HasFatalFailure()) return;
        EXPECT_LE(database_->stats().memory_used, kMemoryBudgetMin);
        expect_random_rows(kCount, kSize);
        if (HasFatalFailure()) return;
    }
    ASSERT_TRUE(database_->checkpoint().ok());
    const Result<Database::VerifyReport> report = database_->verify();
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_EQ(report->large_values, kCount);
    database_.reset();
}

TEST_F(EvictionTest, ReaderThatNeverEndsGetsBusyAndGoesOnAfterRefresh) {
    open(kMemoryBudgetMin);
    load(kFewRows);
    if (HasFatalFailure()) return;
    const Keyspace keyspace = *database_->keyspace("rows");
    Reader reader = database_->reader();
    std::uint64_t n = 0;
    Result<std::optional<Bytes>> found = std::optional<Bytes>();
    while (found.ok() && n < kFewRows) found = reader.get(keyspace, row_key(n++));
    ASSERT_TRUE(is_error(found, ErrorCode::kBusy)) << n;
    EXPECT_GT(n, 1'000u);
    reader.refresh();
    expect_row(reader, keyspace, n - 1);
    // So do the others, whom it held up.
    EXPECT_TRUE(keyspace.put("another", "value").ok());
}

TEST_F(EvictionTest, SnapshotsSeeTheirMomentThroughPagesThatCameAndWent) {
    open(kMemoryBudgetMin);
    load(kFewRows);
    if (HasFatalFailure()) return;
    const Keyspace keyspace = *database_->keyspace("rows");
    const Snapshot snapshot = database_->snapshot().value();
    for (std::uint64_t n = 0; n < kFewRows; ++n) {
        const Result<Sequence> done = n % 3 == 0
                                          ? keyspace.erase(row_key(n), Durability::kBuffered)
                                          : keyspace.put(row_key(n), "new", Durability::kBuffered);
        ASSERT_TRUE(done.ok()) << n << ": " << done.error().message();
    }
    Reader now = database_->reader();
    Reader then = snapshot.reader().value();
    for (std::uint64_t n = 0; n < kFewRows; n += 13) {
        expect_row(then, keyspace, n);
        if (HasFatalFailure()) return;
        then.refresh();
        const Result<std::optional<Bytes>> found = now.get(keyspace, row_key(n));
        ASSERT_TRUE(found.ok()) << found.error().message();
        ASSERT_EQ(found->value_or("none"), n % 3 == 0 ? "none" : "new");
        now.refresh();
    }
}

TEST_F(EvictionTest, LargeValuesBeyondTheBudgetAreReadAndReplaced) {
    // Some go through the log, some to the data file first; those lie in one leaf, which stays.
    for (const std::size_t size : {std::size_t{20'000}, std::size_t{300'000}}) {
        SCOPED_TRACE(size);
        disk_ = std::make_unique<os::SimFileSystem>(4);
        open(8_MiB);
        const std::uint64_t count = 24'000'000 / size + 1;
        load(count, size, 1);
        if (HasFatalFailure()) return;
        load(count, size, 1);
        if (HasFatalFailure()) return;
        expect_random_rows(count, size);
        ASSERT_TRUE(database_->checkpoint().ok());
        const Result<Database::VerifyReport> report = database_->verify();
        ASSERT_TRUE(report.ok()) << report.error().message();
        database_.reset();
    }
}

TEST_F(EvictionTest, UsedRowsStayWhileAScanOfAllPasses) {
    open(8_MiB);
    load(kRows / 2);
    if (HasFatalFailure()) return;
    const Keyspace keyspace = *database_->keyspace("rows");
    const auto touch_hot = [&] {
        for (std::uint64_t n = 0; n < 2'000; n += 10) {
            Reader reader = database_->reader();
            expect_row(reader, keyspace, n);
        }
    };
    touch_hot();
    const std::uint64_t before = database_->stats().pages_read;
    touch_hot();
    EXPECT_EQ(database_->stats().pages_read, before) << "a hot set of 300 KB was not kept";
    Reader reader = database_->reader();
    std::string at = row_key(2'000);
    for (int i = 0; !at.empty(); ++i) {
        Cursor cursor = reader.cursor(keyspace, from(at));
        for (int step = 0; step < 1'000 && cursor.valid(); ++step) cursor.next();
        ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        at = cursor.valid() ? std::string(cursor.key()) : std::string();
        if (i % 5 == 0) touch_hot();
        reader.refresh();
    }
    const std::uint64_t after = database_->stats().pages_read;
    touch_hot();
    EXPECT_EQ(database_->stats().pages_read, after) << "the scan pushed the hot set out";
}

TEST_F(EvictionTest, FullDiskRefusesWritesAndNothingIsLost) {
    open(kMemoryBudgetMin);
    load(60'013);
    if (HasFatalFailure()) return;
    ASSERT_TRUE(database_->checkpoint().ok());
    disk_->set_capacity(disk_->used_bytes() + 200'000);
    const Keyspace keyspace = *database_->keyspace("rows");
    Result<Sequence> refused = Sequence{};
    std::uint64_t n = 60'013;
    for (; refused.ok() && n < 200'000; ++n) refused = keyspace.put(row_key(n), row_value(n));
    ASSERT_TRUE(is_error(refused, ErrorCode::kNoSpace)) << n;
    // Dirty pages cannot go; clean ones go for those that are read.
    expect_random_rows(60'013);
    if (HasFatalFailure()) return;
    disk_->set_capacity(os::SimFileSystem::kUnlimited);
    const bool poisoned = database_->stats().poisoned;  // The log may have met the end first.
    if (poisoned) {
        open(kMemoryBudgetMin);
        if (HasFatalFailure()) return;
    }
    expect_random_rows(n - 1);
    EXPECT_TRUE(database_->keyspace("rows")->put(row_key(n), row_value(n)).ok());
    ASSERT_TRUE(database_->checkpoint().ok());
    const Result<Database::VerifyReport> report = database_->verify();
    EXPECT_TRUE(report.ok()) << report.error().message();
}

}  // namespace
}  // namespace fulgur::system_test
