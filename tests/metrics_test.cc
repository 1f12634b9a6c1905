// What the engine counts is what happened: beside a model of random operations, exactly; errors by
// their kind; samples one in 1,024 by count; and the text for monitoring, read by its grammar.
//
// FULGUR_SEED=n: one seed of the model.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/memory_file_system.h"
#include "os/random.h"
#include "os/sim_clock.h"
#include "tests/open_metrics.h"
#include "tests/support.h"

namespace {

/// Allocations of this program, to show that a get makes none.
std::uint64_t allocations = 0;

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace fulgur {
namespace {

using system_test::number;
using system_test::OpenMetrics;
using system_test::Seeds;
using system_test::small_engine;

Database in_memory() {
    Options options;
    options.memory_budget = 64_MiB;
    options.durability = Durability::kBuffered;
    return Database::in_memory(options).value();
}

std::string key_of(std::uint64_t n) { return "key" + std::to_string(n); }

// ---- counts -------------------------------------------------------------------------------------

/// Random operations by one thread, and what they must have counted.
class CountModel {
public:
    explicit CountModel(std::uint64_t seed) : random_(seed) {}

    void run() {
        for (int step = 0; step < 600; ++step) {
            switch (random_.below(10)) {
                case 0:
                    put_or_erase();
                    break;
                case 1:
                    batch();
                    break;
                case 2:
                    new_reader();
                    break;
                case 3:
                    end_reader();
                    break;
                case 4:
                    get_many();
                    break;
                case 5:
                    scan();
                    break;
                case 6:
                    read_part();
                    break;
                default:
                    get();
                    break;
            }
            if (step % 50 == 0) check();
        }
        check();
        readers_.clear();
        check();
    }

private:
    struct Held {
        Reader reader;
        std::map<std::string, std::string> rows;
    };

    std::string some_key() { return key_of(random_.below(200)); }

    void put_or_erase() {
        const std::string key = some_key();
        const std::string value(random_.below(6000), 'v');
        if (random_.below(4) == 0) {
            keyspace_.erase(key, Durability::kOs).value();
            count(key, std::nullopt);
            ++writes_.os_commits;
        } else {
            keyspace_.put(key, value, Durability::kSync).value();
            count(key, value);
            ++writes_.sync_commits;
        }
    }

    /// Of several operations on one key the last counts.
    void batch() {
        WriteBatch batch;
        std::map<std::string, std::optional<std::string>> last;
        for (std::uint64_t n = random_.below(20); n > 0; --n) {
            const std::string key = some_key();
            if (random_.below(3) == 0) {
                batch.erase(keyspace_, key);
                last[key] = std::nullopt;
            } else {
                batch.put(keyspace_, key, "of a batch");
                last[key] = "of a batch";
            }
        }
        database_.commit(batch).value();
        if (batch.empty()) return;
        ++writes_.buffered_commits;
        for (const auto& [key, value] : last) count(key, value);
    }

    void count(const std::string& key, const std::optional<std::string>& value) {
        ++(value ? writes_.puts : writes_.erases);
        writes_.bytes += key.size() + (value ? value->size() : 0);
        if (value && value->size() > 2048) {
            ++writes_.large_values;
            writes_.large_bytes += value->size();
        }
        if (value) {
            rows_[key] = *value;
        } else {
            rows_.erase(key);
        }
    }

    void new_reader() {
        if (readers_.size() < 5) readers_.push_back({database_.reader(), rows_});
    }
    void end_reader() {
        if (!readers_.empty()) readers_.erase(readers_.begin() + random_.below(readers_.size()));
    }
    Held* some_reader() {
        return readers_.empty() ? nullptr : &readers_[random_.below(readers_.size())];
    }

    void get() {
        const std::string key = some_key();
        ++reads_.gets;
        if (Held* held = some_reader()) {
            const bool found = held->reader.get(keyspace_, key).value().has_value();
            ASSERT_EQ(found, held->rows.contains(key));
            reads_.gets_absent += found ? 0 : 1;
        } else {
            reads_.gets_absent += keyspace_.get(key).value() ? 0 : 1;
        }
    }

    void get_many() {
        Held* held = some_reader();
        if (held == nullptr) return;
        std::vector<std::string> keys(random_.below(70));
        for (std::string& key : keys) key = some_key();
        const std::vector<Bytes> views(keys.begin(), keys.end());
        std::vector<std::optional<Bytes>> values(keys.size());
        held->reader.get_many(keyspace_, views, values).value();
        ++reads_.get_many_calls;
        reads_.get_many_keys += keys.size();
        for (const std::string& key : keys) {
            reads_.get_many_absent += held->rows.contains(key) ? 0 : 1;
        }
    }

    void scan() {
        Held* held = some_reader();
        if (held == nullptr) return;
        ++reads_.cursors;
        std::uint64_t left = random_.below(30);
        Cursor cursor = held->reader.cursor(keyspace_);
        for (; cursor.valid(); cursor.next()) {
            ++reads_.cursor_rows;
            if (left-- == 0) break;
        }
    }

    void read_part() {
        Held* held = some_reader();
        if (held == nullptr) return;
        std::array<char, 64> part;
        held->reader.read(keyspace_, some_key(), 10, part).value();
        ++reads_.part_reads;
    }

    void check() {
        const Stats stats = database_.stats();
        EXPECT_EQ(stats.reads.gets, reads_.gets);
        EXPECT_EQ(stats.reads.gets_absent, reads_.gets_absent);
        EXPECT_EQ(stats.reads.gets_failed, 0u);
        EXPECT_EQ(stats.reads.gets_cold, 0u);
        EXPECT_EQ(stats.reads.get_many_calls, reads_.get_many_calls);
        EXPECT_EQ(stats.reads.get_many_keys, reads_.get_many_keys);
        EXPECT_EQ(stats.reads.get_many_absent, reads_.get_many_absent);
        EXPECT_EQ(stats.reads.cursors, reads_.cursors);
        EXPECT_EQ(stats.reads.cursor_rows, reads_.cursor_rows);
        EXPECT_EQ(stats.reads.part_reads, reads_.part_reads);
        // The keyspace is a commit, too, made before the counting of rows begins.
        EXPECT_EQ(stats.writes.sync_commits, writes_.sync_commits + 1);
        EXPECT_EQ(stats.writes.os_commits, writes_.os_commits);
        EXPECT_EQ(stats.writes.buffered_commits, writes_.buffered_commits);
        EXPECT_EQ(stats.commits, number(stats.visible));
        EXPECT_EQ(stats.writes.puts, writes_.puts);
        EXPECT_EQ(stats.writes.erases, writes_.erases);
        EXPECT_EQ(stats.writes.bytes, writes_.bytes);
        EXPECT_EQ(stats.writes.large_values, writes_.large_values);
        EXPECT_EQ(stats.writes.large_bytes, writes_.large_bytes);
        EXPECT_EQ(stats.readers, readers_.size());
    }

    os::Random random_;
    Database database_ = in_memory();
    Keyspace keyspace_ = database_.keyspace("rows").value();
    std::map<std::string, std::string> rows_;
    std::vector<Held> readers_;
    Stats::Reads reads_;
    Stats::Writes writes_;
};

TEST(MetricsTest, CountsEqualTheModel) {
    const Seeds seeds(10);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE("FULGUR_SEED=" + std::to_string(seed));
        CountModel(seed).run();
        if (HasFailure()) return;
    }
}

TEST(MetricsTest, ErrorsAreCountedByTheirKind) {
    Database database = in_memory();
    const Keyspace keyspace = database.keyspace("rows").value();
    const Keyspace dropped = database.keyspace("dropped").value();
    database.drop_keyspace("dropped").value();
    Database other = in_memory();
    const Keyspace foreign = other.keyspace("rows").value();
    const std::string long_key(kKeyBytesMax + 1, 'k');

    EXPECT_FALSE(keyspace.put(long_key, "").ok());
    EXPECT_FALSE(dropped.put("k", "v").ok());
    {
        Reader reader = database.reader();
        std::array<Bytes, 1> keys = {"k"};
        std::array<std::optional<Bytes>, 1> values;
        EXPECT_FALSE(reader.get(dropped, "k").ok());
        EXPECT_FALSE(reader.get(foreign, "k").ok());
        EXPECT_FALSE(reader.get_many(dropped, keys, values).ok());
        EXPECT_FALSE(reader.read(dropped, "k", 0, {}).ok());
        EXPECT_FALSE(reader.cursor(dropped).status().ok());
        const Stats stats = database.stats();
        EXPECT_EQ(stats.writes.errors.limit, 1u);
        EXPECT_EQ(stats.writes.errors.invalid, 1u);
        EXPECT_EQ(stats.reads.errors.invalid, 5u);
        EXPECT_EQ(stats.reads.gets, 2u);
        EXPECT_EQ(stats.reads.gets_failed, 2u);
        EXPECT_EQ(stats.writes.puts, 0u);

        database.close().value();
        EXPECT_EQ(reader.get(keyspace, "k").error().code(), ErrorCode::kInvalid);
        EXPECT_EQ(keyspace.put("k", "v").error().code(), ErrorCode::kInvalid);
    }
    EXPECT_EQ(database.stats().reads.errors.invalid, 6u);
    EXPECT_EQ(database.stats().writes.errors.invalid, 2u);
}

TEST(MetricsTest, GetsThatReadAPageAreCold) {
    os::MemoryFileSystem files;
    {
        Database database = db::open_database(small_engine(files, "db")).value();
        const Keyspace keyspace = database.keyspace("rows").value();
        for (int i = 0; i < 2000; ++i) keyspace.put(key_of(i), "v", Durability::kBuffered).value();
        database.close().value();
    }
    Database database = db::open_database(small_engine(files, "db")).value();
    const Keyspace keyspace = database.find_keyspace("rows").value().value();
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 2000; ++i) EXPECT_TRUE(keyspace.get(key_of(i)).value());
    }
    const Stats stats = database.stats();
    EXPECT_GT(stats.reads.gets_cold, 1u);
    EXPECT_GE(stats.pages_read, stats.reads.gets_cold);
    EXPECT_LT(stats.reads.gets_cold, 200u);
    EXPECT_EQ(stats.reads.gets, 4000u);
    EXPECT_GT(stats.data_bytes_read, 0u);
}

