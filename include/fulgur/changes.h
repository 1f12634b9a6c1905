#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

namespace fulgur {

namespace db {
class Engine;
struct ChangesState;
}  // namespace db

/// One operation of a commit, as it was applied: what a counter, a conditional put or an erased
/// range did is told as plain puts and erases.
struct Change {
    enum class Kind : std::uint8_t { kPut, kErase, kCreateKeyspace, kDropKeyspace };

    Kind kind = Kind::kPut;
    /// Ids are never used again: a name that was dropped and made anew has another one.
    std::uint32_t keyspace_id = 0;
    /// Its name. Empty when nothing but its id is known any more; then its drop follows in the
    /// feed, and nothing that is left of it can be read.
    Bytes keyspace;
    Bytes key;                     ///< kPut and kErase.
    Bytes value;                   ///< kPut, unless it lies apart.
    std::uint64_t value_size = 0;  ///< kPut.
    /// The value is above 256 KiB, and the log only says where it is: see Changes::load.
    bool apart() const noexcept { return sector != 0; }

    std::uint64_t sector = 0;    ///< For Changes::load.
    std::uint64_t checksum = 0;  ///< For Changes::load.
};

/// One commit. Its operations are sorted by keyspace and key, one for each key.
struct ChangeBatch {
    Sequence sequence{};
    std::span<const Change> changes;
};

struct ChangesOptions {
    /// Names of the keyspaces whose changes are wanted; empty: all. Commits that change none of
    /// them are passed over.
    std::vector<std::string> keyspaces = {};
};

/// Follows the commits of a database, in their order, none left out, from its log: see
/// Database::changes.
///
/// It shows what is on the disk, at whatever level it was committed: nothing that it gave can be
/// taken back by a power cut. So commits of Durability::kOs and kBuffered come up to a second
/// later; `Database::sync` brings them at once. Each is visible to readers when it is given.
///
/// It keeps nothing from going: log that recovery does not need any more is kept as
/// Options::log_bytes_kept says. A feed that falls behind that gets kLimit, and from then on
/// always.
///
/// Memory of its own beside the budget: 64 KiB to 1 MiB, and the newest batch. One thread at a
/// time, beside everything else; movable. It may outlive the database's handle; after the close
/// every call returns kInvalid.
class Changes {
public:
    Changes(Changes&&) noexcept;
    Changes& operator=(Changes&&) noexcept;
    ~Changes();

    /// The next batch, if there is one yet; its views are valid until the next call of `next` or
    /// `wait`. The first call reads a segment of the log from its beginning; the others O(bytes).
    /// @return kLimit: the log does not hold it any more; the message says where the log begins.
    ///         Read the whole database and follow from there (Database::changes says how).
    ///         kPoisoned: it was given all that ever got to the disk, and nothing more will come
    ///         before the database is closed and opened. kCorruption: names file and byte. kIo.
    ///         After kIo the next call tries the same batch again.
    Result<std::optional<ChangeBatch>> next();

    /// The same, but waits up to `timeout_ms` milliseconds for it; a close ends the wait.
    Result<std::optional<ChangeBatch>> wait(std::uint64_t timeout_ms);

    /// Where to go on: `Database::changes(position())`, also after a close and an open, gives what
    /// `next` would have given here. Greater than the newest batch's sequence by one or more.
    Sequence position() const noexcept;

    /// The value of a put of the newest batch, wherever it is. One that lies apart is read whole
    /// from the data file, and checked.
    /// @return none when a later commit, which this feed is going to show, replaced or erased it
    ///         and its place was used again: never other bytes. kCorruption: the newest value of
    ///         the key is damaged. kIo; kBusy: all reader slots are taken.
    Result<std::optional<std::string>> load(const Change& change);

private:
    friend class Database;
    explicit Changes(std::unique_ptr<db::ChangesState> state) noexcept;
    std::unique_ptr<db::ChangesState> state_;
};

}  // namespace fulgur
