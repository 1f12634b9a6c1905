#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include <fulgur/bytes.h>
#include <fulgur/key_range.h>
#include <fulgur/options.h>
#include <fulgur/result.h>

namespace fulgur {

class Database;
class Keyspace;
class Transaction;

namespace db {
class Engine;
struct TransactionState;
struct TransactionCursorState;
/// For Database and Keyspace.
struct TransactionAccess;
}  // namespace db

/// What a commit checks.
enum class Isolation : std::uint8_t {
    /// Everything that was read is still so: the transaction is as if it had run alone at the
    /// moment of its commit.
    kSerializable,
    /// Nobody else wrote the keys that it writes since it began. Two transactions that read what
    /// the other one writes may both commit (write skew).
    kSnapshot,
};

/// How `Database::transact` runs a function.
struct TransactOptions {
    Isolation isolation = Isolation::kSerializable;
    /// None: the database's.
    std::optional<Durability> durability = std::nullopt;
    /// Times that the function runs at most; 1 and up.
    std::uint32_t attempts_max = 64;
};

/// What a transaction remembers of its reads, and never more than an eighth of the memory budget:
/// each key that was got costs its bytes and 32, each range that a cursor walked its two bounds and
/// 96. Keys and ranges that others cover are dropped before the limit is felt.
inline constexpr std::uint64_t kReadSetBytesMax = 64_MiB;

/// Walks the keys of a range both ways, with the transaction's own writes among them; what it
/// walked counts as read, gaps included, so that a row that somebody else puts there is a conflict.
///
/// The transaction may write while a cursor stands: the next step goes by the key it shows. Ends
/// before its transaction does. Use as Cursor, whose words on views hold here too; the value of a
/// row that the transaction itself wrote is the one it wrote last. One thread at a time.
class TransactionCursor {
public:
    TransactionCursor(TransactionCursor&&) noexcept;
    TransactionCursor& operator=(TransactionCursor&&) noexcept;
    ~TransactionCursor();

    bool valid() const noexcept;
    /// Valid until the next step.
    Bytes key() const noexcept;
    Bytes value();
    std::uint64_t value_size() const noexcept;

    void next();
    void previous();
    /// To the first key of the range that is >= `key`.
    void seek(Bytes key);
    void seek_to_first();
    void seek_to_last();

    /// An error ended the walk: a page could not be read, the read set is full (kLimit), or the
    /// transaction has ended (kInvalid).
    Result<void> status() const;

private:
    friend class Transaction;
    friend struct db::TransactionAccess;
    explicit TransactionCursor(std::unique_ptr<db::TransactionCursorState> state) noexcept;
    std::unique_ptr<db::TransactionCursorState> state_;
};

/// Reads at one moment and writes that commit together or not at all.
///
/// Reads see the newest commit of when the transaction began, and the transaction's own writes. The
/// commit is checked against what others committed since (see Isolation) and refused with kConflict
/// when they got in the way: then begin again, or let `Database::transact` do that. Nobody waits
/// for anybody: until it commits, a transaction is invisible. Rolled back by its destructor.
///
/// Views of what the database holds stay valid until `commit`, `rollback` or `release_views`; views
/// of the transaction's own writes until that key is written again too. Meanwhile the transaction
/// keeps old pages and old versions alive, as a Reader does: keep it short.
///
/// Writes stay in memory until the commit; limits are those of a WriteBatch. One thread at a time;
/// movable. After `commit`, whatever it returned, and after `rollback` every call is kInvalid.
class Transaction {
public:
    Transaction(Transaction&&) noexcept;
    Transaction& operator=(Transaction&&) noexcept;
    ~Transaction();

    /// The moment that it reads at.
    Sequence snapshot() const noexcept;
    /// Whether commit or rollback was called.
    bool ended() const noexcept;

    /// The value of `key`, if there is one. O(log n).
    /// @return kIo, kCorruption; kLimit: a page does not fit the budget, or the read set is full.
    Result<std::optional<Bytes>> get(const Keyspace& keyspace, Bytes key) &;
    Result<std::optional<Bytes>> get(const Keyspace&, Bytes) && = delete;

    /// The values of `keys`, in their order; `views.size()` must be at least `keys.size()`.
    Result<void> get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                          std::span<std::optional<Bytes>> views) &;
    Result<void> get_many(const Keyspace&, std::span<const Bytes>,
                          std::span<std::optional<Bytes>>) && = delete;

    /// Copies a part of a value of any size: see Reader::read.
    Result<std::optional<std::size_t>> read(const Keyspace& keyspace, Bytes key,
                                            std::uint64_t offset, std::span<char> into) &;

    /// A cursor on the first key of `range`. It must end before the transaction.
    TransactionCursor cursor(const Keyspace& keyspace, KeyRange range = {}) &;
    TransactionCursor cursor(const Keyspace&, KeyRange = {}) && = delete;

    /// @return kLimit: key, value or all writes together are over their limit; the write was not
    ///         taken, the rest stands. kInvalid: another database's keyspace.
    Result<void> put(const Keyspace& keyspace, Bytes key, Bytes value);
    /// Erasing an absent key is a write too, and not an error.
    Result<void> erase(const Keyspace& keyspace, Bytes key);
    /// Erases each key of the range that the transaction sees; reads the range, so that a row that
    /// somebody else puts into it is a conflict. O(rows). For ranges of any size see
    /// Keyspace::erase_range.
    /// @return how many; kLimit as `put`, with some of them erased.
    Result<std::uint64_t> erase_range(const Keyspace& keyspace, const KeyRange& range);

    /// Ends all views and cursors taken so far, so that memory they hold can be used again. What
    /// was read stays read, and the moment stays the same.
    void release_views();

    /// Checks what was read or written, and commits all writes or nothing.
    ///
    /// Without writes there is nothing to check: all reads were of one moment, which is a place in
    /// the order of commits. Then the result is that moment, and with kSync the call returns when
    /// everything that was read is on the disk.
    ///
    /// @return kConflict naming keyspace and key; else as Database::commit. Nothing was logged then
    ///         (but after kIo and kPoisoned from waiting for the disk nobody knows).
    Result<Sequence> commit();
    Result<Sequence> commit(Durability durability);
    void rollback() noexcept;

private:
    friend struct db::TransactionAccess;
    explicit Transaction(std::unique_ptr<db::TransactionState> state) noexcept;
    std::unique_ptr<db::TransactionState> state_;
};

}  // namespace fulgur