// ---- samples ------------------------------------------------------------------------------------

TEST(MetricsTest, EveryThousandAndTwentyFourthOperationIsTimed) {
    Database database = in_memory();
    const Keyspace keyspace = database.keyspace("rows").value();
    std::uint64_t gets = 0;
    for (const std::uint64_t turn : {1023, 1, 1, 1022, 1, 5000}) {
        Reader reader = database.reader();  // The same slot each time: the count goes on.
        for (std::uint64_t i = 0; i < turn; ++i) {
            ++gets;
            EXPECT_FALSE(reader.get(keyspace, "k").value());
        }
        EXPECT_EQ(database.stats().latency.get.count, gets / 1024);
    }
    Reader reader = database.reader();
    const std::array<Bytes, 2> keys = {"k", "l"};
    std::array<std::optional<Bytes>, 2> values;
    for (int i = 0; i < 2500; ++i) reader.get_many(keyspace, keys, values).value();
    for (int i = 0; i < 1023; ++i) keyspace.put("k", "v", Durability::kBuffered).value();
    for (int i = 0; i < 3000; ++i) keyspace.put("k", "v", Durability::kOs).value();
    EXPECT_EQ(database.stats().latency.get_many.count, 2u);
    EXPECT_EQ(database.stats().latency.buffered_commit.count, 0u);
    // The turn goes on to the next when the commit whose turn it was is refused.
    EXPECT_FALSE(keyspace.put(std::string(kKeyBytesMax + 1, 'k'), "").ok());
    keyspace.put("k", "v", Durability::kBuffered).value();
    const Stats stats = database.stats();
    EXPECT_EQ(stats.latency.buffered_commit.count, 1u);
    EXPECT_EQ(stats.latency.os_commit.count, 2u);
    EXPECT_EQ(stats.latency.sync_commit.count, 0u);
}

