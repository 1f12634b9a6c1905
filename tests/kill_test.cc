// A process that writes to a real directory is killed at a random moment: while it commits, while a
// checkpoint runs, while it opens and recovers. Whatever it had acknowledged at kSync or kOs is
// there afterwards, what is there is a prefix of its commits, and the next process goes on with it.
//
// FULGUR_ROUNDS=n sets how many kills there are, FULGUR_SEED=n when they come (what the killed
// process had done by then depends on the machine). The child is this executable with arguments.
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/random.h"
#include "os/thread.h"
#include "tests/child_process.h"
#include "tests/support.h"

namespace fulgur::system_test {
namespace {

constexpr std::uint64_t kOpening = ~std::uint64_t{0};
constexpr std::uint64_t kOpened = kOpening - 1;
constexpr std::uint64_t kThreads = 3;
constexpr const char* kNames[] = {"a", "b"};
/// Commits of the keyspaces come first: "a" is sequence 1.
constexpr std::uint64_t kFirstCommit = std::size(kNames) + 1;

Options options_for(std::uint64_t seed) {
    Options options;
    options.memory_budget = 128_MiB;
    options.log_bytes_target = 1_MiB;
    options.checkpoint_on_close = seed % 2 == 0;
    return options;
}

// ---- one writer: what commit n does follows from n
// ------------------------------------------------

struct Change {
    std::size_t keyspace;
    std::string key;
    bool erase;
    ModelValue value;
};

std::vector<Change> changes_of(std::uint64_t commit) {
    os::Random random(commit);
    std::vector<Change> changes(random.one_in(5) ? 1 + random.below(40) : 1 + random.below(3));
    for (Change& change : changes) {
        change.keyspace = random.below(std::size(kNames));
        change.key = "key" + std::to_string(random.below(300));
        change.erase = random.one_in(4);
        std::size_t size = random.below(200);
        if (random.one_in(30)) size = 2'000 + random.below(30'000);
        if (random.one_in(300)) size = 262'000 + random.below(50'000);
        change.value = {random.next(), size};
    }
    return changes;
}

Durability level_of(std::uint64_t commit) {
    return os::Random(~commit).below(3) == 0 ? Durability::kSync : Durability::kOs;
}

/// Writes until it is killed. @return only when something is wrong.
int write_in_order(Database& database) {
    std::vector<Keyspace> keyspaces;
    for (const char* name : kNames) keyspaces.push_back(*database.keyspace(name));
    for (std::uint64_t n = number(database.stats().visible) + 1;; ++n) {
        WriteBatch batch;
        for (const Change& change : changes_of(n)) {
            if (change.erase) {
                batch.erase(keyspaces[change.keyspace], change.key);
            } else {
                batch.put(keyspaces[change.keyspace], change.key, change.value.make());
            }
        }
        const Result<Sequence> done = database.commit(batch, level_of(n));
        if (!done || number(*done) != n) {
            std::cerr << "commit " << n << ": " << (done ? "another" : done.error().message());
            return 4;
        }
        report(n);
    }
}

/// The states after each commit, followed forward.
class PrefixModel {
public:
    void advance_to(std::uint64_t sequence) {
        for (; at_ < sequence; ++at_) {
            if (at_ + 1 < kFirstCommit) continue;
            for (const Change& change : changes_of(at_ + 1)) {
                if (change.erase) {
                    rows_[change.keyspace].erase(change.key);
                } else {
                    rows_[change.keyspace][change.key] = change.value;
                }
            }
        }
    }

    void check(Database& database) const {
        Reader reader = database.reader();
        for (std::size_t i = 0; i < std::size(kNames); ++i) {
            SCOPED_TRACE(kNames[i]);
            Result<std::optional<Keyspace>> keyspace = database.find_keyspace(kNames[i]);
            ASSERT_TRUE(keyspace.ok());
            ASSERT_EQ(keyspace->has_value(), at_ > i);
            if (!*keyspace) continue;
            Cursor cursor = reader.cursor(**keyspace);
            for (const auto& [key, value] : rows_[i]) {
                ASSERT_TRUE(cursor.valid()) << "ends before " << key;
                ASSERT_EQ(cursor.key(), key);
                ASSERT_TRUE(cursor.value() == value.make()) << key;
                cursor.next();
            }
            ASSERT_FALSE(cursor.valid()) << "one more: " << cursor.key();
            ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        }
    }

