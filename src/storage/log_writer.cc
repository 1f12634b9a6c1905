#include "storage/log_writer.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/planted.h"
#include "os/thread.h"

// The appender's side: open, reserve, append, segments, close. Waiting and writing: log_flush.cc.

namespace fulgur::storage {
namespace {

/// The stream of buffer bytes begins here: any multiple of a block above a segment header.
constexpr std::uint64_t kStreamStart = 1_MiB;

/// A late reserve prepares so much at once, so that the next ones find it done.
constexpr std::uint32_t kLatePrepareBytes = 1_MiB;

/// A fragment in the rest of a segment holds at least so much of its record.
constexpr std::uint32_t kSplitBodyBytesMin = 64;

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }
std::uint64_t raw(LogPosition p) { return static_cast<std::uint64_t>(p); }

std::vector<std::uint32_t> slots_of(const std::vector<LogStart::Segment>& segments) {
    std::vector<std::uint32_t> slots;
    for (const LogStart::Segment& segment : segments) slots.push_back(segment.slot);
    return slots;
}

bool valid(const LogOptions& options) {
    return options.segment_bytes >= kSegmentBytesMin && options.segment_bytes <= kSegmentBytesMax &&
           options.segment_bytes % kLogBlockBytes == 0 &&
           std::has_single_bit(options.buffer_bytes) && options.buffer_bytes >= 64_KiB &&
           options.buffer_bytes <= 1_GiB;
}

}  // namespace

Result<std::unique_ptr<Log>> Log::open(os::FileSystem& files, std::string directory,
                                       os::Clock& clock, LogOptions options,
                                       const LogStart& start) {
    if (!valid(options)) {
        return Error(ErrorCode::kInvalid, "bad log segment or buffer size").at(directory);
    }
    std::unique_ptr<Log> log(
        new Log(files, std::move(directory), clock, std::move(options), start));
    if (Result<void> r = log->begin(start); !r) return r.error();
    return log;
}

Log::Log(os::FileSystem& files, std::string directory, os::Clock& clock, LogOptions options,
         const LogStart& start)
    : clock_(clock),
      options_(std::move(options)),
      fragment_key_(fragment_key(start.database_id)),
      fragment_bytes_max_(static_cast<std::uint32_t>(
          std::min<std::size_t>(kFragmentBodyBytesMax, options_.buffer_bytes / 4))),
      buffer_mask_(options_.buffer_bytes - 1),
      // Zeroed, which also makes its pages resident before the first commit.
      buffer_(new char[options_.buffer_bytes]()),
      segments_(files, std::move(directory), options_.segment_bytes, options_.spare_segments_max,
                start.database_id, start.next_number, slots_of(start.live), start.free_slots),
      scratch_(new char[kScratchBytes]) {}

Log::~Log() = default;

Result<void> Log::begin(const LogStart& start) {
    first_published_ = raw(start.next) - 1;
    last_sequence_ = Sequence{first_published_};
    published_.store(first_published_);
    durable_sequence_.store(first_published_);

    if (Result<void> r = segments_.prepare(1, 0); !r) return r;
    segment_ = segments_.take();
    segment_->first_sequence = start.next;
    segment_->buffer_base = kStreamStart - kLinkOffset;

    // Recovery has synced what it believed, so everything before this segment is durable.
    const LogPosition begin = log_position(segment_->number, kLinkOffset);
    const LogPosition end = log_position(segment_->number, kFirstRecordOffset);
    durable_.store(raw(log_position(segment_->number, 0)));
    written_.store(raw(begin));
    next_begin_ = begin;
    released_.store(kStreamStart);
    room_end_ = kStreamStart + options_.buffer_bytes;
    {
        os::MutexLock lock(mutex_);
        grouped_ = Sequence{first_published_};
        std::uint64_t payload = 0;
        for (const LogStart::Segment& old : start.live) {
            const auto ended = static_cast<std::uint32_t>(kFirstRecordOffset + old.bytes);
            live_.push_back({old.number, old.slot, old.first_sequence, payload, nullptr, ended});
            payload += old.bytes;
        }
        live_.push_back({segment_->number, segment_->slot, start.next, payload, segment_, 0});
        payload_bytes_.store(payload);
        payload_at_open_ = payload;
    }
    char body[LinkBody::kEncodedBytes];
    LinkBody{start.end}.encode(body);
    FragmentHeader header = header_at(begin, FragmentType::kLink, start.next);
    header.length = sizeof body;
    header.body_crc = crc32c(Bytes(body, sizeof body));
    put(kStreamStart, header, Bytes(body, sizeof body));
    fragment_end_ = end;
    record_end_.store(raw(end));
    tail_.store(raw(end), std::memory_order_release);
    if (Result<void> r = wait_durable(end); !r) return r;
    return segments_.trim();
}

