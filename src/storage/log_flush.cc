#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/planted.h"
#include "os/thread.h"
#include "storage/log_writer.h"

// The log's writer and syncer: waiting, group commit, the ticks, poisoning. The theory is at the
// head of log_writer.h.

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kMs = 1'000'000;  // In nanoseconds.

/// Nothing stays in the buffer for longer, given ticks.
constexpr std::uint64_t kBufferAgeMs = 10;
/// A sync begins so much before it would be late.
constexpr std::uint64_t kSyncSlackMs = 100;
/// The least that is prepared ahead in a new file.
constexpr std::uint32_t kPrepareBytesMin = 256_KiB;

std::uint64_t raw(LogPosition p) { return static_cast<std::uint64_t>(p); }
std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }

}  // namespace

// ---- Waiting.

Result<void> Log::wait(LogTicket ticket, Durability durability) {
    switch (durability) {
        case Durability::kSync: {
            Result<void> r = wait_durable(ticket.end);
            if (r) raise_durable_sequence(ticket.sequence);
            return r;
        }
        case Durability::kOs:
            if (FULGUR_PLANTED("log_os_returns_unwritten")) break;
            return wait_written(ticket.end);
        case Durability::kBuffered:
            break;
    }
    if (stopped()) [[unlikely]]
        return stop_error();
    const LogPosition written{written_.load(std::memory_order_relaxed)};
    if (distance(written, ticket.end) >= options_.hand_over_bytes) [[unlikely]] {
        os::MutexLock lock(mutex_);
        if (!writing_ && !stopped()) lead_write();
    }
    return {};
}

Result<void> Log::wait_written(LogPosition end) {
    if (written_.load(std::memory_order_acquire) >= raw(end)) return {};
    os::MutexLock lock(mutex_);
    while (written_.load(std::memory_order_relaxed) < raw(end)) {
        if (stopped()) return stop_error_;
        if (writing_) {
            write_done_.wait(mutex_);
        } else {
            lead_write();
        }
    }
    return {};
}

Result<void> Log::wait_durable(LogPosition end) {
    if (durable_.load(std::memory_order_acquire) >= raw(end)) return {};
    os::MutexLock lock(mutex_);
    while (durable_.load(std::memory_order_relaxed) < raw(end)) {
        if (stopped()) return stop_error_;
        if (!syncing_) {
            lead_sync();
            continue;
        }
        // The sync in flight covers us when its cut is not taken yet (we are published), or lies
        // behind us. Everybody in the other queue is covered by whatever sync comes next.
        const bool covered = !sync_planned_ || sync_cut_ >= end;
        sync_done_[(sync_turn_ + (covered ? 0 : 1)) & 1].wait(mutex_);
    }
    return {};
}

Result<void> Log::sync_all() {
    if (stopped()) return stop_error();  // An append may have failed half way.
    // In the order opposite to the appender's stores, so that the end covers the sequence.
    const Sequence published{published_.load(std::memory_order_acquire)};
    const LogPosition end{record_end_.load(std::memory_order_acquire)};
    Result<void> r = wait_durable(end);
    if (r) raise_durable_sequence(published);
    return r;
}

void Log::raise_durable_sequence(Sequence sequence) {
    std::uint64_t known = durable_sequence_.load(std::memory_order_relaxed);
    while (known < raw(sequence) &&
           !durable_sequence_.compare_exchange_weak(known, raw(sequence), std::memory_order_release,
                                                    std::memory_order_relaxed)) {
    }
}

// ---- The roles.

void Log::lead_write() {
    assert(!writing_ && !stopped());
    writing_ = true;
    const Flush flush = plan(false);
    if (FULGUR_PLANTED("log_buffer_reused_early")) released_.store(flush.next_stream);
    mutex_.unlock();
    const Result<void> r = write(flush);
    mutex_.lock();
    writing_ = false;
    if (r) {
        written(flush);
        write_done_.notify_all();
    } else {
        poison_held(r.error());
    }
}

