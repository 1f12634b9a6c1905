// Commits, and the creation and dropping of keyspaces.
#include <algorithm>
#include <cassert>

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/planted.h"
#include "db/engine.h"
#include "db/progress_scope.h"
#include "os/thread.h"

namespace fulgur::db {

namespace {

using storage::LargeReference;
using storage::LargeValue;
using storage::TreeOperation;

/// Values above this are written to the data file before the commit; the log names their place.
constexpr std::uint64_t kLoggedValueBytesMax = 256_KiB;

/// Sorts by keyspace and key, and keeps the last operation of each key.
void reduce(std::vector<CommitOperation>& operations) {
    const auto before = [](const CommitOperation& a, const CommitOperation& b) {
        if (a.keyspace != b.keyspace) return a.keyspace->id < b.keyspace->id;
        if (a.head != b.head) return a.head < b.head;
        if (const int c = a.key.compare(b.key); c != 0) return c < 0;
        return a.order < b.order;
    };
    if (!std::is_sorted(operations.begin(), operations.end(), before)) {
        std::sort(operations.begin(), operations.end(), before);
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const bool last = i + 1 == operations.size() ||
                          operations[i].keyspace != operations[i + 1].keyspace ||
                          operations[i].key != operations[i + 1].key;
        if (last) operations[kept++] = operations[i];
    }
    operations.resize(kept);
}

Error limit(const char* what) { return Error(ErrorCode::kLimit, what); }

/// What a thread keeps from one commit for the next has a bound.
template <typename T>
void trim(std::vector<T>& buffer) {
    constexpr std::size_t kKeptBytes = 1_MiB;
    if (buffer.capacity() * sizeof(T) > kKeptBytes) std::vector<T>().swap(buffer);
}

}  // namespace

/// Runs a commit of rows; times it when it is its turn, and counts its error.
template <typename Commit>
Result<Sequence> Engine::measured(Durability durability, const Commit& commit) {
    const bool timed = commit_metrics_.take_sample(durability);
    const std::uint64_t start_ns = timed ? now_ns() : 0;
    Result<Sequence> done = commit();
    if (!done) [[unlikely]] {
        note_no_space(done.error());
        commit_metrics_.errors.add(done.error().code());
        if (timed) commit_metrics_.time_next(durability);
    } else if (timed) {
        commit_metrics_.latency_ns[CommitMetrics::level(durability)].record(now_ns() - start_ns);
    }
    return done;
}

Result<Sequence> Engine::commit(const WriteBatch& batch, Durability durability) {
    if (batch.empty() && is_open()) return versions_.visible();
    return measured(durability, [&] { return commit_batch(batch, durability); });
}

Result<Sequence> Engine::commit_batch(const WriteBatch& batch, Durability durability) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (batch.mixed() || batch.database() != identity_) {
        return Error(ErrorCode::kInvalid, "the batch holds keyspaces of another database");
    }
    if (batch.byte_size() > std::min(kBatchBytesMax, frames_.budget() / 4)) {
        return limit("the batch is over its limit, 64 MiB or a quarter of the memory budget");
    }
    thread_local std::vector<CommitOperation> operations;
    operations.clear();
    {
        os::MutexLock lock(commit_mutex_);
        KeyspaceState* state = nullptr;
        for (const WriteBatch::Operation& op : batch.operations()) {
            if (op.oversized) return limit("a key is over 65,535 bytes or a value over 4 GiB - 1");
            if (state == nullptr || state->id != op.keyspace_id) {
                const auto found = keyspaces_.find(op.keyspace_id);
                if (found == keyspaces_.end()) {
                    return Error(ErrorCode::kInvalid, "the keyspace was dropped");
                }
                state = found->second.get();
            }
            operations.push_back(
                {state, batch.key(op), batch.value(op), op.erase, op.key_head, operations.size()});
        }
    }
    reduce(operations);
    Result<Sequence> done = commit_sorted(operations, durability);
    trim(operations);
    return done;
}

