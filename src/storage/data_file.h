#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <fulgur/bytes.h>

#include "base/operation_gate.h"
#include "base/thread_annotations.h"
#include "os/file.h"
#include "os/mutex.h"
#include "storage/extent.h"

namespace fulgur::storage {

/// The data file, addressed in sectors: superblocks, images, large values, catalog.
///
/// Thread safety: any thread; two writes to one place are the caller's bug (the allocator gives
/// each extent to one owner).
///
/// Once it is closed nothing is read or written any more, and every call returns kInvalid: the file
/// may be another process's.
///
/// Syncs: the kernel tells a failed write-back to one of the threads that ask, and then forgets it.
/// So one thread at a time asks, for all who called before it began; and once a sync has failed all
/// later ones fail, for whatever they meant to make durable may be lost. Whether a handle may go on
/// after a failed write is the engine's to say.
class DataFile {
public:
    /// Since the file was opened; failed calls are not counted.
    struct Counters {
        std::uint64_t reads = 0;
        std::uint64_t writes = 0;
        std::uint64_t syncs = 0;
        std::uint64_t bytes_read = 0;
        std::uint64_t bytes_written = 0;
    };

    explicit DataFile(std::unique_ptr<os::File> file) : file_(std::move(file)) {}

    /// Fills `into` from the start of `sector`.
    /// @return kCorruption, naming the byte, when the file ends before; kIo.
    Result<void> read(std::uint64_t sector, std::span<char> into);
    /// The same, `offset` bytes after the start of `sector`: a part of a large value.
    Result<void> read(std::uint64_t sector, std::uint64_t offset, std::span<char> into);
    /// Reads what there is: fewer bytes than asked for only at the end of the file.
    Result<std::size_t> read_available(std::uint64_t sector, std::span<char> into);

    /// The disk may begin to read so many bytes; see os::File.
    void will_read(std::uint64_t sector, std::uint64_t bytes) {
        file_->will_read(sector * kSectorBytes, bytes);
    }

    /// Writes `from` at the start of `sector`; the file grows when needed. Durable after `sync`.
    /// @return kNoSpace, kIo.
    Result<void> write(std::uint64_t sector, Bytes from);
    /// Makes durable what was written before the call.
    /// @return kIo, and from then on always.
    Result<void> sync() EXCLUDES(mutex_);

    /// Waits for calls that are inside.
    void close() {
        if (gate_.close()) gate_.wait_until_empty();
    }

    Result<std::uint64_t> size_bytes() { return file_->size(); }
    /// Cuts the file to `sectors`, or grows it with zeros.
    Result<void> resize(std::uint64_t sectors) { return file_->resize(sectors * kSectorBytes); }

    /// For messages.
    const std::string& name() const { return file_->name(); }
    Counters counters() const;

private:
    std::unique_ptr<os::File> file_;
    OperationGate gate_;
    os::Mutex mutex_;
    os::ConditionVariable synced_;
    bool syncing_ GUARDED_BY(mutex_) = false;
    std::uint64_t syncs_begun_ GUARDED_BY(mutex_) = 0;
    std::uint64_t syncs_ended_ GUARDED_BY(mutex_) = 0;
    std::optional<Error> sync_error_ GUARDED_BY(mutex_);
    std::atomic<std::uint64_t> reads_{0};
    std::atomic<std::uint64_t> writes_{0};
    std::atomic<std::uint64_t> syncs_{0};
    std::atomic<std::uint64_t> bytes_read_{0};
    std::atomic<std::uint64_t> bytes_written_{0};
};

}  // namespace fulgur::storage
