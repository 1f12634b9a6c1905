#include "storage/log_follower.h"

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "os/thread.h"

namespace fulgur::storage {
namespace {

constexpr std::uint32_t kWindowBytes = 64_KiB;
/// What is kept from one record for the next has a bound.
constexpr std::size_t kKeptBodyBytes = 1_MiB;

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }

}  // namespace

LogFollower::LogFollower(os::FileSystem& files, std::string directory, std::uint64_t database_id,
                         const Log& log)
    : files_(files),
      directory_(std::move(directory)),
      fragment_key_(fragment_key(database_id)),
      log_(log) {}

Result<void> LogFollower::start(Sequence from) {
    from_ = next_ = from;
    const std::optional<Log::Place> place = log_.place_of(from);
    if (!place) return gone();
    begin(*place, nullptr);
    next_ = place->first_sequence;
    return {};
}

Error LogFollower::gone() const {
    return Error(ErrorCode::kLimit,
                 "the log does not hold these changes any more: read the whole database, and "
                 "follow from there")
        .at("asked for sequence " + std::to_string(raw(next_sequence())) + ", the log begins at " +
            std::to_string(raw(log_.oldest_sequence())));
}

Error LogFollower::damaged(const char* what, std::uint32_t slot, std::uint32_t offset) const {
    return Error(ErrorCode::kCorruption, what).at(log_file_path(directory_, slot), offset);
}

Result<std::optional<LoggedRecord>> LogFollower::next() {
    using Found = std::optional<LoggedRecord>;
    if (!open_ && body_.capacity() > kKeptBodyBytes) std::string().swap(body_);
    if (!open_) body_.clear();
    for (;;) {
        Result<Step> done = step();
        if (!done) return log_.holds(place_.number) ? done.error() : gone();
        if (*done == Step::kNothingYet) return Found();
        if (*done == Step::kRecord) {
            return Found(LoggedRecord{Sequence{raw(next_) - 1}, body_});
        }
    }
}

Result<LogFollower::Step> LogFollower::step() {
    seen_ = log_.followable();
    if (seen_ < log_position(place_.number, kFirstRecordOffset)) return Step::kNothingYet;
    if (file_ == nullptr) {
        Result<std::unique_ptr<os::File>> file = open(place_.slot);
        if (!file) return file.error();
        file_ = *std::move(file);
    }
    if (!end_ && segment_of(seen_) > place_.number) {
        if (Result<void> r = find_end(); !r) return r.error();
    }
    const std::uint32_t limit = end_ ? end_->offset : offset_of(seen_);
    if (offset_ < limit) return read_fragment(limit);
    if (!end_) return Step::kNothingYet;
    if (Result<void> r = enter_next(); !r) return r.error();
    return Step::kAgain;
}

// ---- Segments.

Result<std::unique_ptr<os::File>> LogFollower::open(std::uint32_t slot) const {
    return files_.open(log_file_path(directory_, slot), os::FileSystem::Mode::kRead);
}

void LogFollower::begin(const Log::Place& place, std::unique_ptr<os::File> file) {
    place_ = place;
    file_ = std::move(file);
    offset_ = kFirstRecordOffset;
    fresh_ = true;
    end_.reset();
    window_held_ = 0;
}

/// The next segment's link says where this one ended.
Result<void> LogFollower::find_end() {
    const std::optional<Log::Place> next = log_.place_behind(place_.number);
    if (!next) return gone();
    End end;
    end.next = *next;
    Result<std::unique_ptr<os::File>> file = open(next->slot);
    if (!file) return file.error();
    end.file = *std::move(file);
    char bytes[kLinkStoredBytes];
    Result<std::size_t> n = read(*end.file, kLinkOffset, bytes);
    if (!n) return n.error();
    const Error bad = damaged("damaged link of a log segment", next->slot, kLinkOffset);
    if (*n < sizeof bytes) return bad;
    const std::optional<FragmentHeader> link =
        FragmentHeader::decode(bytes, fragment_key_, log_position(next->number, kLinkOffset));
    if (!link || link->type != FragmentType::kLink || link->length != LinkBody::kEncodedBytes) {
        return bad;
    }
    const Bytes body(bytes + FragmentHeader::kEncodedBytes, link->length);
    const std::optional<LinkBody> decoded = LinkBody::decode(body);
    if (crc32c(body) != link->body_crc || !decoded) return bad;
    if (segment_of(decoded->previous_end) != place_.number) {
        return damaged("a log segment is missing before this one", next->slot, kLinkOffset);
    }
    end.offset = offset_of(decoded->previous_end);
    end.next_first = link->sequence;
    end_ = std::move(end);
    return {};
}

