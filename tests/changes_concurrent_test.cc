// The change feed: a copy of the database that is made of what the feed gives must equal the
// database at each sequence that is looked at, whatever else goes on; what is given was on the disk
// and visible; and who falls behind is told so, never given something else.
//
// FULGUR_SEED=n: one schedule.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "os/random.h"
#include "os/sim_file_system.h"
#include "os/thread.h"
#include "tests/bad_days.h"
#include "tests/changes_copy.h"

namespace fulgur::system_test {
namespace {

constexpr std::size_t kApartBytes = 256_KiB + 1;

db::EngineOptions feed_engine(os::FileSystem& files, std::uint64_t kept) {
    db::EngineOptions options = small_engine(files, "db");
    options.log.segment_bytes = 64_KiB;
    options.user.log_bytes_kept = kept;
    return options;
}

/// Everything that is there by now.
void drain(Changes& changes, Copy& copy) {
    for (;;) {
        const Result<std::optional<ChangeBatch>> batch = changes.next();
        ASSERT_TRUE(batch.ok()) << batch.error().message();
        if (!*batch) return;
        copy.apply(changes, **batch);
        if (::testing::Test::HasFatalFailure()) return;
    }
}

void put_rows(const Keyspace& rows, std::uint64_t count, std::size_t bytes = 1000) {
    for (std::uint64_t n = 0; n < count; ++n) {
        ASSERT_TRUE(rows.put(row_key(n), row_value(n, bytes), Durability::kBuffered).ok());
    }
}

// ---- one thread ---------------------------------------------------------------------------------

TEST(ChangesTest, ShowsEveryKindOfCommitInOrder) {
    Result<Database> database = in_memory(16_MiB);
    ASSERT_TRUE(database.ok());
    Result<Changes> changes = database->changes(Sequence{0});
    ASSERT_TRUE(changes.ok()) << changes.error().message();
    ASSERT_FALSE(changes->next()->has_value());
    const Keyspace one = *database->keyspace("one");
    const Keyspace two = *database->keyspace("two");
    WriteBatch batch;
    batch.put(two, "b", "2");
    batch.put(one, "b", "1");
    batch.put(one, "a", "0");
    batch.put(one, "a", std::string("\0\xff", 2));
    batch.erase(one, "c");
    ASSERT_TRUE(database->commit(batch).ok());
    ASSERT_TRUE(one.increment("n", 7).ok());
    ASSERT_TRUE(*one.erase_range(KeyRange{}) == 3u);
    ASSERT_TRUE(database->drop_keyspace("two").ok());

    std::vector<std::string> seen;
    for (std::uint64_t sequence = 1;; ++sequence) {
        const Result<std::optional<ChangeBatch>> next = changes->next();
        ASSERT_TRUE(next.ok()) << next.error().message();
        if (!*next) break;
        ASSERT_EQ(number((*next)->sequence), sequence);
        std::string line;
        for (const Change& change : (*next)->changes) {
            line.append(1, "+-cd"[static_cast<int>(change.kind)]);
            line.append(change.keyspace).append(" ").append(change.key);
            line.append("=").append(change.value).append(";");
        }
        seen.push_back(line);
    }
    const std::vector<std::string> wanted = {
        "cone =;",
        "ctwo =;",
        std::string("+one a=") + std::string("\0\xff", 2) + ";+one b=1;-one c=;+two b=2;",
        std::string("+one n=\7\0\0\0\0\0\0\0;", 16),
        "-one a=;-one b=;-one n=;",
        "dtwo =;"};
    EXPECT_EQ(seen, wanted);
}

TEST(ChangesTest, FiltersByNameAndSaysHowFarItCame) {
    Result<Database> database = in_memory(16_MiB);
    const Keyspace one = *database->keyspace("one");
    const Keyspace two = *database->keyspace("two");
    ASSERT_TRUE(one.put("a", "1").ok());
    ASSERT_TRUE(two.put("b", "2").ok());
    ASSERT_TRUE(one.put("c", "3").ok());
    Result<Changes> changes = database->changes(Sequence{1}, {{"two", "three"}});
    std::vector<std::uint64_t> seen;
    for (auto next = changes->next(); *next; next = changes->next()) {
        seen.push_back(number((*next)->sequence));
        for (const Change& change : (*next)->changes) EXPECT_EQ(change.keyspace, "two");
    }
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{2, 4}));
    EXPECT_EQ(number(changes->position()), 6u);
}

