// Opening, creating and recovering; the background threads.
#include <algorithm>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "db/engine.h"
#include "db/reader_state.h"
#include "os/machine.h"
#include "os/random.h"

namespace fulgur::db {

namespace {

using storage::Superblock;

constexpr const char* kDataFile = "data";
constexpr const char* kNewDataFile = "data.new";
constexpr const char* kLockFile = "lock";
/// Slots of the writer and of the walker, and one for each maker of snapshots at a time.
constexpr std::size_t kOwnSlots = 64;

/// A commit that has its sequence must find memory, so the arena is larger than the budget.
std::uint64_t arena_bytes(std::uint64_t budget) { return 2 * budget + 256_MiB; }

Error invalid(const char* what, const std::string& path) {
    return Error(ErrorCode::kInvalid, what).at(path);
}

/// What the database was last told. A later version may know more ways.
Compression compression_of(const Superblock& superblock) {
    const bool known = superblock.compression <= static_cast<std::uint8_t>(Compression::kAutomatic);
    return known ? static_cast<Compression>(superblock.compression) : Compression::kNone;
}

bool is_ours(const std::string& name) {
    return name == kDataFile || name == kNewDataFile || name == kLockFile ||
           name.starts_with("log.");
}

}  // namespace

Engine::Engine(EngineOptions options)
    : options_(std::move(options)),
      arena_(arena_bytes(options_.user.memory_budget)),
      frames_(arena_, options_.user.memory_budget),
      descriptors_(frames_),
      versions_(kReadersMax + kOwnSlots),
      space_(options_.data_sectors_max),
      reader_states_(std::make_unique<std::atomic<ReaderState*>[]>(versions_.slots_max())) {
    writer_slot_ = versions_.take_slot();
}

Result<std::shared_ptr<Engine>> Engine::open(EngineOptions options) {
    if (options.user.memory_budget < kMemoryBudgetMin) {
        return Error(ErrorCode::kInvalid, "memory_budget is below its least, 4 MiB");
    }
    if (options.user.log_bytes_target < 1_MiB) {
        return Error(ErrorCode::kInvalid, "log_bytes_target is below its least, 1 MiB");
    }
    std::shared_ptr<Engine> engine(new Engine(std::move(options)));
    if (Result<void> done = engine->prepare_directory(); !done) return done.error();
    if (Result<void> done = engine->open_data_file(); !done) return done.error();
    if (Result<void> done = engine->recover(); !done) return done.error();
    if (engine->options_.background) engine->start_background();
    return engine;
}

/// The directory is there, is ours or empty, and nobody else has it.
Result<void> Engine::prepare_directory() {
    os::FileSystem& files = *options_.files;
    const std::string& path = options_.path;
    Result<bool> there = files.exists(path);
    if (!there) return there.error();
    if (!*there) {
        if (!options_.user.create_if_missing) return invalid("there is no database here", path);
        if (Result<void> made = files.make_directory(path); !made) return made;
    }
    Result<bool> directory = files.is_directory(path);
    if (!directory) return directory.error();
    if (!*directory) return invalid("a database is a directory, and this is not one", path);
    Result<bool> data = files.exists(file_path(kDataFile));
    if (!data) return data.error();
    if (*data && options_.user.error_if_exists) return invalid("there is a database already", path);
    if (!*data) {
        if (!options_.user.create_if_missing) return invalid("there is no database here", path);
        Result<std::vector<std::string>> names = files.list(path);
        if (!names) return names.error();
        for (const std::string& name : *names) {
            if (!is_ours(name)) {
                return invalid("the directory holds other files and no database", path);
            }
        }
    }
    Result<std::unique_ptr<os::DirectoryLock>> lock = files.lock(file_path(kLockFile));
    if (!lock) return lock.error();
    lock_ = *std::move(lock);
    return {};
}

/// Made under another name and renamed, so that a crash leaves a whole file or none.
Result<void> Engine::create_data_file() {
    os::FileSystem& files = *options_.files;
    Result<std::vector<std::string>> names = files.list(options_.path);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        // The data file is durable before the first log begins.
        if (name.starts_with("log.") && !FULGUR_PLANTED("log_without_data_removed")) {
            return Error(ErrorCode::kCorruption,
                         "there is a log but no data file: put the data file back, or restore a "
                         "backup")
                .at(file_path(name.c_str()));
        }
    }
    if (std::find(names->begin(), names->end(), kNewDataFile) != names->end()) {
        // A creation did not finish.
        if (Result<void> gone = files.remove(file_path(kNewDataFile)); !gone) return gone;
    }
    Result<std::unique_ptr<os::File>> file =
        files.open(file_path(kNewDataFile), os::FileSystem::Mode::kCreate);
    if (!file) return file.error();
    storage::DataFile data(*std::move(file));
    Superblock first;
    first.database_id = os::random_seed() | 1;
    first.checkpoint = 1;
    first.created_ms = options_.clock->wall_ms();
    first.compression =
        static_cast<std::uint8_t>(options_.user.compression.value_or(Compression::kNone));
    first.log_bytes_kept = options_.user.log_bytes_kept.value_or(0);
    if (Result<void> done = data.resize(storage::kFirstDataSector); !done) return done;
    if (Result<void> done = storage::write_superblock(data, first); !done) return done;
    if (Result<void> done = data.sync(); !done) return done;
    return files.rename(file_path(kNewDataFile), file_path(kDataFile));
}