TEST(MetricsTest, CheckpointsAndSyncsAreAllTimed) {
    os::MemoryFileSystem files;
    Database database = db::open_database(small_engine(files, "db")).value();
    const Keyspace keyspace = database.keyspace("rows").value();
    for (int i = 0; i < 100; ++i) {
        keyspace.put(key_of(i), "v", i % 10 == 0 ? Durability::kSync : Durability::kBuffered)
            .value();
        if (i % 30 == 0) database.checkpoint().value();
    }
    database.sync().value();
    const Stats stats = database.stats();
    EXPECT_EQ(stats.checkpoints, 4u);
    EXPECT_EQ(stats.latency.checkpoint.count, stats.checkpoints);
    EXPECT_EQ(stats.latency.log_sync.count, stats.log_syncs);
    EXPECT_EQ(stats.log_groups.sum, number(stats.visible));
    EXPECT_EQ(stats.log_commits_synced, number(stats.visible));
    EXPECT_EQ(stats.log_groups.max, 10u);
    EXPECT_EQ(stats.log_groups.at_most.back(), stats.log_groups.count);
    EXPECT_GT(stats.data_bytes_written, 0u);
    EXPECT_GT(stats.data_syncs, 0u);
}

TEST(MetricsTest, SnapshotsAgeByTheClock) {
    os::MemoryFileSystem files;
    os::SimClock clock;
    db::EngineOptions options = small_engine(files, "db");
    options.clock = &clock;
    Database database = db::open_database(std::move(options)).value();
    const Keyspace keyspace = database.keyspace("rows").value();
    clock.advance_ms(500);
    std::optional<Snapshot> first = database.snapshot().value();
    keyspace.put("k", "v").value();
    clock.advance_ms(70);
    const Snapshot second = database.snapshot().value();
    clock.advance_ms(8);
    Stats stats = database.stats();
    EXPECT_EQ(stats.snapshots, 2u);
    EXPECT_EQ(stats.oldest_snapshot_ms, 78u);
    EXPECT_EQ(stats.oldest_snapshot, first->sequence());
    // A reader keeps its snapshot's moment, and its age.
    std::optional<Reader> reader = first->reader().value();
    first.reset();
    EXPECT_EQ(database.stats().oldest_snapshot_ms, 78u);
    reader.reset();
    stats = database.stats();
    EXPECT_EQ(stats.oldest_snapshot_ms, 8u);
    EXPECT_EQ(stats.oldest_snapshot, second.sequence());
}