TEST(ChangesTest, GoesOnWhereItStoodAfterAnOpen) {
    for (const bool clean : {true, false}) {
        auto disk = std::make_unique<os::SimFileSystem>(1);
        Copy copy;
        for (int round = 0; round < 6; ++round) {
            Result<Database> database = db::open_database(feed_engine(*disk, 4_MiB));
            ASSERT_TRUE(database.ok()) << database.error().message();
            Result<Changes> changes = database->changes(Sequence{copy.sequence + 1});
            ASSERT_TRUE(changes.ok()) << changes.error().message();
            drain(*changes, copy);
            Reader reader = database->reader();
            copy.expect_equal(*database, reader);
            if (round == 2) {
                ASSERT_TRUE(database->drop_keyspace("rows").ok());
            }
            put_rows(*database->keyspace("rows"), 300 + 50 * static_cast<std::uint64_t>(round));
            ASSERT_TRUE(database->checkpoint().ok());
            ASSERT_TRUE(database->checkpoint().ok());
            put_rows(*database->keyspace("more"), 100, 5000);
            if (clean) {
                ASSERT_TRUE(database->close().ok());
            } else {
                ASSERT_TRUE(database->sync().ok());
                disk->crash();
            }
            if (!clean) disk = disk->recover(static_cast<std::uint64_t>(round) + 1);
            if (::testing::Test::HasFatalFailure()) return;
        }
        EXPECT_EQ(copy.full_reads, 0u);
    }
}

TEST(ChangesTest, ShowsNothingThatAPowerCutTakesBack) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        auto disk = std::make_unique<os::SimFileSystem>(seed);
        os::Random random(seed);
        Copy copy;
        {
            Result<Database> database = db::open_database(feed_engine(*disk, 4_MiB));
            Result<Changes> changes = database->changes(Sequence{1});
            const Keyspace rows = *database->keyspace("rows");
            for (std::uint64_t n = 0; n < 40; ++n) {
                ASSERT_TRUE(rows.put(row_key(n), row_value(n, random.below(4000)),
                                     static_cast<Durability>(random.below(3)))
                                .ok());
                drain(*changes, copy);
            }
            disk->crash();
        }
        disk = disk->recover(seed);
        Result<Database> database = db::open_database(feed_engine(*disk, 4_MiB));
        ASSERT_TRUE(database.ok()) << database.error().message();
        ASSERT_GE(number(database->reader().sequence()), copy.sequence) << "seed " << seed;
        Result<Changes> changes = database->changes(Sequence{copy.sequence + 1});
        ASSERT_TRUE(changes.ok()) << changes.error().message();
        drain(*changes, copy);
        Reader reader = database->reader();
        copy.expect_equal(*database, reader);
    }
}

TEST(ChangesTest, WhoFallsBehindIsToldWhereTheLogBegins) {
    os::SimFileSystem disk;
    Result<Database> database = db::open_database(feed_engine(disk, 0));
    const Keyspace rows = *database->keyspace("rows");
    Result<Changes> changes = database->changes(Sequence{1});
    ASSERT_TRUE(changes->next()->has_value());
    put_rows(rows, 500);
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(database->checkpoint().ok());  // The second one lets the log go.
        put_rows(rows, 1);
    }
    ASSERT_TRUE(database->sync().ok());
    const std::uint64_t oldest = number(*database->oldest_change());
    ASSERT_GT(oldest, 300u);
    const std::string wanted = "the log begins at " + std::to_string(oldest);
    EXPECT_TRUE(is_error(changes->next(), ErrorCode::kLimit, wanted));
    EXPECT_TRUE(is_error(changes->wait(0), ErrorCode::kLimit, wanted));
    EXPECT_EQ(number(changes->position()), 2u);
    EXPECT_TRUE(is_error(database->changes(Sequence{oldest - 1}), ErrorCode::kLimit, wanted));
    Copy copy;
    copy.read_all(*database);
    Result<Changes> again = database->changes(Sequence{copy.sequence + 1});
    ASSERT_TRUE(again.ok());
    put_rows(rows, 3);
    ASSERT_TRUE(database->sync().ok());
    drain(*again, copy);
    Reader reader = database->reader();
    copy.expect_equal(*database, reader);
    ASSERT_TRUE(database->changes(Sequence{oldest})->next()->has_value());
}

