#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/key_range.h>
#include <fulgur/options.h>
#include <fulgur/result.h>
#include <fulgur/transaction.h>

// The store: one ordered map of byte keys to byte values with serializable transactions, the same
// on the embedded engine and, by other drivers, on distributed ones. What is written against it
// keeps to what all of them can do: a transaction is short, reads one moment, buffers its writes
// and commits in one round trip; a scan is a row of pages, each of which may be asked for in
// another transaction. The idea and the shape are FoundationDB's. docs/store.md has the URLs.

namespace fulgur {

class Database;

namespace store {
class Marks;
}  // namespace store

/// Position of a commit in the order of a store's commits: a later one has a greater number, and
/// nothing else is said about it. Versions of different stores have nothing to do with each other.
enum class Version : std::uint64_t {};

/// Limits that every driver can hold; a `portable:` store refuses whatever is over them.
inline constexpr std::uint64_t kPortableKeyBytesMax = 2_KiB;
inline constexpr std::uint64_t kPortableValueBytesMax = 64_KiB;
/// Keys and values of all writes, counted at each write.
inline constexpr std::uint64_t kPortableTransactionBytesMax = 1_MiB;
inline constexpr std::uint64_t kPortableMutationsMax = 1'000;
/// From `begin` to the commit.
inline constexpr std::uint64_t kPortableAgeMsMax = 5'000;

/// What a store can do. Limits are the greatest that pass; kUnlimited: as much as there is memory.
struct StoreCapabilities {
    static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
    /// Of one operation on data that is in use.
    enum class Latency : std::uint8_t { kMemory, kNetwork };

    const char* driver = "";  ///< "fulgur", "portable", ...
    std::uint64_t key_bytes_max = 0;
    std::uint64_t value_bytes_max = 0;
    /// Keys and values of all writes; what a driver counts beside them may be as much again for
    /// rows of a few bytes, so nobody should go near it.
    std::uint64_t transaction_bytes_max = 0;
    std::uint64_t mutations_max = kUnlimited;
    std::uint64_t age_ms_max = kUnlimited;
    Isolation isolation = Isolation::kSerializable;
    /// Whether a change of a key can be waited for.
    bool watch = false;
    /// Whether a commit may end with kUnknownResult.
    bool unknown_results = false;
    Latency latency = Latency::kMemory;
};

/// Whether the commit checks that a read is still so.
enum class ReadMode : std::uint8_t {
    /// It does: what others changed meanwhile is a conflict.
    kSerializable,
    /// It need not, and does not where the store can leave it out (embedded): for hints and
    /// statistics, where being a little old is right.
    kSnapshot,
};

/// What a number may be changed by without reading it: see StoreTransaction::atomic_add.
enum class AtomicOperation : std::uint8_t { kAdd, kMin, kMax };

struct StoreRow {
    Bytes key;
    Bytes value;
};

/// How `StoreTransaction::range` reads.
struct RangeOptions {
    /// Rows of the page at most; 0: as many as the driver finds right.
    std::size_t limit = 0;
    /// From the last key to the first.
    bool reverse = false;
    ReadMode mode = ReadMode::kSerializable;
    /// Of the page before, whatever transaction that was read in; none: from the beginning.
    std::optional<std::string> continuation = std::nullopt;
};

/// Some rows of a range, in order.
struct StorePage {
    std::vector<StoreRow> rows;
    /// Set when there may be more: a page may be short for reasons of the driver's own (a page of
    /// about 1 MiB is full), and the next one may be empty. It may be kept for as long as one likes
    /// and handed out: it goes on behind the last row, whatever was written meanwhile.
    std::optional<std::string> continuation;
};

/// Reads at one moment and writes that commit together or not at all; it sees its own writes.
///
/// Nothing is visible to others before `commit`, and only if nothing that it read (ReadMode) was
/// changed by others, gaps in ranges included: committed transactions are as if run one after the
/// other. Views (of get, get_many and range) stay valid until the transaction ends, or writes that
/// key again. Keep it short: see StoreCapabilities::age_ms_max.
///
/// An error of any call but kLimit means: end it, and begin again if `is_retryable`. Over kLimit of
/// a single key or value the write was not taken and the rest stands. Ends before its store does;
/// its destructor rolls back. One thread at a time. After `commit` every call is kInvalid.
class StoreTransaction {
public:
    virtual ~StoreTransaction() = default;
    StoreTransaction(const StoreTransaction&) = delete;
    StoreTransaction& operator=(const StoreTransaction&) = delete;

    /// The value of `key`, if there is one. One round trip.
    /// @return kTooOld, kBusy, kConflict: begin again; kIo, kCorruption; kLimit: the key is over
    ///         its limit, or too much was read.
    Result<std::optional<Bytes>> get(Bytes key, ReadMode mode = ReadMode::kSerializable) {
        if (ended_) [[unlikely]] {
            return ended_error();
        }
        return do_get(key, mode);
    }

    /// The values of `keys`, in their order, in one round trip; `values.size()` must be at least
    /// `keys.size()`. On an error no value may be used.
    Result<void> get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> values,
                          ReadMode mode = ReadMode::kSerializable);

    /// One page of a range. One round trip. `page.continuation` leads to the next page.
    Result<StorePage> range(const KeyRange& range, const RangeOptions& options = {}) {
        if (ended_) [[unlikely]] {
            return ended_error();
        }
        return do_range(range, options);
    }

