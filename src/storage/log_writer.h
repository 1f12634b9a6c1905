// The log while the database is open: append, group commit, recycling. Format: log_format.h.
//
// Who does what
//  * The appender (one thread at a time: the caller's commit mutex) copies fragments into a ring
//    buffer and publishes them by moving `tail_`. It takes no lock of ours, except where a segment
//    ends or the buffer is full.
//  * The writer (whoever holds the write role: `writing_`) takes what is published to the files.
//  * The syncer (whoever holds the sync role: `syncing_`) takes the write role first, writes, lets
//    it go, then syncs: others may write on while the disk works.
//  Roles are flags guarded by `mutex_` and are held during I/O; the mutex is not.
//
// Group commit: a commit that finds no sync in flight becomes the syncer for everything published
// so far; the others sleep. Those whom the sync in flight covers are woken at its end. The rest
// wait for the next one: at the end of a sync one of them is woken and leads it. So the flush is
// the batching window, there is no delay, and a lone commit costs one write and one sync.
//
// Sealing: what a sync covers ends at some place A inside a block. Before it writes, the syncer
// moves `tail_` from A to the next block boundary, so that nothing is ever put into that block
// again. The appender publishes by compare-exchange from where its fragment begins; when a seal
// came in between it fails, and the fragment is made again behind the boundary. The bytes of [A,
// boundary) on the disk are zeros from the writer's own buffer, never the ring's.
//
// Memory model
//  * Ring bytes: written by the appender before its release in `tail_`'s compare-exchange; read by
//    the writer only below the `tail_` it acquired. Used again by the appender only below
//    `released_` + buffer size, which it acquires and the writer releases after its writes. So no
//    byte is written and read at the same time, and everything read was published.
//  * `live_` gets a segment before `tail_` enters it; the writer reads `tail_` first and then,
//  under
//    `mutex_`, the list: it finds every segment up to its tail.
//  * `published_` (the newest whole record) is stored after `tail_`, and the writer loads it
//    before `tail_`: it never claims more than it writes. A committer knows its own sequence better
//    and raises `durable_sequence_` when its wait ends.
//  * `durable_` only grows, under `mutex_`; the appender stamps it into headers. An old value there
//    is always true.
//
// Failure: a failed write or sync of the log stops it for good (kPoisoned): nothing is retried,
// since the kernel may have dropped the pages. A full disk is met in `reserve`, where nothing has
// happened yet: segments are prepared (log_segments.h), so that writing takes no space.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/options.h>
#include <fulgur/result.h>

#include "base/thread_annotations.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/mutex.h"
#include "storage/latency.h"
#include "storage/log_format.h"
#include "storage/log_segments.h"

namespace fulgur::storage {

/// Where a log stands when nobody writes it: what recovery found, or the start of a new one.
struct LogStart {
    struct Segment {
        std::uint32_t number = 0;
        std::uint32_t slot = 0;
        Sequence first_sequence{};
        std::uint64_t bytes = 0;  ///< About so much payload.
    };