void Log::lead_sync() {
    assert(!syncing_ && !stopped());
    syncing_ = true;
    sync_planned_ = false;
    const std::uint64_t turn = ++sync_turn_;
    while (writing_) write_done_.wait(mutex_);

    if (!stopped()) {
        writing_ = true;
        const Flush flush = plan(true);
        sync_cut_ = flush.cut;
        sync_planned_ = true;
        mutex_.unlock();
        Result<void> r = write(flush);
        mutex_.lock();
        writing_ = false;
        if (r) {
            written(flush);
            write_done_.notify_all();
            const std::vector<std::shared_ptr<LogSegment>> files = std::exchange(unsynced_, {});
            mutex_.unlock();
            for (std::size_t i = 0; i < files.size() && r; ++i) {
                os::yield_point("log sync");
                const std::uint64_t start_ns = clock_.now_ns();
                if (!FULGUR_PLANTED("log_skips_sync")) r = files[i]->file->sync();
                sync_ns_.record(clock_.now_ns() - start_ns);
                syncs_.fetch_add(1, std::memory_order_relaxed);
            }
            mutex_.lock();
        }
        if (r || FULGUR_PLANTED("log_acknowledges_failed_sync")) {
            raise_durable_sequence(flush.published);
            if (flush.published > grouped_) {
                group_sizes_.record(raw(flush.published) - raw(grouped_));
                grouped_ = flush.published;
            }
            durable_.store(
                FULGUR_PLANTED("log_sync_covers_later_writes") ? written_.load() : raw(flush.cut),
                std::memory_order_release);
        } else {
            poison_held(r.error());
        }
    }
    syncing_ = false;
    sync_done_[turn & 1].notify_all();
    sync_done_[(turn + 1) & 1].notify_one();
    if (followers_waiting_ != 0) more_.notify_all();
}

/// Takes what is published. With `seal` nothing is ever put into the last block again.
Log::Flush Log::plan(bool seal) {
    Flush flush;
    flush.published = Sequence{published_.load(std::memory_order_acquire)};
    const LogPosition before{written_.load(std::memory_order_relaxed)};
    std::uint64_t tail = 0;
    for (;;) {
        tail = tail_.load(std::memory_order_acquire);
        // A tail where the next flush begins has nothing behind the last one but a seal.
        flush.cut = tail == raw(next_begin_) ? before : LogPosition{tail};
        flush.next_begin = LogPosition{round_down(tail, std::uint64_t{kLogBlockBytes})};
        if (!seal || raw(flush.next_begin) == tail || FULGUR_PLANTED("log_does_not_seal")) break;
        flush.next_begin = LogPosition{round_up(tail, std::uint64_t{kLogBlockBytes})};
        if (tail_.compare_exchange_strong(tail, raw(flush.next_begin), std::memory_order_acq_rel,
                                          std::memory_order_relaxed)) {
            break;
        }
    }
    for (const Live& live : live_) {
        if (live.segment == nullptr || live.number < segment_of(next_begin_) ||
            live.number > segment_of(LogPosition{tail})) {
            continue;
        }
        if (live.number == segment_of(LogPosition{tail})) {
            flush.next_stream = live.segment->buffer_base +
                                (raw(flush.next_begin) - raw(log_position(live.number, 0)));
        }
        const std::uint32_t begin =
            live.number == segment_of(next_begin_) ? offset_of(next_begin_) : kLinkOffset;
        const std::uint32_t end =
            live.number == segment_of(flush.cut) ? offset_of(flush.cut) : live.end;
        if (begin < end && before < log_position(live.number, end)) {
            flush.pieces.push_back({live.segment, begin, end});
        }
    }
    return flush;
}

void Log::mark_unsynced(const std::shared_ptr<LogSegment>& segment) {
    if (std::find(unsynced_.begin(), unsynced_.end(), segment) == unsynced_.end()) {
        unsynced_.push_back(segment);
    }
}

void Log::written(const Flush& flush) {
    for (const Piece& piece : flush.pieces) mark_unsynced(piece.segment);
    next_begin_ = flush.next_begin;
    released_.store(flush.next_stream, std::memory_order_release);
    written_.store(raw(flush.cut), std::memory_order_release);
}

Result<void> Log::write(const Flush& flush) {
    for (const Piece& piece : flush.pieces) {
        os::yield_point("log write");
        if (Result<void> r = write_piece(piece); !r) return r;
    }
    return {};
}

void Log::copy_out(std::uint64_t stream, std::size_t size, char* to) const {
    const std::uint64_t index = stream & buffer_mask_;
    const std::size_t first = std::min<std::size_t>(size, options_.buffer_bytes - index);
    std::memcpy(to, buffer_.get() + index, first);
    std::memcpy(to + first, buffer_.get(), size - first);
}

