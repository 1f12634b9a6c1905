#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <fulgur/bytes.h>
#include <fulgur/key_range.h>
#include <fulgur/result.h>

namespace fulgur {

class Keyspace;
class Cursor;

namespace db {
class Engine;
struct ReaderState;
struct CursorState;
struct TransactionAccess;
/// Gives a reader's state back to the engine, which uses it again.
struct EndReader {
    void operator()(ReaderState* state) const noexcept;
};
using ReaderHandle = std::unique_ptr<ReaderState, EndReader>;
}  // namespace db

/// One consistent moment of the database, and the life of every view taken from it.
///
/// Views point into the engine's memory and stay valid until the reader ends or `refresh()`. In
/// builds with assertions each view is a copy that the reader frees, so that the address sanitizer
/// names a stale use at once, and calls on a temporary reader do not compile.
/// A reader keeps old versions alive: do not keep one for long beside a busy writer; a Snapshot
/// costs less. One thread at a time; movable.
class Reader {
public:
    Reader(Reader&&) noexcept;
    Reader& operator=(Reader&&) noexcept;
    ~Reader();

    /// The value of `key`, if there is one. O(log n), no copy.
    /// @return kIo, kCorruption: the page could not be read; kLimit: it does not fit the budget.
    Result<std::optional<Bytes>> get(const Keyspace& keyspace, Bytes key) &;
    Result<std::optional<Bytes>> get(const Keyspace&, Bytes) && = delete;

    /// The values of `keys`, in their order, in one interleaved pass that overlaps cache misses.
    /// `views.size()` must be at least `keys.size()`. On an error no view may be used.
    Result<void> get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                          std::span<std::optional<Bytes>> views) &;
    Result<void> get_many(const Keyspace&, std::span<const Bytes>,
                          std::span<std::optional<Bytes>>) && = delete;

    /// Copies a part of a value of any size: up to `into.size()` bytes from `offset` on.
    /// The first part of a value that is not in memory costs reading it once whole, to check it.
    /// @return bytes copied, fewer only at the value's end; none when the key is absent.
    Result<std::optional<std::size_t>> read(const Keyspace& keyspace, Bytes key,
                                            std::uint64_t offset, std::span<char> into) &;

    /// A cursor on the first key of `range`. It must end before this reader.
    Cursor cursor(const Keyspace& keyspace, KeyRange range = {}) &;
    Cursor cursor(const Keyspace&, KeyRange = {}) && = delete;

    /// Moves to the newest visible commit (a reader of a snapshot stays at its moment) and ends all
    /// views and cursors taken before.
    void refresh();

    Sequence sequence() const noexcept;

private:
    friend class Database;
    friend class Snapshot;
    friend class Keyspace;
    friend struct db::TransactionAccess;
    explicit Reader(db::ReaderHandle state) noexcept;
    Result<std::optional<Bytes>> get_any(const Keyspace& keyspace, Bytes key);
    Result<std::optional<Bytes>> get_value(const Keyspace& keyspace, const char* record);
    Result<std::optional<Bytes>> get_counted(const Keyspace& keyspace, Bytes key);
    Result<void> get_many_any(const Keyspace& keyspace, std::span<const Bytes> keys,
                              std::span<std::optional<Bytes>> views);
    db::ReaderHandle state_;
};

/// Walks the keys of a range both ways. Values stay valid as the reader's views do; a key until the
/// cursor's next step (a page stores the part that its keys share only once).
///
/// `for (auto c = reader.cursor(keyspace); c.valid(); c.next()) use(c.key(), c.value());`, and then
/// check `c.status()`: a page that could not be read ends the walk. One thread at a time.
class Cursor {
public:
    Cursor(Cursor&&) noexcept;
    Cursor& operator=(Cursor&&) noexcept;
    ~Cursor();

    bool valid() const noexcept { return valid_; }
    /// Valid until the next step.
    Bytes key() const noexcept { return key_; }
    /// The value. Values above 2 KiB are fetched on the first call at each position; if that fails
    /// the result is empty and `status()` says why.
    Bytes value() {
        if (!value_ready_) [[unlikely]] {
            fetch_value();
        }
        return value_;
    }
    /// Without fetching it.
    std::uint64_t value_size() const noexcept { return value_size_; }

    void next();
    void previous();
    /// To the first key of the range that is >= `key`.
    void seek(Bytes key);
    void seek_to_first();
    void seek_to_last();

    /// An error ended the walk, or a value could not be fetched.
    Result<void> status() const;

private:
    friend class Reader;
    friend struct db::CursorState;
    explicit Cursor(std::unique_ptr<db::CursorState> state) noexcept;
    void fetch_value();
    void show();

    Bytes key_;
    Bytes value_;
    std::uint64_t value_size_ = 0;
    bool valid_ = false;
    bool value_ready_ = false;
    std::unique_ptr<db::CursorState> state_;
};

}  // namespace fulgur
