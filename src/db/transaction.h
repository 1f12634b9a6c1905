// What stands behind the public Transaction and TransactionCursor.
//
// A transaction is a reader whose moment is registered until the end, a set of what it read and one
// of what it wrote. Until its commit it is invisible and holds no lock. The commit
// (engine_commit.cc) calls back to check:
//   before_commit  without the commit mutex: nothing that was read has a version above the moment
//   at_commit      under it: nothing has one above what was visible when the first check began.
//                  Mostly nothing was committed since, and this costs one comparison.
// That is exact: a version above the moment is found by the first check if it was visible then, and
// by the second if it came later. storage/tree_changes.cc argues why consolidation hides none.
// Between the two the transaction is pinned no more, only registered; the second is under the
// writer's pin.
//
// Why that makes commits serializable: every read gives the same answer at the moment of the commit
// as it did at the transaction's own, so the whole transaction could have run at that moment,
// alone. Writes without reads need no check. A transaction that wrote nothing read one prefix of
// the order of commits and takes its place behind that. With Isolation::kSnapshot the keys that are
// written are checked in place of those that were read: first committer wins.
//
// Thread safety: one thread at a time. `at_commit` runs under the commit mutex of the engine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>
#include <fulgur/transaction.h>

#include "db/engine.h"
#include "db/read_set.h"
#include "db/write_set.h"

namespace fulgur::db {

/// How a cursor of a transaction begins.
struct CursorStart {
    bool at_last = false;  ///< on the last row of the range, having read nothing before it
    bool tracked = true;   ///< what it walks counts as read
};

/// Ways into the public classes, for transactions and what is built on them.
struct TransactionAccess {
    static Result<Transaction> begin(const std::shared_ptr<Engine>& engine, Isolation isolation);
    using Work = std::function<Result<void>(Transaction&)>;
    /// @param durability  looked at after `work`, which may set it.
    static Result<Sequence> transact(const std::shared_ptr<Engine>& engine, const Work& work,
                                     const TransactOptions& options, const Durability& durability);
    /// A reader whose moment is registered until it ends: refreshing it moves its pin only.
    static Result<ReaderHandle> make_snapshot_reader(const std::shared_ptr<Engine>& engine);
    static Reader make_reader(ReaderHandle state) { return Reader(std::move(state)); }
    /// It reads no more, but its moment stays registered until it ends.
    static void unpin(Reader& reader);
    static TransactionState& state(Transaction& transaction) { return *transaction.state_; }
    /// Of a transaction that has not ended, over a keyspace of its database.
    static TransactionCursor cursor(Transaction& transaction, const Keyspace& keyspace,
                                    KeyRange range, CursorStart start);
    static KeyspaceState& state(const Keyspace& keyspace) {
        return *static_cast<KeyspaceState*>(keyspace.state_);
    }
    static const std::shared_ptr<Engine>& engine(const Keyspace& keyspace) {
        return keyspace.engine_;
    }
};

struct TransactionState final : CommitCheck {
    TransactionState(std::shared_ptr<Engine> of, ReaderHandle at, Isolation level);
    ~TransactionState() override;
    TransactionState(const TransactionState&) = delete;
    TransactionState& operator=(const TransactionState&) = delete;

    /// kInvalid: it has ended, or the keyspace is another database's.
    Result<void> check(const Keyspace& keyspace) const;
    static Error ended_error();
    bool tracks_reads() const { return isolation == Isolation::kSerializable; }
    Result<void> note_read(KeyspaceState& keyspace, Bytes key);
    /// @param tracked  the commit checks that it is still so.
    Result<std::optional<Bytes>> get(const Keyspace& keyspace, Bytes key, bool tracked);
    Result<void> get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                          std::span<std::optional<Bytes>> views, bool tracked);

    Result<Sequence> commit(Durability durability);
    /// Ends cursors, views and the moment.
    void end() noexcept;
    /// Ends cursors, which leave what they walked in the read set.
    void end_cursors() noexcept;
    void note_walk(KeyspaceState& keyspace, WalkedRange range);

    Result<void> before_commit() override;
    Result<void> at_commit() override;
    void applied() override { end(); }

    const std::shared_ptr<Engine> engine;
    const Isolation isolation;
    const Sequence snapshot;
    std::optional<Reader> reader;  ///< none: the transaction has ended
    ReadSet reads;
    WriteSet writes;
    std::vector<TransactionCursorState*> cursors;  ///< that did not end yet
    std::optional<Error> forgotten;                ///< a walk did not fit the read set

private:
    /// What must not have changed in one keyspace.
    struct Watched {
        KeyspaceState* keyspace = nullptr;
        std::vector<Bytes> keys;
        const std::vector<WalkedRange>* ranges = nullptr;
        bool read = false;
    };

    void list_watched();
    Result<void> check_watched(Sequence since, storage::Tree::Budget budget) const;

    std::vector<Watched> watched_;
    Sequence checked_{};  ///< commits up to here are no conflict
};

/// The merge of an engine's cursor with the sorted writes.
///
/// While a row is shown the base cursor stands at the first row of the engine's that is not below
/// it (going forward), or at the last that is not above (going backward); both may be the row
/// itself. Writes are looked up by key at each step, so the transaction may write meanwhile.
struct TransactionCursorState {
    TransactionCursorState(TransactionState& of, const Keyspace& keyspace, KeyRange range,
                           CursorStart start);
    /// A cursor that never was valid.
    explicit TransactionCursorState(const Error& error) : failure(error) {}
    ~TransactionCursorState();
    TransactionCursorState(const TransactionCursorState&) = delete;
    TransactionCursorState& operator=(const TransactionCursorState&) = delete;

    void next();
    void previous();
    void seek(Bytes key);
    void seek_to_first();
    void seek_to_last();
    Bytes value() { return own != nullptr ? Bytes(own->value) : base->value(); }
    std::uint64_t value_size() const {
        return own != nullptr ? own->value.size() : base->value_size();
    }
    /// The transaction takes what was walked; the cursor shows nothing from here on.
    void detach();

    TransactionState* transaction = nullptr;  ///< null: it has ended
    KeyspaceState* keyspace = nullptr;
    KeyRange range;
    std::optional<Cursor> base;
    std::string key;
    bool valid = false;
    const WriteSet::Write* own = nullptr;  ///< the row shown is the transaction's
    std::optional<Error> failure;

private:
    using Writes = WriteSet::Keys;

    const Writes* writes() const;
    /// To the first row behind `low`, or at it.
    void settle_forward(Bytes low, bool at_it);
    /// To the last row before `high`; none: of the range.
    void settle_backward(const std::optional<std::string>& high);
    bool base_sound();
    void show(Bytes at, const WriteSet::Write* write);
    void show_nothing();
    void fail(const Error& error);
    void close_walk();

    bool forward_ = true;
    const bool tracked_ = false;
    bool walking_ = false;
    bool fresh_ = false;  ///< backward, and nothing was shown yet
    WalkedRange walk_;
};

}  // namespace fulgur::db
