// Recovery of the log: which segments there are, what counts in them, and where it ends.
// Format: log_format.h.
//
// The chain. Every segment's link says which segment came before and where that one ended. A link
// from number p to number n also says that the numbers between are void: a recovery cut the log in
// p and went on in n. The others, in order of number, are the chain. A segment ends where the next
// one's link says; nothing behind that counts, even when it is valid.
//
// The end. Where a fragment is expected and none is valid, the log was torn, or it is damaged.
// Every fragment says up to where everything was on the disk when it was written. So:
//
//   damage   when any valid fragment behind claims that the bad place had been synced, or when the
//            log ends before a sequence that the caller knows to be durable;
//   a tear   otherwise. What comes behind was never acknowledged as durable. The log is cut after
//            the last whole record before it; the next segment's link makes the cut durable.
//
// Damage within what the very last sync wrote cannot be told from a tear: nothing behind claims it.
// Fragments behind a bad place are searched byte by byte (at multiples of 8), so no assumption is
// made about where they begin. A clean close leaves an end mark, behind which only the neighbouring
// files' beginnings are searched.
//
// A killed process may leave pages that were never synced, and a failed sync pages that the kernel
// takes for clean although the disk does not have them. They are read and believed, so `finish`
// writes again, with the same bytes, what no fragment claims to be on the disk, and syncs it,
// before anybody can build on it. Nothing else is written here.
//
// Bounded memory: one window of a file, and one record.
#pragma once

#include <cstdint>
#include <functional>
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

class SegmentWindow;

/// Reads the log of a database that nobody has open.
///
/// Lifecycle: `open`, `replay` as often as wanted, `finish`, then Log::open with its result. Not
/// thread-safe. Errors of kCorruption name the file and the byte.
class LogReader {
public:
    /// Gets records in order. A record may be given again by the next `replay`. An error ends it.
    using Visitor = std::function<Result<void>(Sequence, Bytes body)>;

    /// Looks at the beginnings of all segments.
    /// @param after       records up to here are not wanted; everything up to here was synced.
    /// @param must_reach  a log that ends before this is corrupt; 0 when nothing is known.
    static Result<std::unique_ptr<LogReader>> open(os::FileSystem& files, std::string directory,
                                                   std::uint64_t database_id, Sequence after,
                                                   Sequence must_reach);

    /// Gives every record behind `after`, then judges the end.
    Result<void> replay(const Visitor& visit);

    /// Makes durable what was believed. @return where a writer goes on.
    Result<LogStart> finish();

    /// The newest record; known after the first replay.
    Sequence last() const { return Sequence{static_cast<std::uint64_t>(end_.next) - 1}; }
    /// Behind the newest record; known after the first replay. 0: there is no log.
    LogPosition end() const { return end_.cut; }
    /// The segments that hold records behind `after`, and later ones.
    std::size_t segment_count() const { return chain_.size() - first_; }

private:
    /// One file, by its beginning.
    struct Slot {
        enum class State : std::uint8_t {
            kNoHeader,  ///< Empty, damaged, or torn while it was made.
            kUnlinked,  ///< Made ready and not used, or its link is damaged.
            kLinked,
        };
        std::uint32_t slot = 0;
        State state = State::kNoHeader;
        std::uint32_t number = 0;   ///< Unless kNoHeader.
        Sequence first_sequence{};  ///< When linked, as the rest.
        LogPosition previous_end{};
        LogPosition link_synced{};
        std::uint64_t size = 0;
    };
    /// How far a walk came.
    struct End {
        Sequence next{1};   ///< The sequence that is expected.
        LogPosition cut{};  ///< Behind the last whole record,
        LogPosition bad{};  ///< and behind the last valid fragment: a part of a record may follow.
        LogPosition synced{};  ///< Everything before had been synced, says a fragment.
        bool marked = false;   ///< The last fragment is an end mark.
    };
    /// A record whose first fragments were read.
    struct Partial {
        bool open = false;
        std::uint16_t next_index = 0;
        std::string body;
    };

    LogReader(os::FileSystem& files, std::string directory, std::uint64_t database_id,
              Sequence after, Sequence must_reach);

    Result<void> find_slots();
    Result<Slot> look_at(std::uint32_t slot) const;
    Result<void> build_chain();
    bool is_void(std::uint32_t number) const;

    Result<End> walk(const Visitor* visit);
    Result<bool> walk_segment(std::size_t i, End& end, Partial& partial, const Visitor* visit);
    bool accept(const FragmentHeader& header, const End& end, const Partial& partial) const;
    Result<void> take(const FragmentHeader& header, Bytes body, End& end, Partial& partial,
                      const Visitor* visit) const;

    Result<void> judge(const End& end);
    Result<bool> claims_in(const Slot& slot, std::uint32_t from, std::uint32_t gap_max,
                           LogPosition bad);
    Result<void> write_again(const Slot& slot, std::uint32_t from, std::uint32_t to);
    Result<SegmentWindow> window_of(const Slot& slot) const;
    std::string path_of(const Slot& slot) const;
    Error corrupt(const char* what, const Slot* slot, std::uint64_t offset) const;

    os::FileSystem& files_;
    const std::string directory_;
    const std::uint64_t database_id_;
    const std::uint32_t fragment_key_;
    const Sequence after_;
    const Sequence must_reach_;

    std::vector<Slot> slots_;  ///< All files, in order of number.
    std::vector<const Slot*> chain_;
    std::size_t first_ = 0;         ///< Where `after_` + 1 begins, in `chain_`.
    std::uint32_t number_max_ = 0;  ///< Of all that was seen anywhere.
    End end_;
    bool judged_ = false;
};

}  // namespace fulgur::storage
