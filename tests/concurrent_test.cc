// The engine with everybody at work at once: two writers, readers by get, get_many and cursors both
// ways, keepers of snapshots, a checkpointer, and somebody who creates and drops keyspaces. Rounds
// begin by opening what the round before closed, so that pages come in from the disk meanwhile.
//
// What must hold is known without looking at the writers' progress:
//   groups   each commit of a group writes one number to all its keys, which lie far apart: whoever
//            sees two numbers in one group saw half a commit; whoever sees a smaller one than
//            before went back in time
//   churn    a value tells its key and size, and is checked whole: torn or mixed bytes are seen
//   keepers  what a snapshot showed once it shows for ever
// Each writer alone knows what its keys hold in the end; a reader of that moment must agree, and so
// must the database after it was opened again.
//
// FULGUR_SEED=n: one schedule; it drives the yield points where the build has them.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/random.h"
#include "os/thread.h"
#include "tests/support.h"

namespace fulgur {
namespace {

constexpr std::size_t kWriters = 2;
constexpr std::size_t kGroupsPerWriter = 8;
constexpr std::size_t kGroupKeys = 12;
constexpr std::uint64_t kChurnKeys = 3000;

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kCommits = 120;  // of each writer in each round
#elif defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr std::uint64_t kCommits = 400;
#else
constexpr std::uint64_t kCommits = 4000;
#endif

std::string numbered(const char* prefix, std::uint64_t n, int digits) {
    char text[32];
    std::snprintf(text, sizeof(text), "%s%0*llu", prefix, digits,
                  static_cast<unsigned long long>(n));
    return text;
}

/// Member m of a group: the member's number comes first, so that a group spans all leaves.
std::string group_key(std::size_t group, std::size_t member) {
    std::string key = numbered("g", member * kChurnKeys / kGroupKeys, 6);
    key.append(numbered("/", group, 3));
    return key;
}

/// Churn keys of one writer lie between the groups' keys.
std::string churn_key(std::size_t writer, std::uint64_t n) {
    std::string key = numbered("g", n, 6);
    key.append(numbered("x", writer, 1));
    return key;
}

std::string churn_value(const std::string& key, std::uint64_t stamp, std::size_t size) {
    std::string value = key;
    value.push_back('=');
    value.append(std::to_string(stamp));
    value.push_back(';');
    if (value.size() < size) value.append(size - value.size(), static_cast<char>('a' + stamp % 26));
    return value;
}

::testing::AssertionResult is_churn_value(const std::string& key, Bytes value) {
    const std::size_t end = value.find(';');
    if (!value.starts_with(key) || end == Bytes::npos || value[key.size()] != '=') {
        return ::testing::AssertionFailure() << key << " holds another key's value";
    }
    const std::string stamp(value.substr(key.size() + 1, end - key.size() - 1));
    if (value != churn_value(key, std::strtoull(stamp.c_str(), nullptr, 10), value.size())) {
        return ::testing::AssertionFailure() << key << " holds a damaged value";
    }
    return ::testing::AssertionSuccess();
}

using Rows = std::map<std::string, std::string>;

class Round {
public:
    Round(Database& database, std::uint64_t seed, std::array<Rows, kWriters>& rows)
        : database_(database),
          keyspace_(database.keyspace("rows").value()),
          seed_(seed),
          rows_(rows) {}

    void run() {
        std::vector<os::Thread> threads;
        for (std::size_t w = 0; w < kWriters; ++w) {
            threads.emplace_back("writer", [this, w] { write(w); });
        }
        threads.emplace_back("gets", [this] { repeat(11, [this](os::Random& r) { gets(r); }); });
        threads.emplace_back("scans", [this] { repeat(12, [this](os::Random& r) { scans(r); }); });
        threads.emplace_back("keeper", [this] { repeat(13, [this](os::Random& r) { keeps(r); }); });
        threads.emplace_back("checkpoints",
                             [this] { repeat(14, [this](os::Random& r) { checkpoints(r); }); });
        threads.emplace_back("keyspaces",
                             [this] { repeat(15, [this](os::Random& r) { keyspaces(r); }); });
        threads.clear();  // Joins: the writers decide when it is over.
        check_end();
    }

    /// What the writers left, seen by a fresh reader.
    void check_end() {
        Rows expected;
        for (const Rows& rows : rows_) expected.insert(rows.begin(), rows.end());
        Reader reader = database_.reader();
        auto it = expected.begin();
        for (Cursor cursor = reader.cursor(keyspace_); cursor.valid(); cursor.next(), ++it) {
            ASSERT_TRUE(it != expected.end()) << "one more: " << cursor.key();
            ASSERT_EQ(cursor.key(), it->first);
            ASSERT_TRUE(cursor.value() == it->second) << it->first;
        }
        ASSERT_TRUE(it == expected.end()) << "missing: " << it->first;
    }

private:
    bool over() const { return writing_.load() == 0 || ::testing::Test::HasFailure(); }

