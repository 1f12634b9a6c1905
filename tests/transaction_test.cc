// Transactions one by one: what they see, what is a conflict and what is none, what ends them.
// transaction_model_test.cc has random ones, transaction_concurrent_test.cc many threads.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/random.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

/// One database in memory with one keyspace.
class TransactionTest : public ::testing::Test {
protected:
    TransactionTest() : TransactionTest(64_MiB) {}
    explicit TransactionTest(std::uint64_t budget)
        : database(in_memory(budget).value()), rows(database.keyspace("rows").value()) {}

    void put(Bytes key, Bytes value) {
        const Result<Sequence> done = rows.put(key, value, Durability::kBuffered);
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
    void erase(Bytes key) { ASSERT_TRUE(rows.erase(key, Durability::kBuffered).ok()); }
    std::string now(Bytes key) { return rows.get(key).value().value_or("-"); }

    std::string get(Transaction& transaction, Bytes key) {
        Result<std::optional<Bytes>> found = transaction.get(rows, key);
        EXPECT_TRUE(found.ok()) << found.error().message();
        return found && *found ? std::string(**found) : "-";
    }
    /// "a=1 b=2", forward or backward.
    std::string walk(Transaction& transaction, const KeyRange& range, bool forward = true) {
        TransactionCursor cursor = transaction.cursor(rows, range);
        if (!forward) cursor.seek_to_last();
        std::string text;
        for (; cursor.valid(); forward ? cursor.next() : cursor.previous()) {
            if (!text.empty()) text.push_back(' ');
            text.append(cursor.key()).append("=").append(cursor.value());
        }
        EXPECT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        return text;
    }
    /// Commits of other keys until pages were consolidated many times.
    void consolidate_all() {
        for (std::uint64_t n = 0; n < 3000; ++n) put(row_key(n % 50), row_value(n));
        ASSERT_GT(database.stats().consolidations, 10u);
    }

    Database database;
    Keyspace rows;
};

testing::AssertionResult conflicts(const Result<Sequence>& done, std::string_view where = "") {
    return is_error(done, ErrorCode::kConflict, where);
}

// ---- what it sees -------------------------------------------------------------------------------

TEST_F(TransactionTest, ReadsAtItsMomentWhateverOthersCommit) {
    put("a", "1");
    Transaction transaction = database.begin().value();
    put("a", "2");
    put("b", "2");
    EXPECT_EQ(get(transaction, "a"), "1");
    EXPECT_EQ(get(transaction, "b"), "-");
    EXPECT_EQ(walk(transaction, everything()), "a=1");
    consolidate_all();
    EXPECT_EQ(get(transaction, "a"), "1");
}

TEST_F(TransactionTest, SeesItsOwnWritesByGet) {
    put("a", "1");
    put("b", "1");
    Transaction transaction = database.begin().value();
    ASSERT_TRUE(transaction.put(rows, "a", "own").ok());
    ASSERT_TRUE(transaction.erase(rows, "b").ok());
    ASSERT_TRUE(transaction.put(rows, "c", "new").ok());
    EXPECT_EQ(get(transaction, "a"), "own");
    EXPECT_EQ(get(transaction, "b"), "-");
    EXPECT_EQ(get(transaction, "c"), "new");

    const std::array<Bytes, 4> keys{"b", "a", "x", "c"};
    std::array<std::optional<Bytes>, 4> views;
    ASSERT_TRUE(transaction.get_many(rows, keys, views).ok());
    EXPECT_EQ(views[0], std::nullopt);
    EXPECT_EQ(views[1], "own");
    EXPECT_EQ(views[2], std::nullopt);
    EXPECT_EQ(views[3], "new");

    std::array<char, 2> part{};
    EXPECT_EQ(transaction.read(rows, "a", 1, part).value(), std::optional<std::size_t>(2));
    EXPECT_EQ(std::string(part.data(), 2), "wn");
    EXPECT_EQ(transaction.read(rows, "b", 0, part).value(), std::nullopt);

    EXPECT_EQ(now("a"), "1") << "others see it before the commit";
    ASSERT_TRUE(transaction.commit().ok());
    EXPECT_EQ(now("a") + now("b") + now("c"), "own-new");
}

TEST_F(TransactionTest, CursorMergesItsOwnWritesBothWays) {
    for (const char* key : {"b", "d", "f", "h"}) put(key, "old");
    Transaction transaction = database.begin().value();
    for (const char* key : {"a", "d", "e", "i"}) {
        ASSERT_TRUE(transaction.put(rows, key, "own").ok());
    }
    for (const char* key : {"b", "g", "h"}) ASSERT_TRUE(transaction.erase(rows, key).ok());
    EXPECT_EQ(walk(transaction, everything()), "a=own d=own e=own f=old i=own");
    EXPECT_EQ(walk(transaction, everything(), false), "i=own f=old e=own d=own a=own");
    EXPECT_EQ(walk(transaction, between("b", "f")), "d=own e=own");
    EXPECT_EQ(walk(transaction, between("b", "f"), false), "e=own d=own");
    EXPECT_EQ(walk(transaction, between("g", "i")), "");
    EXPECT_EQ(walk(transaction, between("x", "b")), "");
}

TEST_F(TransactionTest, CursorTurnsRoundAnywhere) {
    for (const char* key : {"b", "d", "f"}) put(key, "old");
    Transaction transaction = database.begin().value();
    for (const char* key : {"a", "c", "d", "g"}) {
        ASSERT_TRUE(transaction.put(rows, key, "own").ok());
    }
    const std::string all = "abcdfg";
    for (std::size_t from = 0; from < all.size(); ++from) {
        TransactionCursor cursor = transaction.cursor(rows);
        cursor.seek(all.substr(from, 1));
        for (std::size_t to = from + 1; to < all.size(); ++to) {
            cursor.next();
            ASSERT_EQ(cursor.key(), all.substr(to, 1));
        }
        for (std::size_t to = all.size() - 1; to-- > from;) {
            cursor.previous();
            ASSERT_EQ(cursor.key(), all.substr(to, 1));
        }
        if (from + 1 == all.size()) continue;
        cursor.next();
        ASSERT_EQ(cursor.key(), all.substr(from + 1, 1));
    }
}

TEST_F(TransactionTest, CursorGoesOnWhileItsRowsAreWritten) {
    for (const char* key : {"a", "b", "c"}) put(key, "1");
    Transaction transaction = database.begin().value();
    TransactionCursor cursor = transaction.cursor(rows);
    ASSERT_TRUE(transaction.put(rows, "aa", "2").ok());
    ASSERT_TRUE(transaction.erase(rows, "b").ok());
    cursor.next();
    EXPECT_EQ(cursor.key(), "aa");
    EXPECT_EQ(cursor.value(), "2");
    ASSERT_TRUE(transaction.put(rows, cursor.key(), "longer than it was before").ok());
    EXPECT_EQ(cursor.value(), "longer than it was before");
    EXPECT_EQ(cursor.value_size(), 25u);
    ASSERT_TRUE(transaction.erase(rows, cursor.key()).ok());
    cursor.next();
    EXPECT_EQ(cursor.key(), "c");
    cursor.next();
    EXPECT_FALSE(cursor.valid());
}

TEST_F(TransactionTest, WritesAViewOfItsOwnWrite) {
    Transaction transaction = database.begin().value();
    ASSERT_TRUE(transaction.put(rows, "a", "one, two").ok());
    const Bytes view = **transaction.get(rows, "a");
    ASSERT_TRUE(transaction.put(rows, "a", view.substr(5)).ok());
    EXPECT_EQ(get(transaction, "a"), "two");
}

TEST_F(TransactionTest, ErasesARangeWithItsOwnRows) {
    for (const char* key : {"a", "b", "c", "d"}) put(key, "1");
    Transaction transaction = database.begin().value();
    ASSERT_TRUE(transaction.put(rows, "bb", "own").ok());
    ASSERT_TRUE(transaction.erase(rows, "c").ok());
    EXPECT_EQ(transaction.erase_range(rows, between("b", "d")).value(), 2u);
    EXPECT_EQ(walk(transaction, everything()), "a=1 d=1");
    ASSERT_TRUE(transaction.commit().ok());
    EXPECT_EQ(rows.count().value(), 2u);
}

TEST_F(TransactionTest, SpansKeyspacesAndAllOrNothing) {
    const Keyspace other = database.keyspace("other").value();
    Transaction transaction = database.begin().value();
    ASSERT_TRUE(transaction.put(rows, "a", "1").ok());
    ASSERT_TRUE(transaction.put(other, "a", "2").ok());
    const Sequence before = database.reader().sequence();
    const Result<Sequence> done = transaction.commit();
    ASSERT_TRUE(done.ok());
    EXPECT_EQ(number(*done), number(before) + 1);
    EXPECT_EQ(now("a"), "1");
    EXPECT_EQ(other.get("a").value(), "2");
}

// ---- conflicts ----------------------------------------------------------------------------------

TEST_F(TransactionTest, RefusesALostUpdate) {
    put("counter", "1");
    Transaction first = database.begin().value(), second = database.begin().value();
    EXPECT_EQ(get(first, "counter"), "1");
    EXPECT_EQ(get(second, "counter"), "1");
    ASSERT_TRUE(first.put(rows, "counter", "2").ok());
    ASSERT_TRUE(second.put(rows, "counter", "2").ok());
    ASSERT_TRUE(first.commit().ok());
    EXPECT_TRUE(conflicts(second.commit(), "key counter in rows"));
    EXPECT_EQ(now("counter"), "2");
}

TEST_F(TransactionTest, RefusesWriteSkew) {
    put("anna on call", "yes");
    put("ben on call", "yes");
    Transaction first = database.begin().value(), second = database.begin().value();
    for (Transaction* each : {&first, &second}) {
        EXPECT_EQ(get(*each, "anna on call") + get(*each, "ben on call"), "yesyes");
    }
    ASSERT_TRUE(first.put(rows, "anna on call", "no").ok());
    ASSERT_TRUE(second.put(rows, "ben on call", "no").ok());
    ASSERT_TRUE(first.commit().ok());
    EXPECT_TRUE(conflicts(second.commit(), "anna"));
}

TEST_F(TransactionTest, AllowsWriteSkewAtSnapshotIsolationOnly) {
    Transaction first = database.begin(Isolation::kSnapshot).value();
    Transaction second = database.begin(Isolation::kSnapshot).value();
    Transaction third = database.begin(Isolation::kSnapshot).value();
    for (Transaction* each : {&first, &second, &third}) get(*each, "a"), get(*each, "b");
    ASSERT_TRUE(first.put(rows, "a", "1").ok());
    ASSERT_TRUE(second.put(rows, "b", "1").ok());
    ASSERT_TRUE(third.put(rows, "a", "3").ok());
    EXPECT_TRUE(first.commit().ok());
    EXPECT_TRUE(second.commit().ok());
    EXPECT_TRUE(conflicts(third.commit(), "key a in rows")) << "first committer wins";
}

TEST_F(TransactionTest, RefusesAPhantomInARange) {
    for (const char* key : {"a", "c", "e"}) put(key, "1");
    for (const bool forward : {true, false}) {
        for (const char* phantom : {"a1", "d", "e1"}) {
            Transaction transaction = database.begin().value();
            EXPECT_EQ(walk(transaction, between("a", "f"), forward).size(), 11u);
            ASSERT_TRUE(transaction.put(rows, "sum", "3").ok());
            put(phantom, "1");
            EXPECT_TRUE(conflicts(transaction.commit(), phantom)) << phantom << forward;
            erase(phantom);
        }
    }
}

TEST_F(TransactionTest, RefusesAPhantomInAnEmptyRange) {
    put("a", "1");
    put("z", "1");
    for (const bool forward : {true, false}) {
        Transaction transaction = database.begin().value();
        EXPECT_EQ(walk(transaction, between("m", "n"), forward), "");
        ASSERT_TRUE(transaction.put(rows, "none between m and n", "1").ok());
        put("m2", "1");
        EXPECT_TRUE(conflicts(transaction.commit(), "m2"));
        erase("m2");
    }
    Transaction transaction = database.begin().value();
    EXPECT_EQ(walk(transaction, from("zz")), "");
    ASSERT_TRUE(transaction.put(rows, "b", "1").ok());
    put("zzz", "1");
    EXPECT_TRUE(conflicts(transaction.commit(), "zzz")) << "behind the last key of all";
}

TEST_F(TransactionTest, ForgivesWhatACursorDidNotWalk) {
    for (std::uint64_t n = 0; n < 1000; ++n) put(row_key(n), "1");
    Transaction transaction = database.begin().value();
    {
        TransactionCursor cursor = transaction.cursor(rows, from(row_key(100)));
        for (int i = 0; i < 10; ++i) cursor.next();  // 100 to 110.
        cursor.seek(row_key(500));
        for (int i = 0; i < 10; ++i) cursor.previous();  // 490 to 500.
        cursor.seek_to_last();
    }
    ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
    for (const std::uint64_t n : {0, 99, 111, 300, 489, 501, 998}) put(row_key(n), "2");
    put(row_key(99) + "x", "2");
    put(row_key(110) + "x", "2");
    put(row_key(500) + "x", "2");
    const Result<Sequence> done = transaction.commit();
    EXPECT_TRUE(done.ok()) << done.error().message();
}

TEST_F(TransactionTest, RefusesWhatEachPartOfAWalkSaw) {
    for (std::uint64_t n = 0; n < 1000; ++n) put(row_key(n), "1");
    for (const std::uint64_t changed : {100, 105, 110, 490, 499, 500, 999}) {
        Transaction transaction = database.begin().value();
        TransactionCursor cursor = transaction.cursor(rows, from(row_key(100)));
        for (int i = 0; i < 10; ++i) cursor.next();
        cursor.seek(row_key(500));
        for (int i = 0; i < 10; ++i) cursor.previous();
        cursor.seek_to_last();
        ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
        put(row_key(changed), "2");
        EXPECT_TRUE(conflicts(transaction.commit(), row_key(changed))) << "cursor still open";
        EXPECT_FALSE(cursor.valid());
    }
}

TEST_F(TransactionTest, RefusesWhatAWalkSawBeforeItTurned) {
    for (std::uint64_t n = 0; n < 20; ++n) put(row_key(n), "1");
    for (const bool forward : {true, false}) {
        const auto step = [&](TransactionCursor& cursor, bool on) {
            on == forward ? cursor.next() : cursor.previous();
        };
        for (const std::uint64_t changed : {5, 10, 15}) {
            Transaction transaction = database.begin().value();
            TransactionCursor cursor = transaction.cursor(rows);
            cursor.seek(row_key(10));
            for (int i = 0; i < 5; ++i) step(cursor, true);
            for (int i = 0; i < 10; ++i) step(cursor, false);
            for (int i = 0; i < 4; ++i) step(cursor, true);
            ASSERT_EQ(cursor.key(), row_key(forward ? 9 : 11));
            ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
            put(row_key(changed), "2");
            EXPECT_TRUE(conflicts(transaction.commit(), row_key(changed))) << forward;
        }
    }
}

/// Fekete, O'Neil, O'Neil: a reader beside two writers sees what no order of the three explains, if
/// only writes are checked.
TEST_F(TransactionTest, RefusesTheReadOnlyAnomaly) {
    put("savings", "0");
    put("checking", "0");
    Transaction withdrawal = database.begin().value();
    EXPECT_EQ(get(withdrawal, "savings") + get(withdrawal, "checking"), "00");
    Transaction deposit = database.begin().value();
    EXPECT_EQ(get(deposit, "savings"), "0");
    ASSERT_TRUE(deposit.put(rows, "savings", "20").ok());
    ASSERT_TRUE(deposit.commit().ok());
    Transaction report = database.begin().value();
    EXPECT_EQ(get(report, "savings") + get(report, "checking"), "200");
    EXPECT_TRUE(report.commit().ok());
    ASSERT_TRUE(withdrawal.put(rows, "checking", "-11").ok());
    EXPECT_TRUE(conflicts(withdrawal.commit(), "savings"));
}

TEST_F(TransactionTest, AnEraseIsAConflict) {
    put("a", "1");
    Transaction point = database.begin().value(), range = database.begin().value();
    EXPECT_EQ(get(point, "a"), "1");
    EXPECT_EQ(walk(range, everything()), "a=1");
    ASSERT_TRUE(point.put(rows, "x", "1").ok());
    ASSERT_TRUE(range.put(rows, "y", "1").ok());
    erase("a");
    EXPECT_TRUE(conflicts(point.commit(), "key a"));
    EXPECT_TRUE(conflicts(range.commit(), "key a"));
}

/// Consolidation drops tombstones that nobody needs; the transaction's moment needs this one, even
/// when its views were let go.
TEST_F(TransactionTest, AnEraseThatWasConsolidatedIsAConflict) {
    put("row00000020x", "1");
    Transaction point = database.begin().value(), range = database.begin().value();
    EXPECT_EQ(get(point, "row00000020x"), "1");
    EXPECT_EQ(walk(range, prefix("row00000020x")), "row00000020x=1");
    ASSERT_TRUE(point.put(rows, "x", "1").ok());
    ASSERT_TRUE(range.put(rows, "y", "1").ok());
    erase("row00000020x");
    point.release_views();  // Their pins do not keep it any more.
    range.release_views();
    consolidate_all();
    ASSERT_TRUE(database.checkpoint().ok());
    EXPECT_TRUE(conflicts(point.commit(), "row00000020x"));
    EXPECT_TRUE(conflicts(range.commit(), "row00000020x"));
}

TEST_F(TransactionTest, AVersionThatConsolidationDroppedIsAConflict) {
    put("row00000020x", "1");
    Transaction transaction = database.begin().value();
    EXPECT_EQ(get(transaction, "row00000020x"), "1");
    EXPECT_EQ(get(transaction, "row00000021x"), "-");
    ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
    put("row00000021x", "2");  // This version is superseded, and goes.
    put("row00000021x", "3");
    transaction.release_views();
    consolidate_all();
    EXPECT_TRUE(conflicts(transaction.commit(), "row00000021x"));
}

/// Absent at the moment, absent again at the commit: whatever was there in between, the transaction
/// could have run now, and consolidation may have dropped all trace of it.
TEST_F(TransactionTest, WhatCameAndWentHarmsNobodyOnceItIsConsolidated) {
    put("row00000020", "1");
    Transaction transaction = database.begin().value();
    EXPECT_EQ(get(transaction, "row00000020x"), "-");
    ASSERT_TRUE(transaction.put(rows, "row00000020x", "own").ok());
    put("row00000020x", "1");
    erase("row00000020x");
    transaction.release_views();
    consolidate_all();
    const Result<Sequence> done = transaction.commit();
    EXPECT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(now("row00000020x"), "own");
}

TEST_F(TransactionTest, BlindWritesDoNotConflict) {
    put("a", "1");
    Transaction transaction = database.begin().value();
    ASSERT_TRUE(transaction.put(rows, "a", "own").ok());
    EXPECT_EQ(get(transaction, "a"), "own") << "its own write is no read of the database";
    put("a", "2");
    EXPECT_TRUE(transaction.commit().ok());
    EXPECT_EQ(now("a"), "own");
}

TEST_F(TransactionTest, ReadOnlyTransactionsCommitWhateverHappened) {
    put("a", "1");
    Transaction transaction = database.begin().value();
    EXPECT_EQ(get(transaction, "a"), "1");
    EXPECT_EQ(walk(transaction, everything()), "a=1");
    const Sequence moment = transaction.snapshot();
    put("a", "2");
    const Sequence before = database.reader().sequence();
    const Result<Sequence> done = transaction.commit();
    ASSERT_TRUE(done.ok());
    EXPECT_EQ(*done, moment);
    EXPECT_EQ(database.reader().sequence(), before) << "it logged something";
}

TEST_F(TransactionTest, ReadingADroppedKeyspaceIsAConflict) {
    const Keyspace other = database.keyspace("other").value();
    Transaction transaction = database.begin().value();
    EXPECT_FALSE(transaction.get(other, "a").value());
    ASSERT_TRUE(transaction.put(rows, "a", "1").ok());
    ASSERT_TRUE(database.drop_keyspace("other").ok());
    EXPECT_TRUE(conflicts(transaction.commit(), "other"));

    const Keyspace third = database.keyspace("third").value();
    Transaction writer = database.begin().value();
    ASSERT_TRUE(writer.put(third, "a", "1").ok());
    ASSERT_TRUE(database.drop_keyspace("third").ok());
    EXPECT_TRUE(is_error(writer.commit(), ErrorCode::kInvalid, "third"));

    // Its pages are gone when the commit asks what changed in them.
    const Keyspace fourth = database.keyspace("fourth").value();
    Transaction late = database.begin().value();
    EXPECT_FALSE(late.get(fourth, "a").value());
    ASSERT_TRUE(late.put(rows, "a", "1").ok());
    ASSERT_TRUE(database.drop_keyspace("fourth").ok());
    late.release_views();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(database.checkpoint().ok());
    EXPECT_TRUE(conflicts(late.commit(), "fourth"));
}

TEST_F(TransactionTest, NamesAConflictAsPeopleCanReadIt) {
    const std::string binary(
        "\x01\xff"
        "bin",
        5),
        longer(1000, 'k');
    for (const auto& [key, shown] : {std::pair<std::string, std::string>{binary, "\\x01\\xffbin"},
                                     {longer, std::string(28, 'k') + ".."}}) {
        Transaction transaction = database.begin().value();
        get(transaction, key);
        ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
        put(key, "2");
        EXPECT_TRUE(conflicts(transaction.commit(), "key " + shown + " in rows"));
    }
}

// ---- ends ---------------------------------------------------------------------------------------

TEST_F(TransactionTest, RollsBackWhenItEnds) {
    {
        Transaction dropped = database.begin().value();
        ASSERT_TRUE(dropped.put(rows, "a", "1").ok());
        Transaction moved = std::move(dropped);
        EXPECT_EQ(get(moved, "a"), "1");
        Transaction rolled_back = database.begin().value();
        ASSERT_TRUE(rolled_back.put(rows, "a", "2").ok());
        rolled_back.rollback();
        EXPECT_TRUE(rolled_back.ended());
    }
    EXPECT_EQ(now("a"), "-");
    EXPECT_EQ(database.stats().snapshots, 0u);
    EXPECT_EQ(database.stats().readers, 0u);
}

TEST_F(TransactionTest, EveryCallAfterTheEndIsInvalid) {
    Transaction transaction = database.begin().value();
    TransactionCursor cursor = transaction.cursor(rows);
    ASSERT_TRUE(transaction.put(rows, "a", "1").ok());
    ASSERT_TRUE(transaction.commit().ok());
    EXPECT_TRUE(transaction.ended());
    std::array<std::optional<Bytes>, 1> view;
    const std::array<Bytes, 1> key{"a"};
    std::array<char, 1> part{};
    EXPECT_TRUE(is_error(transaction.get(rows, "a"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.get_many(rows, key, view), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.read(rows, "a", 0, part), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.put(rows, "a", "2"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.erase(rows, "a"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.erase_range(rows, {}), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.commit(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.cursor(rows).status(), ErrorCode::kInvalid));
    cursor.seek("a");
    EXPECT_FALSE(cursor.valid());
    EXPECT_EQ(cursor.value(), "");
    EXPECT_TRUE(is_error(cursor.status(), ErrorCode::kInvalid));
    EXPECT_EQ(now("a"), "1");
}

TEST_F(TransactionTest, RefusesAnotherDatabasesKeyspace) {
    Database other = in_memory(64_MiB).value();
    Transaction transaction = other.begin().value();
    EXPECT_TRUE(is_error(transaction.get(rows, "a"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.put(rows, "a", "1"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.cursor(rows).status(), ErrorCode::kInvalid));
}

TEST_F(TransactionTest, RefusedAfterTheDatabaseWasClosed) {
    Transaction transaction = database.begin().value();
    get(transaction, "a");
    ASSERT_TRUE(transaction.put(rows, "a", "1").ok());
    Transaction reading = database.begin().value();
    ASSERT_TRUE(database.close().ok());
    EXPECT_TRUE(is_error(transaction.get(rows, "b"), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(transaction.commit(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(reading.commit(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database.begin(), ErrorCode::kInvalid));
}

// ---- limits -------------------------------------------------------------------------------------

TEST_F(TransactionTest, TakesKeysValuesAndWritesUpToTheirLimits) {
    Transaction transaction = database.begin().value();
    const std::string key(kKeyBytesMax, 'k');
    EXPECT_TRUE(transaction.put(rows, key, "1").ok());
    EXPECT_TRUE(is_error(transaction.put(rows, key + "k", "1"), ErrorCode::kLimit));
    EXPECT_TRUE(is_error(transaction.erase(rows, key + "k"), ErrorCode::kLimit));
    // A quarter of the budget is 16 MiB.
    const std::uint64_t left = 16_MiB - (key.size() + 1 + 16) - (1 + 16);
    EXPECT_TRUE(
        is_error(transaction.put(rows, "v", std::string(left + 1, 'v')), ErrorCode::kLimit));
    EXPECT_EQ(get(transaction, "v"), "-") << "what was refused was written";
    EXPECT_TRUE(transaction.put(rows, "v", std::string(left, 'v')).ok());
    EXPECT_TRUE(is_error(transaction.erase(rows, ""), ErrorCode::kLimit));
    EXPECT_TRUE(transaction.erase(rows, "v").ok()) << "smaller than what it replaces";
    EXPECT_TRUE(transaction.put(rows, "v", std::string(left, 'w')).ok());
    const Result<Sequence> done = transaction.commit();
    EXPECT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(now("v").size(), left);
}

class SmallTransactionTest : public TransactionTest {
protected:
    SmallTransactionTest() : TransactionTest(4_MiB) {}
    static constexpr std::uint64_t kPoints = 4_MiB / 8 / (11 + 32);
};

TEST_F(SmallTransactionTest, RemembersReadsUpToItsLimit) {
    Transaction transaction = database.begin().value();
    for (std::uint64_t n = 0; n < kPoints; ++n) {
        const Result<std::optional<Bytes>> got = transaction.get(rows, row_key(n));
        ASSERT_TRUE(got.ok()) << n << ": " << got.error().message();
    }
    EXPECT_TRUE(is_error(transaction.get(rows, row_key(kPoints)), ErrorCode::kLimit));
    EXPECT_TRUE(is_error(transaction.get(rows, row_key(kPoints)), ErrorCode::kLimit));
    ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
    EXPECT_TRUE(transaction.commit().ok()) << "what was refused was not read";
}

TEST_F(SmallTransactionTest, RepeatedReadsCostNothing) {
    Transaction transaction = database.begin().value();
    TransactionCursor cursor = transaction.cursor(rows);
    for (std::uint64_t n = 0; n < 10 * kPoints; ++n) {
        ASSERT_TRUE(transaction.get(rows, row_key(n % 1000)).ok()) << n;
        cursor.seek(row_key(n % 1000 + 100));
    }
    ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
    ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
    put(row_key(7), "2");
    EXPECT_TRUE(conflicts(transaction.commit(), row_key(7))) << "settled reads are checked too";
}

TEST_F(SmallTransactionTest, AWalkThatCannotBeRememberedCannotCommit) {
    for (std::uint64_t n = 0; n < 2 * kPoints; n += 2) put(row_key(n), "");
    Transaction transaction = database.begin().value();
    bool refused = false;
    for (std::uint64_t n = 0; n < 2 * kPoints && !refused; n += 2) {
        TransactionCursor cursor = transaction.cursor(rows, between(row_key(n), row_key(n + 1)));
        cursor.seek(row_key(n));  // Ends the first walk, and begins another.
        refused = !cursor.status().ok();
        if (refused) {
            EXPECT_TRUE(is_error(cursor.status(), ErrorCode::kLimit));
        }
    }
    EXPECT_TRUE(refused);
    ASSERT_TRUE(transaction.put(rows, "x", "1").ok());
    EXPECT_TRUE(is_error(transaction.commit(), ErrorCode::kLimit));
    EXPECT_EQ(now("x"), "-");
}

// ---- transact -----------------------------------------------------------------------------------

TEST_F(TransactionTest, TransactRunsAgainAfterAConflict) {
    put("a", "1");
    int runs = 0;
    const Result<Sequence> done = database.transact([&](Transaction& transaction) -> Result<void> {
        const std::string value = get(transaction, "a");
        if (++runs < 4) put("a", std::to_string(runs + 1));
        return transaction.put(rows, "b", value);
    });
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(runs, 4);
    EXPECT_EQ(now("b"), "4");
}

TEST_F(TransactionTest, TransactGivesUpInTheEnd) {
    std::uint32_t runs = 0;
    const auto meets = [&](Transaction& transaction) -> Result<void> {
        get(transaction, "a");
        put("a", std::to_string(++runs));
        if (runs > 1000) return Error(ErrorCode::kBusy, "it does not give up");
        return transaction.put(rows, "b", "1");
    };
    EXPECT_TRUE(conflicts(database.transact(meets), "key a"));
    EXPECT_EQ(runs, TransactOptions().attempts_max);
    runs = 0;
    EXPECT_TRUE(conflicts(database.transact(meets, {.attempts_max = 1})));
    EXPECT_EQ(runs, 1u);
    EXPECT_EQ(now("b"), "-");
}

TEST_F(TransactionTest, TransactPassesErrorsOnAndRollsBack) {
    int runs = 0;
    const Result<Sequence> failed =
        database.transact([&](Transaction& transaction) -> Result<void> {
            ++runs;
            EXPECT_TRUE(transaction.put(rows, "a", "1").ok());
            return Error(ErrorCode::kNoSpace, "of the function's own");
        });
    EXPECT_TRUE(is_error(failed, ErrorCode::kNoSpace));
    EXPECT_EQ(runs, 1);
    const Result<Sequence> ended = database.transact([&](Transaction& transaction) -> Result<void> {
        transaction.rollback();
        return {};
    });
    EXPECT_TRUE(is_error(ended, ErrorCode::kInvalid));
    const Result<Sequence> own = database.transact(
        [&](Transaction&) -> Result<void> { return Error(ErrorCode::kConflict, "no luck"); },
        {.attempts_max = 3});
    EXPECT_TRUE(conflicts(own));
    EXPECT_EQ(now("a"), "-");
}

TEST_F(TransactionTest, TransactRunsAtTheLevelThatIsAskedFor) {
    int runs = 0;
    const TransactOptions options{.isolation = Isolation::kSnapshot,
                                  .durability = Durability::kBuffered};
    const Result<Sequence> done = database.transact(
        [&](Transaction& transaction) -> Result<void> {
            get(transaction, "a");
            if (++runs == 1) put("a", "1");  // No conflict: it is not written.
            return transaction.put(rows, "b", "1");
        },
        options);
    EXPECT_TRUE(done.ok());
    EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace fulgur::system_test
