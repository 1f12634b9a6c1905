#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/changes.h>
#include <fulgur/key_range.h>
#include <fulgur/options.h>
#include <fulgur/reader.h>
#include <fulgur/result.h>
#include <fulgur/stats.h>
#include <fulgur/transaction.h>
#include <fulgur/write_batch.h>

namespace fulgur {

class Database;

namespace db {
class Engine;
struct EngineOptions;
/// For the engine's own tests: opens over any file system, clock and sizes.
Result<Database> open_database(EngineOptions options);
}  // namespace db

/// What must hold of a key's value for `Keyspace::put_if`.
struct Condition {
    enum class Kind : std::uint8_t { kAbsent, kPresent, kEquals };
    Kind kind = Kind::kAbsent;
    Bytes value = {};  ///< kEquals; a view

    static Condition absent() { return {Kind::kAbsent, {}}; }
    static Condition present() { return {Kind::kPresent, {}}; }
    static Condition equals(Bytes value) { return {Kind::kEquals, value}; }
};

/// About what a range holds.
struct ApproximateSize {
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;  ///< of keys and values
};

/// A named ordered map inside a database: a light handle; copy it. Two handles of one name are the
/// same keyspace. Any thread may use it. After the database was closed, or the keyspace dropped,
/// every call returns kInvalid.
class Keyspace {
public:
    /// One durable commit (see Durability) of one operation. O(log n).
    Result<Sequence> put(Bytes key, Bytes value) const;
    Result<Sequence> put(Bytes key, Bytes value, Durability durability) const;
    /// Erasing an absent key is a commit too, and not an error.
    Result<Sequence> erase(Bytes key) const;
    Result<Sequence> erase(Bytes key, Durability durability) const;

    /// Puts the value if the condition holds at the moment of the commit.
    /// @return none when it does not: nothing was written then. kConflict when others kept writing
    ///         the key in between (see Database::transact); else as a commit.
    Result<std::optional<Sequence>> put_if(Bytes key, Bytes value,
                                           const Condition& condition) const;
    Result<std::optional<Sequence>> put_if(Bytes key, Bytes value, const Condition& condition,
                                           Durability durability) const;
    /// Adds to a counter: a value of 8 bytes, a signed integer, little-endian. An absent key counts
    /// as 0. @return the sum. kLimit when it does not fit 64 bits, kInvalid when the value is not a
    /// counter: nothing was written then. kConflict as above.
    Result<std::int64_t> increment(Bytes key, std::int64_t by = 1) const;
    Result<std::int64_t> increment(Bytes key, std::int64_t by, Durability durability) const;

    /// Erases every key of the range, some thousand with each commit, in order. When each part is
    /// committed there is none in it; rows that others put behind the work stay. For all or nothing
    /// see Transaction::erase_range.
    /// @return how many. With an error the first of them may be erased, and not yet durable.
    Result<std::uint64_t> erase_range(const KeyRange& range) const;
    Result<std::uint64_t> erase_range(const KeyRange& range, Durability durability) const;

    /// Keys of the range at one moment, counted by walking it. O(rows). Holds a snapshot meanwhile,
    /// and no memory for long.
    Result<std::uint64_t> count(const KeyRange& range = {}) const;
    /// The same, about, in microseconds to milliseconds whatever the range: a few leaves are
    /// counted, and those that are not in memory are not read. Exact for ranges of a few hundred
    /// rows in memory; for large ones a few per cent off where rows are alike, more where they are
    /// not. Of values above 2 KiB only those in leaves in memory count with their bytes.
    Result<ApproximateSize> approximate_size(const KeyRange& range = {}) const;
    /// `approximate_size(range).rows`.
    Result<std::uint64_t> approximate_count(const KeyRange& range = {}) const;

    /// A copy of the newest value. For a view, or for many reads, use a Reader.
    Result<std::optional<std::string>> get(Bytes key) const;

    const std::string& name() const noexcept;
    std::uint32_t id() const noexcept { return id_; }

private:
    friend class Database;
    friend class Reader;
    friend class WriteBatch;
    friend class db::Engine;
    friend struct db::TransactionAccess;
    Keyspace(std::shared_ptr<db::Engine> engine, std::uint32_t id, void* state)
        : engine_(std::move(engine)), state_(state), id_(id) {}

