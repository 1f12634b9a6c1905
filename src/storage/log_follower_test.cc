#include "storage/log_follower.h"

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "os/forwarding_files.h"
#include "os/thread.h"
#include "storage/log_test_model.h"

// Following a log in its files: every record once and in order, over segments and opens; nothing
// that is not on the disk; nothing of a segment that was given back, whenever that happens.

namespace fulgur::storage {
namespace {

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }

/// Calls the test before and behind each read of a file.
class HookedReads final : public os::ForwardingFileSystem {
public:
    using ForwardingFileSystem::ForwardingFileSystem;
    std::function<void()> before = [] {};
    std::function<void()> behind = [] {};

    Result<std::unique_ptr<os::File>> open(const std::string& path, Mode mode) override {
        Result<std::unique_ptr<os::File>> opened = ForwardingFileSystem::open(path, mode);
        if (!opened) return opened;
        return std::unique_ptr<os::File>(new HookedFile(*this, *std::move(opened)));
    }

private:
    class HookedFile final : public os::ForwardingFile {
    public:
        HookedFile(HookedReads& files, std::unique_ptr<os::File> file)
            : ForwardingFile(std::move(file)), files_(files) {}
        Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
            files_.before();
            Result<std::size_t> n = ForwardingFile::read_at(position, into);
            files_.behind();
            return n;
        }

    private:
        HookedReads& files_;
    };
};

class LogFollowerTest : public testing::Test {
protected:
    LogFollowerTest() {
        disk_->make_directory(kTestDirectory).value();
        disk_->sync_directory("").value();
        open();
    }

    void open(Sequence after = Sequence{0}) {
        follower_.reset();
        log_.reset();
        Result<RecoveredLog> recovered = recover_log(*disk_, after);
        ASSERT_TRUE(recovered.ok()) << recovered.error().message();
        log_ = open_log(*disk_, clock_, recovered->start, options_).value();
        last_ = raw(recovered->start.next) - 1;
    }

    void follow(std::uint64_t from) {
        reads_.emplace(*disk_);
        follower_.emplace(*reads_, kTestDirectory, kTestDatabaseId, *log_);
        const Result<void> started = follower_->start(Sequence{from});
        ASSERT_TRUE(started.ok()) << started.error().message();
    }

    /// Commits records of that size.
    void write(std::uint64_t count, std::size_t size, Durability durability = Durability::kSync) {
        for (std::uint64_t i = 0; i < count; ++i) {
            const Sequence sequence{++last_};
            if (sizes_.size() <= last_) sizes_.resize(last_ + 1);
            sizes_[last_] = size;
            const auto done = commit(*log_, sequence, body_of(sequence, size), durability);
            ASSERT_TRUE(done.ok()) << done.error().message();
        }
    }

    /// The next records are [from, to], whole, and then there is none yet.
    void expect(std::uint64_t from, std::uint64_t to) {
        for (std::uint64_t n = from; n <= to; ++n) {
            const Result<std::optional<LoggedRecord>> found = follower_->next();
            ASSERT_TRUE(found.ok()) << n << ": " << found.error().message();
            ASSERT_TRUE(found->has_value()) << n;
            ASSERT_EQ(raw((*found)->sequence), n);
            ASSERT_TRUE((*found)->body == body_of(Sequence{n}, sizes_[n])) << n;
        }
        const Result<std::optional<LoggedRecord>> found = follower_->next();
        ASSERT_TRUE(found.ok()) << found.error().message();
        ASSERT_FALSE(found->has_value()) << raw((*found)->sequence);
        ASSERT_EQ(raw(follower_->next_sequence()), to + 1);
    }

