// The engine on a simulated machine whose power fails at every I/O, whose disk refuses reads,
// writes and syncs, and which runs out of space. After each failure the database is opened again
// and must hold exactly the commits up to some sequence, none of them half, and none missing that
// were acknowledged at a level that survives this kind of failure. Then it goes on from there.
//
// A seed decides everything; a failing seed is a bug report: FULGUR_SEED=n runs that one alone.
// FULGUR_SEEDS=n sets how many are run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include <fulgur/database.h>

#include "db/engine_options.h"
#include "os/random.h"
#include "os/sim_clock.h"
#include "os/sim_file_system.h"

namespace fulgur {
namespace {

/// A value is known by what it was made from.
struct ModelValue {
    std::uint64_t seed = 0;
    std::size_t size = 0;
    std::string make() const {
        std::string bytes(size, '\0');
        std::uint64_t x = seed * 0x9E3779B97F4A7C15 + 1;
        for (char& byte : bytes) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            byte = static_cast<char>(x);
        }
        return bytes;
    }
};

using ModelKeyspace = std::map<std::string, ModelValue>;
using ModelState = std::map<std::string, ModelKeyspace>;

std::uint64_t number(Sequence sequence) { return static_cast<std::uint64_t>(sequence); }

class Simulation {
public:
    explicit Simulation(std::uint64_t seed) : random_(seed), seed_(seed) {
        disk_ = std::make_unique<os::SimFileSystem>(seed);
        history_[0] = {};
        EXPECT_TRUE(disk_->make_directory("sim").ok());
        EXPECT_TRUE(disk_->sync_directory(".").ok());
    }

    /// Some lives of one database, each ended by a failure.
    void run() {
        const std::uint64_t lives = 2 + random_.below(3);
        for (std::uint64_t life = 0; life < lives; ++life) {
            SCOPED_TRACE(::testing::Message() << "seed " << seed_ << " life " << life);
            live();
            if (::testing::Test::HasFailure()) return;
            fail_over();
        }
        disk_->clear_faults();
        disk_->set_capacity(os::SimFileSystem::kUnlimited);
        SCOPED_TRACE(::testing::Message() << "seed " << seed_ << " at the end");
        check_after_open();
    }

    void add_sites(std::map<std::string, os::SimFileSystem::SiteCount>& sites) const {
        for (const auto& [site, count] : disk_->site_counts()) {
            sites[site].calls += count.calls;
            sites[site].failures += count.failures;
            sites[site].crashes += count.crashes;
        }
    }

private:
    db::EngineOptions options() {
        db::EngineOptions options;
        options.user.memory_budget = 64_MiB;
        options.user.log_bytes_target = 1_MiB;
        options.user.checkpoint_on_close = random_.below(2) == 0;
        if (random_.below(2) == 0) {
            options.user.compression = static_cast<Compression>(random_.below(4));
        }
        options.path = "sim/db";
        options.files = disk_.get();
        options.clock = &clock_;
        options.log.segment_bytes = 64_KiB;
        options.log.buffer_bytes = 64_KiB;
        options.log.prepare_ahead_bytes = 16_KiB;
        options.background = false;
        // Half of the runs keep next to nothing in memory.
        if (seed_ % 2 == 0) options.evict_reserve_bytes = options.user.memory_budget - 64_KiB;
        return options;
    }

    /// Opens, works, and returns when something failed or enough was done.
    void live() {
        plan_fault();
        Result<Database> opened = db::open_database(options());
        if (!opened) return;
        last_ = number(opened->stats().visible);
        if (!adopt(*opened)) return;
        for (std::uint64_t steps = 20 + random_.below(120); steps > 0; --steps) {
            if (!step(*opened)) break;
        }
        // Whoever is not failed by now may close cleanly, or die.
        if (random_.below(3) == 0 && opened->close().ok() && !disk_->crashed()) {
            synced_ = os_ = last_;
        }
    }

