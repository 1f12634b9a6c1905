#include "storage/log_reader.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/planted.h"
#include "storage/log_window.h"

namespace fulgur::storage {
namespace {

/// In a file that was made ready and never linked, the search for fragments ends when so much in a
/// row has none: were its link damaged, the first fragment would begin within the first blocks, and
/// each next one within the longest fragment and two blocks.
constexpr std::uint32_t kSearchGapBytes = 2 * kFragmentBodyBytesMax;
/// Behind an end mark only a later open can have gone on, and its first fragment begins at once.
constexpr std::uint32_t kSearchGapBytesMarked = 64_KiB;
constexpr std::uint32_t kNoGap = ~std::uint32_t{0};

std::uint64_t raw(Sequence s) { return static_cast<std::uint64_t>(s); }
Sequence next_of(Sequence s) { return Sequence{raw(s) + 1}; }

std::optional<std::uint32_t> slot_of(Bytes name) {
    const Bytes prefix(kLogFilePrefix);
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    std::uint32_t slot = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), slot);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size() ||
        slot >= kLogSlotsMax || std::to_string(slot) != name) {
        return std::nullopt;
    }
    return slot;
}

}  // namespace

LogReader::LogReader(os::FileSystem& files, std::string directory, std::uint64_t database_id,
                     Sequence after, Sequence must_reach)
    : files_(files),
      directory_(std::move(directory)),
      database_id_(database_id),
      fragment_key_(fragment_key(database_id)),
      after_(after),
      must_reach_(std::max(after, must_reach)) {}

Result<std::unique_ptr<LogReader>> LogReader::open(os::FileSystem& files, std::string directory,
                                                   std::uint64_t database_id, Sequence after,
                                                   Sequence must_reach) {
    std::unique_ptr<LogReader> reader(
        new LogReader(files, std::move(directory), database_id, after, must_reach));
    if (Result<void> r = reader->find_slots(); !r) return r.error();
    if (Result<void> r = reader->build_chain(); !r) return r.error();
    return reader;
}

std::string LogReader::path_of(const Slot& slot) const {
    return log_file_path(directory_, slot.slot);
}

Error LogReader::corrupt(const char* what, const Slot* slot, std::uint64_t offset) const {
    return Error(ErrorCode::kCorruption, what)
        .at(slot == nullptr ? directory_ : path_of(*slot), offset);
}

Result<SegmentWindow> LogReader::window_of(const Slot& slot) const {
    auto file = files_.open(path_of(slot), os::FileSystem::Mode::kRead);
    if (!file) return file.error();
    return SegmentWindow(*std::move(file), slot.size);
}

// ---- What is there.

Result<void> LogReader::find_slots() {
    Result<std::vector<std::string>> names = files_.list(directory_);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        const std::optional<std::uint32_t> slot = slot_of(name);
        if (!slot) continue;
        Result<Slot> found = look_at(*slot);
        if (!found) return found.error();
        slots_.push_back(*found);
        number_max_ = std::max(number_max_, found->number);
    }
    std::sort(slots_.begin(), slots_.end(),
              [](const Slot& a, const Slot& b) { return a.number < b.number; });
    return {};
}

Result<LogReader::Slot> LogReader::look_at(std::uint32_t number_of_slot) const {
    Slot slot;
    slot.slot = number_of_slot;
    auto file = files_.open(path_of(slot), os::FileSystem::Mode::kRead);
    if (!file) return file.error();
    Result<std::uint64_t> size = (*file)->size();
    if (!size) return size.error();
    slot.size = *size;

    // One read for both; a window would read more than is wanted here.
    char bytes[kFirstRecordOffset];
    Result<std::size_t> n = (*file)->read_at(0, bytes);
    if (!n) return n.error();
    if (*n < SegmentHeader::kEncodedBytes) return slot;
    const std::optional<SegmentHeader> header = SegmentHeader::decode(bytes);
    if (!header) return slot;
    if (header->version != kLogFormatVersion) {
        return Error(ErrorCode::kUnsupported, "log segment of another format version")
            .at(path_of(slot), 4);
    }
    if (header->database_id != database_id_) {
        return corrupt("log segment of another database", &slot, 16);
    }
    slot.state = Slot::State::kUnlinked;
    slot.number = header->number;
    if (*n < sizeof bytes) return slot;

    const std::optional<FragmentHeader> link = FragmentHeader::decode(
        bytes + kLinkOffset, fragment_key_, log_position(slot.number, kLinkOffset));
    if (!link || link->type != FragmentType::kLink || link->length != LinkBody::kEncodedBytes) {
        return slot;
    }
    const Bytes body(bytes + kLinkOffset + FragmentHeader::kEncodedBytes, link->length);
    const std::optional<LinkBody> decoded = LinkBody::decode(body);
    if (crc32c(body) != link->body_crc || !decoded ||
        segment_of(decoded->previous_end) >= slot.number) {
        return slot;
    }
    slot.state = Slot::State::kLinked;
    slot.first_sequence = link->sequence;
    slot.previous_end = decoded->previous_end;
    slot.link_synced = link->synced;
    return slot;
}