Result<void> Engine::open_data_file() {
    os::FileSystem& files = *options_.files;
    Result<bool> there = files.exists(file_path(kDataFile));
    if (!there) return there.error();
    if (!*there) {
        if (Result<void> created = create_data_file(); !created) return created;
    }
    // Each time: whoever made these names may have been killed before it made them durable.
    if (Result<void> synced = files.sync_directory(options_.path); !synced) return synced;
    const std::size_t slash = options_.path.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : options_.path.substr(0, slash);
    if (Result<void> synced = files.sync_directory(parent); !synced) return synced;
    Result<std::unique_ptr<os::File>> file =
        options_.files->open(file_path(kDataFile), os::FileSystem::Mode::kReadWrite);
    if (!file) return file.error();
    data_ = std::make_unique<storage::DataFile>(*std::move(file));
    context_.emplace(storage::TreeContext{frames_, descriptors_, versions_, *data_, space_, clock_,
                                          counters_, codec_});

    Result<storage::SuperblockChoice> choice = storage::choose_superblock(*data_);
    if (!choice) return choice.error();
    superblock_ = choice->superblock;
    if (!superblock_.writable()) {
        return Error(ErrorCode::kUnsupported,
                     "a newer fulgur wrote this database; this one may not write it")
            .at(data_->name());
    }
    log_bytes_kept_ = options_.user.log_bytes_kept.value_or(superblock_.log_bytes_kept);
    codec_.choose(options_.user.compression.value_or(compression_of(superblock_)));
    // The other slot may be needed again if this one is damaged: keep the log back to its R.
    Sequence other_replay = superblock_.replay;
    char block[Superblock::kEncodedSize];
    const std::uint64_t position = Superblock::position_of(superblock_.checkpoint + 1);
    Result<std::size_t> read = data_->read_available(position / storage::kSectorBytes, block);
    if (read && *read == sizeof(block)) {
        Result<Superblock> other = Superblock::decode({block, sizeof(block)}, position);
        if (other && other->database_id == superblock_.database_id) other_replay = other->replay;
    }
    Result<void> confirmed = storage::confirm_superblock(*data_, *choice);
    if (!confirmed) return confirmed;
    checkpointed_.store(storage::to_number(superblock_.replay), std::memory_order_relaxed);
    checkpointer_ = std::make_unique<storage::Checkpointer>(*context_, superblock_, other_replay);
    start_evictor();
    return load_catalog();
}

Result<void> Engine::load_catalog() {
    storage::Meta meta;
    meta.next_keyspace_id = 1;
    if (superblock_.catalog.length != 0) {
        const Error damaged =
            Error(ErrorCode::kCorruption, "catalog checksum mismatch")
                .at(data_->name(), superblock_.catalog.sector * storage::kSectorBytes);
        Result<std::uint64_t> size = data_->size_bytes();
        if (!size) return size.error();
        if (superblock_.catalog.length > *size) return damaged;
        std::string bytes(superblock_.catalog.length, '\0');
        Result<void> read = data_->read(superblock_.catalog.sector, bytes);
        if (!read) return read;
        if (hash64(bytes) != superblock_.catalog.checksum &&
            !FULGUR_PLANTED("catalog_checksum_unread")) {
            return damaged;
        }
        Result<storage::Meta> decoded = storage::Meta::decode(bytes, superblock_.file_sectors);
        if (!decoded) {
            Error error = decoded.error();
            return error.at(data_->name(), superblock_.catalog.sector * storage::kSectorBytes);
        }
        meta = *std::move(decoded);
    }
    Result<void> loaded = space_.load(meta, superblock_.checkpoint, superblock_.file_sectors);
    if (!loaded) return loaded;
    os::MutexLock lock(commit_mutex_);
    next_keyspace_id_ = std::max(1u, meta.next_keyspace_id);
    for (storage::KeyspaceMeta& keyspace : meta.keyspaces) {
        KeyspaceState* state = add_keyspace(keyspace.id, keyspace.name);
        if (keyspace.root.sector != 0) {
            state->tree->free_memory();
            state->tree->open_at(keyspace.root);
        }
        if (keyspace.dropped()) {
            mark_dropped(*state, superblock_.replay);
        }
        state->meta = std::move(keyspace);
    }
    return {};
}