    std::uint64_t database_id = 0;
    Sequence next{1};                       ///< The sequence that the next record must have.
    std::uint32_t next_number = 1;          ///< Above every number that was ever used.
    LogPosition end{};                      ///< Of the newest record that counts; 0: none.
    std::vector<Segment> live;              ///< Oldest first.
    std::vector<std::uint32_t> free_slots;  ///< Files that may be written over.
};

/// What an append returns and a wait takes.
struct LogTicket {
    LogPosition end{};
    Sequence sequence{};
};

struct LogStats {
    std::uint64_t records = 0;         ///< Appended.
    std::uint64_t bytes_appended = 0;  ///< Headers and bodies.
    std::uint64_t bytes_written = 0;   ///< With padding and rewritten partial blocks.
    std::uint64_t writes = 0;
    std::uint64_t syncs = 0;           ///< fdatasync calls for what was appended.
    std::uint64_t prepare_syncs = 0;   ///< fdatasync calls for new segments.
    std::uint64_t records_synced = 0;  ///< `records_synced / syncs`: commits per sync.
    std::uint64_t live_bytes = 0;      ///< Payload that replay may still need, or that is kept.
    std::uint64_t live_segments = 0;
    std::uint64_t spare_segments = 0;
};

/// The log of an open database.
///
/// Lifecycle: `open` after recovery; `reserve`, `append`, `wait` per commit; `recycle` after a
/// checkpoint; the ticks from a background thread; `close`, then the destructor. A destructor
/// without `close` leaves what a killed process leaves.
///
/// Concurrency: `reserve`, `append` and `close` one at a time (the caller's commit mutex);
/// everything else from any thread. Nothing may run beside the destructor.
class Log {
public:
    /// Begins a segment behind `start` and makes that durable: from then on the log ends at
    /// `start.end` whatever lies behind it in the old files.
    static Result<std::unique_ptr<Log>> open(os::FileSystem& files, std::string directory,
                                             os::Clock& clock, LogOptions options,
                                             const LogStart& start);
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    /// Before a sequence is taken: makes sure that a record of this size can be appended and
    /// written. May wait for room in the buffer.
    /// @return kNoSpace: the disk is full, and kIo: no segment could be made; nothing has happened
    /// then, and another try may succeed. kLimit: above kLogRecordBytesMax.
    Result<void> reserve(std::size_t body_bytes);

    /// Appends the next record. `reserve` with its size came before.
    /// @param sequence  the one after the last.
    /// @param body_crc  crc32c(body), so that it can be computed outside the commit mutex.
    Result<LogTicket> append(Sequence sequence, Bytes body, std::uint32_t body_crc);

    /// Returns when the record has reached the level. kBuffered: at once, mostly.
    Result<void> wait(LogTicket ticket, Durability durability);

    /// Everything appended before the call is durable when it returns.
    Result<void> sync_all();

    /// Hands over what has been in the buffer since the last tick. Never syncs.
    /// @return milliseconds until it wants to be called again. With kTickMs between busy calls
    /// nothing stays in the buffer for 10 ms. While idle, `LogOptions::wake` says when to come
    /// back.
    std::uint32_t tick_buffer();
    /// Syncs what is old or much, and prepares segments. May take as long as the disk takes.
    /// @return as above.
    std::uint32_t tick_disk();
    /// Both.
    std::uint32_t tick();

    static constexpr std::uint32_t kTickMs = 5;
    static constexpr std::uint32_t kTickIdleMs = 1000;

    /// Replay will never need records up to here again: their segments may be used anew. A segment
    /// is kept until the one after it is durably linked, and as LogOptions::kept_bytes says.
    Result<void> recycle(Sequence up_to);
    /// Live ones, but for those that `kept_bytes` keeps whatever replay needs.
    std::size_t segments_not_kept() const EXCLUDES(mutex_);

    /// Writes and syncs everything, and marks the end, so that the next open need not search
    /// behind it. Afterwards calls fail.
    Result<void> close();

    /// Everything up to here is on the disk. A lower bound, exact when nobody is appending.
    Sequence durable_sequence() const {
        return Sequence{durable_sequence_.load(std::memory_order_acquire)};
    }
    LogPosition durable_position() const {
        return LogPosition{durable_.load(std::memory_order_acquire)};
    }
    /// A write or sync failed; or `close` was called.
    bool stopped() const { return stopped_.load(std::memory_order_acquire); }
    bool poisoned() const EXCLUDES(mutex_);
    /// What calls return since then: kPoisoned with the first error's file, offset and number.
    Error stop_error() const EXCLUDES(mutex_);

    // For those who follow the log in its files: log_follower.h.