FragmentHeader Log::header_at(LogPosition position, FragmentType type, Sequence sequence) const {
    FragmentHeader header;
    header.type = type;
    header.position = position;
    header.sequence = sequence;
    header.synced = FULGUR_PLANTED("log_claims_unsynced")
                        ? position
                        : LogPosition{durable_.load(std::memory_order_acquire)};
    return header;
}

// ---- Reserve: all that may refuse.

Result<void> Log::reserve(std::size_t body_bytes) {
    if (stopped()) [[unlikely]]
        return stop_error();
    if (body_bytes <= fragment_bytes_max_) [[likely]] {
        // A seal may come at any time, so count from the next block on.
        const std::uint32_t stored =
            FragmentHeader::stored_bytes_of(static_cast<std::uint32_t>(body_bytes));
        const std::uint32_t offset = offset_of(LogPosition{tail_.load(std::memory_order_relaxed)});
        const std::uint64_t end = std::uint64_t{round_up(offset, kLogBlockBytes)} + stored;
        if (end <= segment_->prepared_end.load(std::memory_order_acquire) &&
            segment_->buffer_base + end <= room_end_) [[likely]] {
            return {};
        }
    }
    return reserve_slowly(body_bytes);
}

Result<void> Log::reserve_slowly(std::size_t body_bytes) {
    if (body_bytes > kLogRecordBytesMax) {
        return Error(ErrorCode::kLimit, "log record above the longest one");
    }
    if (Result<void> r = reserve_disk(body_bytes); !r) return r;

    // Room for a link in between, and two seals. A record of several fragments waits for room while
    // it is appended: it may be longer than the buffer.
    if (body_bytes > fragment_bytes_max_) return {};
    const LogPosition tail{tail_.load(std::memory_order_relaxed)};
    const std::uint64_t stored =
        FragmentHeader::stored_bytes_of(static_cast<std::uint32_t>(body_bytes));
    return make_room(segment_->buffer_base + offset_of(tail) + stored + 4 * kLogBlockBytes);
}

Result<void> Log::reserve_disk(std::size_t body_bytes) {
    // What the fragments of this record may take at most, headers and seals included: one more
    // block and header for each fragment, and two for the ends of a segment.
    const auto spread = [this](std::size_t bytes) {
        const std::size_t fragments = bytes / fragment_bytes_max_ + 2;
        return bytes + fragments * (kLogBlockBytes + FragmentHeader::stored_bytes_of(8));
    };
    const std::uint32_t bytes_max = segment_->bytes;
    const std::uint32_t begin =
        round_up(offset_of(LogPosition{tail_.load(std::memory_order_relaxed)}), kLogBlockBytes);
    const std::uint64_t end = begin + spread(body_bytes);
    const bool fits = end <= bytes_max;
    const auto wanted = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(bytes_max, fits ? end + kLatePrepareBytes : bytes_max));
    const std::uint32_t needed = fits ? static_cast<std::uint32_t>(end) : bytes_max;
    if (segment_->prepared_end.load(std::memory_order_acquire) < needed) {
        const Result<void> r = segments_.extend(*segment_, wanted);
        if (!r && r.error().code() != ErrorCode::kNoSpace) {
            poison(r.error());
            return stop_error();
        }
        // What is wanted beyond the need was only to save the next one's time.
        if (!r && segment_->prepared_end.load(std::memory_order_acquire) < needed) return r;
    }
    if (fits) return {};

    // As if nothing of it went into the current segment.
    const std::uint32_t capacity =
        LogSegments::capacity_min(segments_.segment_bytes(), fragment_bytes_max_);
    const std::size_t spares = body_bytes / capacity + 1;
    const std::uint64_t last = kFirstRecordOffset + kLogBlockBytes + spread(body_bytes);
    const std::uint32_t prepared =
        spares > 1
            ? segments_.segment_bytes()
            : static_cast<std::uint32_t>(std::min<std::uint64_t>(segments_.segment_bytes(), last));
    return segments_.prepare(spares, prepared);
}