KeyspaceState* Engine::add_keyspace(std::uint32_t id, std::string name) {
    auto state = std::make_unique<KeyspaceState>();
    state->id = id;
    state->name = std::move(name);
    state->tree = std::make_unique<storage::Tree>(*context_);
    state->tree->make_empty();
    state->meta.id = id;
    state->meta.name = state->name;
    KeyspaceState* result = state.get();
    names_[result->name] = result;
    keyspaces_[id] = std::move(state);
    return result;
}

void Engine::mark_dropped(KeyspaceState& keyspace, Sequence sequence) {
    names_.erase(keyspace.name);
    keyspace.tree->stop_evicting();
    keyspace.dropped_at.store(storage::to_number(sequence), std::memory_order_release);
    keyspace.readable_below.store(storage::to_number(sequence), std::memory_order_release);
}

// ---- recovery -----------------------------------------------------------------------------------

Result<void> Engine::recover() {
    Result<std::unique_ptr<storage::LogReader>> reader =
        storage::LogReader::open(*options_.files, options_.path, superblock_.database_id,
                                 superblock_.replay, superblock_.newest);
    if (!reader) return reader.error();
    // Values that were written before their record are claimed before anything else is allocated.
    Result<void> done =
        (*reader)->replay([this](Sequence, Bytes body) { return take_logged_extents(body); });
    if (!done) return done;
    {
        os::MutexLock lock(commit_mutex_);
        last_ = superblock_.replay;
    }
    // Nobody reads before the log's end, which is at N or later: superseded versions up to N may
    // go, as they may when the log is replayed for a second time.
    versions_.set_visible(std::max(superblock_.replay, superblock_.newest));
    versions_.refresh_horizon();
    done =
        (*reader)->replay([this](Sequence sequence, Bytes body) { return replay(sequence, body); });
    if (!done) return done;
    // Values that were replaced before an image was made, or whose keyspace is gone. Their records
    // are replayed again until the next checkpoint, so their places must not be given to others
    // before it (and the one after) is published.
    for (const auto& [sector, sectors] : taken_) {
        space_.release({sector, sectors}, superblock_.checkpoint + 1, 0);
    }
    taken_.clear();
    Result<storage::LogStart> start = (*reader)->finish();
    if (!start) return start.error();
    storage::LogOptions log_options = options_.log;
    log_options.kept_bytes = log_bytes_kept_;
    log_options.wake = [this] {
        os::MutexLock lock(state_mutex_);
        log_woken_ = true;
        log_wake_.notify_one();
    };
    Result<std::unique_ptr<storage::Log>> log = storage::Log::open(
        *options_.files, options_.path, *options_.clock, std::move(log_options), *start);
    if (!log) return log.error();
    log_ = *std::move(log);
    {
        os::MutexLock lock(commit_mutex_);
        last_ = Sequence{storage::to_number(start->next) - 1};
        versions_.set_visible(last_);
    }
    versions_.refresh_horizon();
    recovering_ = false;
    // Each opening begins a segment: without this, opening and closing alone would gather files.
    return log_->recycle(checkpointer_->recyclable());
}

Result<void> Engine::take_logged_extents(Bytes body) {
    return for_each_operation(body, [this](const LoggedOperation& operation) -> Result<void> {
        if (operation.type == LogOperation::kPutExtent &&
            !FULGUR_PLANTED("logged_values_unclaimed")) {
            const LoggedExtent extent = LoggedExtent::decode(operation.value.data());
            const storage::Extent place{extent.sector, storage::sectors_of(extent.length)};
            if (space_.take(place)) taken_.emplace(place.sector, place.sectors);
        }
        return {};
    });
}