TEST(ChangesTest, TheDatabaseRemembersHowMuchLogItKeeps) {
    os::SimFileSystem disk;
    const auto reopened = [&](std::optional<std::uint64_t> kept) {
        db::EngineOptions options = feed_engine(disk, 0);
        options.user.log_bytes_kept = kept;
        Result<Database> database = db::open_database(std::move(options));
        put_rows(*database->keyspace("rows"), 1000);
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(database->checkpoint().ok());
        const std::uint64_t newest = number(database->reader().sequence());
        const std::uint64_t oldest = number(*database->oldest_change());
        EXPECT_TRUE(database->close().ok());
        return newest + 1 - oldest;
    };
    EXPECT_LT(reopened(std::nullopt), 100u);  // A new one keeps nothing.
    EXPECT_GT(reopened(500'000), 300u);
    EXPECT_GT(reopened(std::nullopt), 300u);
    EXPECT_LT(reopened(std::nullopt), 500u);
    EXPECT_LT(reopened(0), 100u);
    EXPECT_LT(reopened(std::nullopt), 100u);
}

TEST(ChangesTest, LargeValuesAreThemselvesOrGone) {
    os::SimFileSystem disk;
    Result<Database> database = db::open_database(feed_engine(disk, 64_MiB));
    const Keyspace rows = *database->keyspace("rows");
    const auto fill = [&](std::uint64_t from) {
        for (std::uint64_t n = from; n < from + 12; ++n) {
            ASSERT_TRUE(rows.put(row_key(n % 12), row_value(n, kApartBytes + n)).ok());
            ASSERT_TRUE(rows.put("logged", row_value(n, 256_KiB)).ok());
        }
    };
    // Loads all, and counts those that are gone.
    const auto gone = [&]() -> std::uint64_t {
        std::uint64_t lost = 0, large = 0;
        Result<Changes> changes = database->changes(Sequence{1});
        for (auto next = changes->next(); *next; next = changes->next()) {
            for (const Change& change : (*next)->changes) {
                if (change.kind != Change::Kind::kPut) continue;
                EXPECT_EQ(change.apart(), change.key != "logged");
                const auto value = changes->load(change);
                EXPECT_TRUE(value.ok()) << value.error().message();
                const std::uint64_t n = large++ / 2;
                if (!*value) ++lost;
                if (*value) {
                    EXPECT_TRUE(**value == row_value(n, change.value_size)) << n;
                }
            }
        }
        return lost;
    };
    fill(0);
    ASSERT_EQ(gone(), 0u);
    ASSERT_TRUE(database->compact().ok());
    ASSERT_EQ(gone(), 0u);
    fill(12);  // The first twelve are superseded; their places are used from some moment on.
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(database->checkpoint().ok());
    ASSERT_TRUE(database->compact().ok());
    fill(24);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(database->checkpoint().ok());
    const std::uint64_t lost = gone();
    EXPECT_GE(lost, 5u) << "no place was used again: the test tests nothing";
    EXPECT_LE(lost, 24u);
}

TEST(ChangesTest, DroppedKeyspacesAreKnownByTheirIds) {
    os::SimFileSystem disk;
    std::uint32_t id = 0;
    {
        Result<Database> database = db::open_database(feed_engine(disk, 4_MiB));
        const Keyspace rows = *database->keyspace("rows");
        id = rows.id();
        ASSERT_TRUE(rows.put("a", row_value(1, kApartBytes)).ok());
        ASSERT_TRUE(database->drop_keyspace("rows").ok());
        Copy copy;
        Result<Changes> changes = database->changes(Sequence{1});
        drain(*changes, copy);
        EXPECT_TRUE(copy.keyspaces.empty());
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(database->checkpoint().ok());
        ASSERT_TRUE((*database->keyspace("rows")).put("b", "2").ok());
        ASSERT_TRUE(database->close().ok());
    }
    Result<Database> database = db::open_database(feed_engine(disk, 4_MiB));
    Result<Changes> changes = database->changes(Sequence{2});
    auto next = changes->next();
    ASSERT_EQ((*next)->changes.size(), 1u);
    EXPECT_EQ((*next)->changes[0].keyspace, "");
    EXPECT_EQ((*next)->changes[0].keyspace_id, id);
    next = changes->next();
    EXPECT_EQ((*next)->changes[0].kind, Change::Kind::kDropKeyspace);
    EXPECT_EQ((*next)->changes[0].keyspace, "rows");
    EXPECT_EQ((*next)->changes[0].keyspace_id, id);
    ASSERT_TRUE(changes->next()->has_value());
    next = changes->next();
    EXPECT_EQ((*next)->changes[0].keyspace, "rows");
    EXPECT_NE((*next)->changes[0].keyspace_id, id);
}

TEST(ChangesTest, RefusesWhatIsBeyondClosedOrPoisoned) {
    os::SimFileSystem disk;
    Result<Database> database = db::open_database(feed_engine(disk, 0));
    const Keyspace rows = *database->keyspace("rows");
    EXPECT_TRUE(is_error(database->changes(Sequence{3}), ErrorCode::kInvalid));
    Result<Changes> changes = database->changes(Sequence{2});
    ASSERT_TRUE(changes.ok());
    ASSERT_FALSE(changes->wait(1)->has_value());
    ASSERT_TRUE(rows.put("a", "1").ok());
    disk.fail_at(1, EIO, "sync log");
    ASSERT_FALSE(rows.put("b", "2").ok());
    ASSERT_EQ(number((*changes->next())->sequence), 2u);  // What got to the disk is given,
    EXPECT_TRUE(is_error(changes->next(), ErrorCode::kPoisoned));
    EXPECT_TRUE(is_error(changes->wait(60'000), ErrorCode::kPoisoned));
    ASSERT_FALSE(database->close().ok());
    EXPECT_TRUE(is_error(changes->next(), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->changes(Sequence{1}), ErrorCode::kInvalid));
    EXPECT_TRUE(is_error(database->oldest_change(), ErrorCode::kInvalid));
}

// ---- several threads ----------------------------------------------------------------------------

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kCommits = 100;  // Of each writer in each round.
#elif defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr std::uint64_t kCommits = 250;
#else
constexpr std::uint64_t kCommits = 2000;
#endif

void write_some(Database& database, std::uint64_t seed) {
    os::Random random(seed);
    const Keyspace keyspaces[] = {*database.keyspace("one"), *database.keyspace("two")};
    for (std::uint64_t i = 0; i < kCommits; ++i) {
        WriteBatch batch;
        const bool large = random.below(25) == 0;
        for (std::uint64_t n = random.below(15); n < 15; ++n) {
            const Keyspace& keyspace = keyspaces[random.below(2)];
            const std::string key = row_key(random.below(300));
            const std::size_t size =
                large && n == 14 ? kApartBytes + random.below(100) : random.below(700);
            if (random.below(4) == 0)
                batch.erase(keyspace, key);
            else
                batch.put(keyspace, key, row_value(random.next(), size));
        }
        const auto level = static_cast<Durability>(random.below(8) == 0 ? 0 : random.below(3));
        const Result<Sequence> done = database.commit(batch, level);
        ASSERT_TRUE(done.ok()) << done.error().message();
    }
}

/// Brings the copy up to the moment of a snapshot, and compares.
void catch_up(Database& database, std::optional<Changes>& changes, Copy& copy) {
    const Snapshot snapshot = *database.snapshot();
    Reader reader = *snapshot.reader();
    ASSERT_TRUE(database.sync().ok());
    while (copy.sequence < number(snapshot.sequence())) {
        if (!changes) {
            Result<Changes> made = database.changes(Sequence{copy.sequence + 1});
            if (made) changes.emplace(*std::move(made));
        }
        const auto next = changes
                              ? changes->next()
                              : Result<std::optional<ChangeBatch>>(Error(ErrorCode::kLimit, ""));
        if (!next) {  // It fell behind: a new copy, of a later moment.
            ASSERT_EQ(next.error().code(), ErrorCode::kLimit) << next.error().message();
            changes.reset();
            return copy.read_all(database);
        }
        ASSERT_TRUE(next->has_value()) << "it is on the disk";
        ASSERT_LE((*next)->sequence, database.reader().sequence());
        copy.apply(*changes, **next);
        if (::testing::Test::HasFatalFailure()) return;
    }
    copy.expect_equal(database, reader);
}

TEST(ChangesConcurrentTest, ACopyFollowsTwoWritersCheckpointsAndOpens) {
    const Seeds seeds(2);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE("FULGUR_SEED=" + std::to_string(seed));
        os::set_yield_seed(seed);
        os::SimFileSystem disk(seed);
        Copy copy;
        std::optional<Changes> changes;
        for (int round = 0; round < 3; ++round) {
            db::EngineOptions options = feed_engine(disk, seed % 2 == 0 ? 0 : 64_MiB);
            options.background = true;
            Result<Database> database = db::open_database(std::move(options));
            ASSERT_TRUE(database.ok()) << database.error().message();
            for (const char* name : {"one", "two"}) ASSERT_TRUE(database->keyspace(name).ok());
            changes.reset();
            std::atomic<int> writing{2};
            const auto write = [&](std::uint64_t salt) {
                write_some(*database, seed * 100 + static_cast<std::uint64_t>(round) * 10 + salt);
                --writing;
            };
            os::Thread one("writer 1", [&] { write(1); });
            os::Thread two("writer 2", [&] { write(2); });
            os::Thread checkpoints("checkpoints", [&] {
                while (writing != 0) ASSERT_TRUE(database->checkpoint().ok());
            });
            while (writing != 0 && !HasFatalFailure()) catch_up(*database, changes, copy);
            one.join();
            two.join();
            checkpoints.join();
            if (HasFatalFailure()) return;
            for (int again = 0; again < 2; ++again) catch_up(*database, changes, copy);
            Reader reader = database->reader();
            copy.expect_equal(*database, reader);
            ASSERT_TRUE(database->close().ok());
            if (HasFatalFailure()) return;
        }
        if (seed % 2 == 1) {
            EXPECT_EQ(copy.full_reads, 0u) << "64 MiB of log were kept";
        }
    }
}

TEST(ChangesConcurrentTest, AWaitEndsWithACommitOrTheClose) {
    os::SimFileSystem disk;
    db::EngineOptions options = feed_engine(disk, 0);
    options.background = true;
    Result<Database> database = db::open_database(std::move(options));
    const Keyspace rows = *database->keyspace("rows");
    Result<Changes> changes = database->changes(Sequence{2});
    for (std::uint64_t n = 2; n < 30; ++n) {
        os::Thread writer("writer", [&] { ASSERT_TRUE(rows.put("a", "1").ok()); });
        const auto batch = changes->wait(60'000);
        ASSERT_TRUE(batch.ok()) << batch.error().message();
        ASSERT_TRUE(batch->has_value());
        ASSERT_EQ(number((*batch)->sequence), n);
        ASSERT_GE(number(database->reader().sequence()), n);
    }
    os::Thread closer("closer", [&] { ASSERT_TRUE(database->close().ok()); });
    EXPECT_TRUE(is_error(changes->wait(60'000), ErrorCode::kInvalid));
}

}  // namespace
}  // namespace fulgur::system_test