    std::uint64_t at() const { return at_; }

private:
    std::uint64_t at_ = 0;
    std::array<std::map<std::string, ModelValue>, std::size(kNames)> rows_;
};

// ---- several writers: each counts in a keyspace of its own
// ----------------------------------------

/// Commit `count` of a thread puts its number under this key; the next lap replaces it.
std::string key_of_count(std::uint64_t count) { return "key" + std::to_string(count % 100); }
std::string value_of_count(std::uint64_t count) {
    return std::to_string(count) + "|" +
           ModelValue{count, count % 50 == 0 ? 5'000 : count % 90}.make();
}
std::string thread_name(std::uint64_t thread) { return "thread" + std::to_string(thread); }

/// The greatest number under which every number is there; fails when one is missing.
std::uint64_t count_in(Reader& reader, const Keyspace& keyspace) {
    std::uint64_t count = 0, rows = 0;
    for (Cursor cursor = reader.cursor(keyspace); cursor.valid(); cursor.next(), ++rows) {
        count = std::max<std::uint64_t>(count, std::stoull(std::string(cursor.value())));
    }
    EXPECT_EQ(rows, std::min<std::uint64_t>(count, 100));
    for (std::uint64_t n = count; n > 0 && n + 100 > count; --n) {
        const Result<std::optional<Bytes>> found = reader.get(keyspace, key_of_count(n));
        EXPECT_TRUE(found.ok() && *found && **found == value_of_count(n)) << "number " << n;
    }
    return count;
}

int write_by_threads(Database& database) {
    std::vector<Keyspace> keyspaces;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
        keyspaces.push_back(*database.keyspace(thread_name(t)));
    }
    std::vector<os::Thread> threads;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
        Reader reader = database.reader();
        std::uint64_t count = count_in(reader, keyspaces[t]);
        threads.emplace_back("writer", [keyspace = keyspaces[t], count, t]() mutable {
            for (;;) {
                ++count;
                const Result<Sequence> done =
                    keyspace.put(key_of_count(count), value_of_count(count), level_of(count));
                if (!done) {
                    std::cerr << "commit: " << done.error().message() << "\n";
                    ::_exit(4);
                }
                report(t << 56 | count);
            }
        });
    }
    for (os::Thread& thread : threads) thread.join();
    return 0;
}

// ---- the child and its killer -------------------------------------------------------------------

/// `--child DIR order|threads CHECKPOINTS SEED`
int child(char** arguments) {
    const std::string mode = arguments[3];
    report(kOpening);
    Result<Database> database =
        Database::open(arguments[2], options_for(std::stoull(arguments[5])));
    if (!database) {
        std::cerr << "open: " << database.error().message() << "\n";
        return 3;
    }
    report(kOpened);
    os::Thread checkpoints;
    if (std::string(arguments[4]) == "1") {
        checkpoints = os::Thread("checkpoints", [&] {
            while (database->checkpoint().ok()) {
            }
            ::_exit(5);
        });
    }
    return mode == "order" ? write_in_order(*database) : write_by_threads(*database);
}

class KillTest : public ::testing::Test {
protected:
    KillTest() : seed_(from_environment("FULGUR_SEED", 0)) {
        if (seed_ == 0) seed_ = os::random_seed() % 1'000'000'000;
        std::cout << "FULGUR_SEED=" << seed_ << "\n";
        random_ = os::Random(seed_);
    }

    static std::uint64_t rounds() {
        const bool many = from_environment("FULGUR_LONG", 0) != 0;
        return from_environment("FULGUR_ROUNDS", many ? 400 : 25);
    }