bool LogReader::is_void(std::uint32_t number) const {
    return std::any_of(slots_.begin(), slots_.end(), [number](const Slot& slot) {
        return slot.state == Slot::State::kLinked && segment_of(slot.previous_end) < number &&
               number < slot.number;
    });
}

Result<void> LogReader::build_chain() {
    const Slot* previous = nullptr;
    for (const Slot& slot : slots_) {
        if (slot.state == Slot::State::kNoHeader) continue;
        if (previous != nullptr && previous->number == slot.number) {
            return corrupt("two log segments have the same number", &slot, 24);
        }
        previous = &slot;
        if (slot.state == Slot::State::kLinked && !is_void(slot.number)) chain_.push_back(&slot);
    }
    end_.next = next_of(after_);
    if (chain_.empty()) {
        // Nothing was ever logged, or what was is gone.
        for (const Slot& slot : slots_) {
            Result<bool> found = claims_in(slot, 0, kNoGap, LogPosition{0});
            if (!found) return found.error();
            if (*found) return corrupt("the log's only segment is damaged", &slot, 0);
        }
        if (raw(must_reach_) == 0) return {};
        return corrupt("the log is missing", nullptr, Error::kNoOffset);
    }
    for (std::size_t i = chain_.size(); i-- > 0;) {
        if (chain_[i]->first_sequence <= next_of(after_)) {
            first_ = i;
            return {};
        }
    }
    const auto damaged = std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) {
        return slot.state != Slot::State::kLinked && slot.size > 0;
    });
    if (damaged != slots_.end()) {
        return corrupt("log segment is damaged, and the log has no beginning without it", &*damaged,
                       damaged->state == Slot::State::kNoHeader ? 0 : kLinkOffset);
    }
    return corrupt("the log's beginning is missing", nullptr, Error::kNoOffset);
}

// ---- What counts.

Result<void> LogReader::replay(const Visitor& visit) {
    if (chain_.empty()) return {};
    Result<End> end = walk(&visit);
    if (!end) return end.error();
    if (judged_) return {};
    end_ = *end;
    if (Result<void> r = judge(end_); !r) return r;
    judged_ = true;
    return {};
}

Result<LogReader::End> LogReader::walk(const Visitor* visit) {
    End end;
    Partial partial;
    end.next = chain_[first_]->first_sequence;
    for (std::size_t i = first_; i < chain_.size(); ++i) {
        const Sequence first{raw(end.next) + (partial.open ? 1 : 0)};
        if (chain_[i]->first_sequence != first) break;
        end.bad = log_position(chain_[i]->number, kFirstRecordOffset);
        if (!partial.open) end.cut = end.bad;
        end.marked = false;
        end.synced = std::max(end.synced, chain_[i]->link_synced);
        Result<bool> whole = walk_segment(i, end, partial, visit);
        if (!whole) return whole.error();
        if (!*whole) break;
    }
    return end;
}