    /// Gives every segment but the newest back, and fills as many anew.
    void recycle_all() {
        ASSERT_TRUE(log_->recycle(Sequence{last_}).ok());
        ASSERT_EQ(log_->stats().live_segments, 1u);
        write(30, 10'000);
    }

    LogOptions options_ = small_options();
    os::SimClock clock_;
    std::unique_ptr<os::SimFileSystem> disk_ = std::make_unique<os::SimFileSystem>(1);
    std::unique_ptr<Log> log_;
    std::uint64_t last_ = 0;
    std::vector<std::size_t> sizes_;
    std::optional<HookedReads> reads_;
    std::optional<LogFollower> follower_;
};

TEST_F(LogFollowerTest, GivesWhatIsThereAndThenWhatComes) {
    write(3, 100);
    follow(1);
    expect(1, 3);
    write(1, 0);
    expect(4, 4);
    write(2, 5000);
    expect(5, 6);
    follow(3);
    expect(3, 6);
    follow(7);
    expect(7, 6);
    write(1, 40);
    expect(7, 7);
}

TEST_F(LogFollowerTest, CrossesSegmentsWithRecordsOfAnySize) {
    follow(1);
    std::uint64_t seen = 0;
    os::Random random(1);
    for (int round = 0; round < 60; ++round) {
        // 64 KiB a segment: most of the long ones begin in one and end in another.
        write(1 + random.below(3), random.below(4) == 0 ? random.below(200'000) : random.below(900),
              static_cast<Durability>(random.below(3)));
        if (random.below(3) == 0) log_->tick();
        if (random.below(2) != 0) continue;
        ASSERT_TRUE(log_->sync_all().ok());
        expect(seen + 1, last_);
        seen = last_;
    }
    ASSERT_GT(log_->stats().live_segments, 10u);
    ASSERT_TRUE(log_->sync_all().ok());
    for (std::uint64_t from = 1; from <= last_ + 1; from += 3) {
        follow(from);
        expect(from, last_);
    }
}

TEST_F(LogFollowerTest, GivesNothingThatAPowerCutTakesBack) {
    write(2, 100);
    follow(1);
    write(3, 100, Durability::kOs);  // Written, and the disk may not have it.
    expect(1, 2);
    write(3, 100, Durability::kBuffered);
    expect(3, 2);
    ASSERT_TRUE(log_->sync_all().ok());
    expect(3, 8);
}

TEST_F(LogFollowerTest, GoesOnBehindACutAndAnEndMark) {
    write(20, 5000);
    ASSERT_TRUE(log_->close().ok());
    open();
    write(5, 5000);
    write(20, 9000, Durability::kOs);
    // A power cut: some of those may have lasted, and the log is cut behind them.
    log_.reset();
    disk_ = disk_->recover(7);
    open();
    ASSERT_GE(last_, 25u);
    write(10, 3000);
    for (const std::uint64_t from : {1, 7, 20, 21, 25, 26}) {
        follow(from);
        expect(from, last_);
    }
}

TEST_F(LogFollowerTest, NamesTheBeginningOfTheLogToWhomItIsGone) {
    write(30, 10'000);
    follow(2);
    ASSERT_TRUE(follower_->next().ok());
    ASSERT_TRUE(log_->recycle(Sequence{last_}).ok());
    const std::uint64_t oldest = raw(log_->oldest_sequence());
    ASSERT_GT(oldest, 10u);
    // What was read with the first one may still come: it was read while its segment lived.
    Result<std::optional<LoggedRecord>> found = follower_->next();
    std::uint64_t n = 3;
    for (; found.ok(); ++n) {
        ASSERT_TRUE(found->has_value());
        ASSERT_EQ(raw((*found)->sequence), n);
        ASSERT_TRUE((*found)->body == body_of(Sequence{n}, 10'000));
        found = follower_->next();
    }
    ASSERT_LT(n, oldest);
    EXPECT_EQ(found.error().code(), ErrorCode::kLimit);
    EXPECT_NE(found.error().where().find("the log begins at " + std::to_string(oldest)),
              std::string_view::npos)
        << found.error().message();
    ASSERT_FALSE(follower_->next().ok());

    LogFollower other(*disk_, kTestDirectory, kTestDatabaseId, *log_);
    const Result<void> refused = other.start(Sequence{oldest - 1});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), ErrorCode::kLimit);
    follow(oldest);
    expect(oldest, last_);
}

/// At each read of a long walk, before and behind it, the log is recycled and written over.
TEST_F(LogFollowerTest, NeverGivesBytesOfASegmentThatWasGivenBack) {
    for (const bool behind : {false, true}) {
        for (int at = 1; at < 12; ++at) {
            write(30, 10'000);
            const std::uint64_t from = raw(log_->oldest_sequence());
            follow(from);
            int left = at;
            bool recycled = false;
            (behind ? reads_->behind : reads_->before) = [&] {
                if (--left != 0) return;
                recycled = true;
                recycle_all();
            };
            std::uint64_t n = from;
            Result<std::optional<LoggedRecord>> found = follower_->next();
            for (; found.ok() && found->has_value(); ++n) {
                ASSERT_EQ(raw((*found)->sequence), n);
                ASSERT_TRUE((*found)->body == body_of(Sequence{n}, 10'000)) << n;
                found = follower_->next();
            }
            ASSERT_TRUE(recycled);
            if (found.ok()) {
                ASSERT_EQ(n, last_ + 1) << "it was in the newest segment already";
            } else {
                ASSERT_EQ(found.error().code(), ErrorCode::kLimit) << found.error().message();
            }
        }
    }
}

TEST_F(LogFollowerTest, KeepsSegmentsUpToTheBound) {
    options_.kept_bytes = 4 * 64_KiB - 5;
    open();
    write(60, 10'000);
    ASSERT_TRUE(log_->recycle(Sequence{last_}).ok());
    ASSERT_EQ(log_->stats().live_segments, 4u);
    const std::uint64_t oldest = raw(log_->oldest_sequence());
    follow(oldest);
    expect(oldest, last_);
    // And over an open that does not need them.
    const Sequence after{last_};
    ASSERT_TRUE(log_->close().ok());
    open(after);
    ASSERT_TRUE(log_->recycle(after).ok());
    ASSERT_EQ(log_->stats().live_segments, 4u);
    const std::uint64_t kept = raw(log_->oldest_sequence());
    ASSERT_GT(kept, oldest);
    follow(kept);
    expect(kept, last_);
}

TEST_F(LogFollowerTest, NamesDamageAndGoesOnWhenItIsMended) {
    write(4, 1000);
    const std::uint32_t end = offset_of(log_->durable_position());
    write(1, 1000);
    const std::string path = log_file_path(kTestDirectory, 0);
    const std::uint32_t at = round_up(end, kLogBlockBytes) + 500;
    ASSERT_TRUE(disk_->corrupt(path, at, 1).ok());
    follow(1);
    for (int n = 1; n <= 4; ++n) ASSERT_TRUE(follower_->next().ok());
    for (int again = 0; again < 2; ++again) {
        const Result<std::optional<LoggedRecord>> found = follower_->next();
        ASSERT_FALSE(found.ok());
        EXPECT_EQ(found.error().code(), ErrorCode::kCorruption);
        EXPECT_EQ(found.error().where(), path);
        EXPECT_EQ(found.error().offset(), round_up(end, kLogBlockBytes));
    }
    ASSERT_TRUE(disk_->corrupt(path, at, 1).ok());
    follow(5);
    expect(5, 5);
}

TEST_F(LogFollowerTest, WaitsForASyncAStopOrTheEnd) {
    follow(1);
    expect(1, 0);
    ASSERT_FALSE(log_->wait_for_more(follower_->seen(), 1));
    {
        os::Thread writer("writer", [this] { write(1, 100); });
        while (log_->durable_sequence() < Sequence{1}) {
            ASSERT_TRUE(log_->wait_for_more(follower_->seen(), 60'000));
        }
    }
    expect(1, 1);
    os::Thread closer("closer", [this] { log_->end_following(); });
    ASSERT_TRUE(log_->wait_for_more(follower_->seen(), 60'000));
}

}  // namespace
}  // namespace fulgur::storage