Result<Sequence> Engine::commit_one(KeyspaceState& keyspace, Bytes key, Bytes value, bool erase,
                                    Durability durability) {
    return measured(durability, [&]() -> Result<Sequence> {
        const GatePass pass(gate_);
        if (!pass) return closed_error();
        if (key.size() > kKeyBytesMax) return limit("the key is over 65,535 bytes");
        if (value.size() > kValueBytesMax) return limit("the value is over 4 GiB - 1");
        thread_local std::vector<CommitOperation> operations;
        operations.assign(1, {&keyspace, key, value, erase, 0, 0});
        return commit_sorted(operations, durability);
    });
}

Result<Sequence> Engine::commit_checked(std::vector<CommitOperation>& operations,
                                        CommitCheck& check, Durability durability) {
    return measured(durability, [&]() -> Result<Sequence> {
        const GatePass pass(gate_);
        if (!pass) return closed_error();
        if (Result<void> passed = check.before_commit(); !passed) return passed.error();
        os::yield_point("before commit");
        return commit_sorted(operations, durability, &check);
    });
}

Result<Sequence> Engine::commit_sorted(SortedOperations& operations, Durability durability,
                                       CommitCheck* check) {
    if (Result<void> writable = check_writable(); !writable) return writable.error();
    if (Result<void> room = wait_for_log_room(); !room) return room.error();
    LargeValues large;
    if (Result<void> made = make_large(operations, large); !made) {
        drop_large(large);
        return made.error();
    }
    thread_local std::vector<char> body;
    body.clear();
    encode(operations, large, body);
    const Bytes bytes(body.data(), body.size());

    thread_local std::vector<TreeOperation> tree_operations;
    tree_operations.resize(operations.size());
    std::size_t next_large = 0;
    CommitCounts counts;
    counts.durability = durability;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const CommitOperation& from = operations[i];
        ++(from.erase ? counts.erases : counts.puts);
        counts.bytes += from.key.size() + from.value.size();
        TreeOperation& to = tree_operations[i];
        to = {from.key, from.value, 0, from.erase ? storage::kTombstone : std::uint8_t{0}, nullptr};
        if (next_large < large.operations.size() && large.operations[next_large] == i) {
            to.value = {large.references.data() + next_large++ * sizeof(LargeReference),
                        sizeof(LargeReference)};
            to.flags = storage::kLarge;
            ++counts.large_values;
            counts.large_bytes += from.value.size();
        }
    }

    const Result<storage::LogTicket> ticket =
        log_and_apply(operations, tree_operations, bytes, counts, check);
    trim(body);
    trim(tree_operations);
    if (!ticket) {
        drop_large(large);
        return ticket.error();
    }
    for (auto& value : large.values) static_cast<void>(value.release());
    if (check != nullptr) check->applied();
    if (FULGUR_PLANTED("commit_returns_unsynced")) durability = Durability::kBuffered;
    if (Result<void> waited = log_->wait(*ticket, durability); !waited) return waited.error();
    return ticket->sequence;
}

/// Steps 1 to 4.
Result<storage::LogTicket> Engine::log_and_apply(const SortedOperations& operations,
                                                 std::vector<TreeOperation>& tree_operations,
                                                 Bytes body, const CommitCounts& counts,
                                                 CommitCheck* check) {
    const std::uint32_t crc = crc32c(body);
    evict_now();
    // Without a thread that does it, memory is kept ready for readers here; a failure is kept.
    if (!options_.background && wants_clean_pages()) static_cast<void>(checkpoint().ok());
    for (int tries = 0;; ++tries) {
        std::uint64_t bytes = 0;
        os::MutexLock lock(commit_mutex_);
        versions_.pin(*writer_slot_);
        Result<void> reserved = check != nullptr ? check->at_commit() : Result<void>();
        if (reserved) reserved = reserve(tree_operations, operations, body.size(), bytes);
        if (!reserved) {
            versions_.unpin(*writer_slot_);
            lock.unlock();
            if (make_room_for_commit(reserved.error(), bytes, tries)) continue;
            const Error& error = reserved.error();
            return error.code() == ErrorCode::kLimit ? over_budget() : error;
        }
        Result<storage::LogTicket> ticket = append(body, crc);
        if (ticket) {
            if (FULGUR_PLANTED("visible_before_apply")) versions_.set_visible(last_);
            os::yield_point("before apply");
            apply(operations, tree_operations);
            os::yield_point("before visible");
            versions_.set_visible(last_);
            commit_metrics_.count(counts);
        }
        versions_.unpin(*writer_slot_);
        return ticket;
    }
}

