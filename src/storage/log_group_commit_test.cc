#include <cerrno>
#include <optional>
#include <vector>

#include "os/thread.h"
#include "storage/log_recording_files.h"
#include "storage/log_test_model.h"

// What each level costs and when it returns, counted at the file system: one write and one sync for
// a lone commit, one sync for all that came during another, no second one behind a failure.

namespace fulgur::storage {
namespace {

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }
std::uint64_t raw(LogPosition p) { return static_cast<std::uint64_t>(p); }

/// A log on a simulated disk behind counters. Its first segment holds all that a test appends, so
/// that no preparing of files is counted.
class LogGroupCommitTest : public testing::Test {
protected:
    LogGroupCommitTest() {
        disk_.make_directory(kTestDirectory).value();
        disk_.sync_directory("").value();
        options_.segment_bytes = 1_MiB;
        options_.buffer_bytes = 256_KiB;
        options_.prepare_ahead_bytes = 1_MiB;
    }

    void open() {
        Result<RecoveredLog> recovered = recover_log(files_);
        ASSERT_TRUE(recovered.ok());
        log_ = open_log(files_, clock_, recovered->start, options_).value();
        next_ = raw(recovered->start.next);
        ASSERT_TRUE(log_->reserve(700'000).ok());  // Prepares so much.
        log_->tick();                              // And a spare.
        files_.acknowledged.watch([this] { return log_->durable_position(); });
    }

    LogTicket append(std::size_t size) {
        EXPECT_TRUE(log_->reserve(size).ok());
        const Sequence sequence{next_++};
        const std::string body = body_of(sequence, size);
        return log_->append(sequence, body, crc32c(body)).value();
    }

    /// Whether a program that reads the file finds the record that ends there.
    bool in_file(LogTicket ticket, std::size_t size) const {
        const std::string bytes = disk_.contents(log_file_path(kTestDirectory, 0)).value();
        const std::uint32_t at = offset_of(ticket.end) -
                                 FragmentHeader::stored_bytes_of(static_cast<std::uint32_t>(size));
        if (bytes.size() < offset_of(ticket.end)) return false;
        return bytes.substr(at + FragmentHeader::kEncodedBytes, size) ==
               body_of(ticket.sequence, size);
    }

    /// One sync that hangs in the disk, behind which nobody has been told; ends in the destructor.
    class HeldSync {
    public:
        explicit HeldSync(LogGroupCommitTest& test) : test_(test), ticket_(test.append(100)) {
            test_.files_.synced_gate.close();
            thread_ = os::Thread(
                "held sync", [this] { result_ = test_.log_->wait(ticket_, Durability::kSync); });
            test_.files_.synced_gate.wait_until_held();
        }
        ~HeldSync() {
            if (released_) return;
            EXPECT_TRUE(release().ok());
        }
        Result<void> release() {
            released_ = true;
            test_.files_.synced_gate.open();
            thread_.join();
            return result_;
        }

    private:
        LogGroupCommitTest& test_;
        const LogTicket ticket_;
        Result<void> result_;
        bool released_ = false;
        os::Thread thread_;
    };

    os::SimFileSystem disk_;
    RecordingFiles files_{disk_};
    os::SimClock clock_;
    LogOptions options_ = small_options();
    std::uint64_t next_ = 1;
    std::unique_ptr<Log> log_;
};

TEST_F(LogGroupCommitTest, LoneSyncCostsOneWriteAndOneSync) {
    open();
    // To one below what would be written in two calls.
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100},
                                   std::size_t{4056}, std::size_t{4057}, std::size_t{61'000}}) {
        const std::uint64_t writes = files_.writes();
        const std::uint64_t syncs = files_.syncs();
        const std::uint64_t bytes = files_.bytes();
        const LogTicket ticket = append(size);
        EXPECT_EQ(files_.writes(), writes) << "written before anybody waits";
        ASSERT_TRUE(log_->wait(ticket, Durability::kSync).ok());
        EXPECT_EQ(files_.writes(), writes + 1) << size;
        EXPECT_EQ(files_.syncs(), syncs + 1) << size;
        EXPECT_EQ(files_.bytes() - bytes, round_up(40 + size, std::size_t{kLogBlockBytes}));
        EXPECT_TRUE(in_file(ticket, size));
        EXPECT_EQ(disk_.unsynced_sectors(), 0U);
        EXPECT_EQ(log_->durable_position(), ticket.end);
        EXPECT_EQ(log_->durable_sequence(), ticket.sequence);
    }
    EXPECT_EQ(files_.acknowledged.complaint(), "");
}

TEST_F(LogGroupCommitTest, SyncOfWhatIsDurableCostsNothing) {
    open();
    const LogTicket first = append(100);
    const LogTicket second = append(100);
    ASSERT_TRUE(log_->wait(second, Durability::kSync).ok());
    const std::uint64_t writes = files_.writes();
    const std::uint64_t syncs = files_.syncs();
    ASSERT_TRUE(log_->wait(first, Durability::kSync).ok());
    ASSERT_TRUE(log_->wait(first, Durability::kOs).ok());
    ASSERT_TRUE(log_->sync_all().ok());
    log_->tick();
    EXPECT_EQ(files_.writes(), writes);
    EXPECT_EQ(files_.syncs(), syncs);
}

TEST_F(LogGroupCommitTest, SyncsASegmentOnlyForWhatWasWrittenIntoIt) {
    options_ = small_options();
    Result<RecoveredLog> recovered = recover_log(files_);
    log_ = open_log(files_, clock_, recovered->start, options_).value();
    std::uint64_t across = 0;
    for (int i = 0; i < 100; ++i) {
        log_->tick();  // Prepares what is needed.
        const std::uint64_t segments = log_->stats().live_segments;
        const std::uint64_t writes = files_.writes();
        const std::uint64_t syncs = files_.syncs();
        ASSERT_TRUE(log_->wait(append(3000), Durability::kSync).ok());
        // One that begins in a segment and ends in the next is in two files.
        const std::uint64_t most = log_->stats().live_segments == segments ? 1 : 2;
        across += most - 1;
        EXPECT_GE(files_.syncs(), syncs + 1);
        EXPECT_LE(files_.syncs(), syncs + most);
        EXPECT_EQ(files_.writes() - writes, files_.syncs() - syncs);
    }
    EXPECT_GT(across, 4U);
}

TEST_F(LogGroupCommitTest, OneSyncCoversAllThatCameDuringAnother) {
    open();
    constexpr int kThreads = 8;
    for (int round = 0; round < 20; ++round) {
        HeldSync held(*this);
        const std::uint64_t writes = files_.writes();
        const std::uint64_t syncs = files_.syncs();
        std::vector<LogTicket> tickets;
        std::atomic<int> failed{0};
        for (int i = 0; i < kThreads; ++i) tickets.push_back(append(100));
        std::vector<os::Thread> waiters;
        std::atomic<int> arrived{0};
        for (const LogTicket& ticket : tickets) {
            waiters.emplace_back("waiter", [&, ticket] {
                arrived.fetch_add(1);
                if (!log_->wait(ticket, Durability::kSync).ok()) failed.fetch_add(1);
            });
        }
        // Some sleep by then, some come later; the count must not depend on it.
        while (arrived.load() < kThreads) os::yield();
        EXPECT_LT(log_->durable_position(), tickets.front().end);
        EXPECT_TRUE(held.release().ok());
        waiters.clear();
        EXPECT_EQ(failed.load(), 0);
        EXPECT_EQ(files_.writes(), writes + 1);
        EXPECT_EQ(files_.syncs(), syncs + 1);
        EXPECT_EQ(log_->durable_position(), tickets.back().end);
    }
    EXPECT_EQ(files_.acknowledged.complaint(), "");
}

TEST_F(LogGroupCommitTest, SyncDoesNotCoverWhatCameBehindItsWrite) {
    open();
    std::optional<HeldSync> held(std::in_place, *this);
    const LogTicket late = append(100);
    ASSERT_TRUE(log_->wait(late, Durability::kOs).ok());  // Written: only the sync is missing.
    EXPECT_TRUE(held->release().ok());
    EXPECT_LT(log_->durable_position(), late.end);
    EXPECT_LT(log_->durable_sequence(), late.sequence);

    const std::uint64_t syncs = files_.syncs();
    ASSERT_TRUE(log_->wait(late, Durability::kSync).ok());
    EXPECT_EQ(files_.syncs(), syncs + 1);
}

TEST_F(LogGroupCommitTest, OsReturnsWhenWrittenAndSyncsNothing) {
    open();
    const std::uint64_t syncs = files_.syncs();
    for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{9000}}) {
        const std::uint64_t writes = files_.writes();
        const LogTicket ticket = append(size);
        EXPECT_FALSE(in_file(ticket, size));
        ASSERT_TRUE(log_->wait(ticket, Durability::kOs).ok());
        EXPECT_TRUE(in_file(ticket, size));
        EXPECT_EQ(files_.writes(), writes + 1);
    }
    EXPECT_EQ(files_.syncs(), syncs);
}

