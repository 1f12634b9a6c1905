#include "storage/data_file.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace fulgur::storage {
namespace {

/// A file that forgets a failed sync as soon as it has told somebody, as the kernel does.
class ForgetfulFile final : public os::File {
public:
    Result<std::size_t> read_at(std::uint64_t, std::span<char>) override { return std::size_t{0}; }
    Result<void> write_at(std::uint64_t, std::string_view) override { return {}; }
    Result<void> sync() override {
        ++syncs;
        while (blocked) std::this_thread::yield();
        if (fails.exchange(false)) return Error(ErrorCode::kIo, "write-back failed");
        return {};
    }
    Result<std::uint64_t> size() override { return std::uint64_t{0}; }
    Result<void> resize(std::uint64_t) override { return {}; }
    const std::string& name() const override { return name_; }

    std::atomic<int> syncs = 0;
    std::atomic<bool> blocked = false;
    std::atomic<bool> fails = false;

private:
    const std::string name_ = "data";
};

class DataFileSyncTest : public ::testing::Test {
protected:
    ForgetfulFile* file_ = new ForgetfulFile;  // data_'s
    DataFile data_{std::unique_ptr<os::File>(file_)};
};

TEST_F(DataFileSyncTest, FailedSyncIsNeverForgotten) {
    ASSERT_TRUE(data_.sync().ok());
    file_->fails = true;
    EXPECT_EQ(data_.sync().error().code(), ErrorCode::kIo);
    EXPECT_EQ(data_.sync().error().code(), ErrorCode::kIo);
    EXPECT_EQ(file_->syncs, 2);
}

TEST_F(DataFileSyncTest, OneSyncServesAllWhoCameBeforeItBegan) {
    file_->blocked = true;
    std::thread first([&] { EXPECT_TRUE(data_.sync().ok()); });
    while (file_->syncs != 1) std::this_thread::yield();
    // These cannot lean on the sync that runs: what they wrote may have come too late for it.
    constexpr int kThreads = 6;
    std::atomic<int> calling = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            ++calling;
            EXPECT_TRUE(data_.sync().ok());
        });
    }
    while (calling != kThreads) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Most of them wait now.
    EXPECT_EQ(file_->syncs, 1);
    file_->blocked = false;
    first.join();
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(file_->syncs, 2);
    EXPECT_LE(file_->syncs, 1 + kThreads);
}

TEST_F(DataFileSyncTest, FailureReachesAllWhoWaited) {
    file_->blocked = true;
    file_->fails = true;
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { failed += data_.sync().ok() ? 0 : 1; });
    }
    while (file_->syncs != 1) std::this_thread::yield();
    file_->blocked = false;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(failed, 4);
}

}  // namespace
}  // namespace fulgur::storage
