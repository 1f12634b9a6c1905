#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include <fulgur/bytes.h>

#include "os/file.h"
#include "storage/extent.h"

namespace fulgur::storage {

/// The data file, addressed in sectors: superblocks, images, large values, catalog.
///
/// It remembers nothing about failures: whether a handle may go on after one is the engine's to
/// say. Thread safety: any thread; two writes to one place are the caller's bug (the allocator
/// gives each extent to one owner).
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

    /// Writes `from` at the start of `sector`; the file grows when needed. Durable after `sync`.
    /// @return kNoSpace, kIo.
    Result<void> write(std::uint64_t sector, Bytes from);
    Result<void> sync();

    Result<std::uint64_t> size_bytes() { return file_->size(); }
    /// Cuts the file to `sectors`, or grows it with zeros.
    Result<void> resize(std::uint64_t sectors) { return file_->resize(sectors * kSectorBytes); }

    /// For messages.
    const std::string& name() const { return file_->name(); }
    Counters counters() const;

private:
    std::unique_ptr<os::File> file_;
    std::atomic<std::uint64_t> reads_{0};
    std::atomic<std::uint64_t> writes_{0};
    std::atomic<std::uint64_t> syncs_{0};
    std::atomic<std::uint64_t> bytes_read_{0};
    std::atomic<std::uint64_t> bytes_written_{0};
};

}  // namespace fulgur::storage
