#include "storage/data_file.h"

#include "base/planted.h"

namespace fulgur::storage {

namespace {
Error closed_error() { return Error(ErrorCode::kInvalid, "the database is closed"); }
}  // namespace

Result<void> DataFile::read(std::uint64_t sector, std::span<char> into) {
    return read(sector, 0, into);
}

Result<void> DataFile::read(std::uint64_t sector, std::uint64_t offset, std::span<char> into) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    const std::uint64_t position = sector * kSectorBytes + offset;
    const Result<std::size_t> size = file_->read_at(position, into);
    if (!size.ok()) return size.error();
    reads_.fetch_add(1, std::memory_order_relaxed);
    bytes_read_.fetch_add(*size, std::memory_order_relaxed);
    if (*size != into.size()) {
        return Error(ErrorCode::kCorruption, "the file ends before what it should hold")
            .at(file_->name(), position + *size);
    }
    return {};
}

Result<std::size_t> DataFile::read_available(std::uint64_t sector, std::span<char> into) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    Result<std::size_t> size = file_->read_at(sector * kSectorBytes, into);
    if (size.ok()) {
        reads_.fetch_add(1, std::memory_order_relaxed);
        bytes_read_.fetch_add(*size, std::memory_order_relaxed);
    }
    return size;
}

Result<void> DataFile::write(std::uint64_t sector, Bytes from) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    Result<void> written = file_->write_at(sector * kSectorBytes, from);
    if (written.ok()) {
        writes_.fetch_add(1, std::memory_order_relaxed);
        bytes_written_.fetch_add(from.size(), std::memory_order_relaxed);
    }
    return written;
}

Result<void> DataFile::sync() {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    os::MutexLock lock(mutex_);
    const std::uint64_t wanted = syncs_begun_ + 1;  // One that begins after this call.
    while (syncing_ && syncs_ended_ < wanted) synced_.wait(mutex_);
    if (sync_error_) return *sync_error_;
    if (syncs_ended_ >= wanted) return {};
    syncing_ = true;
    const std::uint64_t mine = ++syncs_begun_;
    lock.unlock();
    Result<void> result = file_->sync();
    lock.lock();
    syncing_ = false;
    syncs_ended_ = mine;
    if (result) {
        syncs_.fetch_add(1, std::memory_order_relaxed);
    } else if (!FULGUR_PLANTED("failed_data_sync_forgotten")) {
        sync_error_ = result.error();
    }
    synced_.notify_all();
    return result;
}

DataFile::Counters DataFile::counters() const {
    Counters counters;
    counters.reads = reads_.load(std::memory_order_relaxed);
    counters.writes = writes_.load(std::memory_order_relaxed);
    counters.syncs = syncs_.load(std::memory_order_relaxed);
    counters.bytes_read = bytes_read_.load(std::memory_order_relaxed);
    counters.bytes_written = bytes_written_.load(std::memory_order_relaxed);
    return counters;
}

}  // namespace fulgur::storage