    void plan_fault() {
        killed_ = false;
        disk_->clear_faults();
        disk_->set_capacity(os::SimFileSystem::kUnlimited);
        const std::uint64_t k = 1 + random_.below(random_.below(4) == 0 ? 40 : 400);
        switch (random_.below(8)) {
            case 0:
                killed_ = true;
                break;  // No fault: the process is killed.
            case 1:
                disk_->fail_at(k, EIO, "", 1 + random_.below(3));
                killed_ = true;
                break;
            case 2:
                disk_->set_capacity(disk_->used_bytes() + random_.below(600'000));
                killed_ = true;
                break;
            case 3:
                // What is rare: the cut of the data file's tail.
                if (random_.below(4) == 0) {
                    disk_->crash_at(1 + random_.below(3), "resize data");
                    break;
                }
                [[fallthrough]];
            default:
                disk_->crash_at(k);
                break;
        }
    }

    /// After a failure the commits behind what was recovered never happened.
    bool adopt(Database& database) {
        history_.erase(history_.upper_bound(last_), history_.end());
        return check_content(database);
    }

    std::string key() {
        // Few keys, so that versions meet; some long, some sharing prefixes.
        std::string key(random_.one_in(10) ? random_.below(2000) : 0, 'p');
        key.push_back('k');
        key.append(std::to_string(random_.below(random_.below(2) == 0 ? 12 : 400)));
        return key;
    }

    ModelValue value() {
        std::size_t size = random_.below(300);
        const std::uint64_t kind = random_.below(40);
        if (kind < 4) size = 2'000 + random_.below(20'000);
        if (kind == 4) size = 262'000 + random_.below(40'000);
        return {random_.next(), size};
    }

    Durability level() {
        const std::uint64_t n = random_.below(4);
        return n < 2 ? Durability::kSync : n == 2 ? Durability::kOs : Durability::kBuffered;
    }

    bool step(Database& database) {
        clock_.advance_ns(1'000'000 * (1 + random_.below(30)));
        switch (random_.below(24)) {
            case 0:
                return checkpoint(database);
            case 1:
                return change_keyspaces(database);
            case 2:
                return sync(database);
            case 3:
                return read_something(database);
            case 4:
                return random_.below(3) == 0 ? compact(database) : checkpoint(database);
            case 5:
                return random_.below(3) == 0 ? thin_out(database) : commit(database);
            default:
                return commit(database);
        }
    }

    bool sync(Database& database) {
        if (!database.sync().ok()) return false;
        synced_ = os_ = last_;
        return true;
    }

    bool checkpoint(Database& database) {
        const Result<void> done = database.checkpoint();
        if (!done) return done.error().code() == ErrorCode::kNoSpace && random_.below(4) != 0;
        const Result<Database::VerifyReport> sound = database.verify();
        // A planned fault may strike the verification's own reads.
        if (!sound && sound.error().code() == ErrorCode::kIo) return false;
        EXPECT_TRUE(sound.ok()) << sound.error().message();
        return sound.ok();
    }

    /// Perhaps stopped half-way.
    bool compact(Database& database) {
        const std::uint64_t stop_at = random_.below(3) == 0 ? random_.below(20) : 1'000'000;
        std::uint64_t calls = 0;
        const Result<Database::CompactReport> done =
            database.compact([&](std::uint64_t, std::uint64_t) { return calls++ < stop_at; });
        if (!done) return done.error().code() == ErrorCode::kNoSpace && random_.below(4) != 0;
        EXPECT_EQ(done->bytes_after, database.stats().data_file_bytes);
        const Result<Database::VerifyReport> sound = database.verify();
        if (!sound && sound.error().code() == ErrorCode::kIo) return false;
        EXPECT_TRUE(sound.ok()) << sound.error().message();
        return sound.ok();
    }