/// @return true when the segment was read up to where the next one says that it ended.
Result<bool> LogReader::walk_segment(std::size_t i, End& end, Partial& partial,
                                     const Visitor* visit) {
    const Slot& slot = *chain_[i];
    std::optional<std::uint32_t> limit;
    if (i + 1 < chain_.size() && segment_of(chain_[i + 1]->previous_end) == slot.number) {
        limit = offset_of(chain_[i + 1]->previous_end);
    }
    Result<SegmentWindow> window = window_of(slot);
    if (!window) return window.error();

    std::uint32_t offset = kFirstRecordOffset;
    while (!limit || offset < *limit) {
        // Directly behind the last one, or, after a sync, in the next block.
        std::optional<SegmentWindow::Fragment> found;
        for (const std::uint32_t at : {offset, round_up(offset, kLogBlockBytes)}) {
            auto fragment = window->fragment_at(log_position(slot.number, at), fragment_key_);
            if (!fragment) return fragment.error();
            if (*fragment && accept((*fragment)->header, end, partial) &&
                (!limit || at + (*fragment)->header.stored_bytes() <= *limit)) {
                found = *fragment;
                break;
            }
        }
        if (!found) return false;
        if (Result<void> r = take(found->header, found->body, end, partial, visit); !r) {
            return r.error();
        }
        offset = offset_of(end.bad);
    }
    return limit.has_value();
}

bool LogReader::accept(const FragmentHeader& header, const End& end, const Partial& partial) const {
    if (header.type == FragmentType::kLink) return false;
    if (header.continues() && !partial.open) {
        // The rest of a record that began before the first segment, which nobody wants. Only there
        // can it stand before anything else.
        return raw(header.sequence) + 1 == raw(end.next) && header.sequence <= after_ &&
               segment_of(header.position) == chain_[first_]->number &&
               end.next == chain_[first_]->first_sequence;
    }
    if (header.sequence != end.next || header.continues() != partial.open) return false;
    return (header.index == partial.next_index || FULGUR_PLANTED("log_fragment_index_unread")) &&
           partial.body.size() + header.length <= kLogRecordBytesMax;
}

Result<void> LogReader::take(const FragmentHeader& header, Bytes body, End& end, Partial& partial,
                             const Visitor* visit) const {
    end.bad = log_position(segment_of(header.position),
                           offset_of(header.position) + header.stored_bytes());
    end.marked = header.type == FragmentType::kEnd;
    end.synced = std::max(end.synced, header.synced);
    if (header.continues() && !partial.open) {
        end.cut = end.bad;
        return {};
    }
    if (header.type == FragmentType::kFirst || header.type == FragmentType::kMiddle) {
        partial.open = true;
        ++partial.next_index;
        partial.body.append(body);
        return {};
    }
    end.cut = end.bad;
    if (end.marked) return {};

    if (header.type == FragmentType::kLast) body = partial.body.append(body);
    Result<void> r;
    if (header.sequence > after_ && *visit) r = (*visit)(header.sequence, body);
    partial = Partial();
    end.next = next_of(header.sequence);
    return r;
}

// ---- Where it ends.

/// Damage, or a tear?
Result<void> LogReader::judge(const End& end) {
    const std::uint32_t here = segment_of(end.bad);
    for (const Slot& slot : slots_) {
        const bool later = slot.state == Slot::State::kNoHeader || slot.number > here;
        if (slot.number != here && (!later || is_void(slot.number))) continue;
        if (slot.number == here && end.marked) continue;

        const bool linked = slot.state == Slot::State::kLinked;
        std::uint32_t gap = kNoGap;
        if (slot.state == Slot::State::kUnlinked) gap = kSearchGapBytes;
        if (end.marked) gap = kSearchGapBytesMarked;
        Result<bool> found = linked && slot.number > here && slot.link_synced > end.bad;
        if (!*found) {
            const std::uint32_t from = slot.number == here ? offset_of(end.bad) : kLinkOffset;
            found = claims_in(slot, from, gap, end.bad);
        }
        if (!found) return found.error();
        if (!*found) continue;
        if (slot.number != here && !linked) {
            return corrupt("log segment is damaged where it begins", &slot,
                           slot.state == Slot::State::kNoHeader ? 0 : kLinkOffset);
        }
        const auto damaged = std::find_if(slots_.begin(), slots_.end(),
                                          [here](const Slot& s) { return s.number == here; });
        return corrupt(
            "damaged log record: valid ones follow that were written after it was synced",
            &*damaged, offset_of(end.bad));
    }
    if (raw(end.next) - 1 < raw(must_reach_)) {
        const auto last = std::find_if(slots_.begin(), slots_.end(),
                                       [here](const Slot& s) { return s.number == here; });
        return corrupt("the log ends before what the checkpoint holds", &*last, offset_of(end.bad));
    }
    return {};
}