Result<void> LogFollower::enter_next() {
    if (open_ && FULGUR_PLANTED("feed_loses_what_crosses_segments")) {
        open_ = false;
        body_.clear();
        next_ = end_->next_first;
        next_index_ = 0;
    }
    const Sequence first{raw(next_) + (open_ ? 1 : 0)};
    if (end_->next_first != first) {
        return damaged("the log's sequences have a gap", end_->next.slot, kLinkOffset);
    }
    begin(end_->next, std::move(end_->file));
    return {};
}

// ---- Fragments.

/// Reads, and makes sure that what was read is of this life of the segment at hand, or of a later
/// segment's, which is recycled after it.
Result<std::size_t> LogFollower::read(os::File& file, std::uint64_t offset,
                                      std::span<char> into) const {
    os::yield_point("log follow");
    Result<std::size_t> n = file.read_at(offset, into);
    os::yield_point("log followed");
    if (!log_.holds(place_.number)) {
        return gone();
    }
    return n;
}

/// `size` bytes from `offset` on; fewer where that is beyond the limit or the file ends.
Result<Bytes> LogFollower::view(std::uint32_t offset, std::uint32_t size, std::uint32_t limit) {
    if (offset >= limit) return Bytes();
    size = std::min(size, limit - offset);
    if (offset < window_begin_ || offset + size > window_begin_ + window_held_) {
        const std::uint32_t wanted = std::min(std::max(size, kWindowBytes), limit - offset);
        window_held_ = 0;  // Should the read fail.
        window_.resize(wanted);
        Result<std::size_t> n = read(*file_, offset, window_);
        if (!n) return n.error();
        window_begin_ = offset;
        window_held_ = static_cast<std::uint32_t>(*n);
        size = std::min(size, window_held_);
    }
    return Bytes(window_.data() + (offset - window_begin_), size);
}

/// Directly behind the last one or, after a sync, in the next block.
Result<LogFollower::Step> LogFollower::read_fragment(std::uint32_t limit) {
    for (const std::uint32_t at : {offset_, round_up(offset_, kLogBlockBytes)}) {
        Result<Bytes> bytes = view(at, FragmentHeader::kEncodedBytes, limit);
        if (!bytes) return bytes.error();
        if (bytes->size() < FragmentHeader::kEncodedBytes) break;
        const std::optional<FragmentHeader> header =
            FragmentHeader::decode(bytes->data(), fragment_key_, log_position(place_.number, at));
        if (header) return take(*header, limit);
    }
    return damaged("damaged log record", place_.slot, offset_);
}

Result<LogFollower::Step> LogFollower::take(const FragmentHeader& header, std::uint32_t limit) {
    const std::uint32_t at = offset_of(header.position);
    const std::uint32_t stored = header.stored_bytes();
    if (header.type == FragmentType::kEnd) {
        offset_ = at + stored;
        return Step::kAgain;
    }
    if (fresh_ && !open_ && header.continues() && raw(header.sequence) + 1 == raw(next_)) {
        // The rest of a record that began before the first segment that was looked at.
        offset_ = at + stored;
        return Step::kAgain;
    }
    if (header.type == FragmentType::kLink || header.sequence != next_ ||
        header.continues() != open_ || header.index != next_index_ || stored > limit - at ||
        body_.size() + header.length > kLogRecordBytesMax) {
        return damaged("log record out of order", place_.slot, at);
    }
    if (header.sequence >= from_) {
        Result<Bytes> bytes = view(at, stored, limit);
        if (!bytes) return bytes.error();
        if (bytes->size() < stored) return damaged("log record cut off", place_.slot, at);
        const Bytes body = bytes->substr(FragmentHeader::kEncodedBytes, header.length);
        if (crc32c(body) != header.body_crc) {
            return damaged("log record checksum mismatch", place_.slot, at);
        }
        body_.append(body);
    }
    offset_ = at + stored;
    fresh_ = false;
    open_ = header.type == FragmentType::kFirst || header.type == FragmentType::kMiddle;
    if (open_) {
        ++next_index_;
        return Step::kAgain;
    }
    next_index_ = 0;
    next_ = Sequence{raw(next_) + 1};
    return header.sequence >= from_ ? Step::kRecord : Step::kAgain;
}

}  // namespace fulgur::storage