TEST(MetricsTest, AGetAllocatesNothingNotEvenWhenItIsTimed) {
#if !defined(NDEBUG)
    GTEST_SKIP() << "views are copies in builds with assertions";
#endif
    Database database = in_memory();
    const Keyspace keyspace = database.keyspace("rows").value();
    for (int i = 0; i < 1000; ++i) keyspace.put(key_of(i), "v").value();
    std::vector<std::string> keys;
    for (int i = 0; i < 2000; ++i) keys.push_back(key_of(i));
    Reader reader = database.reader();
    { const Reader first = database.reader(); }  // The second slot's, which is made once.
    std::uint64_t found = 0;
    const std::uint64_t before = allocations;
    for (int round = 0; round < 3; ++round) {
        for (const std::string& key : keys) found += reader.get(keyspace, key).value() ? 1 : 0;
    }
    { const Reader again = database.reader(); }
    EXPECT_EQ(allocations, before);
    EXPECT_EQ(found, 3000u);
    EXPECT_EQ(database.stats().latency.get.count, 5u);
}

// ---- the text -----------------------------------------------------------------------------------

TEST(MetricsTest, TextFollowsTheGrammar) {
    Database database = in_memory();
    EXPECT_EQ(OpenMetrics(database.metrics()).fault(), "");
    constexpr char kOdd[] = "quote\" back\\slash \n\r\t\0 \xff \xc3\xa9 \xe2\x82 \xed\xa0\x80";
    const std::string odd(kOdd, sizeof(kOdd) - 1);
    for (const std::string& name : {odd, std::string("plain"), std::string("\xff"),
                                    std::string("\\xff"), std::string("} 1")}) {
        const Keyspace keyspace = database.keyspace(name).value();
        for (int i = 0; i < 2000; ++i) keyspace.put(key_of(i), "v").value();
    }
    const std::string text = database.metrics();
    const OpenMetrics metrics(text);
    ASSERT_EQ(metrics.fault(), "") << text;
    EXPECT_EQ(metrics.value("fulgur_commits_total{durability=\"buffered\"}"), 10'000);
    EXPECT_EQ(metrics.value("fulgur_operation_seconds_count{operation=\"commit_buffered\"}"), 9);
    EXPECT_EQ(metrics.value("fulgur_keyspaces"), 5);
    const auto& levels = metrics.families().at("fulgur_keyspace_levels").samples;
    EXPECT_EQ(levels.size(), 5u);
    const std::string shown =
        "quote\" back\\slash \n\\x0d\\x09\\x00 \\xff \xc3\xa9 \\xe2\\x82 "
        "\\xed\\xa0\\x80";
    const std::string series = levels.begin()->first;
    bool seen = false;
    for (const auto& [name, value] : levels) {
        const std::size_t begin = name.find("=\"") + 2;
        const std::size_t end = name.find("\",id=");
        seen = seen || OpenMetrics::unescaped(name.substr(begin, end - begin)) == shown;
    }
    EXPECT_TRUE(seen) << text;
}

TEST(MetricsTest, CountersNeverFallBetweenTwoScrapes) {
    Database database = in_memory();
    const Keyspace keyspace = database.keyspace("rows").value();
    std::optional<OpenMetrics> before;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 300; ++i) {
            keyspace.put(key_of(i), std::string(100, 'v')).value();
            EXPECT_TRUE(keyspace.get(key_of(i)).value());
        }
        if (round % 7 == 0) database.checkpoint().value();
        const OpenMetrics now(database.metrics());
        ASSERT_EQ(now.fault(), "");
        if (before) {
            EXPECT_EQ(before->fell(now), "");
        }
        before = now;
    }
}