/// Whether a fragment at `from` or behind claims that `bad` had been synced. The search ends at the
/// end of the file, or where `gap_max` bytes in a row hold no fragment.
Result<bool> LogReader::claims_in(const Slot& slot, std::uint32_t from, std::uint32_t gap_max,
                                  LogPosition bad) {
    constexpr std::uint32_t kHeaderBytes = FragmentHeader::kEncodedBytes;
    Result<SegmentWindow> window = window_of(slot);
    if (!window) return window.error();
    std::uint32_t at = from;
    std::uint32_t last_found = from;
    while (at + kHeaderBytes <= window->size() && at - last_found <= gap_max) {
        Result<Bytes> bytes = window->view(at, SegmentWindow::kWindowBytes);
        if (!bytes) return bytes.error();
        if (bytes->size() < kHeaderBytes) break;
        const char* const begin = bytes->data();
        const auto count = static_cast<std::uint32_t>(bytes->size() - kHeaderBytes) / 8 + 1;
        for (std::uint32_t i = 0; i < count; ++i) {
            const char* const p = begin + std::size_t{8} * i;
            const auto position = load_le<LogPosition>(p + 16);
            if (offset_of(position) != at + 8 * i || segment_of(position) < segment_of(bad)) {
                continue;
            }
            const auto header = FragmentHeader::decode(p, fragment_key_, position);
            if (!header || is_void(segment_of(position))) continue;
            last_found = at + 8 * i;
            number_max_ = std::max(number_max_, segment_of(position));
            if (header->synced > bad) return true;
        }
        at += 8 * count;
    }
    return false;
}

/// Writes [from, to) as it is, in whole blocks, and syncs.
Result<void> LogReader::write_again(const Slot& slot, std::uint32_t from, std::uint32_t to) {
    if (FULGUR_PLANTED("log_recovery_trusts_cache")) return {};
    Result<SegmentWindow> window = window_of(slot);
    if (!window) return window.error();
    auto file = files_.open(path_of(slot), os::FileSystem::Mode::kReadWrite);
    if (!file) return file.error();
    from = round_down(from, kLogBlockBytes);
    to = std::min(round_up(to, kLogBlockBytes), window->size());
    for (std::uint32_t at = from; at < to;) {
        Result<Bytes> bytes = window->view(at, std::min(to - at, SegmentWindow::kWindowBytes));
        if (!bytes) return bytes.error();
        if (bytes->empty()) break;
        if (Result<void> r = (*file)->write_at(at, *bytes); !r) return r;
        at += static_cast<std::uint32_t>(bytes->size());
    }
    return (*file)->sync();
}

Result<LogStart> LogReader::finish() {
    if (!judged_) {
        if (Result<void> r = replay(Visitor()); !r) return r.error();
    }
    LogStart start;
    start.database_id = database_id_;
    start.next = end_.next;
    start.end = end_.cut;
    start.next_number = number_max_ + 1;
    const std::uint32_t last = segment_of(end_.cut);
    for (std::size_t i = 0; i < chain_.size() && chain_[i]->number <= last; ++i) {
        const Slot& slot = *chain_[i];
        if (i >= first_ && slot.number >= segment_of(end_.synced)) {
            const bool in_part = slot.number == segment_of(end_.synced);
            const std::uint32_t from =
                in_part ? std::max(offset_of(end_.synced), kLinkOffset) : kLinkOffset;
            const std::uint32_t to =
                slot.number == last ? offset_of(end_.cut) : offset_of(chain_[i + 1]->previous_end);
            if (Result<void> r = write_again(slot, from, to); !r) return r.error();
        }
        const LogPosition next_begin =
            i + 1 < chain_.size() && slot.number < last ? chain_[i + 1]->previous_end : end_.cut;
        const std::uint64_t bytes =
            segment_of(next_begin) == slot.number ? offset_of(next_begin) - kFirstRecordOffset : 0;
        start.live.push_back({slot.number, slot.slot, slot.first_sequence, bytes});
    }
    for (const Slot& slot : slots_) {
        const bool used = std::any_of(start.live.begin(), start.live.end(),
                                      [&slot](const auto& live) { return live.slot == slot.slot; });
        if (!used) start.free_slots.push_back(slot.slot);
    }
    return start;
}

}  // namespace fulgur::storage