    template <typename Work>
    void repeat(std::uint64_t salt, const Work& work) {
        os::Random random(seed_ * 100 + salt);
        do work(random);
        while (!over());
    }

    void write(std::size_t writer) {
        os::Random random(seed_ * 100 + writer);
        Rows& rows = rows_[writer];
        for (std::uint64_t i = 0; i < kCommits && !::testing::Test::HasFailure(); ++i) {
            WriteBatch batch;
            const std::size_t group = writer * kGroupsPerWriter + random.below(kGroupsPerWriter);
            const std::string number = numbered("", ++stamps_[writer], 12);
            for (std::size_t m = 0; m < kGroupKeys; ++m) {
                batch.put(keyspace_, group_key(group, m), number);
                rows[group_key(group, m)] = number;
            }
            for (std::uint64_t n = random.below(12); n > 0; --n) churn(writer, random, batch, rows);
            if (random.below(40) == 0) thin_out(writer, random, batch, rows);
            const std::uint64_t level = random.below(20);
            const Result<Sequence> done =
                database_.commit(batch, level == 0   ? Durability::kSync
                                        : level == 1 ? Durability::kOs
                                                     : Durability::kBuffered);
            ASSERT_TRUE(done.ok()) << done.error().message();
        }
        writing_.fetch_sub(1);
    }

    void churn(std::size_t writer, os::Random& random, WriteBatch& batch, Rows& rows) {
        const std::string key = churn_key(writer, random.below(kChurnKeys));
        if (random.below(3) == 0) {
            batch.erase(keyspace_, key);
            rows.erase(key);
            return;
        }
        std::size_t size = random.below(400);
        if (random.below(100) == 0) size = 2'000 + random.below(30'000);
        if (random.below(2000) == 0) size = 262'000 + random.below(30'000);
        const std::string value = churn_value(key, random.below(1'000'000), size);
        batch.put(keyspace_, key, value);
        rows[key] = value;
    }

    /// A range goes, so that its pages are nearly empty and checkpoints join them.
    void thin_out(std::size_t writer, os::Random& random, WriteBatch& batch, Rows& rows) {
        const std::uint64_t begin = random.below(kChurnKeys);
        for (std::uint64_t n = begin; n < begin + 500; ++n) {
            const std::string key = churn_key(writer, n);
            if (rows.erase(key) != 0) batch.erase(keyspace_, key);
        }
    }

    /// All numbers of a group by get or get_many: one, and not smaller than before.
    void check_group(Reader& reader, std::size_t group, bool many, std::string& least) {
        std::array<std::string, kGroupKeys> names;
        std::array<Bytes, kGroupKeys> keys;
        std::array<std::optional<Bytes>, kGroupKeys> values;
        for (std::size_t m = 0; m < kGroupKeys; ++m) keys[m] = names[m] = group_key(group, m);
        if (many) {
            const Result<void> got = reader.get_many(keyspace_, keys, values);
            ASSERT_TRUE(got.ok()) << got.error().message();
        }
        for (std::size_t m = 0; m < kGroupKeys && !many; ++m) {
            const Result<std::optional<Bytes>> got = reader.get(keyspace_, keys[m]);
            ASSERT_TRUE(got.ok()) << got.error().message();
            values[m] = *got;
        }
        for (std::size_t m = 1; m < kGroupKeys; ++m) {
            ASSERT_EQ(values[m].has_value(), values[0].has_value()) << "group " << group;
            if (values[0]) {
                ASSERT_EQ(*values[m], *values[0]) << "half a commit: group " << group;
            }
        }
        const std::string now(values[0].value_or(""));
        ASSERT_GE(now, least) << "back in time: group " << group;
        least = now;
    }

    void gets(os::Random& random) {
        Reader reader = database_.reader();
        std::array<std::string, kWriters * kGroupsPerWriter> least;
        for (int i = 0; i < 20 && !over(); ++i) {
            for (int k = 0; k < 8; ++k) {
                const std::size_t group = random.below(least.size());
                ASSERT_NO_FATAL_FAILURE(
                    check_group(reader, group, random.below(2) == 0, least[group]));
                const std::string key = churn_key(random.below(kWriters), random.below(kChurnKeys));
                const Result<std::optional<Bytes>> got = reader.get(keyspace_, key);
                ASSERT_TRUE(got.ok()) << got.error().message();
                if (*got) {
                    ASSERT_TRUE(is_churn_value(key, **got));
                }
            }
            reader.refresh();
        }
    }

    void check_row(const std::string& key, Bytes value,
                   std::map<std::string, std::string>& groups) {
        const std::size_t slash = key.find('/');
        if (slash == std::string::npos) {
            ASSERT_TRUE(is_churn_value(key, value));
            return;
        }
        const auto [it, first] = groups.emplace(key.substr(slash), value);
        if (!first) {
            ASSERT_EQ(it->second, value) << "half a commit: " << key;
        }
    }

