#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <vector>

#include "os/memory_file_system.h"
#include "os/thread.h"
#include "storage/log_recording_files.h"
#include "storage/log_test_model.h"

// Many threads commit through one log at all levels, with the ticks and the recycling beside them;
// segments and the buffer are small, so that they change and wrap all the time. Then the power
// fails, the process dies, the disk refuses, or nothing happens, and recovery is compared with what
// was appended and acknowledged.

namespace fulgur::storage {
namespace {

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// FULGUR_SEED: this one alone; FULGUR_LONG: ten times as many.
struct SeedRange {
    std::uint64_t first = 1;
    std::uint64_t last;

    explicit SeedRange(std::uint64_t count)
        : last(from_environment("FULGUR_LONG", 0) != 0 ? 10 * count : count) {
        if (const std::uint64_t only = from_environment("FULGUR_SEED", 0)) first = last = only;
    }
};

void raise(std::atomic<std::uint64_t>& to, std::uint64_t value) {
    std::uint64_t known = to.load();
    while (known < value && !to.compare_exchange_weak(known, value)) {
    }
}

enum class Disaster : std::uint8_t {
    kNone,
    kClose,
    kPowerCut,
    kPowerCutInIo,
    kKill,
    kError,
    kFull
};
constexpr std::uint64_t kDisasters = 7;

/// Several lives of one log, on one disk.
class LogStress {
public:
    explicit LogStress(std::uint64_t seed)
        : random_(seed), disk_(std::make_unique<os::SimFileSystem>(seed)) {
        disk_->make_directory(kTestDirectory).value();
        disk_->sync_directory("").value();
        os::set_yield_seed(seed);
    }
    ~LogStress() { os::set_yield_seed(0); }

    void run(int lives) {
        for (int life = 0; life < lives && !testing::Test::HasFailure(); ++life) {
            disaster_ = static_cast<Disaster>(random_.below(kDisasters));
            SCOPED_TRACE(testing::Message()
                         << "life " << life << ", disaster " << static_cast<int>(disaster_));
            live();
            die();
        }
    }

    std::uint64_t records() const { return appended_; }
    std::uint64_t shared_syncs() const { return shared_syncs_; }

private:
    static constexpr int kCommitters = 4;
    static constexpr std::uint64_t kCommitsEach = 120;

    LogOptions options() {
        LogOptions options = small_options();
        if (random_.one_in(3)) options.segment_bytes = 128_KiB;
        options.wake = [this] { ticker_idle_.store(false); };
        return options;
    }

    void live() {
        // Every second life behind the counters, where syncs take long, so that groups form.
        RecordingFiles recording(*disk_);
        const bool slow = random_.one_in(2);
        if (slow) {
            recording.after_sync = [] { os::sleep_us(200); };
        }
        os::FileSystem& files = slow ? static_cast<os::FileSystem&>(recording) : *disk_;
        Result<RecoveredLog> recovered = recover_log(files, Sequence{recycled_.load()});
        ASSERT_TRUE(recovered.ok()) << recovered.error().message();
        auto opened = open_log(files, clock_, recovered->start, options());
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        log_ = *std::move(opened);
        recording.acknowledged.watch([this] { return log_->durable_position(); });
        const std::uint64_t syncs_at_open =
            recording.syncs() - log_->stats().syncs - log_->stats().prepare_syncs;
        order_disaster();
        run_threads();
        if (slow) {
            EXPECT_EQ(recording.acknowledged.complaint(), "");
            const LogStats stats = log_->stats();
            EXPECT_EQ(recording.syncs(), stats.syncs + stats.prepare_syncs + syncs_at_open);
            if (stats.syncs < sync_commits_.load()) shared_syncs_ += sync_commits_ - stats.syncs;
        }
        finish_life();
        log_.reset();
    }

    void order_disaster() {
        ends_at_ = random_.below(kCommitters * kCommitsEach);
        if (disaster_ == Disaster::kPowerCutInIo) disk_->crash_at(1 + random_.below(300));
        if (disaster_ == Disaster::kError) {
            const char* const sites[] = {"sync log", "write log", ""};
            disk_->fail_at(1 + random_.below(200), EIO, sites[random_.below(3)]);
        }
        if (disaster_ == Disaster::kFull) {
            disk_->set_capacity(disk_->used_bytes() + random_.below(40) * 16_KiB);
        }
    }