void Engine::apply(const SortedOperations& operations,
                   std::vector<TreeOperation>& tree_operations) noexcept {
    for (std::size_t begin = 0; begin < operations.size();) {
        std::size_t end = begin;
        KeyspaceState* keyspace = operations[begin].keyspace;
        while (end < operations.size() && operations[end].keyspace == keyspace) ++end;
        keyspace->tree->apply({tree_operations.data() + begin, end - begin}, last_);
        begin = end;
    }
}

/// A commit whose pages or records found no room: evicts others, and when that does not help waits
/// for the walker or writes a checkpoint, after which leaves with large values can go too.
/// @param bytes  what was missing, as far as it is known.
/// @return false: nothing helps, refuse.
bool Engine::make_room_for_commit(const Error& refusal, std::uint64_t bytes, int tries) {
    constexpr int kTriesMax = 16;  // Each finds the pages of the ones before in memory.
    if (refusal.code() != ErrorCode::kLimit && refusal.code() != ErrorCode::kBusy) return false;
    if (tries == kTriesMax || bytes > frames_.budget()) return false;
    if (evictor_ != nullptr && evictor_->make_room(std::max(bytes, frames_.budget() / 16)).ok())
        return true;
    if (recovering_ || ProgressScope::inside(*this)) return false;
    if (int waits = tries; wait_for_walker(waits)) return true;
    const bool anything = log_bytes_since_checkpoint_.load(std::memory_order_relaxed) != 0;
    return evictor_ != nullptr && anything && checkpoint().ok() && evictor_->make_room(bytes).ok();
}

/// The walker keeps retired memory and versions from going while it images one inner page's leaves,
/// which with large values may take a while. Rather than refuse a commit for that, wait until it
/// has moved on.
/// @param waits  so far. @return false: it does not help, refuse.
bool Engine::wait_for_walker(int& waits) {
    constexpr int kWaitsMax = 3;
    constexpr int kMillisecondsMax = 10'000;
    if (!options_.background || waits++ == kWaitsMax) return false;
    const std::uint64_t epoch = checkpointer_->pinned_epoch();
    if (epoch == 0 && waits > 1) return false;
    for (int ms = 0; epoch != 0 && checkpointer_->pinned_epoch() == epoch; ++ms) {
        if (ms == kMillisecondsMax || !is_open()) return false;
        os::sleep_us(1000);
    }
    versions_.reclaim();
    return true;
}

/// Step 1: everything that may refuse.
Result<void> Engine::reserve(std::vector<TreeOperation>& tree_operations,
                             const SortedOperations& operations, std::size_t body_bytes,
                             std::uint64_t& bytes) {
    if (Result<void> writable = check_writable(); !writable) return writable;
    for (std::size_t begin = 0; begin < operations.size();) {
        std::size_t end = begin;
        KeyspaceState* keyspace = operations[begin].keyspace;
        if (keyspace->dropped())
            return Error(ErrorCode::kInvalid, "the keyspace was dropped").at(keyspace->name);
        while (end < operations.size() && operations[end].keyspace == keyspace) ++end;
        Result<void> prepared =
            keyspace->tree->prepare({tree_operations.data() + begin, end - begin}, bytes);
        if (!prepared) return prepared;
        begin = end;
    }
    if (bytes != 0 && !frames_.has_room(bytes)) {
        versions_.reclaim();
        if (!frames_.has_room(bytes)) return over_budget();
    }
    if (bytes != 0 && evictor_ != nullptr) evictor_->note_taken();
    return log_->reserve(body_bytes);
}

Error Engine::over_budget() {
    const storage::Versions::Readers readers = versions_.readers();
    const std::size_t own = writer_slot_->epoch.load(std::memory_order_acquire) != 0 ? 1 : 0;
    if (readers.count > own && versions_.retired_bytes() > frames_.budget() / 32) {
        return Error(ErrorCode::kBusy,
                     "readers keep memory from being used again; end the oldest one, or refresh it")
            .at("it reads at sequence " + std::to_string(storage::to_number(readers.oldest)));
    }
    return limit("the data does not fit the memory budget; raise memory_budget");
}

