// Transaction: reads, writes, and what the commit checks. Rules in transaction.h.
#include "db/transaction.h"

#include <algorithm>

#include "base/planted.h"
#include "db/reader_state.h"
#include "storage/page_format.h"

namespace fulgur {

namespace db {

namespace {

/// Keys and names for people: printable bytes as they are, long ones cut.
std::string readable(Bytes bytes) {
    constexpr std::size_t kShown = 28;
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const bool plain = c >= ' ' && c <= '~' && c != '\\';
        if (text.size() + (plain ? 1 : 4) > kShown) {
            text.append("..");
            break;
        }
        if (plain) {
            text.push_back(c);
            continue;
        }
        text.append("\\x");
        text.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
        text.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
    }
    return text;
}

Error conflict(const char* what, const KeyspaceState& keyspace, Bytes key) {
    return Error(ErrorCode::kConflict, what)
        .at("key " + readable(key) + " in " + readable(keyspace.name));
}

}  // namespace

TransactionState::TransactionState(std::shared_ptr<Engine> of, ReaderHandle at, Isolation level)
    : engine(std::move(of)),
      isolation(level),
      snapshot(at->sequence),
      reader(TransactionAccess::make_reader(std::move(at))),
      reads(std::min(kReadSetBytesMax, engine->options().user.memory_budget / 8)),
      writes(std::min(kBatchBytesMax, engine->options().user.memory_budget / 4)) {}

TransactionState::~TransactionState() { end(); }

Error TransactionState::ended_error() {
    return Error(ErrorCode::kInvalid, "the transaction has ended");
}

Result<void> TransactionState::check(const Keyspace& keyspace) const {
    if (!reader) return ended_error();
    if (TransactionAccess::engine(keyspace) != engine) {
        return Error(ErrorCode::kInvalid, "the keyspace belongs to another database");
    }
    return {};
}

Result<void> TransactionState::note_read(KeyspaceState& keyspace, Bytes key) {
    if (!tracks_reads()) return {};
    return reads.add_point(keyspace, key);
}

Result<std::optional<Bytes>> TransactionState::get(const Keyspace& keyspace, Bytes key,
                                                   bool tracked) {
    if (Result<void> ready = check(keyspace); !ready) return ready.error();
    KeyspaceState& of = TransactionAccess::state(keyspace);
    const WriteSet::Write* const own = writes.find(of, key);
    if (own != nullptr && !FULGUR_PLANTED("own_write_unseen_by_get")) {
        return own->erase ? std::optional<Bytes>() : std::optional<Bytes>(own->value);
    }
    if (tracked) {
        if (Result<void> noted = reads.add_point(of, key); !noted) return noted.error();
    }
    return reader->get(keyspace, key);
}

Result<void> TransactionState::get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                                        std::span<std::optional<Bytes>> views, bool tracked) {
    if (Result<void> ready = check(keyspace); !ready) return ready;
    if (views.size() < keys.size()) {
        return Error(ErrorCode::kInvalid, "get_many: fewer views than keys");
    }
    KeyspaceState& of = TransactionAccess::state(keyspace);
    std::vector<Bytes> others;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        views[i].reset();
        if (const WriteSet::Write* own = writes.find(of, keys[i])) {
            if (!own->erase) views[i] = Bytes(own->value);
            continue;
        }
        if (tracked) {
            if (Result<void> noted = reads.add_point(of, keys[i]); !noted) return noted;
        }
        others.push_back(keys[i]);
        places.push_back(i);
    }
    std::vector<std::optional<Bytes>> found(others.size());
    if (Result<void> got = reader->get_many(keyspace, others, found); !got) return got;
    for (std::size_t i = 0; i < places.size(); ++i) views[places[i]] = found[i];
    return {};
}

/// Too late to refuse what the cursor has shown: without a record of it nothing can commit.
void TransactionState::note_walk(KeyspaceState& keyspace, WalkedRange range) {
    Result<void> noted = reads.add_range(keyspace, std::move(range));
    if (!noted) forgotten = noted.error();
}

void TransactionState::end_cursors() noexcept {
    for (TransactionCursorState* cursor : cursors) cursor->detach();
    cursors.clear();
}