Result<void> Engine::replay(Sequence sequence, Bytes body) {
    if (evictor_ != nullptr && evictor_->wants_room()) {
        // Only the reserve may be missing: who needs the room tells.
        static_cast<void>(evictor_->keep_room().ok());
    }
    os::MutexLock lock(commit_mutex_);
    std::vector<LoggedOperation> group;
    KeyspaceState* keyspace = nullptr;
    versions_.pin(*writer_slot_);
    const auto flush = [&]() -> Result<void> {
        if (keyspace == nullptr || group.empty()) return {};
        Result<void> done = replay_group(*keyspace, group, sequence);
        group.clear();
        return done;
    };
    Result<void> done =
        for_each_operation(body, [&](const LoggedOperation& operation) -> Result<void> {
            commit_mutex_.assert_held();
            if (operation.type == LogOperation::kCreateKeyspace ||
                operation.type == LogOperation::kDropKeyspace) {
                return replay_keyspace_operation(operation, sequence);
            }
            if (keyspace == nullptr || keyspace->id != operation.keyspace_id) {
                if (Result<void> flushed = flush(); !flushed) return flushed;
                const auto it = keyspaces_.find(operation.keyspace_id);
                if (it == keyspaces_.end() && operation.keyspace_id >= next_keyspace_id_) {
                    return Error(ErrorCode::kCorruption,
                                 "the log names a keyspace that was never created");
                }
                keyspace = it == keyspaces_.end() ? nullptr : it->second.get();
            }
            if (keyspace != nullptr && !keyspace->dropped()) group.push_back(operation);
            return {};
        });
    if (done) done = flush();
    versions_.unpin(*writer_slot_);
    if (!done) return done;
    last_ = sequence;
    versions_.set_visible(std::max(sequence, versions_.visible()));
    ++replayed_;
    log_bytes_since_checkpoint_.fetch_add(body.size(), std::memory_order_relaxed);
    return {};
}

Result<void> Engine::replay_group(KeyspaceState& keyspace, std::vector<LoggedOperation>& group,
                                  Sequence sequence) {
    // An image may be newer than R: an operation not newer than its key's record is in it already.
    std::vector<CommitOperation> operations;
    std::vector<LoggedExtent> extents;
    for (const LoggedOperation& logged : group) {
        bool in_image = false;
        Result<void> done = with_room([&](std::uint64_t&) -> Result<void> {
            Result<std::optional<storage::Record>> found = keyspace.tree->find(
                logged.key, hash64(logged.key), Sequence{storage::kSequenceMax});
            if (!found) return found.error();
            in_image = *found && (*found)->sequence() >= sequence;
            return {};
        });
        if (!done) return done;
        const bool extent = logged.type == LogOperation::kPutExtent;
        if (in_image) continue;
        if (extent) {
            Result<bool> known = is_logged_place(LoggedExtent::decode(logged.value.data()));
            if (!known) return known.error();
            if (!*known) continue;
        }
        operations.push_back({&keyspace, logged.key, logged.value,
                              logged.type == LogOperation::kErase, 0, operations.size()});
        extents.push_back(extent ? LoggedExtent::decode(logged.value.data()) : LoggedExtent{});
    }
    LargeValues large;
    versions_.unpin(*writer_slot_);  // What is evicted for them is to be freed.
    Result<void> made = make_large(operations, large);
    versions_.pin(*writer_slot_);
    if (!made) {
        drop_large(large);
        return made;
    }
    std::vector<storage::TreeOperation> tree_operations(operations.size());
    std::vector<char> references(operations.size() * sizeof(storage::LargeReference));
    std::size_t next_large = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        storage::TreeOperation& to = tree_operations[i];
        to.key = operations[i].key;
        to.value = operations[i].value;
        to.flags = operations[i].erase ? storage::kTombstone : std::uint8_t{0};
        if (extents[i].length != 0) {
            auto* value = new storage::LargeValue;
            value->length = extents[i].length;
            value->checksum = extents[i].checksum;
            value->sector.store(extents[i].sector, std::memory_order_relaxed);
            space_.note_unemitted({extents[i].sector, value->sectors()});
            taken_.erase(extents[i].sector);
            const storage::LargeReference reference{value->length, value->checksum, 0,
                                                    reinterpret_cast<std::uint64_t>(value)};
            char* at = references.data() + i * sizeof(reference);
            std::memcpy(at, &reference, sizeof(reference));
            to.value = {at, sizeof(reference)};
            to.flags = storage::kLarge;
        } else if (next_large < large.operations.size() && large.operations[next_large] == i) {
            to.value = {large.references.data() + next_large++ * sizeof(storage::LargeReference),
                        sizeof(storage::LargeReference)};
            to.flags = storage::kLarge;
        }
    }
    Result<void> prepared = with_room([&](std::uint64_t& bytes) -> Result<void> {
        Result<void> done = keyspace.tree->prepare(tree_operations, bytes);
        if (!done || frames_.has_room(bytes)) return done;
        return Error(ErrorCode::kLimit, "replaying the log needs more memory; raise memory_budget");
    });
    if (!prepared) return prepared;
    keyspace.tree->apply(tree_operations, sequence);
    for (auto& value : large.values) static_cast<void>(value.release());
    return {};
}

