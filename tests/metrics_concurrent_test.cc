// Everybody counts at once and somebody scrapes all the time: no scrape falls behind the one
// before, none shows more absences than gets, each is a valid text, and in the end every count is
// exact.
//
// FULGUR_SEED=n: one schedule; it drives the yield points where the build has them.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/random.h"
#include "os/thread.h"
#include "tests/open_metrics.h"
#include "tests/support.h"

namespace fulgur {
namespace {

using system_test::number;
using system_test::OpenMetrics;
using system_test::Seeds;

constexpr std::size_t kReaders = 3;
constexpr std::size_t kWriters = 2;
constexpr std::uint64_t kReadTurns = system_test::kSlowBuild ? 40 : 300;
constexpr std::uint64_t kGetsPerTurn = 50;
constexpr std::uint64_t kCommits = system_test::kSlowBuild ? 300 : 3000;

std::string key_of(std::uint64_t n) { return "key" + std::to_string(n); }

/// Each turn has a reader of its own: counts outlive readers, and slots go from thread to thread.
void read(Database& database, const Keyspace& keyspace) {
    for (std::uint64_t turn = 0; turn < kReadTurns; ++turn) {
        Reader reader = database.reader();
        for (std::uint64_t i = 0; i < kGetsPerTurn; ++i) {
            const std::string key = i % 5 == 0 ? "absent" : key_of(i);
            ASSERT_EQ(reader.get(keyspace, key).value().has_value(), i % 5 != 0);
        }
        const std::array<Bytes, 3> keys = {"key1", "key2", "absent"};
        std::array<std::optional<Bytes>, 3> values;
        reader.get_many(keyspace, keys, values).value();
        Cursor cursor = reader.cursor(keyspace, prefix("key1"));
        for (int rows = 0; rows < 3; ++rows) cursor.next();
        ASSERT_TRUE(cursor.status().ok());
    }
}

void write(const Keyspace& keyspace, std::size_t writer) {
    for (std::uint64_t i = 0; i < kCommits; ++i) {
        const Durability level = i % 100 == 0  ? Durability::kSync
                                 : i % 10 == 0 ? Durability::kOs
                                               : Durability::kBuffered;
        keyspace.put("w" + std::to_string(writer) + key_of(i % 500), "value", level).value();
    }
}

void scrape(Database& database, const std::atomic<bool>& done) {
    std::optional<OpenMetrics> before;
    while (!done.load()) {
        const Stats stats = database.stats();
        ASSERT_GE(stats.reads.gets, stats.reads.gets_absent);
        ASSERT_LE(stats.readers, kReaders);
        OpenMetrics now(metrics_text(stats));
        ASSERT_EQ(now.fault(), "");
        if (before) {
            ASSERT_EQ(before->fell(now), "");
        }
        before = std::move(now);
        os::sleep_us(200);
    }
}

void run_round() {
    Options options;
    options.memory_budget = 64_MiB;
    options.log_bytes_target = 1_MiB;
    Database database = Database::in_memory(options).value();
    const Keyspace keyspace = database.keyspace("rows").value();
    WriteBatch rows;
    for (std::uint64_t i = 0; i < 200; ++i) rows.put(keyspace, key_of(i), "value");
    database.commit(rows, Durability::kBuffered).value();

    std::atomic<bool> done{false};
    os::Thread scraper("scraper", [&] { scrape(database, done); });
    {
        std::vector<os::Thread> threads;
        for (std::size_t i = 0; i < kReaders; ++i) {
            threads.emplace_back("reader", [&] { read(database, keyspace); });
        }
        for (std::size_t i = 0; i < kWriters; ++i) {
            threads.emplace_back("writer", [&, i] { write(keyspace, i); });
        }
    }
    const Stats stats = database.stats();
    done.store(true);
    scraper.join();

    constexpr std::uint64_t kTurns = kReaders * kReadTurns;
    constexpr std::uint64_t kAll = kWriters * kCommits;
    EXPECT_EQ(stats.reads.gets, kTurns * kGetsPerTurn);
    EXPECT_EQ(stats.reads.gets_absent, kTurns * kGetsPerTurn / 5);
    EXPECT_EQ(stats.reads.get_many_calls, kTurns);
    EXPECT_EQ(stats.reads.get_many_keys, 3 * kTurns);
    EXPECT_EQ(stats.reads.get_many_absent, kTurns);
    EXPECT_EQ(stats.reads.cursors, kTurns);
    EXPECT_EQ(stats.reads.cursor_rows, 4 * kTurns);
    EXPECT_EQ(stats.reads.gets_failed, 0u);
    EXPECT_EQ(stats.readers, 0u);
    EXPECT_EQ(stats.commits, number(stats.visible));
    EXPECT_EQ(stats.writes.sync_commits, kAll / 100 + 1);
    EXPECT_EQ(stats.writes.os_commits, kAll / 10 - kAll / 100);
    EXPECT_EQ(stats.writes.buffered_commits, kAll - kAll / 10 + 1);
    EXPECT_EQ(stats.writes.puts, kAll + 200);
    // Of each slot's gets one in 1,024, and of a level's commits, but one may be under way.
    EXPECT_LE(stats.latency.get.count, stats.reads.gets / 1024);
    EXPECT_GE(stats.latency.get.count + kReaders, stats.reads.gets / 1024);
    EXPECT_LE(stats.latency.buffered_commit.count, (stats.writes.buffered_commits + 1) / 1024);
    EXPECT_GE(stats.latency.buffered_commit.count + 1, stats.writes.buffered_commits / 1024);
}

TEST(MetricsConcurrentTest, CountsAreExactAndScrapesNeverFall) {
    const Seeds seeds(system_test::kSlowBuild ? 2 : 4);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE("FULGUR_SEED=" + std::to_string(seed));
        os::set_yield_seed(seed);
        run_round();
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace fulgur