    /// Erases most rows of a keyspace, so that its pages are nearly empty, and lets them be joined.
    bool thin_out(Database& database) {
        ModelState next = history_.rbegin()->second;
        if (next.empty()) return true;
        auto it = next.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random_.below(next.size())));
        Result<std::optional<Keyspace>> keyspace = database.find_keyspace(it->first);
        if (!keyspace || !*keyspace) return false;
        WriteBatch batch;
        std::erase_if(it->second, [&](const auto& row) {
            if (random_.below(10) == 0) return false;
            batch.erase(**keyspace, row.first);
            return true;
        });
        if (batch.empty()) return true;
        const Result<Sequence> done = database.commit(batch, Durability::kSync);
        if (!committed(done.ok(), done ? nullptr : &done.error(), Durability::kSync,
                       std::move(next))) {
            return false;
        }
        return checkpoint(database) && checkpoint(database);
    }

    bool change_keyspaces(Database& database) {
        const std::string name(1, static_cast<char>('a' + random_.below(4)));
        ModelState next = history_.rbegin()->second;
        const bool drop = next.contains(name) && random_.below(2) == 0;
        if (!drop && next.contains(name)) return true;
        if (drop) {
            next.erase(name);
        } else {
            next[name];
        }
        const Result<void> done = drop ? database.drop_keyspace(name) : [&]() -> Result<void> {
            Result<Keyspace> made = database.keyspace(name);
            if (!made) return made.error();
            return {};
        }();
        return committed(done.ok(), done ? nullptr : &done.error(), Durability::kSync,
                         std::move(next));
    }

    bool commit(Database& database) {
        ModelState next = history_.rbegin()->second;
        if (next.empty()) return change_keyspaces(database);
        WriteBatch batch;
        const std::uint64_t size =
            random_.below(6) == 0 ? 1 + random_.below(60) : 1 + random_.below(3);
        for (std::uint64_t i = 0; i < size; ++i) {
            auto it = next.begin();
            std::advance(it, static_cast<std::ptrdiff_t>(random_.below(next.size())));
            Result<std::optional<Keyspace>> keyspace = database.find_keyspace(it->first);
            if (!keyspace || !*keyspace) return false;
            const std::string k = key();
            if (random_.below(4) == 0) {
                batch.erase(**keyspace, k);
                it->second.erase(k);
            } else {
                const ModelValue v = value();
                batch.put(**keyspace, k, v.make());
                it->second[k] = v;
            }
        }
        const Durability durability = level();
        const Result<Sequence> done = database.commit(batch, durability);
        if (done) {
            EXPECT_EQ(number(*done), last_ + 1);
        }
        return committed(done.ok(), done ? nullptr : &done.error(), durability, std::move(next));
    }

    /// @return false when this life is over.
    bool committed(bool ok, const Error* error, Durability durability, ModelState next) {
        if (ok) {
            history_[++last_] = std::move(next);
            if (durability == Durability::kSync) synced_ = os_ = last_;
            if (durability == Durability::kOs) os_ = last_;
            return true;
        }
        // A refusal leaves nothing behind; after any other failure the commit may be in the log.
        if (error->code() == ErrorCode::kNoSpace || error->code() == ErrorCode::kLimit) return true;
        history_[last_ + 1] = std::move(next);
        return false;
    }

    bool read_something(Database& database) {
        const ModelState& now = history_.rbegin()->second;
        Reader reader = database.reader();
        for (const auto& [name, rows] : now) {
            Result<std::optional<Keyspace>> keyspace = database.find_keyspace(name);
            if (!keyspace || !*keyspace) return false;
            const std::string k = key();
            Result<std::optional<Bytes>> found = reader.get(**keyspace, k);
            if (!found) return false;
            const auto it = rows.find(k);
            EXPECT_EQ(found->has_value(), it != rows.end()) << name << "/" << k;
            if (*found && it != rows.end()) {
                EXPECT_TRUE(**found == it->second.make());
            }
        }
        return !::testing::Test::HasFailure();
    }

    /// The power fails, or only the process dies.
    void fail_over() {
        const bool process_only = killed_ && !disk_->crashed() && random_.below(2) == 0;
        const std::uint64_t seed = random_.next();
        disk_ = process_only ? disk_->recover_after_kill(seed) : disk_->recover(seed);
        least_ = process_only ? os_ : synced_;
        os_ = least_;
    }

    bool check_content(Database& database) {
        EXPECT_GE(last_, least_) << "an acknowledged commit is gone";
        EXPECT_TRUE(history_.contains(last_)) << "sequence " << last_ << " was never committed";
        if (::testing::Test::HasFailure()) return false;
        const ModelState& expected = history_.at(last_);
        std::vector<std::string> names;
        for (const auto& [name, rows] : expected) names.push_back(name);
        EXPECT_EQ(database.keyspace_names(), names);
        Reader reader = database.reader();
        for (const auto& [name, rows] : expected) {
            Result<std::optional<Keyspace>> keyspace = database.find_keyspace(name);
            if (!keyspace || !*keyspace) return false;
            Cursor cursor = reader.cursor(**keyspace);
            auto it = rows.begin();
            for (; cursor.valid(); cursor.next(), ++it) {
                if (it == rows.end() || cursor.key() != it->first) {
                    ADD_FAILURE() << "keyspace " << name << " holds another key than expected";
                    return false;
                }
                const Bytes value = cursor.value();
                if (!cursor.status()) return false;  // A planned fault struck this read.
                EXPECT_TRUE(value == it->second.make()) << name << "/" << it->first;
            }
            if (!cursor.status()) return false;
            EXPECT_TRUE(it == rows.end()) << "keyspace " << name << " misses " << it->first;
        }
        // What was recovered is durable now: recovery syncs what it believes.
        synced_ = os_ = last_;
        return !::testing::Test::HasFailure();
    }

    void check_after_open() {
        Result<Database> opened = db::open_database(options());
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        last_ = number(opened->stats().visible);
        ASSERT_TRUE(adopt(*opened));
        const Result<void> done = opened->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
        const Result<Database::VerifyReport> sound = opened->verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
        ASSERT_TRUE(opened->close().ok());
    }

    os::Random random_;
    const std::uint64_t seed_;
    os::SimClock clock_;
    std::unique_ptr<os::SimFileSystem> disk_;
    std::map<std::uint64_t, ModelState> history_;  ///< state after each sequence
    std::uint64_t last_ = 0;                       ///< newest sequence that returned
    std::uint64_t synced_ = 0;                     ///< survives a power cut
    std::uint64_t os_ = 0;                         ///< survives a killed process
    std::uint64_t least_ = 0;  ///< of these, what the failure at hand must have left
    bool killed_ = false;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr std::uint64_t kSeeds = 150;