    void scans(os::Random& random) {
        Reader reader = database_.reader();
        const bool forward = random.below(2) == 0;
        Cursor cursor = reader.cursor(keyspace_);
        if (!forward) cursor.seek_to_last();
        std::map<std::string, std::string> groups;
        std::string last;
        for (bool first = true; cursor.valid() && !over(); first = false) {
            const std::string key(cursor.key());
            if (!first) {
                ASSERT_TRUE(forward ? last < key : key < last) << last << " then " << key;
            }
            ASSERT_NO_FATAL_FAILURE(check_row(key, cursor.value(), groups));
            last = key;
            forward ? cursor.next() : cursor.previous();
        }
        ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
    }

    /// What a snapshot shows is kept as it was, however much is written since.
    void keeps(os::Random& random) {
        const Snapshot snapshot = database_.snapshot().value();
        const std::string begin = numbered("g", random.below(kChurnKeys), 6);
        const std::string end = numbered("g", random.below(kChurnKeys), 6);
        std::optional<Rows> before;
        for (int i = 0; i < 6 && !over(); ++i) {
            Reader reader = snapshot.reader().value();
            Rows now;
            Cursor cursor =
                reader.cursor(keyspace_, between(std::min(begin, end), std::max(begin, end)));
            for (; cursor.valid(); cursor.next()) now.emplace(cursor.key(), cursor.value());
            ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
            if (before) {
                ASSERT_TRUE(*before == now) << "a snapshot changed";
            }
            before = std::move(now);
            os::sleep_us(random.below(3000));
        }
    }

    void checkpoints(os::Random& random) {
        const Result<void> done = database_.checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
        if (random.below(8) == 0) {
            const Result<Database::CompactReport> compacted = database_.compact();
            ASSERT_TRUE(compacted.ok()) << compacted.error().message();
        }
        if (random.below(4) == 0) {
            const Result<Database::VerifyReport> sound = database_.verify();
            ASSERT_TRUE(sound.ok()) << sound.error().message();
        }
        os::sleep_us(random.below(20'000));
    }

    /// A keyspace comes, is read while it is dropped, and goes.
    void keyspaces(os::Random& random) {
        const std::string name = numbered("passing", random.below(3), 1);
        const Keyspace passing = database_.keyspace(name).value();
        for (std::uint64_t i = 0; i < 50; ++i) {
            ASSERT_TRUE(passing.put(numbered("k", i, 3), name, Durability::kBuffered).ok());
        }
        Reader reader = database_.reader();
        Cursor cursor = reader.cursor(passing);
        for (int i = 0; i < 25; ++i) cursor.next();
        ASSERT_TRUE(database_.drop_keyspace(name).ok());
        std::size_t left = 0;
        for (; cursor.valid(); cursor.next(), ++left) ASSERT_EQ(cursor.value(), name);
        ASSERT_EQ(left, 25u);
        reader.refresh();
        ASSERT_FALSE(reader.get(passing, "k000").ok());
        os::sleep_us(random.below(10'000));
    }

    Database& database_;
    const Keyspace keyspace_;
    const std::uint64_t seed_;
    std::array<Rows, kWriters>& rows_;
    static inline std::array<std::uint64_t, kWriters> stamps_{};
    std::atomic<std::size_t> writing_{kWriters};
};

void run_schedule(std::uint64_t seed) {
    SCOPED_TRACE(::testing::Message() << "run again with FULGUR_SEED=" << seed);
    system_test::TempDirectory directory;
    db::EngineOptions options;
    options.user.memory_budget = 256_MiB;
    options.user.log_bytes_target = 1_MiB;
    options.path = directory / "db";
    options.files = &os::real_file_system();
    options.clock = &os::real_clock();
    // Every second schedule keeps next to nothing in memory, so that pages come and go.
    if (seed % 2 == 0) options.evict_reserve_bytes = options.user.memory_budget - 128_KiB;
    std::array<Rows, kWriters> rows;
    for (std::uint64_t round = 0; round < 3; ++round) {
        options.user.checkpoint_on_close = round != 0;
        Result<Database> database = db::open_database(options);
        ASSERT_TRUE(database.ok()) << database.error().message();
        os::set_yield_seed(seed * 10 + round + 1);
        Round(*database, seed * 10 + round, rows).run();
        os::set_yield_seed(0);
        if (::testing::Test::HasFailure()) return;
        const Result<void> closed = database->close();
        ASSERT_TRUE(closed.ok()) << closed.error().message();
    }
    Database database = db::open_database(options).value();
    Round(database, seed, rows).check_end();
    ASSERT_TRUE(database.verify().ok());
}

TEST(ConcurrentTest, EveryReaderSeesWholeCommitsInOrder) {
    const system_test::Seeds seeds(3);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        run_schedule(seed);
        ASSERT_FALSE(HasFailure());
    }
}

}  // namespace
}  // namespace fulgur