TEST(MetricsTest, TimesAreInSecondsAndBoundsAreSums) {
    Stats stats;
    stats.latency.get.count = 3;
    stats.latency.get.sum = 1'000'000'025;
    stats.latency.get.at_most.assign(Stats::kLatencyBoundsNs.size(), 2);
    stats.latency.get.at_most[0] = 1;
    stats.oldest_snapshot_ms = 1'500;
    const std::string text = metrics_text(stats);
    for (const char* line : {
             "fulgur_operation_seconds_bucket{operation=\"get\",le=\"1e-07\"} 1\n",
             "fulgur_operation_seconds_bucket{operation=\"get\",le=\"0.0005\"} 2\n",
             "fulgur_operation_seconds_bucket{operation=\"get\",le=\"10.0\"} 2\n",
             "fulgur_operation_seconds_bucket{operation=\"get\",le=\"+Inf\"} 3\n",
             "fulgur_operation_seconds_sum{operation=\"get\"} 1.000000025\n",
             "fulgur_oldest_snapshot_age_seconds 1.5\n",
             "# UNIT fulgur_operation_seconds seconds\n",
         }) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
}

/// A checker that never finds a fault proves nothing.
TEST(MetricsTest, TheGrammarIsChecked) {
    const std::string head = "# TYPE a counter\n# HELP a Words.\n";
    EXPECT_EQ(OpenMetrics(head + "a_total 1\n# EOF\n").fault(), "");
    for (const std::string& bad : {
             head + "a_total 1\n",
             head + "a_total 1\n# EOF",
             head + "a_total 1\n# EOF\n\n",
             head + "a 1\n# EOF\n",
             head + "a_total -1\n# EOF\n",
             head + "a_total\n# EOF\n",
             head + "a_total 1\na_total 2\n# EOF\n",
             head + "a_total{x=\"1\",x=\"2\"} 1\n# EOF\n",
             head + "a_total{x=\"\\q\"} 1\n# EOF\n",
             head + "a_total{x=\"\"\"} 1\n# EOF\n",
             head + "a_total{1x=\"\"} 1\n# EOF\n",
             head + "a_total 1\n# TYPE b gauge\n# HELP b W.\nb 1\n" + head + "# EOF\n",
             head + "a_total 1\n# TYPE a counter\n# EOF\n",
             head + "# EOF\n",
             std::string("# TYPE a_bytes gauge\n# HELP a_bytes W.\na_bytes 1\n# EOF\n"),
             std::string("# TYPE a gauge\n# UNIT a bytes\n# HELP a W.\na 1\n# EOF\n"),
             std::string("# TYPE a gauge\na 1\n# EOF\n"),
             std::string("# TYPE a histogram\n# HELP a W.\na_bucket{le=\"2.0\"} 1\n"
                         "a_bucket{le=\"1.0\"} 1\na_count 1\n# EOF\n"),
             std::string("# TYPE a histogram\n# HELP a W.\na_bucket{le=\"1.0\"} 2\n"
                         "a_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n"),
             std::string("# TYPE a histogram\n# HELP a W.\na_bucket{le=\"1.0\"} 2\na_count 2\n"
                         "# EOF\n"),
             std::string("# TYPE a histogram\n# HELP a W.\na_bucket{le=\"+Inf\"} 2\na_count 3\n"
                         "# EOF\n"),
         }) {
        EXPECT_NE(OpenMetrics(bad).fault(), "") << bad;
    }
    const OpenMetrics more(head + "a_total 2\n# EOF\n");
    EXPECT_EQ(OpenMetrics(head + "a_total 2\n# EOF\n").fell(more), "");
    EXPECT_EQ(OpenMetrics(head + "a_total 3\n# EOF\n").fell(more), "a_total");
}

}  // namespace
}  // namespace fulgur