TEST_F(LogGroupCommitTest, OsWaitsForTheWriteInFlight) {
    open();
    const LogTicket first = append(100);
    files_.write_gate.close();
    std::atomic<bool> returned{false};
    os::Thread writer("writer", [&] {
        EXPECT_TRUE(log_->wait(first, Durability::kOs).ok());
        returned.store(true);
    });
    files_.write_gate.wait_until_held();
    EXPECT_FALSE(returned.load());
    // Behind the write in flight: the next one takes it.
    const LogTicket second = append(100);
    std::atomic<bool> second_in_file{false};
    os::Thread follower("follower", [&] {
        EXPECT_TRUE(log_->wait(second, Durability::kOs).ok());
        second_in_file.store(in_file(second, 100));
    });
    EXPECT_FALSE(in_file(first, 100));
    files_.write_gate.open();
    writer.join();
    follower.join();
    EXPECT_TRUE(in_file(first, 100));
    EXPECT_TRUE(second_in_file.load());
}

TEST_F(LogGroupCommitTest, OsGoesOnWhileTheDiskSyncs) {
    open();
    HeldSync held(*this);
    const std::uint64_t syncs = files_.syncs();
    for (int i = 0; i < 5; ++i) {
        const LogTicket ticket = append(100);
        ASSERT_TRUE(log_->wait(ticket, Durability::kOs).ok());  // Would hang if it had to wait.
        EXPECT_TRUE(in_file(ticket, 100));
    }
    EXPECT_EQ(files_.syncs(), syncs);
    EXPECT_TRUE(held.release().ok());
}

