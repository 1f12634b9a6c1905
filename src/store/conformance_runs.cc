// Checks of the conformance suite: Store::run, threads, and random transactions against a model.
#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "os/thread.h"
#include "store/embedded.h"
#include "store/trial.h"

namespace fulgur::store {

namespace {

constexpr std::size_t kThreads = 3;
/// Threads that meet all the time may need many attempts.
constexpr RunOptions kPatient{.attempts_max = 1'000'000};

Result<std::int64_t> integer(StoreTransaction& transaction, Bytes key) {
    Result<std::optional<Bytes>> found = transaction.get(key);
    if (!found) return found.error();
    return *found ? to_integer(std::string(**found)) : 0;
}

std::int64_t integer_now(Trial& trial, const std::string& key) {
    std::int64_t number = 0;
    trial.run([&](StoreTransaction& transaction) -> Result<void> {
        Result<std::int64_t> found = integer(transaction, key);
        if (!found) return found.error();
        number = *found;
        return {};
    });
    return number;
}

}  // namespace

void runs_again_after_conflicts(Trial& trial) {
    const std::string key = trial.prefix() + "a";
    int calls = 0;
    Result<Version> done = trial.store().run([&](StoreTransaction& transaction) -> Result<void> {
        Result<void> put = transaction.put(key, std::to_string(++calls));
        if (!put) return put;
        if (calls == 1) return Error(ErrorCode::kConflict, "the work's own");
        if (calls == 2) return Error(ErrorCode::kTooOld, "the work's own");
        return {};
    });
    trial.expect(done.ok() && calls >= 3, "run did not begin again after the work's own conflict");
    trial.expect(integer_now(trial, key) == calls, "the last attempt's write is not there");

    calls = 0;
    done = trial.store().run(
        [&](StoreTransaction& transaction) -> Result<void> {
            ++calls;
            Result<void> put = transaction.put(key, "never");
            return put ? Error(ErrorCode::kConflict, "always") : put;
        },
        {.attempts_max = 5});
    trial.expect(!done.ok() && done.error().code() == ErrorCode::kConflict && calls == 5,
                 "run did not give up after attempts_max");

    calls = 0;
    done = trial.store().run([&](StoreTransaction&) -> Result<void> {
        ++calls;
        return Error(ErrorCode::kUnsupported, "the work's own");
    });
    trial.expect(!done.ok() && done.error().code() == ErrorCode::kUnsupported && calls == 1,
                 "run did not hand the work's own error on");

    done = trial.store().run([](StoreTransaction& transaction) -> Result<void> {
        static_cast<void>(transaction.commit().ok());
        return {};
    });
    trial.expect(!done.ok() && done.error().code() == ErrorCode::kInvalid,
                 "work that commits itself is not kInvalid");
    trial.expect(integer_now(trial, key) >= 3, "a refused run left something behind");
}

/// Also where results are unknown and commits come late: each run counts once, and versions rise.
void runs_each_work_once(Trial& trial) {
    const std::string key = trial.prefix() + "counter";
    const std::uint64_t runs = trial.scaled(300);
    Version last{};
    for (std::uint64_t n = 0; n < runs && !trial.failed(); ++n) {
        const Result<Version> done =
            trial.store().run([&](StoreTransaction& transaction) -> Result<void> {
                Result<std::int64_t> number = integer(transaction, key);
                if (!number) return number.error();
                return transaction.put(key, std::to_string(*number + 1));
            });
        if (!done) return trial.fail("run: " + done.error().message());
        trial.expect(*done > last, "a later commit has no greater version");
        last = *done;
        const std::int64_t now = integer_now(trial, key);
        trial.expect(
            now == static_cast<std::int64_t>(n + 1),
            "after " + std::to_string(n + 1) + " runs the counter is " + std::to_string(now));
    }
    // Writes that read nothing could not even conflict.
    const std::string sum = trial.prefix() + "sum";
    for (std::uint64_t n = 0; n < runs && !trial.failed(); ++n) {
        trial.run([&](StoreTransaction& transaction) { return transaction.atomic_add(sum, 1); });
    }
    std::string value;
    trial.run([&](StoreTransaction& transaction) -> Result<void> {
        Result<std::optional<Bytes>> found = transaction.get(sum);
        if (!found) return found.error();
        value = found->value_or("");
        return {};
    });
    trial.expect(value.size() == 8 && load_le<std::uint64_t>(value.data()) == runs,
                 "atomic additions were lost, or made twice");
}

void adds_in_many_threads(Trial& trial) {
    const std::string sum = trial.prefix() + "sum", most = trial.prefix() + "most",
                      least = trial.prefix() + "least";
    const std::uint64_t adds = trial.scaled(100);
    std::vector<os::Thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
        threads.emplace_back("adder", [&, t] {
            for (std::uint64_t n = 0; n < adds && !trial.failed(); ++n) {
                const std::uint64_t number = n * kThreads + t + 1;
                const Result<Version> done = trial.store().run(
                    [&](StoreTransaction& transaction) -> Result<void> {
                        Result<void> added = transaction.atomic_add(sum, 2);
                        if (!added) return added;
                        added = transaction.atomic_max(most, number);
                        if (!added) return added;
                        return transaction.atomic_min(least, 1'000'000 - number);
                    },
                    kPatient);
                if (!done) trial.fail("run: " + done.error().message());
            }
        });
    }
    threads.clear();
    const auto now = [&](const std::string& key) {
        std::uint64_t number = 0;
        trial.run([&](StoreTransaction& transaction) -> Result<void> {
            Result<std::optional<Bytes>> found = transaction.get(key);
            if (!found) return found.error();
            number = atomic_result(AtomicOperation::kAdd, *found, 0);
            return {};
        });
        return number;
    };
    trial.expect(now(sum) == 2 * adds * kThreads, "additions were lost");
    trial.expect(now(most) == adds * kThreads, "the greatest number is wrong");
    trial.expect(now(least) == 1'000'000 - adds * kThreads, "the least number is wrong");
}

