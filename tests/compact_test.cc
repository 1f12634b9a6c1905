// The data file gets short again: by compaction, by cutting its free tail, by joining nearly empty
// pages; and it does not grow for ever when rows are updated. All of it is counted, nothing timed.
// That it is crash-safe and right beside readers and writers is shown by the simulation, the model
// and the concurrent test, which compact too.
//
// FULGUR_SEED=n: one seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/clock.h"
#include "os/memory_file_system.h"
#include "os/random.h"
#include "os/sim_file_system.h"
#include "os/thread.h"
#include "storage/superblock.h"
#include "tests/support.h"

namespace fulgur::system_test {
namespace {

/// Two before, one that moves down what lies above the line, and four after it.
constexpr std::uint64_t kCheckpointsWithoutWindows = 7;

std::string row_key(std::uint64_t n) {
    std::string digits = std::to_string(n);
    return "row" + digits.insert(0, 8 - digits.size(), '0');
}

/// Rows of random sizes, and a model of them.
class CompactTest : public ::testing::Test {
protected:
    void open(std::optional<Compression> compression = Compression::kNone) {
        handle_.reset();
        db::EngineOptions options = small_engine(*disk_, "db");
        options.user.durability = Durability::kBuffered;
        options.user.compression = compression;
        database_.reset();
        database_.emplace(db::open_database(options).value());
        handle_.emplace(database_->keyspace("rows").value());
    }

    void close() { ASSERT_TRUE(database_->close().ok()); }

    void put(WriteBatch& batch, std::uint64_t n, std::size_t size) {
        const ModelValue value{random_.next(), size};
        batch.put(*handle_, row_key(n), value.make());
        rows_[row_key(n)] = value;
    }

    void commit(WriteBatch& batch) {
        if (batch.empty()) return;
        const Result<Sequence> done = database_->commit(batch);
        ASSERT_TRUE(done.ok()) << done.error().message();
        batch.clear();
        database_tick();
    }

    /// What the background threads would do.
    void database_tick() {
        const Stats stats = database_->stats();
        if (stats.log_bytes_since_checkpoint > 512_KiB) checkpoint();
    }

    void checkpoint() {
        const Result<void> done = database_->checkpoint();
        ASSERT_TRUE(done.ok()) << done.error().message();
    }

    void fill(std::uint64_t rows, std::size_t size) {
        WriteBatch batch;
        for (std::uint64_t n = 0; n < rows; ++n) {
            put(batch, n, size);
            if (batch.size() == 200) commit(batch);
        }
        commit(batch);
    }

    template <typename Goes>
    void erase_if(const Goes& goes) {
        WriteBatch batch;
        for (auto it = rows_.begin(); it != rows_.end();) {
            if (!goes(it->first)) {
                ++it;
                continue;
            }
            batch.erase(*handle_, it->first);
            it = rows_.erase(it);
            if (batch.size() == 200) commit(batch);
        }
        commit(batch);
    }

    void check_rows() {
        const Result<Database::VerifyReport> sound = database_->verify();
        ASSERT_TRUE(sound.ok()) << sound.error().message();
        Reader reader = database_->reader();
        auto it = rows_.begin();
        for (Cursor cursor = reader.cursor(*handle_); cursor.valid(); cursor.next(), ++it) {
            ASSERT_TRUE(it != rows_.end() && cursor.key() == it->first) << cursor.key();
            ASSERT_TRUE(cursor.value() == it->second.make()) << it->first;
        }
        ASSERT_TRUE(it == rows_.end()) << "missing " << it->first;
    }

    /// Pages of which every other one grew and lies elsewhere now: where it was is too little for
    /// any of those that lie high, and free.
    void fragment(std::uint64_t rows, std::size_t size) {
        fill(rows, size);
        checkpoint();
        WriteBatch batch;
        for (std::uint64_t n = 0; n < rows; ++n) {
            if (n / kStretch % 2 != 0) put(batch, n, size + size / 2);
            if (batch.size() == 200) commit(batch);
        }
        commit(batch);
        for (int i = 0; i < 3; ++i) checkpoint();
    }
    static constexpr std::uint64_t kStretch = 500;

