// Many threads that move money: each transaction reads two accounts and a journal, and writes them.
// Whatever the schedule, the sum is what it was, in every snapshot anybody takes; and the journal,
// which every transaction appends to by what it reads at its end, has no gap and no double line.
//
// FULGUR_SEED=n: one schedule; it drives the yield points where the build has them.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/coding.h"
#include "os/random.h"
#include "os/thread.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kTransfers = 60;  // of each thread
#else
constexpr std::uint64_t kTransfers = kSlowBuild ? 300 : 3000;
#endif
constexpr std::size_t kThreads = 3;
constexpr std::uint64_t kAccounts = 12;
constexpr std::int64_t kEach = 1000;

std::int64_t amount_of(Bytes value) { return load_le<std::int64_t>(value.data()); }

Result<std::int64_t> amount(Transaction& transaction, const Keyspace& accounts, Bytes key) {
    Result<std::optional<Bytes>> found = transaction.get(accounts, key);
    if (!found) return found.error();
    return *found ? amount_of(**found) : 0;
}

Result<void> set_amount(Transaction& transaction, const Keyspace& accounts, Bytes key,
                        std::int64_t sum) {
    char bytes[sizeof(sum)];
    store_le(bytes, sum);
    // An empty account goes: others then meet a tombstone, and a gap.
    return sum == 0 ? transaction.erase(accounts, key)
                    : transaction.put(accounts, key, {bytes, sizeof(bytes)});
}

class Bank {
public:
    explicit Bank(Database& database)
        : database_(database),
          accounts_(database.keyspace("accounts").value()),
          journal_(database.keyspace("journal").value()) {
        for (std::uint64_t n = 0; n < kAccounts; ++n) {
            EXPECT_EQ(accounts_.increment(row_key(n), kEach).value(), kEach);
        }
    }

    void run(std::uint64_t seed) {
        std::vector<os::Thread> threads;
        for (std::size_t t = 0; t < kThreads; ++t) {
            threads.emplace_back("mover", [this, seed, t] { move_money(seed * 100 + t); });
        }
        threads.emplace_back("counter", [this, seed] { count(seed * 100 + 50); });
        threads.emplace_back("noise", [this, seed] { noise(seed * 100 + 51); });
        threads.clear();
        check_sum();
        check_journal();
    }

private:
    bool over() const { return moving_.load() == 0 || testing::Test::HasFailure(); }

    Result<void> move_one(Transaction& transaction, os::Random& random, bool whole) {
        const std::string from = row_key(random.below(kAccounts));
        const std::string to = row_key(random.below(kAccounts));
        if (from == to) return {};
        Result<std::int64_t> left = amount(transaction, accounts_, from);
        if (!left) return left.error();
        Result<std::int64_t> right = amount(transaction, accounts_, to);
        if (!right) return right.error();
        const std::int64_t sum = whole ? *left : std::min<std::int64_t>(*left, 7);
        if (Result<void> put = set_amount(transaction, accounts_, from, *left - sum); !put) {
            return put;
        }
        if (Result<void> put = set_amount(transaction, accounts_, to, *right + sum); !put) {
            return put;
        }
        if (!random.one_in(4)) return {};
        // The next line of the journal, by what is its last one.
        TransactionCursor last = transaction.cursor(journal_);
        last.seek_to_last();
        if (!last.status().ok()) return last.status();
        const std::uint64_t line =
            last.valid() ? std::strtoull(std::string(last.key()).c_str() + 3, nullptr, 10) + 1 : 0;
        return transaction.put(journal_, row_key(line), std::to_string(++lines_));
    }

    void move_money(std::uint64_t seed) {
        os::Random random(seed);
        for (std::uint64_t i = 0; i < kTransfers && !testing::Test::HasFailure(); ++i) {
            const bool whole = random.one_in(10);
            const Result<Sequence> done = database_.transact(
                [&](Transaction& transaction) { return move_one(transaction, random, whole); },
                {.durability = random.one_in(10) ? Durability::kSync : Durability::kBuffered,
                 .attempts_max = 1'000'000});
            ASSERT_TRUE(done.ok()) << done.error().message();
        }
        moving_.fetch_sub(1);
    }