/// Writes whole blocks, so that the kernel never has to read one first. The last one is filled up
/// with zeros here: behind the end in the ring the appender may be at work.
Result<void> Log::write_piece(const Piece& piece) {
    const std::uint64_t base = piece.segment->buffer_base;
    std::uint32_t at = piece.begin;
    while (at < piece.end) {
        const std::uint32_t whole = round_down(piece.end, kLogBlockBytes);
        Bytes bytes;
        if (piece.end - at <= kScratchBytes) {
            // Little: one copy is cheaper than a second call.
            const std::uint32_t size = piece.end - at;
            copy_out(base + at, size, scratch_.get());
            const std::uint32_t padded = round_up(size, kLogBlockBytes);
            std::memset(scratch_.get() + size, 0, padded - size);
            bytes = Bytes(scratch_.get(), padded);
        } else {
            const std::uint64_t index = (base + at) & buffer_mask_;
            bytes = Bytes(buffer_.get() + index,
                          std::min<std::size_t>(whole - at, options_.buffer_bytes - index));
        }
        if (Result<void> r = piece.segment->file->write_at(at, bytes); !r) return r;
        bytes_written_.fetch_add(bytes.size(), std::memory_order_relaxed);
        writes_.fetch_add(1, std::memory_order_relaxed);
        at += static_cast<std::uint32_t>(bytes.size());
    }
    return {};
}

// ---- Failure.

void Log::poison(const Error& cause) {
    os::MutexLock lock(mutex_);
    poison_held(cause);
}

void Log::poison_held(const Error& cause) {
    if (!stopped() && !FULGUR_PLANTED("log_goes_on_after_failure")) {
        stop_error_ = Error(ErrorCode::kPoisoned, "an earlier write or sync of the log failed")
                          .at(cause.where(), cause.offset())
                          .os(cause.os_error());
        stopped_.store(true, std::memory_order_release);
    }
    write_done_.notify_all();
    sync_done_[0].notify_all();
    sync_done_[1].notify_all();
    more_.notify_all();
}

// ---- Those who follow.

std::optional<Log::Place> Log::place_of(Sequence sequence) const {
    os::MutexLock lock(mutex_);
    for (auto live = live_.rbegin(); live != live_.rend(); ++live) {
        if (live->first_sequence <= sequence)
            return Place{live->number, live->slot, live->first_sequence};
    }
    return std::nullopt;
}

std::optional<Log::Place> Log::place_behind(std::uint32_t number) const {
    os::MutexLock lock(mutex_);
    for (const Live& live : live_) {
        if (live.number > number) return Place{live.number, live.slot, live.first_sequence};
    }
    return std::nullopt;
}

bool Log::holds(std::uint32_t number) const {
    os::MutexLock lock(mutex_);
    return live_.front().number <= number;
}

Sequence Log::oldest_sequence() const {
    os::MutexLock lock(mutex_);
    return live_.front().first_sequence;
}

LogPosition Log::followable() const {
    if (FULGUR_PLANTED("feed_shows_what_is_not_synced")) {
        return LogPosition{written_.load(std::memory_order_acquire)};
    }
    return durable_position();
}

bool Log::wait_for_more(LogPosition seen, std::uint64_t ms) {
    os::MutexLock lock(mutex_);
    if (durable_position() > seen || stopped() || following_ended_) return true;
    ++followers_waiting_;
    const bool notified = more_.wait_for_ms(mutex_, ms);
    --followers_waiting_;
    return notified;
}

void Log::end_following() {
    os::MutexLock lock(mutex_);
    following_ended_ = true;
    more_.notify_all();
}

bool Log::poisoned() const {
    os::MutexLock lock(mutex_);
    return stop_error_.code() == ErrorCode::kPoisoned;
}

Error Log::stop_error() const {
    os::MutexLock lock(mutex_);
    return stop_error_;
}

// ---- The ticks.

std::uint32_t Log::tick_buffer() {
    const std::uint64_t now = clock_.now_ns();
    const std::uint64_t tail = tail_.load(std::memory_order_seq_cst);
    os::MutexLock lock(mutex_);
    if (stopped()) return kTickIdleMs;
    const LogPosition end{record_end_.load(std::memory_order_acquire)};
    // What came since the last tick is left to its own committer, and to the next tick.
    const bool old = written_.load(std::memory_order_relaxed) < raw(buffer_mark_) ||
                     now - buffer_tick_ns_ >= kBufferAgeMs * kMs;
    buffer_mark_ = end;
    buffer_tick_ns_ = now;
    if (old && !writing_ && written_.load(std::memory_order_relaxed) < raw(end)) lead_write();

    if (written_.load(std::memory_order_relaxed) < raw(end)) return kTickMs;
    os::yield_point("log idle");
    // Either the appender sees the flag behind its tail, or we see its tail behind the flag.
    ticker_idle_.store(true, std::memory_order_seq_cst);
    if (tail_.load(std::memory_order_seq_cst) == tail) return kTickIdleMs;
    ticker_idle_.store(false, std::memory_order_relaxed);
    return kTickMs;
}