    /// Buffered, as all writes are: nothing is sent before the commit.
    /// @return kLimit: the key, the value or the transaction is over its limit (for the transaction
    ///         a driver may say so at the commit).
    Result<void> put(Bytes key, Bytes value);
    /// Erasing an absent key is a write too, and not an error.
    Result<void> erase(Bytes key);
    /// Erases each key of the range. Embedded: O(rows), each of which counts against the limit of
    /// the transaction: erase what may be large in pages.
    Result<void> erase_range(const KeyRange& range);

    // Numbers are the first 8 bytes of a value, little-endian, where it has fewer with zeros
    // behind them, and 0 where the key is absent; the result is a value of 8 bytes. On stores that
    // can do it at the commit, two transactions that add to one key are no conflict; elsewhere
    // (embedded) these are a get and a put.

    /// Adds modulo 2^64: -1 takes one away, and signed counters work as they should.
    Result<void> atomic_add(Bytes key, std::int64_t by) {
        return atomic(AtomicOperation::kAdd, key, static_cast<std::uint64_t>(by));
    }
    /// The less of the two, unsigned; an absent key takes the number.
    Result<void> atomic_min(Bytes key, std::uint64_t number) {
        return atomic(AtomicOperation::kMin, key, number);
    }
    /// The greater of the two, unsigned.
    Result<void> atomic_max(Bytes key, std::uint64_t number) {
        return atomic(AtomicOperation::kMax, key, number);
    }
    Result<void> atomic(AtomicOperation operation, Bytes key, std::uint64_t number);

    /// Commits all writes or nothing, as durably as the store was opened for.
    /// @return its version; without writes the version that was read at, or later. kConflict,
    ///         kTooOld, kBusy: nothing was written, begin again. kLimit: too large, nothing was
    ///         written. kUnknownResult: it may have been, or may yet be (`Store::run` finds out).
    Result<Version> commit();

    /// Whether commit was called.
    bool ended() const noexcept { return ended_; }
    bool has_writes() const noexcept { return has_writes_; }

    // For `Store::run` and for drivers over drivers. Marks are rows beside the map, which no range
    // shows and no limit counts; by them it is found out whether a transaction committed.

    /// A serializable read.
    virtual Result<std::optional<std::string>> get_mark(Bytes name) = 0;
    /// None: erases it.
    virtual Result<void> put_mark(Bytes name, std::optional<Bytes> value) = 0;

protected:
    StoreTransaction() = default;

private:
    virtual Result<std::optional<Bytes>> do_get(Bytes key, ReadMode mode) = 0;
    virtual Result<void> do_get_many(std::span<const Bytes> keys,
                                     std::span<std::optional<Bytes>> values, ReadMode mode) = 0;
    virtual Result<StorePage> do_range(const KeyRange& range, const RangeOptions& options) = 0;
    virtual Result<void> do_put(Bytes key, Bytes value) = 0;
    virtual Result<void> do_erase(Bytes key) = 0;
    virtual Result<void> do_erase_range(const KeyRange& range) = 0;
    virtual Result<void> do_atomic(AtomicOperation operation, Bytes key, std::uint64_t number) = 0;
    virtual Result<Version> do_commit() = 0;

    static Error ended_error();

    bool ended_ = false;
    bool has_writes_ = false;
};

/// How `Store::run` runs a function.
struct RunOptions {
    /// Times that the function runs at most; 1 and up.
    std::uint32_t attempts_max = 64;
};

/// Whether a transaction that ended with this may come through when it is begun again.
constexpr bool is_retryable(ErrorCode code) noexcept {
    return code == ErrorCode::kConflict || code == ErrorCode::kTooOld || code == ErrorCode::kBusy;
}

/// An ordered map of byte keys to byte values, somewhere. Any thread may use it.
class Store {
public:
    /// Opens the store that a URL names:
    ///   fulgur:PATH    the embedded engine in that directory
    ///   portable:      in memory, within the portable limits, with failures by seed: for tests
    ///   portable:PATH  the same in a directory
    /// with options behind a question mark: see docs/store.md.
    /// @return kInvalid: no such scheme, option or path; else as Database::open.
    static Result<std::unique_ptr<Store>> open(std::string_view url);

    /// The store that `keyspace` of an open database is. The database stays the caller's, may be
    /// used beside the store, and must outlive it.
    static Result<std::unique_ptr<Store>> over(Database& database,
                                               std::string_view keyspace = "default");

    virtual ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    virtual const StoreCapabilities& capabilities() const noexcept = 0;

    /// Begins a transaction at a moment that shows everything that was committed before the call.
    /// For what `run` cannot do: whoever commits by himself has to retry, and has to find out by
    /// himself what kUnknownResult did.
    virtual Result<std::unique_ptr<StoreTransaction>> begin() = 0;

    /// Runs `work` in a transaction and commits it; on a retryable error, of `work` or of the
    /// commit, again from the beginning, with growing random pauses between. So `work` may run
    /// several times, and must not commit itself, nor leave anything behind but its writes and what
    /// it sets each time anew. Its writes take place once: whether an unknown result was a commit
    /// is found out first (see docs/store.md).
    /// @return the version of the commit, or a later one where the result had been unknown; the
    ///         last error when no attempt came through; any other error of `work` or the commit.
    ///         kUnknownResult: the store could not be asked any more.
    Result<Version> run(const std::function<Result<void>(StoreTransaction&)>& work,
                        const RunOptions& options = {});

    /// Ends the store; transactions must have ended. Of the embedded engine: closes the database.
    /// The destructor does the same and ignores errors.
    Result<void> close();

protected:
    Store();

private:
    virtual Result<void> do_close() = 0;

    std::unique_ptr<store::Marks> marks_;
};

}  // namespace fulgur