TEST_F(LogGroupCommitTest, BufferedCostsNothingUntilTheTicks) {
    open();
    log_->tick();
    const std::uint64_t writes = files_.writes();
    const std::uint64_t syncs = files_.syncs();
    std::optional<LogTicket> last;
    for (int i = 0; i < 50; ++i) {
        last = append(100);
        ASSERT_TRUE(log_->wait(*last, Durability::kBuffered).ok());
    }
    EXPECT_EQ(files_.writes(), writes);
    EXPECT_FALSE(in_file(*last, 100));

    clock_.advance_ms(10);
    log_->tick_buffer();
    EXPECT_EQ(files_.writes(), writes + 1) << "one write for all of them";
    EXPECT_TRUE(in_file(*last, 100));
    log_->tick_disk();
    EXPECT_EQ(files_.syncs(), syncs) << "not old enough";

    clock_.advance_ms(options_.sync_ms);
    log_->tick_disk();
    EXPECT_EQ(files_.syncs(), syncs + 1);
    EXPECT_EQ(files_.writes(), writes + 1);
    EXPECT_EQ(log_->durable_position(), last->end);
    EXPECT_EQ(log_->durable_sequence(), last->sequence);
}

TEST_F(LogGroupCommitTest, BufferedHandsOverWhatIsMuch) {
    open();
    const std::uint64_t writes = files_.writes();
    std::uint64_t bytes = 0;
    while (files_.writes() == writes) {
        ASSERT_LE(bytes, options_.hand_over_bytes) << "nothing was handed over";
        const LogTicket ticket = append(1000);
        bytes += FragmentHeader::stored_bytes_of(1000);
        ASSERT_TRUE(log_->wait(ticket, Durability::kBuffered).ok());
        EXPECT_EQ(in_file(ticket, 1000), files_.writes() != writes);
    }
    EXPECT_GE(bytes + kLogBlockBytes, options_.hand_over_bytes);  // What a seal left out counts.
}

TEST_F(LogGroupCommitTest, FillsTheLastBlockWithZerosWhateverTheBufferHeld) {
    options_.buffer_bytes = 64_KiB;
    open();
    for (int i = 0; i < 40; ++i) {  // The buffer is full of old bytes.
        ASSERT_TRUE(log_->wait(append(5000), Durability::kOs).ok());
    }
    files_.keep_writes(true);
    for (int i = 0; i < 40; ++i) {
        const LogTicket ticket = append(100 + 50 * static_cast<std::size_t>(i));
        ASSERT_TRUE(log_->wait(ticket, Durability::kSync).ok());
        const RecordingFiles::Write last = files_.kept().back();
        const std::string padding = last.bytes.substr(offset_of(ticket.end) - last.at);
        EXPECT_EQ(padding.size(), (kLogBlockBytes - offset_of(ticket.end) % kLogBlockBytes) %
                                      std::size_t{kLogBlockBytes});
        EXPECT_EQ(padding.find_first_not_of('\0'), std::string::npos);
    }
}

TEST_F(LogGroupCommitTest, AcknowledgedBlocksAreNeverWrittenAgain) {
    open();
    // Three levels in all orders, so that writes end inside blocks, before and behind syncs.
    os::Random random(7);
    for (int i = 0; i < 600; ++i) {
        const LogTicket ticket = append(random.below(600));
        ASSERT_TRUE(log_->wait(ticket, static_cast<Durability>(random.below(3))).ok());
        if (random.one_in(10)) log_->tick_buffer();
        clock_.advance_ms(random.below(8));
    }
    EXPECT_EQ(files_.acknowledged.complaint(), "");
}

