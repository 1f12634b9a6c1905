// Handles that are used after what they belong to was closed or dropped, and views that are used
// after their reader.
#include <gtest/gtest.h>

#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

TEST(ClosedTest, EveryCallThroughAnyHandleIsInvalid) {
    TempDirectory directory;
    Options options;
    options.memory_budget = 16_MiB;
    Result<Database> database = Database::open(directory / "db", options);
    ASSERT_TRUE(database.ok());
    const Keyspace keyspace = *database->keyspace("rows");
    ASSERT_TRUE(keyspace.put("k", "value").ok());
    ASSERT_TRUE(keyspace.put("l", "value").ok());
    Result<Snapshot> snapshot = database->snapshot();
    ASSERT_TRUE(snapshot.ok());
    Reader reader = database->reader();
    const Bytes view = **reader.get(keyspace, "k");
    Cursor cursor = reader.cursor(keyspace);
    ASSERT_TRUE(database->close().ok());

    EXPECT_TRUE(is_error(database->close(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->keyspace("rows"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->keyspace("new"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->find_keyspace("rows"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->drop_keyspace("rows"), ErrorCode::kInvalid));
    WriteBatch batch;
    EXPECT_TRUE(is_error(database->commit(batch), ErrorCode::kInvalid));
    batch.put(keyspace, "k", "another");
    EXPECT_TRUE(is_error(database->commit(batch), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->sync(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->checkpoint(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->verify(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->try_reader(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->snapshot(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(keyspace.put("k", "another"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(keyspace.erase("k"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(keyspace.get("k"), ErrorCode::kInvalid));
    EXPECT_EQ(keyspace.name(), "rows");
    EXPECT_TRUE(is_error(snapshot->reader(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(reader.get(keyspace, "k"), ErrorCode::kInvalid));
    const Bytes keys[] = {"k"};
    std::optional<Bytes> views[1];
    EXPECT_TRUE(is_error(reader.get_many(keyspace, keys, views), ErrorCode::kInvalid));
    std::string part(10, '?');
    EXPECT_TRUE(is_error(reader.read(keyspace, "k", 0, part), ErrorCode::kInvalid));
    Cursor late = reader.cursor(keyspace);
    EXPECT_FALSE(late.valid());
    late.seek("k");
    late.seek_to_first();
    late.seek_to_last();
    late.next();
    EXPECT_FALSE(late.valid());
    EXPECT_TRUE(is_error(late.status(), ErrorCode::kInvalid));
    EXPECT_EQ(number(database->stats().visible), 3u);

    // What was shown before stays, and the directory belongs to whoever opens it next.
    Result<Database> next = Database::open(directory / "db", options);
    ASSERT_TRUE(next.ok()) << next.error().message();
    ASSERT_TRUE(next->keyspace("rows")->put("k", "changed").ok());
    EXPECT_EQ(view, "value");
    EXPECT_EQ(cursor.key(), "k");
    EXPECT_EQ(cursor.value(), "value");
    EXPECT_EQ(number(reader.sequence()), 3u);
    EXPECT_EQ(number(snapshot->sequence()), 3u);
}

TEST(ClosedTest, HandlesOutliveTheDatabaseObject) {
    std::optional<Keyspace> keyspace;
    std::optional<Snapshot> snapshot;
    std::optional<Reader> reader;
    {
        Result<Database> database = in_memory(16_MiB);
        ASSERT_TRUE(database.ok());
        keyspace.emplace(*database->keyspace("a"));
        ASSERT_TRUE(keyspace->put("k", "value").ok());
        snapshot.emplace(*database->snapshot());
        reader.emplace(database->reader());
    }
    EXPECT_TRUE(is_error(keyspace->put("k", "v"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(keyspace->get("k"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(snapshot->reader(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(reader->get(*keyspace, "k"), ErrorCode::kInvalid));
    reader->refresh();
}

TEST(ClosedTest, DroppedKeyspaceIsInvalidButForReadersFromBefore) {
    Result<Database> database = in_memory(16_MiB);
    ASSERT_TRUE(database.ok());
    const Keyspace dropped = *database->keyspace("a");
    ASSERT_TRUE(dropped.put("k", "value").ok());
    Reader before = database->reader();
    ASSERT_TRUE(database->drop_keyspace("a").ok());
    EXPECT_TRUE(is_error(database->drop_keyspace("a"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(dropped.put("k", "v"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(dropped.get("k"), ErrorCode::kInvalid));
    WriteBatch batch;
    batch.put(dropped, "k", "v");
    EXPECT_TRUE(is_error(database->commit(batch), ErrorCode::kInvalid));
    ASSERT_TRUE(database->checkpoint().ok());
    EXPECT_EQ(**before.get(dropped, "k"), "value");
    // The name is free again, and another keyspace.
    const Keyspace again = *database->keyspace("a");
    EXPECT_NE(again.id(), dropped.id());
    EXPECT_FALSE(again.get("k").value().has_value());
    before.refresh();
    EXPECT_TRUE(is_error(before.get(dropped, "k"), ErrorCode::kInvalid));
}

// ---- views
// ----------------------------------------------------------------------------------------

/// The middle of a view that its reader has ended.
[[maybe_unused]] char use_after_refresh() {
    Result<Database> database = in_memory(16_MiB);
    const Keyspace keyspace = *database->keyspace("a");
    static_cast<void>(keyspace.put("k", std::string(1'500, 'v')).ok());
    Reader reader = database->reader();
    const Bytes view = **reader.get(keyspace, "k");
    reader.refresh();
    const volatile char* stale = view.data();
    return stale[view.size() / 2];
}

TEST(ViewDeathTest, ViewUsedAfterItsReaderIsCaught) {
#if defined(NDEBUG)
    GTEST_SKIP() << "without assertions a view is no copy, and its bytes may still be there";
#elif defined(__SANITIZE_ADDRESS__)
    ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
    EXPECT_DEATH(static_cast<void>(use_after_refresh()), "heap-use-after-free");
#else
    EXPECT_EQ(use_after_refresh(), '\xDB');
#endif
}

}  // namespace
}  // namespace fulgur::system_test