// ---- money --------------------------------------------------------------------------------------

namespace {

/// Accounts whose sum must stay, in every moment that anybody sees.
class Bank {
public:
    static constexpr std::uint64_t kAccounts = 8;
    static constexpr std::int64_t kEach = 100;

    explicit Bank(Trial& trial) : trial_(trial) {
        trial.run([&](StoreTransaction& transaction) -> Result<void> {
            for (std::uint64_t n = 0; n < kAccounts; ++n) {
                Result<void> put = transaction.put(account(n), std::to_string(kEach));
                if (!put) return put;
            }
            return {};
        });
    }

    void move_money(std::uint64_t seed, std::uint64_t transfers) {
        os::Random random(seed);
        for (std::uint64_t n = 0; n < transfers && !trial_.failed(); ++n) {
            const std::string from = account(random.below(kAccounts));
            const std::string to = account(random.below(kAccounts));
            const auto most = static_cast<std::int64_t>(random.between(1, 150));
            if (from == to) continue;
            const Result<Version> done = trial_.store().run(
                [&](StoreTransaction& transaction) { return move(transaction, from, to, most); },
                kPatient);
            if (!done) trial_.fail("run: " + done.error().message());
        }
    }

    /// In pages, so that one moment has to last over several calls.
    void count() {
        std::int64_t sum = 0;
        const Result<Version> done = trial_.store().run(
            [&](StoreTransaction& transaction) -> Result<void> {
                sum = 0;
                std::uint64_t rows = 0;
                RangeOptions options{.limit = 3};
                do {
                    Result<StorePage> page = transaction.range(prefix(trial_.prefix()), options);
                    if (!page) return page.error();
                    for (const StoreRow& row : page->rows) {
                        sum += to_integer(std::string(row.value));
                    }
                    rows += page->rows.size();
                    trial_.expect(rows <= kAccounts, "a range shows more rows than there are");
                    options.continuation = page->continuation;
                } while (options.continuation && !trial_.failed());
                return {};
            },
            kPatient);
        if (!done) trial_.fail("run: " + done.error().message());
        trial_.expect(sum == kEach * static_cast<std::int64_t>(kAccounts),
                      "money was made or lost: the sum is " + std::to_string(sum));
    }

private:
    std::string account(std::uint64_t n) const { return trial_.prefix() + numbered("account", n); }

    static Result<void> move(StoreTransaction& transaction, const std::string& from,
                             const std::string& to, std::int64_t most) {
        Result<std::int64_t> left = integer(transaction, from);
        if (!left) return left.error();
        Result<std::int64_t> right = integer(transaction, to);
        if (!right) return right.error();
        const std::int64_t amount = std::min(most, *left);
        // An empty account goes: others then meet a gap.
        Result<void> done = *left == amount ? transaction.erase(from)
                                            : transaction.put(from, std::to_string(*left - amount));
        if (!done) return done;
        return *right + amount == 0 ? transaction.erase(to)
                                    : transaction.put(to, std::to_string(*right + amount));
    }

    Trial& trial_;
};

}  // namespace

void moves_money_in_many_threads(Trial& trial) {
    Bank bank(trial);
    std::atomic<std::size_t> moving{kThreads};
    std::vector<os::Thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
        threads.emplace_back("mover", [&, t] {
            bank.move_money(trial.seed() * 100 + t, trial.scaled(120));
            moving.fetch_sub(1);
        });
    }
    threads.emplace_back("counter", [&] {
        do {
            bank.count();
        } while (moving.load() != 0 && !trial.failed());
    });
    threads.clear();
    bank.count();
}