    /// Lets a child write to the directory and kills it. @return what it reported.
    std::vector<std::uint64_t> kill_one(const char* mode) {
        const std::string checkpoints = random_.one_in(3) ? "1" : "0";
        ChildProcess child({"--child", directory_ / "db", mode, checkpoints,
                            std::to_string(random_.next() % 100)});
        EXPECT_TRUE(child.wait_for(kOpening));
        if (random_.one_in(4)) {
            child.read_for(std::chrono::microseconds(random_.below(6'000)));
        } else {
            EXPECT_TRUE(child.wait_for(kOpened));
            child.read_for(std::chrono::microseconds(1'000 + random_.below(59'000)));
        }
        EXPECT_TRUE(child.kill()) << "the child ended by itself, status " << child.status();
        opened_ += std::count(child.received().begin(), child.received().end(), kOpened);
        return child.received();
    }

    Result<Database> reopen() {
        Result<Database> database = Database::open(directory_ / "db", options_for(random_.next()));
        EXPECT_TRUE(database.ok()) << database.error().message();
        return database;
    }

    /// Some of what was recovered is written back before the next child comes.
    void finish(Database& database) {
        if (random_.below(2) == 0) {
            const Result<void> done = database.checkpoint();
            ASSERT_TRUE(done.ok()) << done.error().message();
        }
        const Result<Database::VerifyReport> sound = database.verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
        const bool close = random_.below(2) == 0;
        ASSERT_TRUE(!close || database.close().ok());
    }

    TempDirectory directory_;
    std::uint64_t seed_;
    os::Random random_{0};
    std::int64_t opened_ = 0;
};

TEST_F(KillTest, WhatWasAcknowledgedSurvivesAndNothingIsOutOfOrder) {
    PrefixModel model;
    for (std::uint64_t round = 0; round < rounds(); ++round) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed_ << " round " << round);
        std::uint64_t acknowledged = model.at();
        for (const std::uint64_t word : kill_one("order")) {
            if (word < kOpened) acknowledged = std::max(acknowledged, word);
        }
        ASSERT_FALSE(HasFailure());
        Result<Database> database = reopen();
        ASSERT_TRUE(database.ok());
        const std::uint64_t recovered = number(database->stats().visible);
        ASSERT_GE(recovered, acknowledged) << "an acknowledged commit is gone";
        model.advance_to(recovered);
        model.check(*database);
        ASSERT_FALSE(HasFailure());
        finish(*database);
        ASSERT_FALSE(HasFailure());
    }
    std::cout << model.at() << " commits, " << opened_ << " of " << rounds() << " were opened\n";
    EXPECT_GE(model.at(), kFirstCommit);
}

TEST_F(KillTest, WhatThreadsWereToldSurvives) {
    std::array<std::uint64_t, kThreads> told{};
    for (std::uint64_t round = 0; round < rounds() / 2; ++round) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed_ << " round " << round);
        for (const std::uint64_t word : kill_one("threads")) {
            if (word >= kOpened) continue;
            std::uint64_t& of_thread = told[word >> 56];
            of_thread = std::max(of_thread, word & ~(std::uint64_t{0xff} << 56));
        }
        ASSERT_FALSE(HasFailure());
        Result<Database> database = reopen();
        ASSERT_TRUE(database.ok());
        std::uint64_t commits = database->keyspace_names().size();
        Reader reader = database->reader();
        for (std::uint64_t t = 0; t < kThreads; ++t) {
            Result<std::optional<Keyspace>> keyspace = database->find_keyspace(thread_name(t));
            ASSERT_TRUE(keyspace.ok());
            const std::uint64_t count = *keyspace ? count_in(reader, **keyspace) : 0;
            ASSERT_GE(count, told[t]) << "an acknowledged commit of thread " << t << " is gone";
            told[t] = count;
            commits += count;
        }
        ASSERT_EQ(number(database->stats().visible), commits);
        finish(*database);
        ASSERT_FALSE(HasFailure());
    }
}

}  // namespace
}  // namespace fulgur::system_test

int main(int count, char** arguments) {
    if (count == 6 && std::string(arguments[1]) == "--child") {
        return fulgur::system_test::child(arguments);
    }
    ::testing::InitGoogleTest(&count, arguments);
    return RUN_ALL_TESTS();
}