std::uint32_t Log::tick_disk() {
    const std::uint64_t now = clock_.now_ns();
    bool behind = false;
    {
        os::MutexLock lock(mutex_);
        if (stopped()) return kTickIdleMs;
        const LogPosition end{record_end_.load(std::memory_order_acquire)};
        if (durable_position() >= sync_mark_) {
            // All that is not durable came after the tick before this one.
            sync_mark_ = end;
            sync_mark_ns_ = disk_tick_ns_ == 0 ? now : disk_tick_ns_;
        }
        disk_tick_ns_ = now;
        const bool old = durable_position() < sync_mark_ &&
                         now - sync_mark_ns_ + kSyncSlackMs * kMs >= options_.sync_ms * kMs;
        const bool much = distance(durable_position(), end) >= options_.sync_bytes;
        if ((old || much) && !syncing_) lead_sync();
        behind = durable_position() < end;
    }
    prepare_ahead();
    return behind ? kTickMs : kTickIdleMs;
}

std::uint32_t Log::tick() {
    const std::uint32_t buffer_ms = tick_buffer();
    return std::min(buffer_ms, tick_disk());
}

void Log::prepare_ahead() {
    std::shared_ptr<LogSegment> segment;
    {
        os::MutexLock lock(mutex_);
        if (stopped()) return;
        segment = live_.back().segment;
    }
    const LogPosition tail{tail_.load(std::memory_order_relaxed)};
    const std::uint32_t offset =
        segment_of(tail) == segment->number ? offset_of(tail) : kFirstRecordOffset;
    // In proportion to what was used, so that a small database has a small log.
    const std::uint32_t ahead =
        std::min(options_.prepare_ahead_bytes, std::max(kPrepareBytesMin, offset));
    const std::uint32_t prepared = segment->prepared_end.load(std::memory_order_acquire);
    if (prepared < segment->bytes && prepared < offset + ahead / 2) {
        const Result<void> r = segments_.extend(*segment, offset + ahead);
        os::MutexLock lock(mutex_);
        if (!r) {
            // On a full disk `reserve` will refuse, when it comes to that.
            if (r.error().code() != ErrorCode::kNoSpace) poison_held(r.error());
            return;
        }
        // Synced here, so that no commit has to wait for the file's new length. In the sync role:
        // of two syncs of a file at once, the system may tell its error to one only.
        mark_unsynced(segment);
        if (!syncing_ && !stopped()) lead_sync();
    }
    if (segment->bytes - offset <= options_.prepare_ahead_bytes && segments_.spare_count() == 0) {
        // A failure here harms nobody; `reserve` tries again and says so.
        [[maybe_unused]] const Result<void> tried = segments_.prepare(1, ahead);
    }
}

// ---- Figures.

/// Bytes between two places; where segments lie between, at least one segment's worth.
std::uint64_t Log::distance(LogPosition from, LogPosition to) const {
    if (from >= to) return 0;
    const std::uint64_t segments = segment_of(to) - segment_of(from);
    return segments * options_.segment_bytes + offset_of(to) - offset_of(from);
}

std::uint64_t Log::live_bytes() const {
    os::MutexLock lock(mutex_);
    return payload_bytes_.load(std::memory_order_relaxed) - live_.front().payload_before;
}

LogStats Log::stats() const {
    LogStats stats;
    {
        os::MutexLock lock(mutex_);
        stats.live_segments = live_.size();
    }
    stats.records = records_.load(std::memory_order_relaxed);
    stats.bytes_appended = payload_bytes_.load(std::memory_order_relaxed) - payload_at_open_;
    stats.bytes_written = bytes_written_.load(std::memory_order_relaxed);
    stats.writes = writes_.load(std::memory_order_relaxed);
    stats.syncs = syncs_.load(std::memory_order_relaxed);
    stats.prepare_syncs = segments_.sync_count();
    stats.records_synced = raw(durable_sequence()) - first_published_;
    stats.live_bytes = live_bytes();
    stats.spare_segments = segments_.spare_count();
    return stats;
}

}  // namespace fulgur::storage