/// Step 2: takes the sequence and logs.
Result<storage::LogTicket> Engine::append(Bytes body, std::uint32_t crc) {
    const Sequence sequence{storage::to_number(last_) + 1};
    Result<storage::LogTicket> ticket = log_->append(sequence, body, crc);
    if (!ticket) {
        poison(ticket.error());
        return ticket;
    }
    last_ = sequence;
    const std::uint64_t bytes =
        log_bytes_since_checkpoint_.fetch_add(body.size(), std::memory_order_relaxed) + body.size();
    const std::uint64_t due = options_.user.log_bytes_target / 2;
    if (bytes >= due && bytes - body.size() < due) {
        os::MutexLock lock(state_mutex_);
        checkpoint_wake_.notify_one();
    }
    return ticket;
}

// ---- large values -------------------------------------------------------------------------------

Result<void> Engine::make_large(const SortedOperations& operations, LargeValues& large) {
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const Bytes bytes = operations[i].value;
        if (bytes.size() <= storage::kInlineValueBytesMax || operations[i].erase) continue;
        auto value = std::make_unique<LargeValue>();
        value->length = bytes.size();
        value->checksum = hash64(bytes);
        Result<void> kept = bytes.size() > kLoggedValueBytesMax ? write_direct(*value, bytes)
                                                                : keep_logged(*value, bytes);
        if (!kept) return kept;
        const LargeReference reference{value->length, value->checksum, 0,
                                       reinterpret_cast<std::uint64_t>(value.get())};
        const auto* encoded = reinterpret_cast<const char*>(&reference);
        large.references.insert(large.references.end(), encoded, encoded + sizeof(reference));
        large.operations.push_back(i);
        large.values.push_back(std::move(value));
    }
    return {};
}

/// In memory until a checkpoint writes it. While the log is replayed none does, so the half of the
/// budget is left to the leaves that refer to such values: they must stay in memory.
Result<void> Engine::keep_logged(LargeValue& value, Bytes bytes) {
    const std::size_t size = storage::frame_bytes_for(bytes.size());
    if (recovering_ && !frames_.has_room(size + frames_.budget() / 2)) {
        Result<std::uint64_t> sector = place_direct(value, bytes);
        if (!sector) return sector.error();
        value.sector.store(*sector, std::memory_order_release);
        return {};
    }
    for (int tries = 0; !frames_.has_room(size); ++tries) {
        if (!make_room_for_commit(over_budget(), size, tries)) return over_budget();
    }
    if (evictor_ != nullptr) evictor_->note_taken();
    char* memory = frames_.allocate(size);
    std::memcpy(memory, bytes.data(), bytes.size());
    value.bytes.store(memory, std::memory_order_relaxed);
    return {};
}

/// Writes a value to a place that the next checkpoint need not refer to. Not synced.
Result<std::uint64_t> Engine::place_direct(const LargeValue& value, Bytes bytes) {
    Result<std::uint64_t> sector =
        space_.allocate(value.sectors(), storage::SpaceManager::Emission::kLater);
    if (!sector) return sector;
    if (Result<void> done = data_->write(*sector, bytes); !done) {
        if (done.error().code() != ErrorCode::kNoSpace) poison(done.error());
        space_.give_back({*sector, value.sectors()});
        space_.cut_tail();
        return done.error();
    }
    return sector;
}

/// Written and synced before the log names it.
Result<void> Engine::write_direct(LargeValue& value, Bytes bytes) {
    Result<std::uint64_t> sector = place_direct(value, bytes);
    if (!sector) return sector.error();
    if (Result<void> done = data_->sync(); !done) {
        poison(done.error());
        return done;
    }
    value.sector.store(*sector, std::memory_order_release);
    if (checkpoint_due()) {
        os::MutexLock lock(state_mutex_);
        checkpoint_wake_.notify_one();
    }
    return {};
}

/// The commit was refused: nobody has seen these values.
void Engine::drop_large(LargeValues& large) {
    for (auto& value : large.values) {
        if (char* bytes = value->bytes.load()) {
            frames_.free(bytes, storage::frame_bytes_for(value->length));
        } else if (const std::uint64_t sector = value->sector.load()) {
            space_.give_back({sector, value->sectors()});
        }
    }
    large.values.clear();
}