TEST_F(LogGroupCommitTest, FailedSyncRefusesAllThatItDidNotCoverAndIsNotRetried) {
    constexpr int kThreads = 6;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        SCOPED_TRACE(seed);
        os::SimFileSystem disk(seed);
        RecordingFiles files(disk);
        disk.make_directory(kTestDirectory).value();
        disk.sync_directory("").value();
        log_ = open_log(files, clock_, recover_log(files).value().start, options_).value();
        next_ = 1;
        for (int i = 0; i < 3; ++i) {
            ASSERT_TRUE(log_->wait(append(300), Durability::kSync).ok());
        }
        std::vector<LogTicket> tickets;
        std::vector<Result<void>> results(kThreads);
        std::vector<os::Thread> waiters;
        for (int i = 0; i < kThreads; ++i) tickets.push_back(append(300));
        const std::uint64_t syncs = files.syncs();
        disk.fail_at(1, EIO, "sync log");
        for (std::size_t i = 0; i < kThreads; ++i) {
            waiters.emplace_back(
                "waiter", [&, i] { results[i] = log_->wait(tickets[i], Durability::kSync); });
        }
        waiters.clear();

        for (const Result<void>& r : results) {
            ASSERT_FALSE(r.ok());
            EXPECT_EQ(r.error().code(), ErrorCode::kPoisoned);
            EXPECT_EQ(r.error().os_error(), EIO);
        }
        EXPECT_TRUE(log_->poisoned());
        EXPECT_EQ(log_->durable_sequence(), Sequence{3});
        const std::uint64_t writes = files.writes();
        EXPECT_EQ(log_->sync_all().error().code(), ErrorCode::kPoisoned);
        EXPECT_EQ(log_->wait(tickets[0], Durability::kSync).error().code(), ErrorCode::kPoisoned);
        EXPECT_EQ(log_->reserve(1).error().code(), ErrorCode::kPoisoned);
        EXPECT_EQ(log_->close().error().code(), ErrorCode::kPoisoned);
        clock_.advance_ms(5000);
        log_->tick();
        EXPECT_EQ(files.syncs(), syncs + 1) << "the sync was tried again";
        EXPECT_EQ(files.writes(), writes);

        const auto after = disk.recover(seed);
        Result<RecoveredLog> recovered = recover_log(*after);
        ASSERT_TRUE(recovered.ok()) << recovered.error().message();
        ASSERT_GE(recovered->records.size(), 3U);
        for (const auto& [sequence, body] : recovered->records) {
            EXPECT_EQ(body, body_of(Sequence{sequence}, 300));
        }
        log_.reset();
    }
}

TEST_F(LogGroupCommitTest, SyncThatSucceededIsAcknowledgedBesideOneThatFails) {
    open();
    HeldSync held(*this);  // The disk has it already.
    std::vector<LogTicket> tickets;
    std::vector<Result<void>> results(4);
    std::vector<os::Thread> waiters;
    for (std::size_t i = 0; i < results.size(); ++i) tickets.push_back(append(300));
    for (std::size_t i = 0; i < results.size(); ++i) {
        waiters.emplace_back("waiter",
                             [&, i] { results[i] = log_->wait(tickets[i], Durability::kSync); });
    }
    const std::uint64_t syncs = files_.syncs();
    disk_.fail_at(1, EIO, "sync log");
    EXPECT_TRUE(held.release().ok());
    waiters.clear();
    for (const Result<void>& r : results) {
        ASSERT_FALSE(r.ok());
        EXPECT_EQ(r.error().code(), ErrorCode::kPoisoned);
    }
    EXPECT_EQ(files_.syncs(), syncs + 1);
    EXPECT_EQ(raw(log_->durable_sequence()), 1U);
    EXPECT_LT(raw(log_->durable_position()), raw(tickets.front().end));
}

TEST_F(LogGroupCommitTest, RecyclesNothingBeforeTheNextLinkIsDurable) {
    options_ = small_options();
    Result<RecoveredLog> recovered = recover_log(files_);
    log_ = open_log(files_, clock_, recovered->start, options_).value();
    // The newest record ends in the second segment, which nobody has synced.
    while (log_->stats().live_segments == 1) {
        ASSERT_TRUE(log_->wait(append(1000), Durability::kBuffered).ok());
    }
    const Sequence up_to{next_ - 1};
    ASSERT_TRUE(log_->recycle(up_to).ok());
    EXPECT_EQ(log_->stats().live_segments, 2U);
    ASSERT_TRUE(log_->sync_all().ok());
    ASSERT_TRUE(log_->recycle(up_to).ok());
    EXPECT_EQ(log_->stats().live_segments, 1U);
}

}  // namespace
}  // namespace fulgur::storage