bool Log::has_room(std::uint64_t stream_end) {
    if (stream_end <= room_end_) [[likely]]
        return true;
    room_end_ = released_.load(std::memory_order_acquire) + options_.buffer_bytes;
    return stream_end <= room_end_;
}

Result<void> Log::make_room(std::uint64_t stream_end) {
    os::MutexLock lock(mutex_);
    while (!has_room(stream_end)) {
        if (stopped()) return stop_error_;
        if (writing_) {
            write_done_.wait(mutex_);
        } else {
            lead_write();
        }
    }
    return {};
}

// ---- Append.

void Log::copy_in(std::uint64_t stream, const char* from, std::size_t size) {
    const std::uint64_t index = stream & buffer_mask_;
    const std::size_t first = std::min<std::size_t>(size, options_.buffer_bytes - index);
    std::memcpy(buffer_.get() + index, from, first);
    std::memcpy(buffer_.get(), from + first, size - first);
}

/// Encodes a fragment into the buffer. There is room.
void Log::put(std::uint64_t stream, const FragmentHeader& header, Bytes body) {
    constexpr std::size_t kHeaderBytes = FragmentHeader::kEncodedBytes;
    const std::uint64_t index = stream & buffer_mask_;
    const std::uint32_t stored = header.stored_bytes();
    if (index + stored <= options_.buffer_bytes) [[likely]] {
        char* const to = buffer_.get() + index;
        store_le(to + stored - 8,
                 std::uint64_t{0});  // The padding; overwritten up to the body's end.
        header.encode(to, fragment_key_);
        if (!body.empty()) std::memcpy(to + kHeaderBytes, body.data(), body.size());
        return;
    }
    char encoded[kHeaderBytes];
    header.encode(encoded, fragment_key_);
    copy_in(stream, encoded, kHeaderBytes);
    if (!body.empty()) copy_in(stream + kHeaderBytes, body.data(), body.size());
    const char zeros[8] = {};
    const std::size_t used = kHeaderBytes + body.size();
    copy_in(stream + used, zeros, stored - used);
}

/// @return false when a seal moved the tail away from `from`.
bool Log::publish(LogPosition from, LogPosition to) {
    os::yield_point("log publish");
    std::uint64_t expected = raw(from);
    // Sequentially consistent: with the load of ticker_idle_ behind it, see wake_ticker.
    if (!tail_.compare_exchange_strong(expected, raw(to), std::memory_order_seq_cst,
                                       std::memory_order_relaxed)) {
        return false;
    }
    payload_bytes_.store(
        payload_bytes_.load(std::memory_order_relaxed) + (offset_of(to) - offset_of(from)),
        std::memory_order_relaxed);
    fragment_end_ = to;
    return true;
}