    std::shared_ptr<db::Engine> engine_;
    void* state_;  ///< The engine's own record of the keyspace; lives as long as the engine.
    std::uint32_t id_;
};

/// A moment of the whole database that lasts as long as this object: it holds one version of each
/// key, no memory, and gives no views; readers made from it do. Any thread may use it.
class Snapshot {
public:
    Snapshot(Snapshot&&) noexcept;
    Snapshot& operator=(Snapshot&&) noexcept;
    ~Snapshot();

    Sequence sequence() const noexcept;
    /// A reader at this moment. kBusy when all reader slots are taken.
    Result<Reader> reader() const;

private:
    friend class Database;
    struct State;
    explicit Snapshot(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

/// An ordered, durable, transactional map of byte keys to byte values in named keyspaces, in one
/// directory that one process at a time has open.
///
/// Lifecycle: `open`, use from any thread, `close` (or the destructor, which ignores errors).
/// Readers, cursors and snapshots may outlive the handle: what they show stays valid until they
/// end. A cursor goes on through what is in memory; what it would have to read from the disk after
/// the close is an error, kInvalid. After a fork only the parent may use it.
class Database {
public:
    /// Opens, creates or recovers the database in the directory `path`.
    /// @return kInvalid: not a directory, a foreign file, absent without create_if_missing;
    ///         kBusy: another process holds it, named with its id; kUnsupported: a newer format;
    ///         kCorruption: names file and byte; kIo: the system's refusal.
    /// Time: reading the superblock and replaying the log since the last checkpoint.
    static Result<Database> open(std::string_view path, const Options& options = {});

    /// A database that lives in memory only: same semantics, nothing is written anywhere.
    static Result<Database> in_memory(const Options& options = {});

    Database(Database&&) noexcept;
    Database& operator=(Database&&) noexcept;
    ~Database();

    /// Makes everything committed durable, writes a checkpoint unless told otherwise, and lets the
    /// directory go. Waits for calls that are inside. Later calls through any handle return
    /// kInvalid, a second close once the first is done.
    Result<void> close();

    /// The keyspace of that name; created, durably, when absent.
    Result<Keyspace> keyspace(std::string_view name);
    /// The keyspace of that name, if there is one.
    Result<std::optional<Keyspace>> find_keyspace(std::string_view name);
    std::vector<std::string> keyspace_names() const;
    /// Removes a keyspace and everything in it. Readers that began before still see it.
    /// @return kInvalid when there is none of that name.
    Result<void> drop_keyspace(std::string_view name);

    /// Commits all of `batch` or nothing. An empty batch returns the newest sequence.
    /// @return kLimit: key, value or batch over its limit, or over the memory budget (nothing was
    ///         logged); kBusy: readers hold too many versions; kNoSpace; kPoisoned; kInvalid.
    Result<Sequence> commit(const WriteBatch& batch);
    Result<Sequence> commit(const WriteBatch& batch, Durability durability);

    /// Begins a transaction at the newest visible commit. It must end before the database closes.
    /// @return kBusy when all reader slots are taken.
    Result<Transaction> begin(Isolation isolation = Isolation::kSerializable) const;
    /// Runs `work` in a transaction and commits it; when that is a conflict, or `work` returns
    /// kConflict itself, again from the beginning, up to `attempts_max` times, with growing random
    /// pauses of at most 10 ms between. So `work` may run several times, and must not end the
    /// transaction itself.
    /// @return kConflict when no attempt came through; whatever else `work` or the commit returned.
    Result<Sequence> transact(const std::function<Result<void>(Transaction&)>& work,
                              const TransactOptions& options = {}) const;

    /// Returns when everything committed before the call is on the disk.
    Result<void> sync();

    /// A reader at the newest visible commit. About ten nanoseconds. Ends the program when all
    /// reader slots (kReadersMax) are taken: a bug of the caller; see try_reader.
    Reader reader() const;
    Result<Reader> try_reader() const;
    /// A reader that shows nothing that a power cut can take back: it is at the newest visible
    /// commit, and returned when that one and all before it are on the disk.
    /// @return kBusy as above; kIo, kPoisoned: the disk refused.
    Result<Reader> durable_reader() const;
    /// A snapshot of the newest visible commit.
    Result<Snapshot> snapshot() const;

    /// Follows the commits from sequence `from` on (0 as 1: the first one), as long as the log
    /// holds them. To have the whole database and all that comes later: take a `durable_reader`,
    /// read what is wanted, and go on with `changes(reader.sequence() + 1)`.
    /// @return kLimit when the log does not hold that commit any more: see Changes::next and
    ///         Options::log_bytes_kept; kInvalid beyond the next sequence, and after close. Any
    ///         thread.
    Result<Changes> changes(Sequence from, const ChangesOptions& options = {}) const;
    /// The least sequence that `changes` would take now.
    /// @return kInvalid after close.
    Result<Sequence> oldest_change() const;

    /// Writes a checkpoint now. kNoSpace abandons it and harms nothing.
    Result<void> checkpoint();

    Stats stats() const;
    /// `stats()` for Prometheus: see metrics_text.
    std::string metrics() const;

    struct VerifyReport {
        std::uint64_t pages = 0;
        std::uint64_t records = 0;
        std::uint64_t large_values = 0;
        std::uint64_t bytes_read = 0;
        std::uint64_t pages_compressed = 0;
        std::uint64_t leaf_bytes = 0;         ///< Of the pages with rows, without compression,
        std::uint64_t leaf_bytes_stored = 0;  ///< and as they stand in the file.
    };
    /// Reads the newest checkpoint back from the disk: every checksum, the order of keys, the
    /// nesting of pages, and that used, free and pending space partition the file. Writers go on.
    /// @return kCorruption naming the first fault. `progress(done, total)` is in bytes; it may be
    /// empty. From within it what needs a checkpoint or its lock is refused with kInvalid: close,
    /// checkpoint, verify, compact, page_sizes, and a commit that would have to wait for one.
    Result<VerifyReport> verify(
        const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

    /// The pages with rows that the newest checkpoint refers to.
    struct PageSizes {
        std::uint64_t pages = 0;
        std::uint64_t pages_compressed = 0;
        std::uint64_t bytes = 0;         ///< Without compression,
        std::uint64_t bytes_stored = 0;  ///< and as they stand in the file.
    };
    /// Counts them by reading the pages above them, about a hundredth of the data; checkpoints wait
    /// meanwhile. @return kIo, kCorruption, kInvalid after close. Any thread.
    Result<PageSizes> page_sizes();

    struct CompactReport {
        std::uint64_t bytes_before = 0;  ///< Size of the data file.
        std::uint64_t bytes_after = 0;
        std::uint64_t bytes_moved = 0;
        std::uint64_t checkpoints = 0;  ///< That it took.
        bool stopped = false;           ///< `progress` said so.
        /// Not 0: it ended before its goal, because readers that were open when something was moved
        /// keep so much of the file from being used again. Compact again when they have ended.
        std::uint64_t bytes_kept_for_readers = 0;
    };
    /// Makes the data file nearly as short as what is used in it (a sixteenth more), by moving what
    /// lies high in it into free space below. Readers and commits go on; other checkpoints wait for
    /// those of this. It writes three times what is used, at most, and changes of others; the file
    /// may grow by a quarter, or 1 MiB, and 1 MiB more meanwhile. A crash at any moment
    /// harms nothing, and what was won by then stays.
    /// `progress(done, total)` is in bytes copied, some of them in vain when commits were faster,
    /// of an estimated total; false ends it soon. What it may call is what the one of verify may.
    /// @return kNoSpace: the disk has no room for a checkpoint or for copies; the database is as
    /// before, and what was won stays. kPoisoned, kIo. kInvalid after close; a close by another
    /// thread ends it soon, with this. Any thread.
    Result<CompactReport> compact(
        const std::function<bool(std::uint64_t, std::uint64_t)>& progress = {});

private:
    friend Result<Database> db::open_database(db::EngineOptions options);
    explicit Database(std::shared_ptr<db::Engine> engine) noexcept;
    std::shared_ptr<db::Engine> engine_;
};

/// Readers and cursors' readers that may exist at one time.
inline constexpr std::uint32_t kReadersMax = 4096;

}  // namespace fulgur
