// Each limit at its greatest and one past it, and a memory budget that is used up.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <utility>

#include "os/machine.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

/// Zeros that take no memory until they are written.
class Zeros {
public:
    explicit Zeros(std::size_t size)
        : bytes_(
              ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
          size_(size) {}
    ~Zeros() { ::munmap(bytes_, size_); }
    Zeros(const Zeros&) = delete;
    Zeros& operator=(const Zeros&) = delete;
    Bytes first(std::size_t size) const { return {static_cast<const char*>(bytes_), size}; }

private:
    void* bytes_;
    std::size_t size_;
};

// ---- limits -------------------------------------------------------------------------------------

TEST(LimitsTest, LongestKeyIsTakenAndOneByteMoreIsNot) {
    Result<Database> database = in_memory(64_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    const std::string longest(kKeyBytesMax, 'k');
    const std::string past(kKeyBytesMax + 1, 'k');
    ASSERT_TRUE(keyspace.put(longest, "value").ok());
    EXPECT_EQ(**keyspace.get(longest), "value");
    const Sequence visible = database->stats().visible;

    EXPECT_TRUE(is_error(keyspace.put(past, "value"), ErrorCode::kLimit));
    EXPECT_TRUE(is_error(keyspace.erase(past), ErrorCode::kLimit));
    WriteBatch batch;
    batch.put(keyspace, "good", "value");
    batch.put(keyspace, past, "value");
    EXPECT_TRUE(is_error(database->commit(batch), ErrorCode::kLimit));
    EXPECT_FALSE(keyspace.get("good").value().has_value()) << "half a batch";
    EXPECT_EQ(database->stats().visible, visible);
    // Nobody can have stored it: asking for it is no error, and it is absent.
    EXPECT_FALSE(keyspace.get(past).value().has_value());
    Reader reader = database->reader();
    std::string part(10, '?');
    EXPECT_FALSE(reader.read(keyspace, past, 0, part).value().has_value());
    const Bytes keys[] = {past, longest};
    std::optional<Bytes> views[2];
    ASSERT_TRUE(reader.get_many(keyspace, keys, views).ok());
    EXPECT_FALSE(views[0].has_value());
    EXPECT_TRUE(views[1].has_value());
    Cursor cursor = reader.cursor(keyspace, from(past));
    EXPECT_FALSE(cursor.valid());
    EXPECT_TRUE(cursor.status().ok());
    ASSERT_TRUE(keyspace.erase(longest).ok());
    EXPECT_FALSE(keyspace.get(longest).value().has_value());
}

TEST(LimitsTest, ValuePastItsLimitIsRefusedUnread) {
    Result<Database> database = in_memory(16_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    const Zeros zeros(kValueBytesMax + 1);
    EXPECT_TRUE(is_error(keyspace.put("k", zeros.first(kValueBytesMax + 1)), ErrorCode::kLimit));
    WriteBatch batch;
    batch.put(keyspace, "k", zeros.first(kValueBytesMax + 1));
    EXPECT_TRUE(is_error(database->commit(batch), ErrorCode::kLimit));
    EXPECT_FALSE(keyspace.get("k").value().has_value());
}

TEST(LimitsTest, GreatestValueIsKept) {
    if (from_environment("FULGUR_LONG", 0) == 0) GTEST_SKIP() << "takes 4 GiB: FULGUR_LONG=1";
    TempDirectory directory;
    Result<Database> database = Database::open(directory / "db");
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    const Zeros zeros(kValueBytesMax);
    const Result<Sequence> done = keyspace.put("k", zeros.first(kValueBytesMax));
    ASSERT_TRUE(done.ok()) << done.error().message();
    Reader reader = database->reader();
    std::string part(100, '?');
    EXPECT_EQ(reader.read(keyspace, "k", kValueBytesMax - 60, part).value(), 60u);
    EXPECT_TRUE(database->checkpoint().ok());
    EXPECT_TRUE(database->verify().ok());
}

/// One value fills the batch up to `bytes` exactly.
WriteBatch batch_of(const Keyspace& keyspace, std::uint64_t bytes) {
    WriteBatch batch;
    batch.put(keyspace, "k", std::string(bytes - 17, 'v'));
    EXPECT_EQ(batch.byte_size(), bytes);
    return batch;
}

TEST(LimitsTest, GreatestBatchIsTakenAndOneByteMoreIsNot) {
    // A quarter of the budget, and never above 64 MiB.
    for (const auto& [budget, most] : std::map<std::uint64_t, std::uint64_t>{
             {8_MiB, 2_MiB}, {256_MiB, 64_MiB}, {512_MiB, kBatchBytesMax}}) {
        SCOPED_TRACE(budget);
        Result<Database> database = in_memory(budget);
        ASSERT_TRUE(database.ok());
        const Keyspace keyspace = *database->keyspace("a");
        const Result<Sequence> past = database->commit(batch_of(keyspace, most + 1));
        EXPECT_TRUE(is_error(past, ErrorCode::kLimit));
        EXPECT_FALSE(keyspace.get("k").value().has_value());
        const Result<Sequence> done = database->commit(batch_of(keyspace, most));
        ASSERT_TRUE(done.ok()) << done.error().message();
        Reader reader = database->reader();
        std::string part(100, '?');
        EXPECT_EQ(reader.read(keyspace, "k", most - 17 - 60, part).value(), 60u);
    }
}

TEST(LimitsTest, BatchOfManyRowsIsOneCommit) {
    Result<Database> database = in_memory(64_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("rows");
    // Rows that are new take up to four times their size while their pages split.
    WriteBatch batch;
    std::uint64_t rows = 0;
    for (; batch.byte_size() < 8_MiB; ++rows) {
        batch.put(keyspace, row_key(rows), row_value(rows));
    }
    const Result<Sequence> done = database->commit(batch);
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(number(*done), 2u);
    expect_rows(*database, rows);
}

TEST(LimitsTest, NamesOfKeyspacesHaveOneTo255Bytes) {
    Result<Database> database = in_memory(16_MiB);
    ASSERT_TRUE(database.ok());
    const std::string longest(kKeyspaceNameBytesMax, '\0');
    ASSERT_TRUE(database->keyspace(longest).ok());
    EXPECT_EQ(database->keyspace_names(), std::vector<std::string>{longest});
    EXPECT_TRUE(is_error(database->keyspace(""), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->keyspace(longest + "n"), ErrorCode::kInvalid));
    EXPECT_FALSE(database->find_keyspace(longest + "n").value().has_value());
    EXPECT_TRUE(is_error(database->drop_keyspace(longest + "n"), ErrorCode::kInvalid));
    ASSERT_TRUE(database->checkpoint().ok());
    EXPECT_TRUE(database->verify().ok());
    EXPECT_TRUE(database->drop_keyspace(longest).ok());
}

TEST(LimitsTest, KeyspacesThatWereDroppedDoNotCount) {
    Result<Database> database = in_memory(64_MiB);
    ASSERT_TRUE(database.ok());
    for (std::uint64_t i = 0; i < kKeyspacesMax + 100; ++i) {
        ASSERT_TRUE(database->keyspace("passing").ok()) << i;
        ASSERT_TRUE(database->drop_keyspace("passing").ok()) << i;
        if (i % 500 == 0) {
            ASSERT_TRUE(database->checkpoint().ok()) << i;
        }
    }
    EXPECT_TRUE(database->keyspace_names().empty());
}

TEST(LimitsTest, AllKeyspacesCanBeMadeAndOneMoreIsNot) {
    Result<Database> database = in_memory(1_GiB);
    ASSERT_TRUE(database.ok());
    std::string name;
    for (std::uint64_t i = 0; i < kKeyspacesMax; ++i) {
        name = "keyspace";
        name.append(std::to_string(i));
        const Result<Keyspace> made = database->keyspace(name);
        ASSERT_TRUE(made.ok()) << i << ": " << made.error().message();
    }
    const Result<Keyspace> more = database->keyspace("one more");
    EXPECT_TRUE(is_error(more, ErrorCode::kLimit));
    EXPECT_TRUE(database->keyspace(name)->put("k", "v").ok());
    EXPECT_EQ(database->keyspace_names().size(), kKeyspacesMax);
}

TEST(LimitsTest, EverySlotCanHaveAReaderAndOneMoreIsBusy) {
    Result<Database> database = in_memory(16_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("a");
    ASSERT_TRUE(keyspace.put("k", "v").ok());
    std::vector<Reader> readers;
    for (;;) {
        Result<Reader> reader = database->try_reader();
        if (!reader) {
            EXPECT_TRUE(is_error(reader, ErrorCode::kBusy));
            break;
        }
        readers.push_back(*std::move(reader));
        ASSERT_LT(readers.size(), 2 * kReadersMax);
    }
    EXPECT_GE(readers.size(), kReadersMax);
    EXPECT_TRUE(is_error(keyspace.get("k"), ErrorCode::kBusy));
    EXPECT_TRUE(is_error(database->snapshot(), ErrorCode::kBusy));
    // The writer and the checkpoint have their own.
    EXPECT_TRUE(keyspace.put("k", "w").ok());
    EXPECT_TRUE(database->checkpoint().ok());
    readers.pop_back();
    EXPECT_EQ(**keyspace.get("k"), "w");
    readers.clear();
    EXPECT_EQ(database->stats().readers, 0u);
}

TEST(LimitsTest, BatchOverTwoDatabasesIsInvalid) {
    Result<Database> one = in_memory(16_MiB), two = in_memory(16_MiB);
    ASSERT_TRUE(one.ok() && two.ok());
    const Keyspace of_one = *one->keyspace("a"), of_two = *two->keyspace("a");
    WriteBatch batch;
    batch.put(of_one, "k", "v");
    EXPECT_TRUE(is_error(two->commit(batch), ErrorCode::kInvalid));
    batch.put(of_two, "k", "v");
    EXPECT_TRUE(is_error(one->commit(batch), ErrorCode::kInvalid));
    Reader reader = one->reader();
    EXPECT_TRUE(is_error(reader.get(of_two, "k"), ErrorCode::kInvalid));
    EXPECT_FALSE(of_one.get("k").value().has_value());
}

// ---- the memory budget --------------------------------------------------------------------------

/// Commits until the budget is used up, where nothing may leave memory (as in Database::in_memory);
/// eviction_test.cc is about where it may.
class BudgetTest : public ::testing::Test {
protected:
    BudgetTest() : disk_(1) {}

    void open(std::uint64_t budget) {
        database_.reset();
        db::EngineOptions options = small_engine(disk_, "db");
        options.user.memory_budget = budget;
        options.evict = false;
        options.user.log_bytes_target = 64_MiB;
        Result<Database> opened = db::open_database(options);
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        database_.emplace(*std::move(opened));
    }

    os::SimFileSystem disk_;
    std::optional<Database> database_;
};

TEST_F(BudgetTest, WhatDoesNotFitIsRefusedUnloggedAndReadsGoOn) {
    for (const std::size_t size : {std::size_t{100}, std::size_t{3'000}}) {
        SCOPED_TRACE(size);
        open(8_MiB);
        if (database_->find_keyspace("rows").value()) {
            ASSERT_TRUE(database_->drop_keyspace("rows").ok());
            ASSERT_TRUE(database_->checkpoint().ok());
        }
        const Keyspace keyspace = *database_->keyspace("rows");
        std::uint64_t rows = 0;
        Result<Sequence> refused = Sequence{};
        while (refused.ok() && rows < 200'000) {
            refused = keyspace.put(row_key(rows), row_value(rows, size));
            rows += refused.ok() ? 1 : 0;
        }
        ASSERT_TRUE(is_error(refused, ErrorCode::kLimit));
        EXPECT_GT(rows * size, 8_MiB / 4) << "most of the budget holds no data";
        const Stats before = database_->stats();
        EXPECT_LE(before.memory_used, before.memory_budget);
        for (int i = 0; i < 10; ++i) {
            EXPECT_TRUE(is_error(keyspace.put(row_key(rows + i), row_value(rows, size)),
                                 ErrorCode::kLimit));
        }
        EXPECT_EQ(database_->stats().visible, before.visible);
        EXPECT_EQ(database_->stats().log_bytes_written, before.log_bytes_written);
        EXPECT_FALSE(database_->stats().poisoned);
        expect_rows(*database_, rows, size);
        EXPECT_TRUE(database_->checkpoint().ok());
        EXPECT_TRUE(database_->verify().ok());
        // With more memory all of it is there, and it goes on.
        open(32_MiB);
        expect_rows(*database_, rows, size);
        EXPECT_TRUE(database_->keyspace("rows")->put(row_key(rows), row_value(rows, size)).ok());
        expect_rows(*database_, rows + 1, size);
    }
}

TEST_F(BudgetTest, OpeningAgainWithTheSameBudgetReadsOrSaysWhatIsMissing) {
    open(8_MiB);
    const Keyspace keyspace = *database_->keyspace("rows");
    std::uint64_t rows = 0;
    while (keyspace.put(row_key(rows), row_value(rows)).ok()) ++rows;
    database_.reset();
    open(8_MiB);
    Reader reader = database_->reader();
    const Keyspace again = **database_->find_keyspace("rows");
    for (std::uint64_t n = 0; n < rows; ++n) {
        const Result<std::optional<Bytes>> found = reader.get(again, row_key(n));
        if (found) {
            ASSERT_TRUE(*found && **found == row_value(n)) << n;
        } else {
            ASSERT_TRUE(is_error(found, ErrorCode::kLimit));
        }
        if (n % 64 == 0) reader.refresh();  // In builds with assertions views are copies.
    }
}

TEST_F(BudgetTest, ReaderThatKeepsOldVersionsMakesCommitsBusyUntilItEnds) {
    open(8_MiB);
    const Keyspace keyspace = *database_->keyspace("rows");
    for (std::uint64_t n = 0; n < 5'000; ++n) {
        ASSERT_TRUE(keyspace.put(row_key(n), row_value(n)).ok());
    }
    std::optional<Reader> reader(database_->reader());
    Result<Sequence> refused = Sequence{};
    for (std::uint64_t i = 0; refused.ok() && i < 500'000; ++i) {
        refused = keyspace.put(row_key(i % 5'000), row_value(i));
    }
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(refused.error().code() == ErrorCode::kBusy ||
                refused.error().code() == ErrorCode::kLimit)
        << refused.error().message();
    for (std::uint64_t n = 0; n < 5'000; ++n) {
        const Result<std::optional<Bytes>> found = reader->get(keyspace, row_key(n));
        ASSERT_TRUE(found.ok() && *found && **found == row_value(n)) << n;
    }
    reader.reset();
    for (std::uint64_t n = 0; n < 5'000; ++n) {
        const Result<Sequence> done = keyspace.put(row_key(n), row_value(n));
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
    expect_rows(*database_, 5'000);
}

TEST(LimitsTest, MemoryProfilesAreBudgets) {
    const std::pair<MemoryProfile, std::uint64_t> budgets[] = {
        {MemoryProfile::kMinimal, 4_MiB},
        {MemoryProfile::kBalanced, 16_MiB},
        {MemoryProfile::kHigh, 64_MiB},
        {MemoryProfile::kMaximum, 256_MiB},
        {MemoryProfile::kAutomatic, std::max(4_MiB, os::memory_bytes() / 4)}};
    for (const auto& [profile, bytes] : budgets) {
        EXPECT_EQ(memory_budget_of(profile), bytes);
        Options options;
        options.memory = profile;
        EXPECT_EQ(Database::in_memory(options)->stats().memory_budget, bytes);
        options.memory_budget = 5_MiB;  // Goes before it.
        EXPECT_EQ(Database::in_memory(options)->stats().memory_budget, 5_MiB);
    }
}

}  // namespace
}  // namespace fulgur::system_test
