// Reads the records of a log that is open and being written: what stands behind a change feed.
// Format: log_format.h. The log itself: log_writer.h.
//
// What may be read, and why no byte of it changes meanwhile. The files are read by calls of the
// system, not through shared memory, beside a writer and the background that makes segments ready.
//  * Only bytes before `Log::followable()` are read. They were written and synced before that
//    position was stored, which is loaded first. A sync seals the block that it ends in, and a
//    later write begins at or behind the seal: bytes below it are not written again in this life
//    of the segment. So there are no torn tails here; the log's end is a position, not a search.
//  * A segment's next life begins when it is given back, and that is after it has left the list of
//    live ones. So: read first, then ask whether the segment is live. If it is, everything that was
//    read was of the old life; if not, nothing of it is looked at. That needs no checksum to hold;
//    checksums and positions (with the segment's number in them) find damage, and would find a
//    former life.
//  * Where a segment ended is said by the link of the next one, which is on the disk as soon as
//    anything behind it is followable. Recovery cuts the log by such a link: what lies behind in
//    the older segment, valid or not, is not read.
//  * Sequences are dense, and a record's fragments too. Anything else below the end is kCorruption.
//
// It holds no segment back. One that falls behind what recovery needs and LogOptions::kept_bytes
// keeps gets kLimit, which says where the log begins now.
//
// Memory: a window of 64 KiB, or of the longest fragment in it (1 MiB), and the newest record.
// Thread safety: one thread at a time, beside everything that the log does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "os/file.h"
#include "storage/log_format.h"
#include "storage/log_writer.h"

namespace fulgur::storage {

struct LoggedRecord {
    Sequence sequence{};
    Bytes body;
};

class LogFollower {
public:
    LogFollower(os::FileSystem& files, std::string directory, std::uint64_t database_id,
                const Log& log);

    /// Before the first `next`: gives records from `from` on.
    /// @return kLimit when the log does not hold it any more.
    Result<void> start(Sequence from);

    /// The next record, if it is on the disk; its body stays until the next call. Finding the first
    /// one means reading its segment from the beginning.
    /// @return kLimit as above, kCorruption naming file and byte, kIo. It stays where it is then.
    Result<std::optional<LoggedRecord>> next();

    /// Of the record that `next` will give.
    Sequence next_sequence() const { return std::max(next_, from_); }
    /// All before it was looked at.
    LogPosition seen() const { return seen_; }

private:
    enum class Step : std::uint8_t { kNothingYet, kAgain, kRecord };

    Result<Step> step();
    Result<void> find_end();
    Result<void> enter_next();
    Result<Step> read_fragment(std::uint32_t limit);
    Result<Step> take(const FragmentHeader& header, std::uint32_t limit);
    Result<Bytes> view(std::uint32_t offset, std::uint32_t size, std::uint32_t limit);
    Result<std::size_t> read(os::File& file, std::uint64_t offset, std::span<char> into) const;
    Result<std::unique_ptr<os::File>> open(std::uint32_t slot) const;
    void begin(const Log::Place& place, std::unique_ptr<os::File> file);
    Error gone() const;
    Error damaged(const char* what, std::uint32_t slot, std::uint32_t offset) const;

    os::FileSystem& files_;
    const std::string directory_;
    const std::uint32_t fragment_key_;
    const Log& log_;

    Sequence from_{};     ///< Records before are passed over.
    Sequence next_{};     ///< Of the record that is expected, or of the one that is open.
    LogPosition seen_{};  ///< What was followable at the last look.

    // The segment at hand.
    Log::Place place_;
    std::unique_ptr<os::File> file_;  ///< Null before the first look.
    std::uint32_t offset_ = 0;        ///< Of the next fragment, but for padding.
    bool fresh_ = true;               ///< No record has begun in it.
    /// Once the next one is known: where this one ended, and the next one.
    struct End {
        std::uint32_t offset = 0;
        Sequence next_first{};
        Log::Place next;
        std::unique_ptr<os::File> file;
    };
    std::optional<End> end_;

    // A record whose first fragments were read.
    bool open_ = false;
    std::uint16_t next_index_ = 0;
    std::string body_;

    std::vector<char> window_;
    std::uint32_t window_begin_ = 0;
    std::uint32_t window_held_ = 0;
};

}  // namespace fulgur::storage