void TransactionState::end() noexcept {
    end_cursors();
    reader.reset();
}

Result<Sequence> TransactionState::commit(Durability durability) {
    if (!reader) return ended_error();
    end_cursors();
    if (writes.empty()) {
        end();
        if (durability != Durability::kSync) return snapshot;
        if (Result<void> done = engine->wait_until_durable(snapshot); !done) return done.error();
        return snapshot;
    }
    if (forgotten) {
        end();
        return *forgotten;
    }
    // The memory that views held may go.
    reader->refresh();
    std::vector<CommitOperation> operations = writes.operations();
    Result<Sequence> done = engine->commit_checked(operations, *this, durability);
    end();
    return done;
}

void TransactionState::list_watched() {
    watched_.clear();
    if (isolation == Isolation::kSnapshot) {
        writes.for_each_keyspace([this](KeyspaceState& keyspace, const WriteSet::Keys& keys) {
            Watched& watched = watched_.emplace_back();
            watched.keyspace = &keyspace;
            for (const auto& [key, write] : keys) watched.keys.push_back(key);
        });
        return;
    }
    reads.settle();
    for (const auto& [keyspace, of] : reads.reads()) {
        Watched& watched = watched_.emplace_back();
        watched.keyspace = keyspace;
        watched.read = true;
        watched.ranges = &of.ranges;
        if (FULGUR_PLANTED("point_reads_unchecked")) continue;
        for (const ReadSet::Point& point : of.points) watched.keys.push_back(of.key(point));
    }
}

Result<void> TransactionState::check_watched(Sequence since, storage::Tree::Budget budget) const {
    for (const Watched& watched : watched_) {
        const KeyspaceState& keyspace = *watched.keyspace;
        const char* const what = watched.read ? "another commit changed what this transaction read"
                                              : "another commit wrote this key first";
        if (keyspace.dropped()) {  // Its tree may be gone.
            if (!watched.read) {
                return Error(ErrorCode::kInvalid, "the keyspace was dropped").at(keyspace.name);
            }
            return Error(ErrorCode::kConflict, "a keyspace that this transaction read was dropped")
                .at(keyspace.name);
        }
        Result<std::optional<std::size_t>> point =
            keyspace.tree->changed_point(watched.keys, since, budget);
        if (!point) return point.error();
        if (*point) return conflict(what, keyspace, watched.keys[**point]);
        if (watched.ranges == nullptr || FULGUR_PLANTED("ranges_unchecked")) continue;
        for (const WalkedRange& range : *watched.ranges) {
            std::optional<Bytes> high;
            if (range.end) high = *range.end;
            Result<std::optional<std::string>> key =
                keyspace.tree->changed_key(range.begin, high, since, budget);
            if (!key) return key.error();
            if (*key) return conflict(what, keyspace, **key);
        }
    }
    return {};
}

Result<void> TransactionState::before_commit() {
    list_watched();
    const Sequence visible = engine->versions().visible();
    checked_ = visible;
    Result<void> passed = visible == snapshot
                              ? Result<void>()
                              : check_watched(snapshot, storage::Tree::Budget::kMakeRoom);
    // What the commit has evicted is to be free for it. The moment stays registered.
    TransactionAccess::unpin(*reader);
    return passed;
}

Result<void> TransactionState::at_commit() {
    const Sequence visible = engine->versions().visible();
    if (visible == checked_ || FULGUR_PLANTED("commit_not_rechecked")) return {};
    // Nothing can be evicted here: without room the commit makes some, and asks again.
    Result<void> passed = check_watched(checked_, storage::Tree::Budget::kHolds);
    if (passed) checked_ = visible;
    return passed;
}

void TransactionAccess::unpin(Reader& reader) {
    ReaderState& state = *reader.state_;
    state.views.end();
    state.engine->versions().unpin(*state.slot);
}

Result<ReaderHandle> TransactionAccess::make_snapshot_reader(
    const std::shared_ptr<Engine>& engine) {
    Result<ReaderHandle> made = ReaderState::make(engine, nullptr);
    if (!made) return made;
    ReaderState& state = **made;
    if (!FULGUR_PLANTED("transaction_unregistered")) {
        // While the reader is pinned: see storage/versions.h. It takes it back when it ends.
        engine->versions().add_snapshot(state.sequence, engine->now_ns());
        state.at_snapshot = true;
    }
    return made;
}