void Log::publish_record(Sequence sequence) {
    last_sequence_ = sequence;
    records_.store(records_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    record_end_.store(raw(fragment_end_), std::memory_order_release);
    published_.store(raw(sequence), std::memory_order_release);
    if (ticker_idle_.load(std::memory_order_seq_cst) && !FULGUR_PLANTED("log_leaves_ticker_asleep"))
        [[unlikely]]
        wake_ticker();
}

void Log::wake_ticker() {
    if (ticker_idle_.exchange(false, std::memory_order_relaxed) && options_.wake) options_.wake();
}

Result<LogTicket> Log::append(Sequence sequence, Bytes body, std::uint32_t body_crc) {
    assert(raw(sequence) == raw(last_sequence_) + 1);
    assert(!appending_);  // One at a time.
    appending_ = true;
    if (stopped()) [[unlikely]] {
        appending_ = false;
        return stop_error();
    }
    bool done = false;
    if (body.size() <= fragment_bytes_max_) [[likely]] {
        const auto length = static_cast<std::uint32_t>(body.size());
        const std::uint32_t stored = FragmentHeader::stored_bytes_of(length);
        while (!done) {
            const LogPosition begin{tail_.load(std::memory_order_relaxed)};
            const std::uint32_t end = offset_of(begin) + stored;
            if (end > segment_->bytes || !has_room(segment_->buffer_base + end)) break;
            FragmentHeader header = header_at(begin, FragmentType::kFull, sequence);
            header.body_crc = body_crc;
            header.length = length;
            put(segment_->buffer_base + offset_of(begin), header, body);
            done = publish(begin, log_position(segment_->number, end));
        }
    }
    if (!done) [[unlikely]] {
        if (Result<void> r = append_fragments(sequence, body, body_crc); !r) {
            appending_ = false;
            return r.error();
        }
    }
    publish_record(sequence);
    appending_ = false;
    return LogTicket{fragment_end_, sequence};
}

/// The general case: fragments in this and the next segments, waiting for room in between.
Result<void> Log::append_fragments(Sequence sequence, Bytes body, std::uint32_t body_crc) {
    Bytes rest = body;
    std::uint16_t index = 0;
    while (!rest.empty() || index == 0) {
        const LogPosition begin{tail_.load(std::memory_order_relaxed)};
        const std::uint32_t room = segment_->bytes - offset_of(begin);
        const auto least =
            static_cast<std::uint32_t>(std::min<std::size_t>(rest.size(), kSplitBodyBytesMin));
        if (room < FragmentHeader::stored_bytes_of(least)) {
            const Sequence first{raw(sequence) + (index == 0 ? 0 : 1)};
            if (Result<void> r = enter_next_segment(first); !r) return r;
            continue;
        }
        const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(
            {rest.size(), fragment_bytes_max_, room - FragmentHeader::kEncodedBytes}));
        const bool last = length == rest.size();
        FragmentHeader header =
            header_at(begin,
                      index == 0 ? (last ? FragmentType::kFull : FragmentType::kFirst)
                                 : (last ? FragmentType::kLast : FragmentType::kMiddle),
                      sequence);
        const Bytes part = rest.substr(0, length);
        header.index = index;
        header.length = length;
        header.body_crc = length == body.size() ? body_crc : crc32c(part);
        const std::uint32_t end = offset_of(begin) + header.stored_bytes();
        if (Result<void> r = make_room(segment_->buffer_base + end); !r) return r;
        put(segment_->buffer_base + offset_of(begin), header, part);
        if (!publish(begin, log_position(segment_->number, end))) continue;
        rest.remove_prefix(length);
        ++index;
        assert(index != 0);
    }
    return {};
}

