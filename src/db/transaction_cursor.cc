// TransactionCursor: the engine's rows and the transaction's own, merged. Rules in transaction.h.
#include <algorithm>
#include <iterator>

#include "base/planted.h"
#include "db/transaction.h"

namespace fulgur {

namespace db {

TransactionCursorState::TransactionCursorState(TransactionState& of, const Keyspace& in,
                                               KeyRange over, CursorStart start)
    : transaction(&of),
      keyspace(&TransactionAccess::state(in)),
      range(std::move(over)),
      tracked_(start.tracked) {
    of.cursors.push_back(this);
    base.emplace(of.reader->cursor(in, range));
    if (range.end && *range.end <= range.begin) return;
    if (start.at_last) {
        seek_to_last();
        return;
    }
    walking_ = tracked_;
    walk_ = {range.begin, range.begin};
    settle_forward(range.begin, true);
}

TransactionCursorState::~TransactionCursorState() {
    if (transaction == nullptr) return;
    close_walk();
    std::erase(transaction->cursors, this);
}

void TransactionCursorState::detach() {
    close_walk();
    if (!failure) failure = TransactionState::ended_error();
    transaction = nullptr;
    base.reset();
    valid = false;
    own = nullptr;
}

const TransactionCursorState::Writes* TransactionCursorState::writes() const {
    if (FULGUR_PLANTED("own_writes_unseen_by_cursor")) return nullptr;
    return transaction->writes.of(*keyspace);
}

void TransactionCursorState::fail(const Error& error) {
    failure = error;
    valid = false;
    own = nullptr;
}

/// A base cursor that is not valid stands at an end, or at an error.
bool TransactionCursorState::base_sound() {
    if (base->valid()) return true;
    const Result<void> status = base->status();
    if (!status) fail(status.error());
    return status.ok();
}

void TransactionCursorState::show(Bytes at, const WriteSet::Write* write) {
    key.assign(at);
    own = write;
    valid = true;
    if (!walking_) return;
    // A walk that turns round goes over what it saw before: its bounds only grow.
    const bool shrinks = FULGUR_PLANTED("walk_shrinks_when_it_turns");
    if (forward_) {
        const bool grows = walk_.end && *walk_.end <= key;
        if (grows || shrinks) walk_.end.emplace(key).push_back('\0');  // The first key behind it.
    } else if (fresh_ || key < walk_.begin || shrinks) {
        walk_.begin = key;
    }
    fresh_ = false;
}

void TransactionCursorState::show_nothing() {
    valid = false;
    own = nullptr;
    if (!walking_ || FULGUR_PLANTED("walk_forgets_its_end")) return;
    if (forward_) {
        walk_.end = range.end;
    } else {
        walk_.begin = range.begin;
    }
}

void TransactionCursorState::close_walk() {
    if (!walking_) return;
    walking_ = false;
    transaction->note_walk(*keyspace, std::move(walk_));
    if (transaction->forgotten) fail(*transaction->forgotten);
}

void TransactionCursorState::settle_forward(Bytes low, bool at_it) {
    static const Writes none;
    const Writes* const found = writes();
    const Writes& own_rows = found == nullptr ? none : *found;
    auto write = at_it ? own_rows.lower_bound(low) : own_rows.upper_bound(low);
    for (;;) {
        if (!base_sound()) return;
        const bool has_own =
            write != own_rows.end() && (!range.end || Bytes(write->first) < Bytes(*range.end));
        if (!has_own && !base->valid()) return show_nothing();
        const int order = !has_own         ? 1
                          : !base->valid() ? -1
                                           : Bytes(write->first).compare(base->key());
        if (order > 0) return show(base->key(), nullptr);
        if (!write->second.erase) return show(write->first, &write->second);
        if (order == 0) base->next();
        ++write;
    }
}

void TransactionCursorState::settle_backward(const std::optional<std::string>& high) {
    static const Writes none;
    const Writes* const found = writes();
    const Writes& own_rows = found == nullptr ? none : *found;
    auto behind = high        ? own_rows.lower_bound(*high)
                  : range.end ? own_rows.lower_bound(*range.end)
                              : own_rows.end();
    for (;;) {
        if (!base_sound()) return;
        const auto write = behind == own_rows.begin() ? own_rows.end() : std::prev(behind);
        const bool has_own = write != own_rows.end() && write->first >= range.begin;
        if (!has_own && !base->valid()) return show_nothing();
        const int order = !has_own         ? -1
                          : !base->valid() ? 1
                                           : Bytes(write->first).compare(base->key());
        if (order < 0) return show(base->key(), nullptr);
        if (!write->second.erase) return show(write->first, &write->second);
        if (order == 0) base->previous();
        behind = write;
    }
}

void TransactionCursorState::next() {
    if (!valid) return;
    if (!forward_) {
        forward_ = true;
        // From the last row that is not above this one to the first that is.
        base->valid() ? base->next() : base->seek_to_first();
    } else if (base->valid() && base->key() == Bytes(key)) {
        base->next();
    }
    settle_forward(key, false);
}

void TransactionCursorState::previous() {
    if (!valid) return;
    if (forward_) {
        forward_ = false;
        base->valid() ? base->previous() : base->seek_to_last();
    } else if (base->valid() && base->key() == Bytes(key)) {
        base->previous();
    }
    settle_backward(key);
}

void TransactionCursorState::seek(Bytes to) {
    if (transaction == nullptr || !base) return;
    const std::string low(std::max(to, Bytes(range.begin)));
    close_walk();
    valid = false;
    own = nullptr;
    if (transaction->forgotten) return fail(*transaction->forgotten);
    if (range.end && *range.end <= low) return;
    failure.reset();
    forward_ = true;
    walking_ = tracked_;
    walk_ = {low, low};
    fresh_ = false;
    base->seek(low);
    settle_forward(low, true);
}

void TransactionCursorState::seek_to_first() { seek(range.begin); }

void TransactionCursorState::seek_to_last() {
    if (transaction == nullptr || !base) return;
    close_walk();
    valid = false;
    own = nullptr;
    if (transaction->forgotten) return fail(*transaction->forgotten);
    if (range.end && *range.end <= range.begin) return;
    failure.reset();
    base->seek_to_last();
    forward_ = false;
    walking_ = tracked_;
    walk_ = {{}, range.end};
    fresh_ = true;  // Where it begins the first row will tell.
    settle_backward({});
    if (failure) walking_ = false;
}

}  // namespace db

using db::TransactionCursorState;

TransactionCursor::TransactionCursor(std::unique_ptr<TransactionCursorState> state) noexcept
    : state_(std::move(state)) {}
TransactionCursor::TransactionCursor(TransactionCursor&&) noexcept = default;
TransactionCursor& TransactionCursor::operator=(TransactionCursor&&) noexcept = default;
TransactionCursor::~TransactionCursor() = default;

bool TransactionCursor::valid() const noexcept { return state_->valid; }
Bytes TransactionCursor::key() const noexcept {
    return state_->valid ? Bytes(state_->key) : Bytes();
}
Bytes TransactionCursor::value() { return state_->valid ? state_->value() : Bytes(); }
std::uint64_t TransactionCursor::value_size() const noexcept {
    return state_->valid ? state_->value_size() : 0;
}
void TransactionCursor::next() { state_->next(); }
void TransactionCursor::previous() { state_->previous(); }
void TransactionCursor::seek(Bytes key) { state_->seek(key); }
void TransactionCursor::seek_to_first() { state_->seek_to_first(); }
void TransactionCursor::seek_to_last() { state_->seek_to_last(); }

Result<void> TransactionCursor::status() const {
    if (state_->failure) return *state_->failure;
    // The base tells of a value that could not be fetched too.
    return state_->base ? state_->base->status() : Result<void>();
}

}  // namespace fulgur
