#pragma once

/// A walk over a range of one keyspace at one moment, however long it takes: it holds a snapshot
/// and renews its reader every few thousand rows, so that it never keeps much of the engine's
/// memory.
///
/// `for (...; walk.valid(); walk.next()) use(walk.key(), walk.value());`, then check `status()`.
/// Views end with `next`. Not thread-safe. The snapshot must outlive the walk.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <fulgur/database.h>

namespace fulgur::cli {

class Walk {
public:
    enum class Direction : std::uint8_t { kForward, kReverse };

    static Result<std::unique_ptr<Walk>> start(const Snapshot& snapshot, const Keyspace& keyspace,
                                               KeyRange range,
                                               Direction direction = Direction::kForward);
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

    bool valid() const { return !failure_ && cursor_->valid(); }
    Bytes key() const { return cursor_->key(); }
    std::uint64_t value_size() const { return cursor_->value_size(); }
    /// Empty when it could not be read; status() then says why, and the walk has ended.
    Bytes value();
    void next();
    Result<void> status() const;

private:
    Walk(Reader reader, const Keyspace& keyspace, KeyRange range, Direction direction)
        : reader_(std::move(reader)),
          keyspace_(keyspace),
          range_(std::move(range)),
          direction_(direction) {}

    void step();
    void renew();
    Bytes read_large();

    Reader reader_;
    Keyspace keyspace_;
    KeyRange range_;
    Direction direction_;
    std::optional<Cursor> cursor_;  ///< Ends before the reader, hence after it here.
    std::uint64_t rows_held_ = 0;   ///< Since the reader was renewed.
    std::uint64_t bytes_held_ = 0;
    std::string large_;
    std::optional<Error> failure_;
};

}  // namespace fulgur::cli