    struct Place {
        std::uint32_t number = 0;
        std::uint32_t slot = 0;
        Sequence first_sequence{};
    };
    /// The live segment in which that record begins, or will begin; none when it was recycled.
    std::optional<Place> place_of(Sequence sequence) const EXCLUDES(mutex_);
    /// The live segment that follows that one.
    std::optional<Place> place_behind(std::uint32_t number) const EXCLUDES(mutex_);
    /// Whether nothing of that segment was given back yet.
    bool holds(std::uint32_t number) const EXCLUDES(mutex_);
    /// The oldest record that begins in a live segment has this sequence, or a later one.
    Sequence oldest_sequence() const EXCLUDES(mutex_);
    /// What lies before it is on the disk, and not written again while its segment lives.
    LogPosition followable() const;
    /// Returns when more than `seen` is followable, when the log stopped, or after `end_following`.
    /// @return false when `ms` milliseconds passed.
    bool wait_for_more(LogPosition seen, std::uint64_t ms) EXCLUDES(mutex_);
    /// Wakes those who wait; nobody waits from now on.
    void end_following() EXCLUDES(mutex_);

    std::uint64_t live_bytes() const EXCLUDES(mutex_);
    LogStats stats() const EXCLUDES(mutex_);
    /// How long each sync that `stats` counts took.
    Recorded sync_ns() const { return sync_ns_.read(); }
    /// Commits that each turn of syncing made durable; turns for none are left out.
    Recorded group_sizes() const { return group_sizes_.read(); }

private:
    static constexpr std::size_t kScratchBytes = 64_KiB;

    struct Live {
        std::uint32_t number = 0;
        std::uint32_t slot = 0;
        Sequence first_sequence{};
        std::uint64_t payload_before = 0;     ///< Of the whole log, when it began.
        std::shared_ptr<LogSegment> segment;  ///< Null when it comes from before this open.
        std::uint32_t end = 0;                ///< About, when from before; 0: the newest.
    };
    struct Piece {
        std::shared_ptr<LogSegment> segment;
        std::uint32_t begin = 0;  ///< A block boundary.
        std::uint32_t end = 0;
    };
    /// One turn of the write role.
    struct Flush {
        std::vector<Piece> pieces;
        LogPosition cut{};              ///< Everything before is written when it is done.
        LogPosition next_begin{};       ///< Where the next flush begins: a block boundary.
        std::uint64_t next_stream = 0;  ///< The same place in the stream of buffer bytes.
        Sequence published{};
    };

    Log(os::FileSystem& files, std::string directory, os::Clock& clock, LogOptions options,
        const LogStart& start);

    // ---- The appender (log_writer.cc).
    Result<void> begin(const LogStart& start);
    Result<void> reserve_slowly(std::size_t body_bytes);
    Result<void> reserve_disk(std::size_t body_bytes);
    Result<void> append_fragments(Sequence sequence, Bytes body, std::uint32_t body_crc);
    Result<void> enter_next_segment(Sequence first_sequence);
    void put(std::uint64_t stream, const FragmentHeader& header, Bytes body);
    void copy_in(std::uint64_t stream, const char* from, std::size_t size);
    bool publish(LogPosition from, LogPosition to);
    void publish_record(Sequence sequence);
    bool has_room(std::uint64_t stream_end);
    Result<void> make_room(std::uint64_t stream_end) EXCLUDES(mutex_);
    void wake_ticker();
    FragmentHeader header_at(LogPosition position, FragmentType type, Sequence sequence) const;

    // ---- Writer and syncer (log_flush.cc). The roles are taken and let go inside.
    Result<void> wait_written(LogPosition end) EXCLUDES(mutex_);
    Result<void> wait_durable(LogPosition end) EXCLUDES(mutex_);
    void lead_write() REQUIRES(mutex_);
    void lead_sync() REQUIRES(mutex_);
    Flush plan(bool seal) REQUIRES(mutex_);
    Result<void> write(const Flush& flush) EXCLUDES(mutex_);
    Result<void> write_piece(const Piece& piece) EXCLUDES(mutex_);
    void copy_out(std::uint64_t stream, std::size_t size, char* to) const;
    void written(const Flush& flush) REQUIRES(mutex_);
    void mark_unsynced(const std::shared_ptr<LogSegment>& segment) REQUIRES(mutex_);
    void raise_durable_sequence(Sequence sequence);
    void poison(const Error& cause) EXCLUDES(mutex_);
    void poison_held(const Error& cause) REQUIRES(mutex_);
    void prepare_ahead() EXCLUDES(mutex_);
    std::uint64_t distance(LogPosition from, LogPosition to) const;
    std::size_t kept_segments() const REQUIRES(mutex_);