    void check_sum() {
        std::int64_t sum = 0;
        Reader reader = database_.reader();
        Cursor cursor = reader.cursor(accounts_);
        for (; cursor.valid(); cursor.next()) sum += amount_of(cursor.value());
        ASSERT_TRUE(cursor.status().ok());
        ASSERT_EQ(sum, kEach * static_cast<std::int64_t>(kAccounts)) << "money was made or lost";
    }

    void check_journal() {
        std::vector<bool> seen;
        std::uint64_t n = 0;
        Reader reader = database_.reader();
        for (Cursor cursor = reader.cursor(journal_); cursor.valid(); cursor.next(), ++n) {
            ASSERT_EQ(cursor.key(), row_key(n));
            const std::size_t line =
                std::strtoull(std::string(cursor.value()).c_str(), nullptr, 10);
            if (seen.size() <= line) seen.resize(line + 1);
            ASSERT_FALSE(seen[line]) << "one transaction committed twice";
            seen[line] = true;
        }
    }

    void count(std::uint64_t seed) {
        os::Random random(seed);
        do {
            check_sum();
            const Result<Sequence> done =
                database_.transact([&](Transaction& transaction) -> Result<void> {
                    std::int64_t sum = 0;
                    TransactionCursor cursor = transaction.cursor(accounts_);
                    const bool forward = random.one_in(2);
                    if (!forward) cursor.seek_to_last();
                    for (; cursor.valid(); forward ? cursor.next() : cursor.previous()) {
                        sum += amount_of(cursor.value());
                    }
                    EXPECT_EQ(sum, kEach * static_cast<std::int64_t>(kAccounts));
                    return cursor.status();
                });
            ASSERT_TRUE(done.ok()) << done.error().message();
        } while (!over());
    }

    /// Rows between the accounts come and go, so that pages are replaced all the time.
    void noise(std::uint64_t seed) {
        os::Random random(seed);
        const Keyspace noise = database_.keyspace("noise").value();
        do {
            for (int i = 0; i < 20; ++i) {
                ASSERT_TRUE(
                    noise.put(row_key(random.below(200)), row_value(1), Durability::kBuffered)
                        .ok());
            }
            if (random.one_in(3)) {
                ASSERT_TRUE(database_.checkpoint().ok());
            }
        } while (!over());
    }

    Database& database_;
    const Keyspace accounts_;
    const Keyspace journal_;
    std::atomic<std::size_t> moving_{kThreads};
    std::atomic<std::uint64_t> lines_{0};
};

TEST(TransactionConcurrentTest, MoneyIsNeitherMadeNorLost) {
    const Seeds seeds(3);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE(testing::Message() << "run again with FULGUR_SEED=" << seed);
        TempDirectory directory;
        Options options;
        options.memory_budget = 64_MiB;
        Database database = Database::open(directory / "db", options).value();
        os::set_yield_seed(seed);
        Bank(database).run(seed);
        os::set_yield_seed(0);
        ASSERT_FALSE(HasFailure());
        ASSERT_TRUE(database.verify().ok());
        EXPECT_EQ(database.stats().snapshots, 0u);
    }
}

/// Counters that everybody raises at once: each raise counts once.
TEST(TransactionConcurrentTest, IncrementsAreNotLost) {
    Database database = in_memory(64_MiB).value();
    const Keyspace rows = database.keyspace("rows").value();
    std::atomic<std::uint64_t> raised{0};
    os::set_yield_seed(7);
    {
        std::vector<os::Thread> threads;
        for (std::size_t t = 0; t < kThreads; ++t) {
            threads.emplace_back("raiser", [&] {
                for (std::uint64_t i = 0; i < kTransfers; ++i) {
                    const Result<std::int64_t> sum = rows.increment("hits");
                    if (sum.ok()) {
                        raised.fetch_add(1);
                    } else {
                        EXPECT_EQ(sum.error().code(), ErrorCode::kConflict);
                    }
                }
            });
        }
    }
    os::set_yield_seed(0);
    EXPECT_GT(raised.load(), kTransfers);
    EXPECT_EQ(rows.increment("hits", 0).value(), static_cast<std::int64_t>(raised.load()));
}

}  // namespace
}  // namespace fulgur::system_test
