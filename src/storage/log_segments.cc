#include "storage/log_segments.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

#include "base/planted.h"

namespace fulgur::storage {
namespace {

constexpr std::uint32_t kZeroChunkBytes = 256_KiB;

}  // namespace

std::string log_file_path(const std::string& directory, std::uint32_t slot) {
    return directory + "/" + kLogFilePrefix + std::to_string(slot);
}

LogSegments::LogSegments(os::FileSystem& files, std::string directory, std::uint32_t segment_bytes,
                         std::size_t spares_max, std::uint64_t database_id,
                         std::uint32_t next_number, const std::vector<std::uint32_t>& used_slots,
                         const std::vector<std::uint32_t>& free_slots)
    : files_(files),
      directory_(std::move(directory)),
      segment_bytes_(segment_bytes),
      spares_max_(spares_max),
      database_id_(database_id),
      next_number_(next_number),
      free_slots_(free_slots.begin(), free_slots.end()),
      known_slots_(used_slots.begin(), used_slots.end()) {
    known_slots_.insert(free_slots.begin(), free_slots.end());
}

std::uint32_t LogSegments::capacity_min(std::uint32_t segment_bytes, std::uint32_t fragment_bytes) {
    const std::uint32_t room = segment_bytes - round_up(kFirstRecordOffset, kLogBlockBytes);
    const std::uint32_t fragment_stored =
        FragmentHeader::stored_bytes_of(fragment_bytes) + kLogBlockBytes;
    const std::uint32_t whole = room / fragment_stored;
    // The rest takes one shorter fragment; what is smaller than a block and a header is given up.
    const std::uint32_t rest = room - whole * fragment_stored;
    const std::uint32_t usable = rest > 2 * kLogBlockBytes ? rest - 2 * kLogBlockBytes : 0;
    return whole * fragment_bytes + usable;
}

Result<void> LogSegments::prepare(std::size_t count, std::uint32_t prepared_bytes) {
    os::MutexLock io(io_mutex_);
    // Those that wait already may have been made with less.
    std::vector<std::shared_ptr<LogSegment>> waiting;
    {
        os::MutexLock lock(mutex_);
        waiting.assign(spares_.begin(), spares_.end());
    }
    for (std::size_t i = 0; i < std::min(count, waiting.size()); ++i) {
        if (Result<void> r = extend_held(*waiting[i], prepared_bytes); !r) return r;
    }
    while (spare_count() < count) {
        Result<std::shared_ptr<LogSegment>> made = make(prepared_bytes);
        if (!made) return made.error();
        os::MutexLock lock(mutex_);
        spares_.push_back(*std::move(made));
    }
    return {};
}

std::uint32_t LogSegments::pick_slot(bool* is_new) {
    os::MutexLock lock(mutex_);
    *is_new = free_slots_.empty();
    if (!*is_new) {
        const std::uint32_t slot = free_slots_.front();
        free_slots_.pop_front();
        return slot;
    }
    std::uint32_t slot = 0;
    while (known_slots_.contains(slot)) ++slot;
    known_slots_.insert(slot);
    return slot;
}

Result<std::shared_ptr<LogSegment>> LogSegments::make(std::uint32_t prepared_bytes) {
    if (next_number_ == std::numeric_limits<std::uint32_t>::max()) {
        return Error(ErrorCode::kLimit, "the log has used up its segment numbers").at(directory_);
    }
    bool is_new = false;
    auto segment = std::make_shared<LogSegment>();
    segment->slot = pick_slot(&is_new);
    segment->bytes = segment_bytes_;
    segment->number = next_number_++;

    Result<void> done = begin_life(*segment);
    if (done) done = extend_held(*segment, prepared_bytes);
    if (done && !FULGUR_PLANTED("log_burns_no_number")) {
        done = segment->file->sync();
        syncs_.fetch_add(1, std::memory_order_relaxed);
    }
    // The name of a file that was free before may never have been synced: its maker may have
    // failed in between. So it is synced here whatever its history.
    if (done) done = files_.sync_directory(directory_);
    if (!done) {
        if (is_new && segment->file != nullptr) {
            // Gives the space back. When this fails too, the file just stays as long as it is.
            [[maybe_unused]] const Result<void> ignored = segment->file->resize(0);
        }
        give_back(segment->slot);
        return done.error();
    }
    return segment;
}

Result<void> LogSegments::begin_life(LogSegment& segment) {
    auto opened =
        files_.open(log_file_path(directory_, segment.slot), os::FileSystem::Mode::kCreate);
    if (!opened) return opened.error();
    segment.file = *std::move(opened);
    Result<std::uint64_t> size = segment.file->size();
    if (!size) return size.error();
    if (*size > segment_bytes_) {
        if (Result<void> r = segment.file->resize(segment_bytes_); !r) return r;
        *size = segment_bytes_;
    }

    const std::uint32_t written = round_down(static_cast<std::uint32_t>(*size), kLogBlockBytes);
    std::string header(std::max(written, kLogBlockBytes) == kLogBlockBytes
                           ? std::min(kNewSegmentBytes, segment_bytes_)
                           : kLogBlockBytes,
                       '\0');
    SegmentHeader{kLogFormatVersion, database_id_, segment.number}.encode(header.data());
    if (Result<void> r = segment.file->write_at(0, header); !r) return r;
    segment.prepared_end.store(std::max(written, static_cast<std::uint32_t>(header.size())),
                               std::memory_order_relaxed);
    return {};
}

std::shared_ptr<LogSegment> LogSegments::take() {
    os::MutexLock lock(mutex_);
    if (spares_.empty()) return nullptr;
    std::shared_ptr<LogSegment> segment = std::move(spares_.front());
    spares_.pop_front();
    return segment;
}

Result<void> LogSegments::extend(LogSegment& segment, std::uint32_t to) {
    os::MutexLock io(io_mutex_);
    return extend_held(segment, to);
}

Result<void> LogSegments::extend_held(LogSegment& segment, std::uint32_t to) {
    static const std::string zeros(kZeroChunkBytes, '\0');
    to = std::min(round_up(to, kLogBlockBytes), segment.bytes);
    std::uint32_t end = segment.prepared_end.load(std::memory_order_relaxed);
    while (end < to) {
        const std::uint32_t n = std::min(kZeroChunkBytes, to - end);
        if (Result<void> r = segment.file->write_at(end, Bytes(zeros.data(), n)); !r) return r;
        end += n;
        segment.prepared_end.store(end, std::memory_order_release);
    }
    return {};
}

void LogSegments::give_back(std::uint32_t slot) {
    os::MutexLock lock(mutex_);
    free_slots_.push_back(slot);
}

Result<void> LogSegments::trim() {
    os::MutexLock io(io_mutex_);
    bool removed = false;
    for (;;) {
        std::uint32_t slot = 0;
        {
            os::MutexLock lock(mutex_);
            if (free_slots_.empty() || free_slots_.size() + spares_.size() <= spares_max_) break;
            // The highest goes, so that names stay few and low.
            const auto highest = std::max_element(free_slots_.begin(), free_slots_.end());
            slot = *highest;
            free_slots_.erase(highest);
        }
        Result<void> r = files_.remove(log_file_path(directory_, slot));
        os::MutexLock lock(mutex_);
        if (!r) {
            free_slots_.push_back(slot);
            return r;
        }
        known_slots_.erase(slot);
        removed = true;
    }
    return removed ? files_.sync_directory(directory_) : Result<void>();
}

std::size_t LogSegments::spare_count() const {
    os::MutexLock lock(mutex_);
    return spares_.size();
}

}  // namespace fulgur::storage