    os::Clock& clock_;
    const LogOptions options_;
    const std::uint32_t fragment_key_;
    const std::uint32_t fragment_bytes_max_;
    const std::uint64_t buffer_mask_;
    const std::unique_ptr<char[]> buffer_;
    LogSegments segments_;

    // ---- The appender's own; guarded by the caller's commit mutex.
    alignas(64) std::shared_ptr<LogSegment> segment_;
    LogPosition fragment_end_{};  ///< Of the newest fragment.
    std::uint64_t room_end_ = 0;  ///< Buffer bytes before this place are known to be free.
    Sequence last_sequence_{};
    bool appending_ = false;  ///< Finds calls that are not one at a time.

    // ---- Written by the appender, and by seals.
    alignas(64) std::atomic<std::uint64_t> tail_{0};
    std::atomic<std::uint64_t> published_{0};   ///< Newest whole record's sequence,
    std::atomic<std::uint64_t> record_end_{0};  ///< and its end.
    std::atomic<std::uint64_t> payload_bytes_{0};
    std::atomic<std::uint64_t> records_{0};

    // ---- Written by the roles.
    alignas(64) std::atomic<std::uint64_t> released_{0};
    std::atomic<std::uint64_t> written_{0};
    std::atomic<std::uint64_t> durable_{0};
    std::atomic<std::uint64_t> durable_sequence_{0};
    std::atomic<bool> stopped_{false};
    std::atomic<bool> ticker_idle_{false};

    // ---- Of the write role; nobody else touches them.
    LogPosition next_begin_{};
    const std::unique_ptr<char[]> scratch_;
    std::atomic<std::uint64_t> bytes_written_{0};
    std::atomic<std::uint64_t> writes_{0};

    mutable os::Mutex mutex_;
    std::deque<Live> live_ GUARDED_BY(mutex_);
    std::vector<std::shared_ptr<LogSegment>> unsynced_ GUARDED_BY(mutex_);
    bool writing_ GUARDED_BY(mutex_) = false;
    bool syncing_ GUARDED_BY(mutex_) = false;
    bool sync_planned_ GUARDED_BY(mutex_) =
        false;  ///< Of the sync in flight: `sync_cut_` is known.
    LogPosition sync_cut_ GUARDED_BY(mutex_){};
    std::uint64_t sync_turn_ GUARDED_BY(mutex_) = 0;
    Sequence grouped_ GUARDED_BY(mutex_){};  ///< Newest one that a sync has counted.
    Error stop_error_ GUARDED_BY(mutex_){ErrorCode::kInvalid, "the log is closed"};
    os::ConditionVariable write_done_;
    os::ConditionVariable sync_done_[2];  ///< Of this turn and of the next, by turn & 1.
    std::uint32_t followers_waiting_ GUARDED_BY(mutex_) = 0;
    bool following_ended_ GUARDED_BY(mutex_) = false;
    os::ConditionVariable more_;

    // ---- Of the ticks.
    LogPosition buffer_mark_ GUARDED_BY(mutex_){};  ///< Published at the last tick.
    std::uint64_t buffer_tick_ns_ GUARDED_BY(mutex_) = 0;
    LogPosition sync_mark_ GUARDED_BY(mutex_){};  ///< Published at `sync_mark_ns_` at the earliest.
    std::uint64_t sync_mark_ns_ GUARDED_BY(mutex_) = 0;
    std::uint64_t disk_tick_ns_ GUARDED_BY(mutex_) = 0;

    std::atomic<std::uint64_t> syncs_{0};
    SharedHistogram sync_ns_;
    SharedHistogram group_sizes_;

    // ---- Constant after `open`.
    std::uint64_t first_published_ = 0;  ///< The sequence before this open.
    std::uint64_t payload_at_open_ = 0;
};

}  // namespace fulgur::storage