    Database::CompactReport compact() {
        const Result<Database::CompactReport> report = database_->compact();
        EXPECT_TRUE(report.ok()) << report.error().message();
        return report.ok() ? *report : Database::CompactReport{};
    }

    std::uint64_t file_bytes() { return database_->stats().data_file_bytes; }
    std::uint64_t real_file_bytes() {
        return disk_->open("db/data", os::FileSystem::Mode::kReadWrite).value()->size().value();
    }
    /// A sixteenth above what is used, as compaction promises, and the next catalog.
    std::uint64_t goal() {
        const std::uint64_t used = database_->stats().data_used_bytes;
        return used + used / 16 + 160_KiB;
    }

    os::MemoryFileSystem memory_;
    os::SimFileSystem sim_{7};
    os::FileSystem* disk_ = &memory_;
    os::Random random_{1};
    std::optional<Database> database_;
    std::optional<Keyspace> handle_;
    std::map<std::string, ModelValue> rows_;
};

TEST_F(CompactTest, MakesTheFileAboutAsLongAsWhatIsUsed) {
    open();
    fill(20'000, 100);
    checkpoint();
    const std::uint64_t full = file_bytes();
    erase_if([&](const std::string&) { return !random_.one_in(10); });
    const Database::CompactReport report = compact();
    EXPECT_GE(report.bytes_before, full);
    EXPECT_LE(report.bytes_after, goal());
    EXPECT_LT(report.bytes_after, full / 3);
    EXPECT_EQ(real_file_bytes(), report.bytes_after);
    check_rows();
    close();
    open();
    check_rows();
}

TEST_F(CompactTest, MovesPagesThatAreNotInMemoryAndLargeValues) {
    open();
    const Keyspace before = database_->keyspace("before").value();
    for (int i = 0; i < 40; ++i) {
        const std::string value = ModelValue{1, 100'000}.make();
        ASSERT_TRUE(before.put("k" + std::to_string(i), value).ok());
    }
    checkpoint();
    fill(3'000, 100);
    WriteBatch batch;
    for (std::uint64_t n = 0; n < 3'000; n += 50) put(batch, n, 3'000 + 7 * n);
    commit(batch);
    for (std::uint64_t n = 1; n < 3'000; n += 700) {
        put(batch, n, 300'000);
        commit(batch);
    }
    ASSERT_TRUE(database_->drop_keyspace("before").ok());
    close();
    open();
    const Database::CompactReport report = compact();
    EXPECT_GT(report.bytes_moved, 0u);
    EXPECT_LE(report.bytes_after, goal());
    EXPECT_LE(report.bytes_after + 3'000'000, report.bytes_before);
    check_rows();
    close();
    open();
    check_rows();
}

/// Only windows that are emptied one after the other make room.
TEST_F(CompactTest, FillsHolesThatAreTooSmallForAPage) {
    open();
    fragment(20'000, 100);
    EXPECT_GT(database_->stats().data_free_bytes, 300'000u);
    const Database::CompactReport report = compact();
    EXPECT_GT(report.checkpoints, kCheckpointsWithoutWindows);
    EXPECT_LT(report.bytes_after, report.bytes_before);
    EXPECT_LE(report.bytes_after, goal());
    EXPECT_LE(report.bytes_moved, 3 * database_->stats().data_used_bytes);
    EXPECT_EQ(report.bytes_kept_for_readers, 0u);
    check_rows();
}

/// Copies that find no room are forgotten: checkpoints go on in the holes there are.
TEST_F(CompactTest, AFullDiskLeavesCheckpointsTheRoomTheyHad) {
    os::SimFileSystem& disk = sim_;
    disk_ = &disk;
    open();
    fragment(20'000, 100);
    // Cuts the tail that checkpoints leave.
    const auto stop = [](std::uint64_t, std::uint64_t) { return false; };
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(database_->compact(stop).ok());
    disk.set_capacity(disk.used_bytes() + 1'200'000);
    const std::uint64_t before = file_bytes();
    const Result<Database::CompactReport> report = database_->compact();
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code(), ErrorCode::kNoSpace) << report.error().message();
    EXPECT_LE(file_bytes(), before + 300'000);
    for (int round = 0; round < 5; ++round) {
        WriteBatch batch;
        for (std::uint64_t n = 0; n < 50; ++n) put(batch, random_.below(20'000), 100);
        commit(batch);
        checkpoint();
    }
    check_rows();
    disk.set_capacity(os::SimFileSystem::kUnlimited);
    EXPECT_LE(compact().bytes_after, goal());
    check_rows();
    close();
    open();
    check_rows();
}

/// What it moved cannot be used again while a reader may look there.
TEST_F(CompactTest, EndsEarlyWhenReadersKeepWhatItMoved) {
    open();
    fragment(40'000, 100);
    const std::uint64_t before = file_bytes();
    std::uint64_t longest = 0;
    std::optional<Reader> reader = database_->reader();
    for (int i = 0; i < 2; ++i) {
        const Result<Database::CompactReport> report =
            database_->compact([&](std::uint64_t, std::uint64_t) {
                longest = std::max(longest, file_bytes());
                return true;
            });
        ASSERT_TRUE(report.ok());
        EXPECT_FALSE(report->stopped);
        EXPECT_GT(report->bytes_kept_for_readers, 500'000u);
    }
    EXPECT_LE(longest, before + before / 4 + 2_MiB);
    check_rows();
    reader.reset();
    const Database::CompactReport report = compact();
    EXPECT_EQ(report.bytes_kept_for_readers, 0u);
    EXPECT_LE(report.bytes_after, goal());
    check_rows();
}

/// Each split replaces the page whose leaves are being copied.
TEST_F(CompactTest, EndsAlthoughPagesSplitWhileItCopiesThem) {
    open();
    fragment(20'000, 100);
    const std::uint64_t before = file_bytes();
    std::uint64_t copied = 0, split_at = 0;
    std::uint64_t next = 0;
    const Result<Database::CompactReport> report =
        database_->compact([&](std::uint64_t done, std::uint64_t) {
            copied = done;
            // Once for about as much as hangs on one page, two hundred times at most.
            if (done < split_at || next > 200 * 8) return true;
            split_at = done + 300'000;
            const std::uint64_t splits = database_->stats().splits;
            while (database_->stats().splits == splits) {
                const std::string key = row_key(777) + "+" + std::to_string(next++);
                const ModelValue value{next, 4'000};
                EXPECT_TRUE(handle_->put(key, value.make()).ok());
                rows_[key] = value;
            }
            return true;
        });
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_LE(report->bytes_moved, copied);
    EXPECT_LE(copied, 8 * before);
    check_rows();
}

/// Pages that are not in memory: whoever asks after each step finds them where they are now.
TEST_F(CompactTest, ReadsWhatWasMovedAtOnce) {
    open();
    const Keyspace before = database_->keyspace("before").value();
    ASSERT_TRUE(before.put("k", ModelValue{1, 4'000'000}.make()).ok());
    fill(20'000, 100);
    // Another tree, which is walked when pages of the first one were moved.
    const Keyspace more = database_->keyspace("more").value();
    for (std::uint64_t n = 0; n < 1'000; ++n) {
        ASSERT_TRUE(more.put(row_key(n), ModelValue{n, 1'000}.make()).ok());
    }
    ASSERT_TRUE(database_->drop_keyspace("before").ok());
    close();
    open();
    std::uint64_t next = 19'999, reads = 0, calls = 0;  // From the end: moved last.
    const Result<Database::CompactReport> report =
        database_->compact([&](std::uint64_t, std::uint64_t) {
            if (++calls % 8 != 0) return true;  // So that pages are left that nobody has read yet.
            const Result<std::optional<std::string>> found = handle_->get(row_key(next));
            EXPECT_TRUE(found.ok()) << found.error().message();
            EXPECT_TRUE(found && *found && **found == rows_[row_key(next)].make());
            next -= 97;
            ++reads;
            return !HasFailure();
        });
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_GT(reads, 30u);
    check_rows();
}

TEST_F(CompactTest, MovesMoreLargeValuesOfAPageThanItCopiesInOneVisit) {
    open();
    const Keyspace before = database_->keyspace("before").value();
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(before.put("k" + std::to_string(i), ModelValue{1, 1'000'000}.make()).ok());
    }
    checkpoint();
    WriteBatch batch;
    for (std::uint64_t n = 0; n < 45; ++n) {
        put(batch, n, 1'000'000);
        commit(batch);
    }
    fill(200, 100);
    for (std::uint64_t n = 0; n < 45; ++n) {
        put(batch, n, 1'000'000 - n);
        commit(batch);
    }
    ASSERT_TRUE(database_->drop_keyspace("before").ok());
    const Database::CompactReport report = compact();
    EXPECT_GE(report.bytes_moved, 44'000'000u);
    EXPECT_LE(report.bytes_after, goal() + 1'000'000);
    check_rows();
    close();
    open();
    check_rows();
}

TEST_F(CompactTest, EndsSoonWhenAnotherThreadCloses) {
    open();
    fragment(20'000, 100);
    std::optional<os::Thread> closer;
    Result<void> closed = Error(ErrorCode::kInvalid, "not called");
    std::uint64_t calls = 0;
    const Result<Database::CompactReport> report =
        database_->compact([&](std::uint64_t, std::uint64_t) {
            ++calls;
            closer.emplace("closer", [&] { closed = database_->close(); });
            while (handle_->put("another", "value").ok()) os::sleep_us(100);
            return true;
        });
    closer.reset();
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(calls, 1u);
    EXPECT_TRUE(closed.ok()) << closed.error().message();
    open();
    ASSERT_TRUE(handle_->erase("another").ok());
    check_rows();
}

TEST_F(CompactTest, StopsWhenTold) {
    open();
    fill(20'000, 100);
    erase_if([&](const std::string&) { return !random_.one_in(5); });
    checkpoint();
    std::uint64_t calls = 0;
    const Result<Database::CompactReport> report =
        database_->compact([&](std::uint64_t done, std::uint64_t total) {
            EXPECT_LE(done, total);
            return ++calls < 3;
        });
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(report->stopped);
    EXPECT_EQ(calls, 3u);
    check_rows();
}

/// What needs a checkpoint, or its lock, would wait for its own caller.
TEST_F(CompactTest, RefusesWithinItsProgressWhatWouldHang) {
    open();
    fill(20'000, 100);
    erase_if([&](const std::string&) { return !random_.one_in(5); });
    checkpoint();
    const auto refused = [](const auto& result) {
        return !result && result.error().code() == ErrorCode::kInvalid;
    };
    Result<Sequence> put = Sequence{};
    std::uint64_t commits = 0;
    const Result<Database::CompactReport> report =
        database_->compact([&](std::uint64_t, std::uint64_t) {
            EXPECT_TRUE(refused(database_->checkpoint()));
            EXPECT_TRUE(refused(database_->verify()));
            EXPECT_TRUE(refused(database_->compact()));
            EXPECT_TRUE(refused(database_->page_sizes()));
            EXPECT_TRUE(refused(database_->close()));
            const std::string value(2'000, 'v');
            for (; put.ok() && commits < 5'000; ++commits) put = handle_->put("another", value);
            return false;
        });
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_GT(commits, 100u);
    EXPECT_TRUE(refused(put));
    ASSERT_TRUE(handle_->erase("another").ok());
    check_rows();
}

TEST_F(CompactTest, HasNothingToDoTwice) {
    open();
    fill(5'000, 100);
    compact();
    const Database::CompactReport again = compact();
    EXPECT_EQ(again.bytes_moved, 0u);
    EXPECT_LE(again.bytes_after, again.bytes_before);
    EXPECT_LE(again.checkpoints, 2u);
    close();
    EXPECT_EQ(database_->compact().error().code(), ErrorCode::kInvalid);
}

TEST_F(CompactTest, CompressesWhatItMovesNoMoreThanItWas) {
    open(Compression::kZstd);
    const Keyspace before = database_->keyspace("before").value();
    ASSERT_TRUE(before.put("k", ModelValue{1, 2'000'000}.make()).ok());
    WriteBatch batch;
    for (std::uint64_t n = 0; n < 5'000; ++n)
        batch.put(*handle_, row_key(n), std::string(100, 'v'));
    ASSERT_TRUE(database_->commit(batch).ok());
    checkpoint();
    const Database::PageSizes sizes = database_->page_sizes().value();
    EXPECT_EQ(sizes.pages_compressed + 1, sizes.pages);  // All but the page of the other keyspace.
    EXPECT_LT(sizes.bytes_stored, sizes.bytes / 4);
    ASSERT_TRUE(database_->drop_keyspace("before").ok());
    EXPECT_GE(compact().bytes_moved, sizes.bytes_stored / 2);
    EXPECT_LE(file_bytes(), goal());
    const Database::PageSizes after = database_->page_sizes().value();
    EXPECT_EQ(after.pages_compressed, after.pages);
    EXPECT_LE(after.bytes_stored, sizes.bytes_stored);
    EXPECT_GE(after.bytes_stored + 4'096, sizes.bytes_stored);
    EXPECT_EQ(database_->verify()->records, 5'000u);
}

/// Nor the root leaf of a small keyspace.
TEST_F(CompactTest, ACheckpointWritesNoPageThatDidNotChange) {
    open();
    fill(5'000, 100);
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(database_->keyspace("small" + std::to_string(i))->put("k", "v").ok());
    }
    checkpoint();
    const std::uint64_t written = database_->stats().pages_written;
    ASSERT_TRUE(database_->keyspace("small7")->put("k", "w").ok());
    checkpoint();
    EXPECT_EQ(database_->stats().pages_written, written + 1);
}

TEST_F(CompactTest, CompressedFilesSaySo) {
    const auto newest = [&] {
        std::string block(storage::Superblock::kEncodedSize, '\0');
        storage::Superblock found;
        for (const std::uint64_t at : {0, 4096}) {
            const auto file = disk_->open("db/data", os::FileSystem::Mode::kReadWrite).value();
            EXPECT_TRUE(file->read_at(at, block).ok());
            const Result<storage::Superblock> one = storage::Superblock::decode(block, at);
            if (one && one->checkpoint > found.checkpoint) found = *one;
        }
        return found;
    };
    open();
    ASSERT_TRUE(handle_->put("a", std::string(2'000, 'v')).ok());
    close();
    EXPECT_EQ(newest().incompatible, 0u);
    // Told, and nothing compressed yet; then not told, and remembered.
    open(Compression::kLz4);
    close();
    EXPECT_EQ(newest().compression, 1u);
    EXPECT_EQ(newest().incompatible, 0u);
    open(std::nullopt);
    EXPECT_EQ(database_->stats().compression, Compression::kLz4);
    ASSERT_TRUE(handle_->put("b", std::string(2'000, 'v')).ok());
    close();
    EXPECT_EQ(newest().incompatible, storage::Superblock::kCompressedPages);
    // It stays when compression ends.
    open(Compression::kNone);
    ASSERT_TRUE(handle_->put("c", "v").ok());
    close();
    EXPECT_EQ(newest().compression, 0u);
    EXPECT_EQ(newest().incompatible, storage::Superblock::kCompressedPages);
}

TEST_F(CompactTest, ACheckpointCutsALongFreeTail) {
    open();
    fill(500, 100);
    checkpoint();
    const std::uint64_t small = file_bytes();
    const Keyspace passing = database_->keyspace("passing").value();
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(passing.put("k" + std::to_string(i), ModelValue{1, 50'000}.make()).ok());
    }
    checkpoint();
    EXPECT_GT(real_file_bytes(), small + 5'000'000);
    ASSERT_TRUE(database_->drop_keyspace("passing").ok());
    // Two let the values go, and two the catalogs that lay behind them.
    for (int i = 0; i < 6; ++i) checkpoint();
    EXPECT_LT(file_bytes(), small + 1'000'000);
    EXPECT_EQ(real_file_bytes(), file_bytes());
    check_rows();
}

TEST_F(CompactTest, SteadyRandomUpdatesDoNotGrowTheFile) {
    open();
    constexpr std::uint64_t kRows = 20'000;
    fill(kRows, 100);
    checkpoint();
    std::uint64_t early = 0, late = 0;
    for (int round = 0; round < 12; ++round) {
        for (std::uint64_t i = 0; i < kRows / 100; ++i) {
            WriteBatch batch;
            while (batch.size() < 100) put(batch, random_.below(kRows), 100);
            commit(batch);
        }
        std::uint64_t& most = round < 6 ? early : late;
        most = std::max(most, file_bytes());
    }
    EXPECT_LE(late, early + early / 20);
    check_rows();
}

TEST_F(CompactTest, PagesThatAreNearlyEmptyAreJoined) {
    open();
    fill(20'000, 100);
    checkpoint();
    const std::uint64_t before = database_->page_sizes()->pages;
    erase_if([&](const std::string&) { return !random_.one_in(50); });
    // One writes them nearly empty, the next one joins them.
    checkpoint();
    checkpoint();
    const std::uint64_t after = database_->page_sizes()->pages;
    EXPECT_LT(after, before / 8);
    EXPECT_GE(database_->stats().joins, before - after);
    check_rows();
    fill(2'000, 100);
    check_rows();
    close();
    open();
    check_rows();
    // And those that a cursor read back in.
    erase_if([](const std::string&) { return true; });
    checkpoint();
    close();
    open();
    check_rows();
    checkpoint();
    EXPECT_LT(database_->page_sizes()->pages, after);
    check_rows();
}

TEST_F(CompactTest, ACursorGoesOnWhereItWasWhenItsPagesAreJoined) {
    open();
    fill(10'000, 100);
    checkpoint();
    erase_if([&](const std::string&) { return !random_.one_in(20); });
    checkpoint();
    std::vector<std::string> keys;
    for (const auto& [key, value] : rows_) keys.push_back(key);
    for (const bool forward : {true, false}) {
        Reader reader = database_->reader();
        std::vector<Cursor> cursors;
        std::vector<std::size_t> places;
        for (std::size_t at = 3; at < keys.size(); at += 17) {
            cursors.push_back(reader.cursor(*handle_));
            cursors.back().seek(keys[at]);
            places.push_back(at);
        }
        checkpoint();
        for (std::size_t c = 0; c < cursors.size(); ++c) {
            Cursor& cursor = cursors[c];
            std::size_t at = places[c];
            while (cursor.valid()) {
                ASSERT_EQ(cursor.key(), keys[at]);
                if (!forward && at == 0) break;
                forward ? ++at : --at;
                forward ? cursor.next() : cursor.previous();
            }
            EXPECT_EQ(at, forward ? keys.size() : 0u);
        }
        EXPECT_GT(database_->stats().joins, 0u);
    }
}

}  // namespace
}  // namespace fulgur::system_test
