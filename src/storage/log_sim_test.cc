#include <cerrno>
#include <cstdlib>
#include <optional>

#include "storage/log_test_model.h"

// The log against a model, on simulated disks whose power fails at any I/O, that return errors, and
// that are full. What is checked after every restart: the records are a prefix of what was
// appended, byte by byte; it reaches at least to what was acknowledged at the level that the
// disaster leaves.

namespace fulgur::storage {
namespace {

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }

/// More seeds by FULGUR_LOG_SEEDS=n in the environment.
std::uint64_t seed_count(std::uint64_t usual) {
    const char* wanted = std::getenv("FULGUR_LOG_SEEDS");
    return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

class LogModel {
public:
    explicit LogModel(std::uint64_t seed)
        : random_(seed), disk_(std::make_unique<os::SimFileSystem>(seed)) {
        disk_->make_directory(kTestDirectory).value();
        disk_->sync_directory("").value();
    }

    void run(int lives) {
        for (int life = 0; life < lives && !testing::Test::HasFailure(); ++life) {
            order_disaster();
            Result<RecoveredLog> recovered = restart();
            if (recovered) live(recovered->start);
            disaster();
        }
        disk_->clear_faults();
        ASSERT_TRUE(restart().ok());
    }

    os::SimFileSystem& disk() { return *disk_; }

private:
    void order_disaster() {
        switch (random_.below(6)) {
            case 0:
            case 1:
            case 2:
                disk_->crash_at(1 + random_.below(150));
                break;
            case 3:
                disk_->fail_at(1 + random_.below(100), EIO, random_.one_in(2) ? "sync log" : "");
                break;
            case 4:
                disk_->set_capacity(disk_->used_bytes() + random_.below(40) * 16_KiB);
                break;
            default:
                break;
        }
    }

    /// Power cut or kill, and a new machine.
    void disaster() {
        log_.reset();
        const bool power_cut = disk_->crashed() || random_.one_in(2);
        disk_ =
            power_cut ? disk_->recover(random_.next()) : disk_->recover_after_kill(random_.next());
        if (power_cut) handed_over_ = synced_;
        reach_ = std::max(synced_, handed_over_);
    }

    Result<RecoveredLog> restart() {
        const Sequence after = random_.one_in(2) ? checkpointed_ : checkpointed_before_;
        Result<RecoveredLog> recovered = recover_log(*disk_, after, std::max(after, checkpointed_));
        if (!recovered) {
            // Only for an error that was ordered.
            EXPECT_NE(recovered.error().code(), ErrorCode::kCorruption)
                << recovered.error().message();
            return recovered;
        }
        const std::uint64_t last = raw(recovered->start.next) - 1;
        EXPECT_GE(last, raw(reach_)) << "an acknowledged record is lost";
        EXPECT_LE(last, raw(appended_)) << "a record came from nowhere";
        std::uint64_t expected = raw(after);
        for (const auto& [sequence, body] : recovered->records) {
            EXPECT_EQ(sequence, ++expected);
            EXPECT_EQ(body, body_of(Sequence{sequence}, sizes_[sequence])) << sequence;
        }
        EXPECT_EQ(expected, last);
        sizes_.erase(sizes_.upper_bound(last), sizes_.end());
        appended_ = Sequence{last};
        // What recovery has believed, and synced, stays.
        synced_ = handed_over_ = reach_ = appended_;
        return recovered;
    }

    void live(const LogStart& start) {
        LogOptions options = small_options();
        if (random_.one_in(4)) options.segment_bytes = 128_KiB;
        Result<std::unique_ptr<Log>> opened = open_log(*disk_, clock_, start, options);
        if (!opened) {
            EXPECT_NE(opened.error().code(), ErrorCode::kCorruption);
            return;
        }
        log_ = *std::move(opened);
        const std::uint64_t steps = random_.below(120);
        for (std::uint64_t i = 0; i < steps && !disk_->crashed(); ++i) {
            step();
            synced_ = std::max(synced_, log_->durable_sequence());
        }
        if (random_.one_in(3) && log_->close().ok()) synced_ = handed_over_ = appended_;
    }

    std::size_t draw_size() {
        switch (random_.below(12)) {
            case 0:
                return 0;
            case 1:
                return random_.below(200'000);  // Over several segments and the whole buffer.
            case 2:
                return random_.below(20'000);
            default:
                return random_.below(300);
        }
    }

    void step() {
        clock_.advance_ms(random_.below(4));
        switch (random_.below(24)) {
            case 0:
                log_->tick();
                break;
            case 1:
                log_->tick_buffer();
                break;
            case 2:
                clock_.advance_ms(random_.below(1500));
                log_->tick_disk();
                break;
            case 3:
                if (log_->sync_all().ok()) synced_ = handed_over_ = appended_;
                break;
            case 4:
                checkpoint();
                break;
            default:
                commit_one(static_cast<Durability>(random_.below(3)));
        }
    }

    void checkpoint() {
        if (!log_->sync_all().ok()) return;
        synced_ = handed_over_ = appended_;
        checkpointed_before_ = checkpointed_;
        checkpointed_ = Sequence{random_.between(raw(checkpointed_), raw(appended_))};
        const Result<void> r = log_->recycle(checkpointed_before_);
        EXPECT_TRUE(r.ok() || r.error().code() != ErrorCode::kCorruption);
    }

    void commit_one(Durability durability) {
        const std::size_t size = draw_size();
        const Result<void> reserved = log_->reserve(size);
        if (!reserved) {
            // A refusal changes nothing; a full disk may have room again later.
            if (!log_->stopped() && random_.one_in(4)) disk_->set_capacity(~std::uint64_t{0});
            return;
        }
        const Sequence sequence{raw(appended_) + 1};
        const std::string body = body_of(sequence, size);
        appended_ = sequence;  // A record that fails half way may be found all the same.
        sizes_[raw(sequence)] = size;
        const Result<LogTicket> ticket = log_->append(sequence, body, crc32c(body));
        if (!ticket) {
            EXPECT_TRUE(log_->poisoned());
            return;
        }
        if (!log_->wait(*ticket, durability).ok()) {
            EXPECT_TRUE(log_->poisoned());
            return;
        }
        if (durability == Durability::kSync) synced_ = sequence;
        if (durability != Durability::kBuffered) handed_over_ = sequence;
    }

    os::Random random_;
    std::unique_ptr<os::SimFileSystem> disk_;
    os::SimClock clock_;
    std::unique_ptr<Log> log_;

    std::map<std::uint64_t, std::size_t> sizes_;
    Sequence appended_{0};
    Sequence synced_{0};       ///< Survives everything.
    Sequence handed_over_{0};  ///< Survives a killed process.
    Sequence reach_{0};        ///< What must be there after the last disaster.
    Sequence checkpointed_{0};
    Sequence checkpointed_before_{0};
};

TEST(LogSimTest, KeepsWhatWasAcknowledgedThroughAnyDisaster) {
    const std::uint64_t count = seed_count(300);
    std::map<std::string, os::SimFileSystem::SiteCount> sites;
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        LogModel model(seed);
        model.run(6);
        for (const auto& [site, n] : model.disk().site_counts()) {
            sites[site].calls += n.calls;
            sites[site].failures += n.failures;
            sites[site].crashes += n.crashes;
        }
        if (HasFailure()) FAIL() << "seed " << seed;
    }
    for (const char* site : {"write log", "sync log", "create log", "open log", "read log",
                             "sync directory", "list directory", "remove log"}) {
        EXPECT_GT(sites[site].crashes, 0U) << site << " was never crashed at";
        RecordProperty(std::string(site) + " crashes", std::to_string(sites[site].crashes));
    }
}

/// One fixed life; the power fails at each of its I/Os in turn, and several things may be left.
TEST(LogSimTest, SurvivesAPowerCutAtEveryIo) {
    for (std::uint64_t k = 1;; ++k) {
        os::SimFileSystem disk(k);
        disk.make_directory(kTestDirectory).value();
        disk.sync_directory("").value();
        disk.crash_at(k);
        os::SimClock clock;
        std::uint64_t acknowledged = 0;
        std::uint64_t appended = 0;
        bool finished = false;
        const auto life = [&]() -> Result<void> {
            Result<RecoveredLog> recovered = recover_log(disk);
            if (!recovered) return recovered.error();
            auto log = open_log(disk, clock, recovered->start);
            if (!log) return log.error();
            for (std::uint64_t i = 1; i <= 25; ++i) {
                const std::size_t size = i % 5 == 0 ? 30'000 : 100;
                appended = i;
                const auto level = i % 3 == 0 ? Durability::kSync : Durability::kBuffered;
                auto done = commit(**log, Sequence{i}, body_of(Sequence{i}, size), level);
                if (!done) return done.error();
                if (level == Durability::kSync) acknowledged = i;
                if (i % 8 == 0) (*log)->tick();
            }
            if (Result<void> r = (*log)->close(); !r) return r;
            acknowledged = appended;
            return {};
        };
        finished = life().ok();
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            SCOPED_TRACE("crash at I/O " + std::to_string(k) + ", seed " + std::to_string(seed));
            const auto after = disk.recover(seed);
            Result<RecoveredLog> recovered = recover_log(*after);
            ASSERT_TRUE(recovered.ok()) << recovered.error().message();
            const std::uint64_t last = raw(recovered->start.next) - 1;
            ASSERT_GE(last, acknowledged);
            ASSERT_LE(last, appended);
            for (const auto& [sequence, body] : recovered->records) {
                ASSERT_EQ(body, body_of(Sequence{sequence}, sequence % 5 == 0 ? 30'000 : 100));
            }
        }
        if (finished) {
            EXPECT_GT(k, 30U);
            break;
        }
    }
}

}  // namespace
}  // namespace fulgur::storage