/// Ends the current segment behind its last fragment, and links the next one to it.
Result<void> Log::enter_next_segment(Sequence first_sequence) {
    std::shared_ptr<LogSegment> next = segments_.take();
    if (next == nullptr) {  // Nobody reserved, or for less.
        Result<void> r = segments_.prepare(1, 0);
        if (!r) {
            poison(r.error());
            return stop_error();
        }
        next = segments_.take();
    }
    // The buffer goes on at a block boundary, as the file does.
    const std::uint64_t stream =
        round_up(segment_->buffer_base + offset_of(fragment_end_), std::uint64_t{kLogBlockBytes});
    next->first_sequence = first_sequence;
    next->buffer_base = stream - kLinkOffset;
    if (Result<void> r = make_room(stream + kLinkStoredBytes); !r) return r;

    char body[LinkBody::kEncodedBytes];
    LinkBody{fragment_end_}.encode(body);
    FragmentHeader header =
        header_at(log_position(next->number, kLinkOffset), FragmentType::kLink, first_sequence);
    header.length = sizeof body;
    header.body_crc = crc32c(Bytes(body, sizeof body));
    put(stream, header, Bytes(body, sizeof body));
    {
        os::MutexLock lock(mutex_);
        live_.back().end = offset_of(fragment_end_);
        live_.push_back({next->number, next->slot, first_sequence,
                         payload_bytes_.load(std::memory_order_relaxed), next, 0});
    }
    os::yield_point("log enter segment");
    // A seal may move the tail within the old segment; that changes nothing.
    std::uint64_t expected = tail_.load(std::memory_order_relaxed);
    const LogPosition end = log_position(next->number, kFirstRecordOffset);
    while (!tail_.compare_exchange_weak(expected, raw(end), std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
    fragment_end_ = end;
    segment_ = std::move(next);
    return {};
}

// ---- The ends.

Result<void> Log::recycle(Sequence up_to) {
    std::vector<std::uint32_t> slots;
    {
        os::MutexLock lock(mutex_);
        const LogPosition durable = durable_position();
        const std::size_t kept = kept_segments();
        // The link of the one that stays must be durable, else recovery would find no beginning.
        while (live_.size() > 1 + kept &&
               (raw(live_[1].first_sequence) <= raw(up_to) + 1 ||
                FULGUR_PLANTED("log_recycles_early")) &&
               (durable >= log_position(live_[1].number, kFirstRecordOffset) ||
                FULGUR_PLANTED("log_recycles_before_link"))) {
            slots.push_back(live_.front().slot);
            live_.pop_front();
        }
    }
    for (const std::uint32_t slot : slots) segments_.give_back(slot);
    return slots.empty() ? Result<void>() : segments_.trim();
}

/// Older than the newest: as many as hold no more than is to be kept.
std::size_t Log::kept_segments() const {
    std::uint64_t bytes = 0;
    std::size_t count = 0;
    for (auto live = live_.rbegin() + 1; live != live_.rend(); ++live, ++count) {
        bytes += std::max(live->end, kNewSegmentBytes);
        if (bytes > options_.kept_bytes) break;
    }
    return count;
}

std::size_t Log::segments_not_kept() const {
    os::MutexLock lock(mutex_);
    return live_.size() - kept_segments();
}

Result<void> Log::close() {
    if (stopped()) return stop_error();
    if (Result<void> r = sync_all(); !r) return r;

    const LogPosition begin{tail_.load(std::memory_order_relaxed)};
    const std::uint32_t end = offset_of(begin) + FragmentHeader::stored_bytes_of(0);
    if (end <= segment_->prepared_end.load(std::memory_order_acquire)) {
        FragmentHeader header =
            header_at(begin, FragmentType::kEnd, Sequence{raw(last_sequence_) + 1});
        header.body_crc = crc32c(Bytes());
        if (Result<void> r = make_room(segment_->buffer_base + end); !r) return r;
        put(segment_->buffer_base + offset_of(begin), header, Bytes());
        // Nobody is appending, and what was appended is synced: no seal can come in between
        // but one of a tick that finds nothing to write.
        if (publish(begin, log_position(segment_->number, end))) {
            record_end_.store(raw(fragment_end_), std::memory_order_release);
            if (Result<void> r = wait_durable(fragment_end_); !r) return r;
        }
    }
    stopped_.store(true, std::memory_order_release);
    return {};
}

}  // namespace fulgur::storage