template <typename Step>
Result<void> Engine::with_room(const Step& step) {
    constexpr int kTriesMax = 16;
    for (int tries = 0;; ++tries) {
        std::uint64_t bytes = 0;
        Result<void> done = step(bytes);
        if (done || tries == kTriesMax) return done;
        const ErrorCode code = done.error().code();
        if (code != ErrorCode::kLimit && code != ErrorCode::kBusy) return done;
        // What goes may be used again when we are not pinned; a step begins from the root.
        if (evictor_ == nullptr) return done;
        versions_.unpin(*writer_slot_);
        const Result<void> room = evictor_->make_room(std::max(bytes, frames_.budget() / 16));
        versions_.pin(*writer_slot_);
        if (!room) return room;
    }
}

/// Whether a logged value's place is the log's to give to a tree.
/// @return false: an image had it, and it was superseded and dropped since, by this replay.
///         kCorruption: it is somebody else's.
Result<bool> Engine::is_logged_place(const LoggedExtent& logged) {
    const storage::Extent place{logged.sector, storage::sectors_of(logged.length)};
    const auto taken = taken_.find(place.sector);
    if (taken != taken_.end() && taken->second == place.sectors) return true;
    if (space_.is_pending(place)) return false;
    return Error(ErrorCode::kCorruption, "the log names space that belongs to something else")
        .at(data_->name(), place.sector * storage::kSectorBytes);
}

Result<void> Engine::replay_keyspace_operation(const LoggedOperation& operation,
                                               Sequence sequence) {
    const auto it = keyspaces_.find(operation.keyspace_id);
    if (operation.type == LogOperation::kDropKeyspace) {
        if (it != keyspaces_.end() && !it->second->dropped() &&
            !FULGUR_PLANTED("drop_not_replayed")) {
            mark_dropped(*it->second, sequence);
        }
        return {};
    }
    if (it == keyspaces_.end() && operation.keyspace_id >= next_keyspace_id_) {
        add_keyspace(operation.keyspace_id, std::string(operation.key));
    }
    next_keyspace_id_ = std::max(next_keyspace_id_, operation.keyspace_id + 1);
    return {};
}

// ---- background ---------------------------------------------------------------------------------

void Engine::start_background() {
    // Touching ahead only saves time; without the thread everything works.
    static_cast<void>(arena_.start_toucher(options_.user.memory_budget).ok());
    log_thread_ = os::Thread("fulgur-log", [this] { run_log_ticks(); });
    checkpoint_thread_ = os::Thread("fulgur-ckpt", [this] { run_checkpoints(); });
    if (evictor_ == nullptr) return;
    evict_thread_ = os::Thread("fulgur-evict", [this] { run_evictions(); });
}

void Engine::stop_background() {
    {
        os::MutexLock lock(state_mutex_);
        stopping_ = true;
        log_wake_.notify_all();
        checkpoint_wake_.notify_all();
        checkpoint_done_.notify_all();
        evict_wake_.notify_all();
    }
    evict_thread_.join();
    log_thread_.join();
    checkpoint_thread_.join();
}

Engine::~Engine() {
    if (!gate_.closed()) stop_background();
    log_.reset();
    {
        os::MutexLock lock(commit_mutex_);
        for (auto& [id, state] : keyspaces_) state->tree.reset();
    }
    versions_.reclaim_all();
    for (std::size_t i = 0; i < versions_.slots_max(); ++i) delete reader_states_[i].load();
}

}  // namespace fulgur::db
