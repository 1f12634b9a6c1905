// Full disks, and disks that refuse to read, write or sync: what is refused, what is poisoned, and
// what is there when the database is opened again.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

class DiskTest : public ::testing::Test {
protected:
    void open() {
        Result<Database> opened = db::open_database(options());
        ASSERT_TRUE(opened.ok()) << opened.error().message();
        database_.emplace(*std::move(opened));
        Result<Keyspace> made = database_->keyspace("rows");
        ASSERT_TRUE(made.ok()) << made.error().message();
        keyspace_.emplace(*made);
    }

    db::EngineOptions options() {
        db::EngineOptions options = small_engine(*disk_, "db");
        options.user.log_bytes_target = 8_MiB;  // Checkpoints come when the test wants them.
        return options;
    }

    Result<Sequence> put(std::uint64_t n, std::size_t size = 100) {
        return keyspace_->put(row_key(n), row_value(n, size));
    }

    /// Puts rows from `rows_` on.
    void fill(std::uint64_t count, std::size_t size = 100) {
        for (; count > 0; --count, ++rows_) {
            const Result<Sequence> done = put(rows_, size);
            ASSERT_TRUE(done.ok()) << done.error().message();
        }
    }

    /// Puts rows until one is refused. @return the refusal.
    Error fill_until_refused(std::size_t size = 100) {
        for (; rows_ < 200'000; ++rows_) {
            const Result<Sequence> done = put(rows_, size);
            if (!done) return done.error();
        }
        return Error(ErrorCode::kInvalid, "nothing was refused");
    }

    /// What follows every full disk: the database is as it was, and goes on when there is space.
    void expect_goes_on(std::size_t size = 100) {
        EXPECT_FALSE(database_->stats().poisoned);
        expect_rows(*database_, rows_, size);
        disk_->set_capacity(os::SimFileSystem::kUnlimited);
        fill(100, size);
        const Result<void> done = database_->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
        const Result<Database::VerifyReport> sound = database_->verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
        fill(100, size);
        expect_rows(*database_, rows_, size);
        cut_power(size);
    }

    void end() {
        keyspace_.reset();
        database_.reset();
    }

    /// Everything was acknowledged at kSync.
    void cut_power(std::size_t size = 100) {
        std::unique_ptr<os::SimFileSystem> after = disk_->recover(5);
        end();
        disk_ = std::move(after);
        open();
        expect_rows(*database_, rows_, size);
        EXPECT_TRUE(database_->checkpoint().ok());
        const Result<Database::VerifyReport> sound = database_->verify();
        EXPECT_TRUE(sound.ok()) << sound.error().message();
    }

    /// Poisoned: nothing more is taken, everything can be read, and opening again mends it.
    void expect_poisoned(std::string_view file) {
        EXPECT_TRUE(database_->stats().poisoned);
        const Sequence visible = database_->stats().visible;
        EXPECT_TRUE(is_error(put(rows_ + 7), ErrorCode::kPoisoned, file));
        EXPECT_TRUE(is_error(keyspace_->erase("row"), ErrorCode::kPoisoned, file));
        EXPECT_TRUE(is_error(database_->keyspace("another"), ErrorCode::kPoisoned, file));
        EXPECT_TRUE(is_error(database_->drop_keyspace("rows"), ErrorCode::kPoisoned, file));
        EXPECT_TRUE(is_error(database_->checkpoint(), ErrorCode::kPoisoned, file));
        EXPECT_EQ(database_->stats().visible, visible);
        for (std::uint64_t n = 0; n < rows_; ++n) {
            Result<std::optional<std::string>> found = keyspace_->get(row_key(n));
            ASSERT_TRUE(found.ok()) << found.error().message();
            ASSERT_TRUE(*found && **found == row_value(n)) << n;
        }
        EXPECT_TRUE(is_error(database_->close(), ErrorCode::kPoisoned, file));
        end();
        disk_->clear_faults();
        open();
    }

    std::unique_ptr<os::SimFileSystem> disk_ = std::make_unique<os::SimFileSystem>(3);
    std::optional<Database> database_;
    std::optional<Keyspace> keyspace_;
    std::uint64_t rows_ = 0;  ///< acknowledged
};

