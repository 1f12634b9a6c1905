// A file system for tests of the log: passes everything on to another one, counts writes and syncs
// of the log's files, can keep what was written, can hold syncs and writes until the test lets them
// go, and watches over the blocks that were acknowledged.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/forwarding_files.h"
#include "os/mutex.h"
#include "storage/log_format.h"

namespace fulgur::storage {

/// A place where threads are stopped on demand. Thread-safe.
class TestGate {
public:
    /// The next thread that comes by stays until `open`.
    void close() {
        os::MutexLock lock(mutex_);
        armed_ = true;
    }
    void wait_until_held() {
        os::MutexLock lock(mutex_);
        while (!held_) changed_.wait(mutex_);
    }
    void open() {
        os::MutexLock lock(mutex_);
        armed_ = held_ = false;
        changed_.notify_all();
    }
    void pass() {
        os::MutexLock lock(mutex_);
        if (!armed_) return;
        armed_ = false;
        held_ = true;
        changed_.notify_all();
        while (held_) changed_.wait(mutex_);
    }

private:
    os::Mutex mutex_;
    os::ConditionVariable changed_;
    bool armed_ GUARDED_BY(mutex_) = false;
    bool held_ GUARDED_BY(mutex_) = false;
};

/// Sees that no block which was acknowledged as durable is written again in the same life of its
/// file: the rule that docs/durability.md states, block by block. Thread-safe.
class AcknowledgedBlocks {
public:
    /// Where the log stands; must be set before it is used, and stay true until the end.
    void watch(std::function<LogPosition()> durable) {
        os::MutexLock lock(mutex_);
        durable_ = std::move(durable);
    }

    /// Call before and after each write. The position may grow in between by a sync that was
    /// planned when this write was done, or before it began; both leave it beyond.
    void check(std::uint64_t slot, std::uint64_t at, std::string_view bytes) {
        os::MutexLock lock(mutex_);
        if (slots_.size() <= slot) slots_.resize(slot + 1);
        Slot& file = slots_[slot];
        if (at == 0) {  // A new life: its header, before any other byte of it.
            const auto header = SegmentHeader::decode(bytes.data());
            if (!header) return complain("a write at 0 that is no header", slot, at);
            if (header->number != file.number) file = Slot{header->number, {}};
            return;
        }
        const LogPosition durable = durable_ ? durable_() : LogPosition{};
        const bool newest = file.number == segment_of(durable);
        const std::uint32_t sealed = round_up(offset_of(durable), kLogBlockBytes);
        for (std::size_t i = 0; i < bytes.size(); i += kLogBlockBytes) {
            const std::size_t block = (at + i) / kLogBlockBytes;
            const bool zeros =
                bytes.substr(i, kLogBlockBytes).find_first_not_of('\0') == std::string_view::npos;
            if (file.filled.size() <= block) file.filled.resize(block + 1);
            const bool acknowledged =
                newest ? block * kLogBlockBytes < sealed
                       : file.number < segment_of(durable) && (!zeros || file.filled[block]);
            if (acknowledged) complain("an acknowledged block is written again", slot, at + i);
        }
    }
    void remember(std::uint64_t slot, std::uint64_t at, std::string_view bytes) {
        os::MutexLock lock(mutex_);
        for (std::size_t i = 0; i < bytes.size(); i += kLogBlockBytes) {
            const bool zeros =
                bytes.substr(i, kLogBlockBytes).find_first_not_of('\0') == std::string_view::npos;
            if (at + i != 0 && !zeros) slots_[slot].filled[(at + i) / kLogBlockBytes] = true;
        }
    }
    std::string complaint() const {
        os::MutexLock lock(mutex_);
        return complaint_;
    }

private:
    struct Slot {
        std::uint32_t number = 0;
        std::vector<bool> filled;  ///< Blocks with content, in this life.
    };

    void complain(const char* what, std::uint64_t slot, std::uint64_t at) REQUIRES(mutex_) {
        if (!complaint_.empty()) return;
        complaint_.append(what).append(": log.").append(std::to_string(slot));
        complaint_.append(" at ").append(std::to_string(at));
    }

    mutable os::Mutex mutex_;
    std::function<LogPosition()> durable_ GUARDED_BY(mutex_);
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    std::string complaint_ GUARDED_BY(mutex_);
};

/// Passes on to `base`, which must outlive it, as it must outlive its files. Thread-safe.
class RecordingFiles final : public os::ForwardingFileSystem {
public:
    struct Write {
        std::string path;
        std::uint64_t at = 0;
        std::string bytes;
    };

    using ForwardingFileSystem::ForwardingFileSystem;

    std::uint64_t writes() const { return writes_.load(); }
    std::uint64_t syncs() const { return syncs_.load(); }
    std::uint64_t bytes() const { return bytes_.load(); }

    /// What is written from now on; empties what was kept before.
    void keep_writes(bool keep) {
        os::MutexLock lock(mutex_);
        keep_ = keep;
        kept_.clear();
    }
    std::vector<Write> kept() const {
        os::MutexLock lock(mutex_);
        return {kept_.begin(), kept_.end()};
    }

    TestGate write_gate;   ///< Before a write.
    TestGate synced_gate;  ///< Behind a sync, when the disk has done it and nobody knows yet.
    AcknowledgedBlocks acknowledged;
    /// Called behind each sync, at the same place. Set it before the log is opened.
    std::function<void()> after_sync;

    Result<std::unique_ptr<os::File>> open(const std::string& path, Mode mode) override {
        Result<std::unique_ptr<os::File>> opened = ForwardingFileSystem::open(path, mode);
        const std::size_t name = path.rfind(kLogFilePrefix);
        if (!opened || name == std::string::npos) return opened;
        const std::uint64_t slot = std::stoull(path.substr(name + std::strlen(kLogFilePrefix)));
        return std::unique_ptr<os::File>(new RecordingFile(*this, *std::move(opened), slot));
    }

private:
    class RecordingFile final : public os::ForwardingFile {
    public:
        RecordingFile(RecordingFiles& files, std::unique_ptr<os::File> file, std::uint64_t slot)
            : ForwardingFile(std::move(file)), files_(files), slot_(slot) {}

        Result<void> write_at(std::uint64_t position, std::string_view from) override {
            files_.acknowledged.check(slot_, position, from);
            files_.write_gate.pass();
            files_.record(name(), position, from);
            Result<void> r = ForwardingFile::write_at(position, from);
            files_.acknowledged.check(slot_, position, from);
            files_.acknowledged.remember(slot_, position, from);
            return r;
        }
        Result<void> sync() override {
            files_.syncs_.fetch_add(1);
            Result<void> r = ForwardingFile::sync();
            files_.synced_gate.pass();
            if (files_.after_sync) files_.after_sync();
            return r;
        }

    private:
        RecordingFiles& files_;
        const std::uint64_t slot_;
    };

    void record(const std::string& path, std::uint64_t at, std::string_view bytes) {
        writes_.fetch_add(1);
        bytes_.fetch_add(bytes.size());
        os::MutexLock lock(mutex_);
        if (keep_) kept_.push_back({path, at, std::string(bytes)});
    }

    std::atomic<std::uint64_t> writes_{0};
    std::atomic<std::uint64_t> syncs_{0};
    std::atomic<std::uint64_t> bytes_{0};
    mutable os::Mutex mutex_;
    bool keep_ GUARDED_BY(mutex_) = false;
    std::deque<Write> kept_ GUARDED_BY(mutex_);
};

}  // namespace fulgur::storage
