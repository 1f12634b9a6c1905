// What a keyspace does in a transaction of its own: conditional puts, counters, whole ranges.
#include <algorithm>
#include <limits>

#include "base/coding.h"
#include "db/reader_state.h"
#include "db/transaction.h"

namespace fulgur {

using db::TransactionAccess;

Result<std::optional<Sequence>> Keyspace::put_if(Bytes key, Bytes value,
                                                 const Condition& condition) const {
    return put_if(key, value, condition, engine_->options().user.durability);
}

Result<std::optional<Sequence>> Keyspace::put_if(Bytes key, Bytes value, const Condition& condition,
                                                 Durability durability) const {
    bool holds = false;
    const auto work = [&](Transaction& transaction) -> Result<void> {
        Result<std::optional<Bytes>> found = transaction.get(*this, key);
        if (!found) return found.error();
        switch (condition.kind) {
            case Condition::Kind::kAbsent:
                holds = !*found;
                break;
            case Condition::Kind::kPresent:
                holds = found->has_value();
                break;
            case Condition::Kind::kEquals:
                holds = *found && **found == condition.value;
                break;
        }
        return holds ? transaction.put(*this, key, value) : Result<void>();
    };
    Result<Sequence> done = TransactionAccess::transact(engine_, work, {}, durability);
    if (!done) return done.error();
    return holds ? std::optional<Sequence>(*done) : std::optional<Sequence>();
}

Result<std::int64_t> Keyspace::increment(Bytes key, std::int64_t by) const {
    return increment(key, by, engine_->options().user.durability);
}

Result<std::int64_t> Keyspace::increment(Bytes key, std::int64_t by, Durability durability) const {
    std::int64_t sum = 0;
    const auto work = [&](Transaction& transaction) -> Result<void> {
        Result<std::optional<Bytes>> found = transaction.get(*this, key);
        if (!found) return found.error();
        std::int64_t before = 0;
        if (*found) {
            if ((*found)->size() != sizeof(before)) {
                return Error(ErrorCode::kInvalid, "the value is not a counter of 8 bytes");
            }
            before = load_le<std::int64_t>((*found)->data());
        }
        if (__builtin_add_overflow(before, by, &sum)) {
            return Error(ErrorCode::kLimit, "the counter would not fit 64 bits");
        }
        char bytes[sizeof(sum)];
        store_le(bytes, sum);
        return transaction.put(*this, key, {bytes, sizeof(bytes)});
    };
    Result<Sequence> done = TransactionAccess::transact(engine_, work, {}, durability);
    if (!done) return done.error();
    return sum;
}

Result<std::uint64_t> Keyspace::erase_range(const KeyRange& range) const {
    return erase_range(range, engine_->options().user.durability);
}

/// The parts before the last are made durable by the last: recovery yields a prefix of the commits.
Result<std::uint64_t> Keyspace::erase_range(const KeyRange& range, Durability durability) const {
    constexpr std::uint64_t kRowsPerCommit = 4096;
    constexpr std::uint64_t kBytesPerCommit = 256_KiB;
    KeyRange left = range;
    std::uint64_t total = 0;
    for (bool more = true; more;) {
        std::uint64_t rows = 0;
        std::string next;
        Durability level = durability;
        const auto work = [&](Transaction& transaction) -> Result<void> {
            rows = 0;
            more = false;
            level = durability;
            std::uint64_t bytes = 0;
            TransactionCursor cursor = transaction.cursor(*this, left);
            for (; cursor.valid(); cursor.next(), ++rows) {
                if (rows == kRowsPerCommit || bytes >= kBytesPerCommit) {
                    more = true;
                    next = cursor.key();
                    level = Durability::kBuffered;
                    break;
                }
                bytes += cursor.key().size() + 16;
                if (Result<void> erased = transaction.erase(*this, cursor.key()); !erased) {
                    return erased;
                }
            }
            return cursor.status();
        };
        Result<Sequence> done = TransactionAccess::transact(engine_, work, {}, level);
        if (!done) return done.error();
        total += rows;
        left.begin = std::move(next);
    }
    return total;
}

Result<std::uint64_t> Keyspace::count(const KeyRange& range) const {
    constexpr std::uint64_t kRowsPerPin = 20'000;
    // A reader of a registered moment; its pin moves on now and then, and lets memory go.
    Result<db::ReaderHandle> state = TransactionAccess::make_snapshot_reader(engine_);
    if (!state) return state.error();
    Reader reader(*std::move(state));
    std::uint64_t rows = 0;
    KeyRange left = range;
    for (bool more = true; more;) {
        more = false;
        Cursor cursor = reader.cursor(*this, left);
        for (std::uint64_t n = 0; cursor.valid(); cursor.next(), ++rows) {
            if (n++ < kRowsPerPin) continue;
            more = true;
            left.begin = cursor.key();
            break;
        }
        if (Result<void> status = cursor.status(); !status) return status.error();
        if (more) reader.refresh();
    }
    return rows;
}

Result<ApproximateSize> Keyspace::approximate_size(const KeyRange& range) const {
    Result<db::ReaderHandle> state = db::ReaderState::make(engine_, nullptr);
    if (!state) return state.error();
    db::KeyspaceState& of = TransactionAccess::state(*this);
    if (Result<void> ready = (*state)->check(engine_.get(), of); !ready) return ready.error();
    std::optional<Bytes> end;
    if (range.end) end = *range.end;
    Result<storage::RangeEstimate> size = of.tree->estimate(range.begin, end, (*state)->sequence);
    if (!size) return size.error();
    return ApproximateSize{static_cast<std::uint64_t>(size->rows + 0.5),
                           static_cast<std::uint64_t>(size->bytes + 0.5)};
}

Result<std::uint64_t> Keyspace::approximate_count(const KeyRange& range) const {
    Result<ApproximateSize> size = approximate_size(range);
    if (!size) return size.error();
    return size->rows;
}

}  // namespace fulgur