// ---- full ---------------------------------------------------------------------------------------

TEST_F(DiskTest, FullInTheLogRefusesCommitsAndGoesOn) {
    open();
    fill(10);
    for (int round = 0; round < 3; ++round) {
        SCOPED_TRACE(round);
        disk_->set_capacity(disk_->used_bytes() + 100'000 * round);
        const Error refused = fill_until_refused();
        ASSERT_EQ(refused.code(), ErrorCode::kNoSpace) << refused.message();
        // Again and again: each refusal is one, and none leaves anything.
        const std::uint64_t written = database_->stats().log_bytes_written;
        for (int i = 0; i < 10; ++i) EXPECT_TRUE(is_error(put(rows_), ErrorCode::kNoSpace));
        EXPECT_EQ(database_->stats().log_bytes_written, written);
        EXPECT_TRUE(is_error(database_->keyspace(std::string(200, 'n')), ErrorCode::kNoSpace));
        expect_goes_on();
    }
}

TEST_F(DiskTest, FullInTheCheckpointAbandonsIt) {
    open();
    fill(3'000);
    disk_->set_capacity(disk_->used_bytes() + 50'000);
    for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE(is_error(database_->checkpoint(), ErrorCode::kNoSpace));
        // What is on the disk is whole, and commits go on while the log has room.
        EXPECT_TRUE(database_->verify().ok());
    }
    EXPECT_EQ(database_->stats().checkpoint_failures, 5u);
    EXPECT_EQ(database_->stats().checkpoints, 0u);
    fill(10);
    expect_goes_on();
}

TEST_F(DiskTest, FullInALaterCheckpointKeepsTheOneBefore) {
    open();
    fill(2'000);
    ASSERT_TRUE(database_->checkpoint().ok());
    for (std::uint64_t n = 0; n < rows_; n += 2) ASSERT_TRUE(put(n).ok());
    disk_->set_capacity(disk_->used_bytes() + 20'000);
    EXPECT_TRUE(is_error(database_->checkpoint(), ErrorCode::kNoSpace));
    EXPECT_TRUE(database_->verify().ok());
    // The process ends with the disk still full.
    const Result<void> closed = database_->close();
    EXPECT_TRUE(closed.ok()) << closed.error().message();
    end();
    disk_->set_capacity(os::SimFileSystem::kUnlimited);
    open();
    expect_goes_on();
}

TEST_F(DiskTest, FullWithNoCheckpointLetsTheLogGrowToTwiceItsTarget) {
    open();
    fill(10, 1000);
    // Room for the log, none for a checkpoint's images.
    const std::uint64_t most = 2 * options().user.log_bytes_target;
    std::uint64_t written = 0;
    Error refused(ErrorCode::kInvalid, "nothing was refused");
    disk_->fail_at(1, ENOSPC, "write data", os::SimFileSystem::kUnlimited);
    for (; rows_ < 60'000; ++rows_) {
        const Result<Sequence> done = keyspace_->put(row_key(rows_), row_value(rows_, 1000));
        if (!done) {
            refused = done.error();
            break;
        }
        written += 1000;
    }
    EXPECT_EQ(refused.code(), ErrorCode::kNoSpace) << refused.message();
    EXPECT_GE(written, most / 2);
    EXPECT_LE(written, most);
    disk_->clear_faults();
    expect_goes_on(1000);
}

TEST_F(DiskTest, FullUnderALargeValueRefusesIt) {
    open();
    fill(10);
    disk_->set_capacity(disk_->used_bytes() + 300'000);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(is_error(put(rows_, 1'000'000), ErrorCode::kNoSpace));
    expect_goes_on();
}

/// What the file was to grow by for it is not on offer any more: checkpoints use the holes.
TEST_F(DiskTest, FullUnderALargeValueLeavesCheckpointsTheHoles) {
    open();
    fill(20'000);
    ASSERT_TRUE(database_->checkpoint().ok());
    // Every other stretch of rows goes to another place.
    for (std::uint64_t n = 0; n < rows_; n += n % 500 == 499 ? 501 : 1) ASSERT_TRUE(put(n).ok());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(database_->checkpoint().ok());
    ASSERT_GT(database_->stats().data_free_bytes, 500'000u);
    for (std::uint64_t n = 0; n < 5'000; n += 3) ASSERT_TRUE(put(n).ok());
    disk_->fail_at(1, ENOSPC, "write data");
    EXPECT_TRUE(is_error(put(rows_, 4'000'000), ErrorCode::kNoSpace));
    disk_->set_capacity(disk_->used_bytes() + 50'000);
    const Result<void> done = database_->checkpoint();
    EXPECT_TRUE(done.ok()) << done.error().message();
    expect_goes_on();
}

TEST_F(DiskTest, FullWhileCreatingLeavesWhatCanBeCreatedLater) {
    for (std::uint64_t capacity = 0; capacity < 400'000; capacity += 4096) {
        SCOPED_TRACE(capacity);
        disk_ = std::make_unique<os::SimFileSystem>(capacity);
        disk_->set_capacity(capacity);
        {
            Result<Database> opened = db::open_database(options());
            EXPECT_TRUE(opened.ok() || is_error(opened, ErrorCode::kNoSpace, "db/"));
            if (opened) {
                const Result<Keyspace> made = opened->keyspace("rows");
                EXPECT_TRUE(made.ok() || is_error(made, ErrorCode::kNoSpace));
            }
        }
        disk_->set_capacity(os::SimFileSystem::kUnlimited);
        open();
        rows_ = 0;
        fill(3);
        expect_rows(*database_, 3);
        end();
    }
}

// ---- refusals -----------------------------------------------------------------------------------

TEST_F(DiskTest, FailedWriteOfTheLogPoisons) {
    open();
    fill(50);
    disk_->fail_at(1, EIO, "write log");
    const Result<Sequence> failed = put(rows_);
    ASSERT_TRUE(is_error(failed, ErrorCode::kPoisoned, "log.", true));
    EXPECT_EQ(failed.error().os_error(), EIO);
    expect_poisoned("log.");
    rows_ = number(database_->stats().visible) - 1;  // The failed one may be there or not.
    EXPECT_GE(rows_, 50u);
    EXPECT_LE(rows_, 51u);
    expect_rows(*database_, rows_);
    expect_goes_on();
}

TEST_F(DiskTest, FailedSyncOfTheLogPoisons) {
    open();
    fill(50);
    disk_->fail_at(1, EIO, "sync log");
    const Result<Sequence> failed = put(rows_);
    ASSERT_TRUE(is_error(failed, ErrorCode::kPoisoned, "log."));
    EXPECT_EQ(failed.error().os_error(), EIO);
    EXPECT_EQ(number(database_->stats().durable), 51u);  // The keyspace and 50 rows.
    expect_poisoned("log.");
    rows_ = number(database_->stats().visible) - 1;
    EXPECT_GE(rows_, 50u);
    EXPECT_LE(rows_, 51u);
    expect_goes_on();
}

TEST_F(DiskTest, FailedWriteOrSyncOfACheckpointPoisons) {
    for (const char* site : {"write data", "sync data"}) {
        for (std::uint64_t k = 1; k <= 2; ++k) {
            SCOPED_TRACE(::testing::Message() << site << " " << k);
            end();
            disk_ = std::make_unique<os::SimFileSystem>(k);
            rows_ = 0;
            open();
            fill(500);
            disk_->fail_at(k, EIO, site);
            const Result<void> failed = database_->checkpoint();
            ASSERT_TRUE(is_error(failed, ErrorCode::kIo, "data"));
            EXPECT_EQ(failed.error().os_error(), EIO);
            expect_poisoned("data");
            expect_rows(*database_, rows_);
            expect_goes_on();
        }
    }
}

TEST_F(DiskTest, FailedWriteOrSyncOfALargeValuePoisons) {
    for (const char* site : {"write data", "sync data"}) {
        SCOPED_TRACE(site);
        end();
        disk_ = std::make_unique<os::SimFileSystem>(1);
        rows_ = 0;
        open();
        fill(50);
        const Sequence visible = database_->stats().visible;
        disk_->fail_at(1, EIO, site);
        ASSERT_TRUE(is_error(put(rows_, 1'000'000), ErrorCode::kIo, "data"));
        EXPECT_EQ(database_->stats().visible, visible);
        expect_poisoned("data");
        EXPECT_EQ(database_->stats().visible, visible);
        expect_goes_on();
    }
}

TEST_F(DiskTest, FailedReadIsAnErrorOfThatCallAlone) {
    open();
    fill(2'000);
    ASSERT_TRUE(keyspace_->put("large", row_value(1, 500'000)).ok());
    ASSERT_TRUE(database_->close().ok());
    end();
    open();
    disk_->fail_at(1, EIO, "read data", 3);
    const Result<std::optional<std::string>> failed = keyspace_->get(row_key(1'000));
    EXPECT_TRUE(is_error(failed, ErrorCode::kIo, "data", true));
    Reader reader = database_->reader();
    Cursor cursor = reader.cursor(*keyspace_);
    EXPECT_FALSE(cursor.valid());
    EXPECT_TRUE(is_error(cursor.status(), ErrorCode::kIo, "data", true));
    // A commit that needs the page is refused before anything is logged.
    const Sequence visible = database_->stats().visible;
    EXPECT_TRUE(is_error(put(1'000), ErrorCode::kIo, "data", true));
    EXPECT_EQ(database_->stats().visible, visible);
    EXPECT_FALSE(database_->stats().poisoned);

    EXPECT_TRUE(put(1'000).ok());
    const Result<std::optional<std::string>> found = keyspace_->get(row_key(1'000));
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(**found == row_value(1'000));
    disk_->fail_at(1, EIO, "read data");
    EXPECT_TRUE(is_error(keyspace_->get("large"), ErrorCode::kIo, "data", true));
    disk_->fail_at(1, EIO, "read data");
    std::string part(100, '?');
    EXPECT_TRUE(is_error(reader.read(*keyspace_, "large", 7, part), ErrorCode::kIo, "data", true));
    EXPECT_TRUE(**keyspace_->get("large") == row_value(1, 500'000));
    disk_->fail_at(1, EIO, "read data");
    EXPECT_TRUE(is_error(database_->verify(), ErrorCode::kIo, "data", true));
    EXPECT_TRUE(database_->verify().ok());
    ASSERT_TRUE(keyspace_->erase("large").ok());
    expect_goes_on();
}

TEST_F(DiskTest, FailedReadWhileOpeningHarmsNothing) {
    open();
    fill(300);
    ASSERT_TRUE(database_->checkpoint().ok());
    fill(300);
    end();
    for (const char* site : {"read data", "read log", "list directory", "open log", "open data"}) {
        std::uint64_t failures = 0;
        for (std::uint64_t k = 1;; ++k) {
            SCOPED_TRACE(::testing::Message() << site << " " << k);
            std::unique_ptr<os::SimFileSystem> copy = disk_->recover_after_kill(k);
            disk_.swap(copy);
            disk_->fail_at(k, EIO, site);
            Result<Database> opened = db::open_database(options());
            disk_->clear_faults();
            // A superblock that cannot be read is no reason to fail while there is the other one.
            if (opened) {
                expect_rows(*opened, rows_);
            } else {
                EXPECT_EQ(opened.error().code(), ErrorCode::kIo) << opened.error().message();
                EXPECT_EQ(opened.error().os_error(), EIO);
            }
            const bool reached =
                disk_->site_counts()[site].failures > copy->site_counts()[site].failures;
            failures += reached ? 1 : 0;
            if (!opened) {
                open();
                expect_rows(*database_, rows_);
                end();
            }
            opened = Error(ErrorCode::kInvalid, "ended");
            disk_.swap(copy);
            ASSERT_FALSE(HasFailure());
            if (!reached || k >= 12) break;
        }
        EXPECT_GT(failures, 0u) << site;
    }
}

}  // namespace
}  // namespace fulgur::system_test