void Engine::encode(const SortedOperations& operations, const LargeValues& large,
                    std::vector<char>& body) const {
    std::size_t next_large = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        LoggedOperation logged{operations[i].erase ? LogOperation::kErase : LogOperation::kPut,
                               operations[i].keyspace->id, 0, operations[i].key,
                               operations[i].erase ? Bytes() : operations[i].value};
        char place[LoggedExtent::kEncodedBytes];
        if (next_large < large.operations.size() && large.operations[next_large] == i) {
            const LargeValue& value = *large.values[next_large++];
            if (const std::uint64_t sector = value.sector.load(std::memory_order_relaxed)) {
                LoggedExtent{sector, value.length, value.checksum}.encode(place);
                logged.type = LogOperation::kPutExtent;
                logged.value = {place, sizeof(place)};
            }
        }
        append_operation(body, logged);
    }
}

// ---- keyspaces ----------------------------------------------------------------------------------

KeyspaceState* Engine::find_keyspace(std::string_view name) {
    os::MutexLock lock(commit_mutex_);
    const auto it = names_.find(name);
    return it == names_.end() ? nullptr : it->second;
}

std::vector<std::string> Engine::keyspace_names() {
    os::MutexLock lock(commit_mutex_);
    std::vector<std::string> names;
    for (const auto& [name, state] : names_) names.push_back(name);
    return names;
}

/// A commit of its own that creates or drops a keyspace.
Result<storage::LogTicket> Engine::commit_keyspace_change(LogOperation type, KeyspaceState* dropped,
                                                          std::string_view name) {
    std::vector<char> body;
    const std::uint32_t id = dropped != nullptr ? dropped->id : next_keyspace_id_;
    append_operation(body, {type, id, 0, name, {}});
    const Bytes bytes(body.data(), body.size());
    if (Result<void> reserved = log_->reserve(body.size()); !reserved) return reserved.error();
    if (dropped == nullptr && !frames_.has_room(storage::kFrameBytesMin)) return over_budget();
    Result<storage::LogTicket> ticket = append(bytes, crc32c(bytes));
    if (!ticket) return ticket;
    if (dropped != nullptr) {
        mark_dropped(*dropped, last_);
    } else {
        add_keyspace(next_keyspace_id_++, std::string(name));
    }
    versions_.set_visible(last_);
    commit_metrics_.count({});
    return ticket;
}

Result<KeyspaceState*> Engine::create_keyspace(std::string_view name) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (name.empty() || name.size() > kKeyspaceNameBytesMax) {
        return Error(ErrorCode::kInvalid, "a keyspace's name has 1 to 255 bytes");
    }
    if (KeyspaceState* found = find_keyspace(name)) return found;
    if (Result<void> writable = check_writable(); !writable) return writable.error();
    storage::LogTicket ticket;
    KeyspaceState* made = nullptr;
    {
        os::MutexLock lock(commit_mutex_);
        if (const auto it = names_.find(name); it != names_.end()) return it->second;
        if (names_.size() >= kKeyspacesMax) return limit("there are 65,536 keyspaces already");
        Result<storage::LogTicket> done =
            commit_keyspace_change(LogOperation::kCreateKeyspace, nullptr, name);
        if (!done) return done.error();
        ticket = *done;
        made = keyspaces_.at(next_keyspace_id_ - 1).get();
    }
    if (Result<void> waited = log_->wait(ticket, Durability::kSync); !waited) return waited.error();
    return made;
}

Result<void> Engine::drop_keyspace(std::string_view name) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (Result<void> writable = check_writable(); !writable) return writable;
    KeyspaceState* found = find_keyspace(name);
    if (found == nullptr)
        return Error(ErrorCode::kInvalid, "there is no keyspace of this name").at(name);
    storage::LogTicket ticket;
    {
        os::MutexLock lock(commit_mutex_);
        if (found->dropped())
            return Error(ErrorCode::kInvalid, "the keyspace was dropped").at(name);
        Result<storage::LogTicket> done =
            commit_keyspace_change(LogOperation::kDropKeyspace, found, name);
        if (!done) return done.error();
        ticket = *done;
    }
    return log_->wait(ticket, Durability::kSync);
}

}  // namespace fulgur::db