    void run_threads() {
        stop_.store(false);
        commits_.store(0);
        sync_commits_.store(0);
        std::vector<os::Thread> background;
        const std::uint64_t seed = random_.next();
        background.emplace_back("ticks", [this, seed] { tick_buffer(os::Random(seed)); });
        background.emplace_back("disk ticks", [this, seed] { tick_disk(os::Random(~seed)); });
        background.emplace_back("recycler", [this, seed] { recycle(os::Random(seed + 1)); });
        {
            std::vector<os::Thread> committers;
            for (std::uint64_t i = 0; i < kCommitters; ++i) {
                const std::uint64_t its = seed + 2 + i;
                committers.emplace_back("committer", [this, its] { commit(os::Random(its)); });
            }
        }
        stop_.store(true);
    }

    static std::size_t draw_size(os::Random& random) {
        switch (random.below(64)) {
            case 0:
                return random.below(200'000);  // Over several segments and the whole buffer.
            case 1:
            case 2:
            case 3:
                return random.below(20'000);
            default:
                return random.below(300);
        }
    }

    void commit(os::Random random) {
        for (std::uint64_t i = 0; i < kCommitsEach; ++i) {
            const auto level = static_cast<Durability>(random.below(3));
            const std::size_t size = draw_size(random);
            Result<LogTicket> ticket = Error(ErrorCode::kInvalid, "not appended");
            {
                os::MutexLock lock(commit_mutex_);
                if (const Result<void> r = log_->reserve(size); !r) {
                    // Refused, and nothing has happened: another one may go.
                    const ErrorCode code = r.error().code();
                    EXPECT_TRUE(code == ErrorCode::kNoSpace || code == ErrorCode::kIo ||
                                log_->poisoned())
                        << r.error().message();
                    if (log_->stopped() || disk_->crashed()) return;
                    if (random.one_in(4)) disk_->set_capacity(os::SimFileSystem::kUnlimited);
                    continue;
                }
                const Sequence sequence{appended_ + 1};
                const std::string body = body_of(sequence, size);
                sizes_[raw(sequence)] = size;
                appended_ = raw(sequence);  // One that fails half way may be found all the same.
                ticket = log_->append(sequence, body, crc32c(body));
            }
            if (!ticket || !log_->wait(*ticket, level).ok()) {
                EXPECT_TRUE(log_->poisoned());
                return;
            }
            acknowledge(*ticket, level);
            if (commits_.fetch_add(1) == ends_at_) end_here();
        }
    }

    void acknowledge(LogTicket ticket, Durability level) {
        if (level == Durability::kSync) {
            EXPECT_GE(log_->durable_position(), ticket.end);
            EXPECT_GE(log_->durable_sequence(), ticket.sequence);
            raise(synced_, raw(ticket.sequence));
            sync_commits_.fetch_add(1);
        }
        if (level != Durability::kBuffered) raise(handed_over_, raw(ticket.sequence));
    }

    /// The power fails, or the process dies, right behind an acknowledgement.
    void end_here() {
        if (disaster_ == Disaster::kPowerCut) {
            raise(synced_, raw(log_->durable_sequence()));
            disk_->crash();
        }
        if (disaster_ == Disaster::kKill) killed_ = disk_->recover_after_kill(ends_at_);
    }

    void tick_buffer(os::Random random) {
        while (!stop_.load()) {
            clock_.advance_ms(random.below(6));
            if (log_->tick_buffer() == Log::kTickIdleMs) ticker_idle_.store(true);
            for (int i = 0; i < 20 && ticker_idle_.load(); ++i) os::sleep_us(50);
        }
    }

    void tick_disk(os::Random random) {
        while (!stop_.load()) {
            clock_.advance_ms(random.below(300));
            log_->tick_disk();
            os::sleep_us(random.below(500));
        }
    }

    void recycle(os::Random random) {
        while (!stop_.load()) {
            // As a checkpoint does: what it has is durable before the log may forget it.
            const std::uint64_t durable = raw(log_->durable_sequence());
            const std::uint64_t up_to = random.between(recycled_.load(), durable);
            raise(synced_, up_to);
            recycled_.store(up_to);
            [[maybe_unused]] const Result<void> r = log_->recycle(Sequence{up_to});
            EXPECT_GT(log_->stats().live_segments, 0U);
            os::sleep_us(random.below(1000));
        }
    }

    void finish_life() {
        if (disaster_ == Disaster::kNone && !log_->stopped()) {
            EXPECT_TRUE(log_->sync_all().ok());
            synced_ = appended_;
        }
        if (disaster_ == Disaster::kFull) disk_->set_capacity(os::SimFileSystem::kUnlimited);
        if (disaster_ == Disaster::kClose && log_->close().ok()) synced_ = appended_;
    }

    void die() {
        std::uint64_t reach = synced_;
        if (killed_ != nullptr) {
            reach = std::max(reach, handed_over_.load());
            disk_ = std::move(killed_);
        } else {
            if (disaster_ == Disaster::kClose) reach = appended_;
            // One power cut may leave several disks: all but the last are looked at only.
            for (int i = 0; i < 3; ++i) check(*disk_->recover(random_.next()), reach);
            disk_ = disk_->recover(random_.next());
        }
        appended_ = check(*disk_, reach);
        sizes_.erase(sizes_.upper_bound(appended_), sizes_.end());
        // What recovery has believed, and synced, stays.
        synced_ = handed_over_ = appended_;
    }

    /// @return the newest record.
    std::uint64_t check(os::FileSystem& files, std::uint64_t reach) {
        const std::uint64_t after = recycled_.load();
        Result<RecoveredLog> recovered = recover_log(files, Sequence{after}, Sequence{after});
        if (!recovered) {
            ADD_FAILURE() << recovered.error().message();
            return appended_;
        }
        const std::uint64_t last = raw(recovered->start.next) - 1;
        EXPECT_GE(last, reach) << "an acknowledged record is lost";
        EXPECT_LE(last, appended_) << "a record came from nowhere";
        std::uint64_t expected = after;
        for (const auto& [sequence, body] : recovered->records) {
            EXPECT_EQ(sequence, ++expected);
            EXPECT_TRUE(body == body_of(Sequence{sequence}, sizes_[sequence])) << sequence;
        }
        EXPECT_EQ(expected, last);
        return last;
    }

    os::Random random_;
    std::unique_ptr<os::SimFileSystem> disk_;
    os::SimClock clock_;
    std::unique_ptr<Log> log_;
    Disaster disaster_{};
    std::uint64_t ends_at_ = 0;
    std::unique_ptr<os::SimFileSystem> killed_;
    std::uint64_t shared_syncs_ = 0;

    os::Mutex commit_mutex_;
    std::map<std::uint64_t, std::size_t> sizes_;
    std::uint64_t appended_ = 0;

    std::atomic<bool> stop_{false};
    std::atomic<bool> ticker_idle_{false};
    std::atomic<std::uint64_t> commits_{0};
    std::atomic<std::uint64_t> sync_commits_{0};
    std::atomic<std::uint64_t> synced_{0};       ///< Survives everything.
    std::atomic<std::uint64_t> handed_over_{0};  ///< Survives a killed process.
    std::atomic<std::uint64_t> recycled_{0};
};

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kSeeds = 12;
#else
constexpr std::uint64_t kSeeds = 40;
#endif

TEST(LogStressTest, KeepsWhatManyThreadsWereToldThroughAnyDisaster) {
    std::uint64_t shared = 0;
    const SeedRange seeds(kSeeds);
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE(testing::Message() << "FULGUR_SEED=" << seed);
        LogStress stress(seed);
        stress.run(4);
        shared += stress.shared_syncs();
        if (HasFailure()) FAIL() << "FULGUR_SEED=" << seed;
    }
    if (seeds.first != seeds.last) {
        EXPECT_GT(shared, 0U) << "no group was ever formed";
    }
    std::cout << "seeds " << seeds.first << " to " << seeds.last << ", " << shared
              << " syncs saved by groups\n";
}

/// What hangs in a write may still be in the buffer: nothing is put over it.
TEST(LogStressTest, UsesTheBufferAgainOnlyWhenItIsWritten) {
    constexpr std::size_t kSize = 1000;
    constexpr std::uint64_t kBefore = 150;
    constexpr std::uint64_t kBehind = 300;
    os::MemoryFileSystem memory;
    RecordingFiles files(memory);
    os::SimClock clock;
    memory.make_directory(kTestDirectory).value();
    LogOptions options = small_options();
    options.segment_bytes = 1_MiB;
    options.buffer_bytes = 256_KiB;
    options.hand_over_bytes = 1_MiB;
    auto log = open_log(files, clock, recover_log(files).value().start, options).value();
    ASSERT_TRUE(log->reserve(700'000).ok());  // Prepares so much.

    std::optional<LogTicket> last;
    for (std::uint64_t i = 1; i <= kBefore; ++i) {
        const Sequence sequence{i};
        last = commit(*log, sequence, body_of(sequence, kSize), Durability::kBuffered).value();
    }
    files.write_gate.close();
    os::Thread writer("writer", [&] { EXPECT_TRUE(log->wait(*last, Durability::kOs).ok()); });
    files.write_gate.wait_until_held();
    std::atomic<std::uint64_t> appended{kBefore};
    os::Thread appender("appender", [&] {
        for (std::uint64_t i = kBefore + 1; i <= kBefore + kBehind; ++i) {
            const Sequence sequence{i};
            EXPECT_TRUE(
                commit(*log, sequence, body_of(sequence, kSize), Durability::kBuffered).ok());
            appended.store(i);
        }
    });
    const std::uint64_t fitting = options.buffer_bytes / FragmentHeader::stored_bytes_of(kSize);
    while (appended.load() < fitting - 20) os::yield();
    os::sleep_us(20'000);  // One that does not wait would go on.
    EXPECT_LE(appended.load(), fitting);
    files.write_gate.open();
    writer.join();
    appender.join();
    ASSERT_TRUE(log->close().ok());

    const Result<RecoveredLog> recovered = recover_log(files);
    ASSERT_TRUE(recovered.ok()) << recovered.error().message();
    EXPECT_EQ(recovered->records.size(), kBefore + kBehind);
    for (const auto& [sequence, body] : recovered->records) {
        EXPECT_TRUE(body == body_of(Sequence{sequence}, kSize)) << sequence;
    }
}

/// A background that was told to sleep is called by the next append, at whatever moment it comes.
TEST(LogStressTest, IdleTickerIsWokenByTheNextAppend) {
    const std::uint64_t seed = SeedRange(1).first;
    SCOPED_TRACE(testing::Message() << "FULGUR_SEED=" << seed);
    os::MemoryFileSystem memory;
    RecordingFiles files(memory);
    os::SimClock clock;
    memory.make_directory(kTestDirectory).value();
    os::Mutex mutex;
    os::ConditionVariable changed;
    bool woken = false;
    bool stop = false;
    LogOptions options = small_options();
    options.wake = [&] {
        os::MutexLock lock(mutex);
        woken = true;
        changed.notify_all();
    };
    auto log = open_log(files, clock, recover_log(files).value().start, options).value();
    os::set_yield_seed(seed);
    os::Thread ticker("ticker", [&] {
        for (;;) {
            const bool idle = log->tick_buffer() == Log::kTickIdleMs;
            clock.advance_ms(Log::kTickMs);
            os::MutexLock lock(mutex);
            while (idle && !woken && !stop) changed.wait(mutex);
            woken = false;
            if (stop) return;
        }
    });
    os::Random random(seed);
    bool lost = false;
    for (std::uint64_t i = 1; i <= 500 && !lost; ++i) {
        const std::string body = body_of(Sequence{i}, 30);
        ASSERT_TRUE(log->reserve(body.size()).ok());
        const std::uint64_t writes = files.writes();
        ASSERT_TRUE(log->append(Sequence{i}, body, crc32c(body)).ok());
        for (int waits = 0; files.writes() == writes && !lost; ++waits) {
            lost = waits >= 40'000;
            waits < 100 ? os::yield() : os::sleep_us(50);
        }
        for (std::uint64_t n = random.below(40); n > 0; --n) os::yield();
    }
    EXPECT_FALSE(lost) << "the ticker sleeps, and something waits in the buffer";
    {
        os::MutexLock lock(mutex);
        stop = true;
        changed.notify_all();
    }
    ticker.join();
    os::set_yield_seed(0);
}

}  // namespace
}  // namespace fulgur::storage