// ---- a model ------------------------------------------------------------------------------------

namespace {

using Rows = std::map<std::string, std::string>;

/// One random transaction, on the store and on a copy of what should be there. It does the same
/// each time it is run.
class RandomWork {
public:
    RandomWork(Trial& trial, const Rows& before, std::uint64_t seed)
        : trial_(trial), before_(before), seed_(seed) {}

    Result<void> operator()(StoreTransaction& transaction) {
        os::Random random(seed_);
        rows = before_;
        const std::uint64_t steps = 1 + random.below(12);
        for (std::uint64_t n = 0; n < steps; ++n) {
            Result<void> done =
                random.one_in(2) ? write(transaction, random) : read(transaction, random);
            if (!done) return done;
        }
        return {};
    }

    Rows rows;

private:
    std::string key(os::Random& random) const {
        return trial_.prefix() + numbered("k", random.below(40));
    }
    KeyRange range(os::Random& random) const {
        if (random.one_in(4)) return prefix(trial_.prefix());
        return between(key(random), key(random));
    }

    Result<void> write(StoreTransaction& transaction, os::Random& random) {
        const std::string at = key(random);
        const std::uint64_t number = random.next();
        switch (random.below(8)) {
            case 0: {
                const KeyRange gone = range(random);
                if (gone.begin < *gone.end) {
                    rows.erase(rows.lower_bound(gone.begin), rows.lower_bound(*gone.end));
                }
                return transaction.erase_range(gone);
            }
            case 1:
            case 2:
                rows.erase(at);
                return transaction.erase(at);
            case 3: {
                const auto operation = static_cast<AtomicOperation>(random.below(3));
                const auto found = rows.find(at);
                std::optional<Bytes> old;
                if (found != rows.end()) old = found->second;
                std::string bytes(sizeof(number), '\0');
                store_le(bytes.data(), atomic_result(operation, old, number));
                rows[at] = bytes;
                return transaction.atomic(operation, at, number);
            }
            default: {
                std::string value = std::to_string(number);
                if (random.one_in(10)) value.append(random.below(5000), 'v');
                rows[at] = value;
                return transaction.put(at, value);
            }
        }
    }

    Result<void> read(StoreTransaction& transaction, os::Random& random) {
        const auto mode = random.one_in(4) ? ReadMode::kSnapshot : ReadMode::kSerializable;
        if (random.one_in(2)) {
            const std::array<std::string, 3> names = {key(random), key(random), key(random)};
            const std::vector<Bytes> keys(names.begin(), names.end());
            std::vector<std::optional<Bytes>> values(keys.size());
            if (Result<void> got = transaction.get_many(keys, values, mode); !got) return got;
            for (std::size_t i = 0; i < keys.size(); ++i) {
                Result<std::optional<Bytes>> value = transaction.get(keys[i], mode);
                if (!value) return value.error();
                const auto found = rows.find(names[i]);
                const bool right = found == rows.end() ? !*value : *value == found->second;
                trial_.expect(right && *value == values[i], "get differs from the model");
            }
            return {};
        }
        const KeyRange over = range(random);
        RangeOptions options{.limit = random.below(8), .reverse = random.one_in(2), .mode = mode};
        std::vector<std::pair<std::string, std::string>> seen, wanted;
        do {
            Result<StorePage> page = transaction.range(over, options);
            if (!page) return page.error();
            for (const StoreRow& row : page->rows) seen.emplace_back(row.key, row.value);
            trial_.expect(seen.size() <= rows.size(), "a range shows more rows than there are");
            options.continuation = page->continuation;
        } while (options.continuation && !trial_.failed());
        if (over.begin < *over.end) {
            wanted.assign(rows.lower_bound(over.begin), rows.lower_bound(*over.end));
        }
        if (options.reverse) std::reverse(wanted.begin(), wanted.end());
        trial_.expect(seen == wanted, "a range differs from the model");
        return {};
    }

    Trial& trial_;
    const Rows& before_;
    const std::uint64_t seed_;
};

}  // namespace

void equals_a_model(Trial& trial) {
    Rows rows;
    os::Random random(trial.seed());
    const std::uint64_t transactions = trial.scaled(400);
    for (std::uint64_t n = 0; n < transactions && !trial.failed(); ++n) {
        RandomWork work(trial, rows, random.next());
        if (random.one_in(6)) {  // One that does not commit.
            Result<std::unique_ptr<StoreTransaction>> begun = trial.store().begin();
            if (begun) static_cast<void>(work(**begun).ok());
            continue;
        }
        trial.run([&](StoreTransaction& transaction) { return work(transaction); });
        rows = std::move(work.rows);
    }
}

}  // namespace fulgur::store