#else
constexpr std::uint64_t kSeeds = 1000;
#endif

TEST(SimulationTest, EveryFailureLeavesAPrefixWithAllThatWasAcknowledged) {
    std::map<std::string, os::SimFileSystem::SiteCount> sites;
    const std::uint64_t only = from_environment("FULGUR_SEED", 0);
    const std::uint64_t usual = from_environment("FULGUR_LONG", 0) != 0 ? 10 * kSeeds : kSeeds;
    const std::uint64_t seeds = only != 0 ? only : from_environment("FULGUR_SEEDS", usual);
    for (std::uint64_t seed = only != 0 ? only : 1; seed <= seeds; ++seed) {
        Simulation simulation(seed);
        simulation.run();
        simulation.add_sites(sites);
        ASSERT_FALSE(HasFailure()) << "run again with FULGUR_SEED=" << seed;
    }
    for (const auto& [site, count] : sites) {
        std::cout << site << ": " << count.calls << " calls, " << count.failures << " failed, "
                  << count.crashes << " crashed\n";
    }
    for (const char* site :
         {"write log", "sync log", "write data", "sync data", "create log", "read data", "read log",
          "rename data", "sync directory", "resize data"}) {
        if (only == 0 && seeds >= 300 && sites.contains(site)) {
            EXPECT_GT(sites[site].crashes, 0u) << "never crashed at: " << site;
        }
    }
}

}  // namespace
}  // namespace fulgur