TransactionCursor TransactionAccess::cursor(Transaction& transaction, const Keyspace& keyspace,
                                            KeyRange range, CursorStart start) {
    return TransactionCursor(std::make_unique<TransactionCursorState>(*transaction.state_, keyspace,
                                                                      std::move(range), start));
}

Result<Transaction> TransactionAccess::begin(const std::shared_ptr<Engine>& engine,
                                             Isolation isolation) {
    Result<ReaderHandle> made = make_snapshot_reader(engine);
    if (!made) return made.error();
    return Transaction(std::make_unique<TransactionState>(engine, *std::move(made), isolation));
}

}  // namespace db

using db::KeyspaceState;
using db::TransactionAccess;
using db::TransactionCursorState;
using db::WriteSet;

Transaction::Transaction(std::unique_ptr<db::TransactionState> state) noexcept
    : state_(std::move(state)) {}
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&&) noexcept = default;
Transaction::~Transaction() = default;

Sequence Transaction::snapshot() const noexcept { return state_->snapshot; }
bool Transaction::ended() const noexcept { return !state_->reader; }

Result<std::optional<Bytes>> Transaction::get(const Keyspace& keyspace, Bytes key) & {
    return state_->get(keyspace, key, state_->tracks_reads());
}

Result<void> Transaction::get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                                   std::span<std::optional<Bytes>> views) & {
    return state_->get_many(keyspace, keys, views, state_->tracks_reads());
}

Result<std::optional<std::size_t>> Transaction::read(const Keyspace& keyspace, Bytes key,
                                                     std::uint64_t offset, std::span<char> into) & {
    if (Result<void> ready = state_->check(keyspace); !ready) return ready.error();
    KeyspaceState& of = TransactionAccess::state(keyspace);
    if (const WriteSet::Write* own = state_->writes.find(of, key)) {
        if (own->erase) return std::optional<std::size_t>();
        if (offset >= own->value.size()) return std::optional<std::size_t>(0);
        const std::size_t size = std::min<std::size_t>(into.size(), own->value.size() - offset);
        std::copy_n(own->value.data() + offset, size, into.data());
        return std::optional<std::size_t>(size);
    }
    if (Result<void> noted = state_->note_read(of, key); !noted) return noted.error();
    return state_->reader->read(keyspace, key, offset, into);
}

TransactionCursor Transaction::cursor(const Keyspace& keyspace, KeyRange range) & {
    if (Result<void> ready = state_->check(keyspace); !ready) {
        return TransactionCursor(std::make_unique<TransactionCursorState>(ready.error()));
    }
    return db::TransactionAccess::cursor(*this, keyspace, std::move(range),
                                         {.at_last = false, .tracked = state_->tracks_reads()});
}

Result<void> Transaction::put(const Keyspace& keyspace, Bytes key, Bytes value) {
    if (Result<void> ready = state_->check(keyspace); !ready) return ready;
    return state_->writes.add(TransactionAccess::state(keyspace), key, value, false);
}

Result<void> Transaction::erase(const Keyspace& keyspace, Bytes key) {
    if (Result<void> ready = state_->check(keyspace); !ready) return ready;
    return state_->writes.add(TransactionAccess::state(keyspace), key, {}, true);
}

Result<std::uint64_t> Transaction::erase_range(const Keyspace& keyspace, const KeyRange& range) {
    std::uint64_t rows = 0;
    TransactionCursor walk = cursor(keyspace, range);
    for (; walk.valid(); walk.next(), ++rows) {
        if (Result<void> erased = erase(keyspace, walk.key()); !erased) return erased.error();
    }
    if (Result<void> status = walk.status(); !status) return status.error();
    return rows;
}

void Transaction::release_views() {
    if (!state_->reader) return;
    state_->end_cursors();
    state_->reader->refresh();
}

Result<Sequence> Transaction::commit() {
    return state_->commit(state_->engine->options().user.durability);
}

Result<Sequence> Transaction::commit(Durability durability) { return state_->commit(durability); }

void Transaction::rollback() noexcept { state_->end(); }

}  // namespace fulgur
