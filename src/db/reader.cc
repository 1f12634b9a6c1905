// Reader, Cursor and Snapshot: thin handles over pins and trees.
#include <algorithm>
#include <array>

#include "base/hash.h"
#include "db/reader_state.h"

namespace fulgur {

using db::CursorState;
using db::KeyspaceState;
using db::ReaderState;
using storage::Record;

// ---- db: state ----------------------------------------------------------------------------------

namespace db {

Result<ReaderHandle> ReaderState::make(const std::shared_ptr<Engine>& engine,
                                       const Sequence* snapshot) {
    if (Result<void> open = engine->check_open(); !open) return open.error();
    engine->make_ready_to_read();
    storage::Versions& versions = engine->versions();
    storage::Versions::Slot* slot = versions.take_slot();
    if (slot == nullptr) {
        return Error(ErrorCode::kBusy,
                     "all reader slots are taken; end readers that are not needed");
    }
    ReaderState& state = engine->reader_state(*slot);
    state.engine = engine;
    state.sequence = versions.pin(*slot);
    state.at_snapshot = snapshot != nullptr;
    if (snapshot != nullptr) {
        state.sequence = *snapshot;
        // Its snapshot is registered, with the time.
        versions.add_snapshot(*snapshot, 0);
    }
    return ReaderHandle(&state);
}

void EndReader::operator()(ReaderState* state) const noexcept {
    // Once the slot is given back the state may be another reader's; and with the last reference
    // the engine ends, and the state with it.
    const std::shared_ptr<Engine> engine = std::move(state->engine);
    storage::Versions& versions = engine->versions();
    state->views.end();
    if (state->at_snapshot) versions.remove_snapshot(state->sequence);
    versions.unpin(*state->slot);
    versions.give_slot(state->slot);
}

ReaderState& Engine::reader_state(storage::Versions::Slot& slot) {
    const std::size_t index = versions_.index_of(slot);
    std::atomic<ReaderState*>& place = reader_states_[index];
    if (ReaderState* made = place.load(std::memory_order_acquire)) return *made;
    auto* state = new ReaderState;
    state->slot = &slot;
    state->stripe = index;
    read_metrics_.get_ns.prepare(index);
    read_metrics_.get_many_ns.prepare(index);
    place.store(state, std::memory_order_release);
    return *state;
}

Result<void> ReaderState::check(const Engine* of, const KeyspaceState& keyspace) const {
    if (of != engine.get()) {
        return Error(ErrorCode::kInvalid, "the keyspace belongs to another database");
    }
    if (!keyspace.visible_at(sequence)) [[unlikely]] {
        return Error(ErrorCode::kInvalid, "the keyspace was dropped").at(keyspace.name);
    }
    return engine->check_open();
}

Result<Bytes> Engine::value_of(KeyspaceState& keyspace, const Record& record) {
    if (!record.large()) [[likely]] {
        return record.value();
    }
    return keyspace.tree->load_large(*storage::large_value_of(record));
}

/// The checksum covers the whole value, so the first part that is read costs reading all of it;
/// later parts do not.
Result<void> Engine::check_large(storage::LargeValue& value) {
    if (value.checked.load(std::memory_order_relaxed)) return {};
    constexpr std::uint64_t kChunkBytes = 1_MiB;
    const std::uint64_t sector = value.sector.load(std::memory_order_acquire);
    std::vector<char> chunk(std::min(kChunkBytes, value.length));
    Hash64Stream hash;
    for (std::uint64_t at = 0; at < value.length; at += chunk.size()) {
        const std::size_t size = std::min<std::uint64_t>(chunk.size(), value.length - at);
        Result<void> read = data_->read(sector, at, {chunk.data(), size});
        if (!read) return read;
        hash.add({chunk.data(), size});
    }
    if (hash.result() != value.checksum) {
        return Error(ErrorCode::kCorruption, "large value checksum mismatch")
            .at(data_->name(), sector * storage::kSectorBytes);
    }
    value.checked.store(true, std::memory_order_relaxed);
    return {};
}

Result<std::size_t> Engine::read_part(const Record& record, std::uint64_t offset,
                                      std::span<char> into) {
    const auto copy = [&](Bytes from) -> std::size_t {
        if (offset >= from.size()) return 0;
        const std::size_t size = std::min<std::size_t>(into.size(), from.size() - offset);
        std::copy_n(from.data() + offset, size, into.data());
        return size;
    };
    if (!record.large()) return copy(record.value());
    storage::LargeValue& value = *storage::large_value_of(record);
    if (const char* bytes = value.bytes.load(std::memory_order_acquire)) {
        return copy({bytes, value.length});
    }
    if (Result<void> sound = check_large(value); !sound) return sound.error();
    if (offset >= value.length) return std::size_t{0};
    const std::size_t size = std::min<std::uint64_t>(into.size(), value.length - offset);
    Result<void> read =
        data_->read(value.sector.load(std::memory_order_acquire), offset, into.first(size));
    if (!read) return read.error();
    return size;
}

Result<std::optional<Record>> Engine::find(KeyspaceState& keyspace, Bytes key, Sequence at) {
    Result<std::optional<Record>> found = keyspace.tree->find(key, hash64(key), at);
    if (found && *found && (*found)->tombstone()) return std::optional<Record>();
    return found;
}

}  // namespace db

// ---- Reader -------------------------------------------------------------------------------------

Reader::Reader(db::ReaderHandle state) noexcept : state_(std::move(state)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

Sequence Reader::sequence() const noexcept { return state_->sequence; }

void Reader::refresh() {
    state_->views.end();
    if (state_->engine->wants_room()) [[unlikely]] {
        state_->engine->versions().unpin(*state_->slot);
        state_->engine->make_ready_to_read();
    }
    // A snapshot's reader stays at its moment, which is registered; its pin moves all the same, so
    // that what was retired since can be used again.
    const Sequence newest = state_->engine->versions().pin(*state_->slot);
    if (!state_->at_snapshot) state_->sequence = newest;
}

/// The common case, pages in memory and an inline value, with nothing else in the function: what it
/// does beside waiting for memory keeps the processor from starting the next get meanwhile.
/// Counting is one addition to a line that is the reader's own; docs/benchmarks.md has its cost.
Result<std::optional<Bytes>> Reader::get(const Keyspace& keyspace, Bytes key) & {
    ReaderState& state = *state_;
    const auto& of = *static_cast<const KeyspaceState*>(keyspace.state_);
    const bool timed = state.counts.gets.add() % db::kSampleEvery == 0;
    if (!timed && state.may_read(keyspace.engine_.get(), of)) [[likely]] {
        if (const storage::Leaf* leaf = of.tree->resident_leaf(key)) [[likely]] {
            const char* const bytes = leaf->locate(key.substr(leaf->prefix_size),
                                                   storage::print_of(hash64(key)), state.sequence);
            if (bytes == nullptr || Record(bytes).tombstone()) {
                // The fence makes the compiler load the state anew here, instead of keeping it in a
                // register while every get searches.
                std::atomic_signal_fence(std::memory_order_seq_cst);
                state_->counts.gets_absent.add();
                return std::optional<Bytes>();
            }
            if (Record(bytes).large()) [[unlikely]] {
                return get_value(keyspace, bytes);
            }
            return std::optional<Bytes>(state_->views.show(Record(bytes).value()));
        }
    }
    return get_counted(keyspace, key);
}

/// Out of line, as all that follows, so that the common case keeps no registers for it.
[[gnu::noinline]] Result<std::optional<Bytes>> Reader::get_value(const Keyspace& keyspace,
                                                                 const char* record) {
    auto& of = *static_cast<KeyspaceState*>(keyspace.state_);
    Result<Bytes> value = state_->engine->value_of(of, Record(record));
    if (!value) {
        state_->counts.gets_failed.add();
        return state_->failed(value.error());
    }
    return std::optional<Bytes>(state_->views.show(*value));
}

/// The other cases, and the turn of a get to be timed. It is counted already.
Result<std::optional<Bytes>> Reader::get_counted(const Keyspace& keyspace, Bytes key) {
    if (state_->counts.gets.value() % db::kSampleEvery != 0) return get_any(keyspace, key);
    db::Engine& engine = *state_->engine;
    const std::uint64_t start_ns = engine.now_ns();
    Result<std::optional<Bytes>> value = get_any(keyspace, key);
    engine.read_metrics().get_ns.record(engine.now_ns() - start_ns, state_->stripe);
    return value;
}

Result<std::optional<Bytes>> Reader::get_any(const Keyspace& keyspace, Bytes key) {
    auto& of = *static_cast<KeyspaceState*>(keyspace.state_);
    const auto failed = [this](const Error& error) {
        state_->counts.gets_failed.add();
        return state_->failed(error);
    };
    if (Result<void> ready = state_->check(keyspace.engine_.get(), of); !ready) {
        return failed(ready.error());
    }
    if (of.tree->resident_leaf(key) == nullptr) state_->counts.gets_cold.add();
    Result<std::optional<Record>> found = state_->engine->find(of, key, state_->sequence);
    if (!found) return failed(found.error());
    if (!*found) {
        state_->counts.gets_absent.add();
        return std::optional<Bytes>();
    }
    return get_value(keyspace, (*found)->bytes());
}

Result<void> Reader::get_many(const Keyspace& keyspace, std::span<const Bytes> keys,
                              std::span<std::optional<Bytes>> views) & {
    db::ReadCounts& counts = state_->counts;
    counts.get_many_keys.add(keys.size());
    db::Engine& engine = *state_->engine;
    const bool timed = counts.get_many_calls.add() % db::kSampleEvery == 0;
    const std::uint64_t start_ns = timed ? engine.now_ns() : 0;
    Result<void> done = get_many_any(keyspace, keys, views);
    if (timed) [[unlikely]] {
        engine.read_metrics().get_many_ns.record(engine.now_ns() - start_ns, state_->stripe);
    }
    if (!done) [[unlikely]] {
        return state_->failed(done.error());
    }
    return done;
}

Result<void> Reader::get_many_any(const Keyspace& keyspace, std::span<const Bytes> keys,
                                  std::span<std::optional<Bytes>> views) {
    auto& of = *static_cast<KeyspaceState*>(keyspace.state_);
    if (Result<void> ready = state_->check(keyspace.engine_.get(), of); !ready) return ready;
    if (views.size() < keys.size()) {
        return Error(ErrorCode::kInvalid, "get_many: fewer views than keys");
    }
    std::size_t absent = 0;
    std::array<std::optional<Record>, storage::Tree::kGroupMax> records;
    for (std::size_t begin = 0; begin < keys.size(); begin += records.size()) {
        const std::size_t n = std::min(records.size(), keys.size() - begin);
        Result<void> found = of.tree->find_many(keys.subspan(begin, n), state_->sequence, records);
        if (!found) return found;
        for (std::size_t i = 0; i < n; ++i) {
            views[begin + i].reset();
            if (!records[i] || records[i]->tombstone()) {
                ++absent;
                continue;
            }
            if (!records[i]->large()) [[likely]] {
                views[begin + i] = state_->views.show(records[i]->value());
                continue;
            }
            Result<Bytes> value = state_->engine->value_of(of, *records[i]);
            if (!value) return value.error();
            views[begin + i] = state_->views.show(*value);
        }
    }
    state_->counts.get_many_absent.add(absent);
    return {};
}

Result<std::optional<std::size_t>> Reader::read(const Keyspace& keyspace, Bytes key,
                                                std::uint64_t offset, std::span<char> into) & {
    auto& of = *static_cast<KeyspaceState*>(keyspace.state_);
    state_->counts.part_reads.add();
    if (Result<void> ready = state_->check(keyspace.engine_.get(), of); !ready) {
        return state_->failed(ready.error());
    }
    Result<std::optional<Record>> found = state_->engine->find(of, key, state_->sequence);
    if (!found) return state_->failed(found.error());
    if (!*found) return std::optional<std::size_t>();
    Result<std::size_t> size = state_->engine->read_part(**found, offset, into);
    if (!size) return state_->failed(size.error());
    return std::optional<std::size_t>(*size);
}

Cursor Reader::cursor(const Keyspace& keyspace, KeyRange range) & {
    auto& of = *static_cast<KeyspaceState*>(keyspace.state_);
    state_->counts.cursors.add();
    if (Result<void> ready = state_->check(keyspace.engine_.get(), of); !ready) {
        return Cursor(std::make_unique<CursorState>(*state_, state_->failed(ready.error())));
    }
    return Cursor(std::make_unique<CursorState>(*state_, of, std::move(range)));
}

// ---- Cursor -------------------------------------------------------------------------------------

Cursor::Cursor(std::unique_ptr<CursorState> state) noexcept : state_(std::move(state)) { show(); }
Cursor::Cursor(Cursor&&) noexcept = default;
Cursor& Cursor::operator=(Cursor&&) noexcept = default;
Cursor::~Cursor() = default;

void Cursor::show() {
    valid_ = state_->cursor && state_->cursor->valid();
    value_ = {};
    value_ready_ = true;
    if (!valid_) {
        key_ = {};
        value_size_ = 0;
        state_->count_end();
        return;
    }
    state_->reader.counts.cursor_rows.add();
    key_ = state_->cursor->key();
    const Record& record = state_->cursor->record();
    value_ready_ = !record.large();
    if (value_ready_) {
        value_ = state_->reader.views.show(record.value());
        value_size_ = value_.size();
    } else {
        value_size_ = storage::large_value_of(record)->length;
    }
}

void Cursor::fetch_value() {
    value_ready_ = true;
    Result<Bytes> value =
        state_->reader.engine->value_of(*state_->keyspace, state_->cursor->record());
    if (value) {
        value_ = state_->reader.views.show(*value);
    } else {
        state_->value_error = state_->reader.failed(value.error());
    }
}

void Cursor::next() {
    if (!valid_) return;
    state_->cursor->next();
    show();
}

void Cursor::previous() {
    if (!valid_) return;
    state_->cursor->previous();
    show();
}

void Cursor::seek(Bytes key) {
    if (!state_->cursor) return;
    state_->cursor->seek(key);
    show();
}

void Cursor::seek_to_first() {
    if (!state_->cursor) return;
    state_->cursor->seek_to_first();
    show();
}

void Cursor::seek_to_last() {
    if (!state_->cursor) return;
    state_->cursor->seek_to_last();
    show();
}

Result<void> Cursor::status() const {
    if (state_->value_error) return *state_->value_error;
    if (state_->cursor && state_->cursor->error()) return *state_->cursor->error();
    return {};
}

// ---- Snapshot -----------------------------------------------------------------------------------

struct Snapshot::State {
    std::shared_ptr<db::Engine> engine;
    Sequence sequence{};

    ~State() { engine->versions().remove_snapshot(sequence); }
};

Snapshot::Snapshot(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Snapshot::Snapshot(Snapshot&&) noexcept = default;
Snapshot& Snapshot::operator=(Snapshot&&) noexcept = default;
Snapshot::~Snapshot() = default;

Sequence Snapshot::sequence() const noexcept { return state_->sequence; }

Result<Reader> Snapshot::reader() const {
    Result<db::ReaderHandle> state = ReaderState::make(state_->engine, &state_->sequence);
    if (!state) return state.error();
    return Reader(*std::move(state));
}

Result<Snapshot> Database::snapshot() const {
    // Registered while this reader is pinned: see storage/versions.h.
    Result<db::ReaderHandle> reader = ReaderState::make(engine_, nullptr);
    if (!reader) return reader.error();
    engine_->versions().add_snapshot((*reader)->sequence, engine_->now_ns());
    auto state = std::make_unique<Snapshot::State>();
    state->engine = engine_;
    state->sequence = (*reader)->sequence;
    return Snapshot(std::move(state));
}

Result<Reader> Database::try_reader() const {
    Result<db::ReaderHandle> state = ReaderState::make(engine_, nullptr);
    if (!state) return state.error();
    return Reader(*std::move(state));
}

Reader Database::reader() const { return try_reader().value(); }

Result<std::optional<std::string>> Keyspace::get(Bytes key) const {
    Result<db::ReaderHandle> state = ReaderState::make(engine_, nullptr);
    if (!state) return state.error();
    Reader reader(*std::move(state));
    Result<std::optional<Bytes>> view = reader.get(*this, key);
    if (!view) return view.error();
    if (!*view) return std::optional<std::string>();
    return std::optional<std::string>(std::string(**view));
}

}  // namespace fulgur
