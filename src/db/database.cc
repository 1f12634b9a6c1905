// Database, Keyspace and WriteBatch: the public handles.
#include <fulgur/database.h>

#include <algorithm>
#include <atomic>

#include "base/coding.h"
#include "db/engine.h"
#include "os/clock.h"
#include "os/machine.h"
#include "os/memory_file_system.h"

namespace fulgur {

namespace {

/// Decides what the user left open.
db::EngineOptions engine_options(const Options& user, std::string_view path) {
    db::EngineOptions options;
    options.user = user;
    options.path = std::string(path);
    while (options.path.size() > 1 && options.path.back() == '/') options.path.pop_back();
    if (options.user.memory_budget == 0) {
        options.user.memory_budget = memory_budget_of(user.memory);
    }
    const std::uint64_t budget = options.user.memory_budget;
    if (options.user.log_bytes_target == 0) {
        options.user.log_bytes_target = std::max(1_MiB, std::min(256_MiB, budget / 4));
    }
    // A segment is an eighth of the target, so that recycling is smooth.
    const std::uint64_t segment =
        std::clamp<std::uint64_t>(options.user.log_bytes_target / 8, 1_MiB, 64_MiB);
    options.log.segment_bytes = static_cast<std::uint32_t>(round_down(segment, 4_KiB));
    options.clock = &os::real_clock();
    return options;
}

}  // namespace

std::uint64_t memory_budget_of(MemoryProfile profile) noexcept {
    switch (profile) {
        case MemoryProfile::kMinimal:
            return kMemoryBudgetMin;
        case MemoryProfile::kBalanced:
            return 16_MiB;
        case MemoryProfile::kHigh:
            return 64_MiB;
        case MemoryProfile::kMaximum:
            return 256_MiB;
        case MemoryProfile::kAutomatic:
            break;
    }
    return std::max(kMemoryBudgetMin, os::memory_bytes() / 4);
}

// ---- Database -----------------------------------------------------------------------------------

std::uint64_t db::Engine::next_identity() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

Result<Database> db::open_database(EngineOptions options) {
    Result<std::shared_ptr<Engine>> opened = Engine::open(std::move(options));
    if (!opened) return opened.error();
    return Database(*std::move(opened));
}

Database::Database(std::shared_ptr<db::Engine> engine) noexcept : engine_(std::move(engine)) {}
Database::Database(Database&&) noexcept = default;

Database& Database::operator=(Database&& other) noexcept {
    std::swap(engine_, other.engine_);
    return *this;
}

Database::~Database() {
    if (engine_ != nullptr && engine_->check_open()) {
        // Nobody is here to hear of an error; whoever wants to know calls close.
        static_cast<void>(engine_->close().ok());
    }
}

Result<Database> Database::open(std::string_view path, const Options& options) {
    if (path.empty()) return Error(ErrorCode::kInvalid, "the path of the database is empty");
    db::EngineOptions engine = engine_options(options, path);
    engine.files = &os::real_file_system();
    return db::open_database(std::move(engine));
}

Result<Database> Database::in_memory(const Options& options) {
    db::EngineOptions engine = engine_options(options, "memory");
    engine.owned_files = std::make_shared<os::MemoryFileSystem>();
    engine.files = engine.owned_files.get();
    engine.evict = false;
    return db::open_database(std::move(engine));
}

Result<void> Database::close() { return engine_->close(); }

Result<Keyspace> Database::keyspace(std::string_view name) {
    Result<db::KeyspaceState*> state = engine_->create_keyspace(name);
    if (!state) return state.error();
    return Keyspace(engine_, (*state)->id, *state);
}

Result<std::optional<Keyspace>> Database::find_keyspace(std::string_view name) {
    if (Result<void> open = engine_->check_open(); !open) return open.error();
    db::KeyspaceState* state = engine_->find_keyspace(name);
    if (state == nullptr) return std::optional<Keyspace>();
    return std::optional<Keyspace>(Keyspace(engine_, state->id, state));
}

std::vector<std::string> Database::keyspace_names() const { return engine_->keyspace_names(); }

Result<void> Database::drop_keyspace(std::string_view name) { return engine_->drop_keyspace(name); }

Result<Sequence> Database::commit(const WriteBatch& batch) {
    return engine_->commit(batch, engine_->options().user.durability);
}

Result<Sequence> Database::commit(const WriteBatch& batch, Durability durability) {
    return engine_->commit(batch, durability);
}

Result<void> Database::sync() { return engine_->sync(); }
Result<void> Database::checkpoint() { return engine_->checkpoint(); }
Stats Database::stats() const { return engine_->stats(); }
std::string Database::metrics() const { return metrics_text(engine_->stats()); }

Result<Database::VerifyReport> Database::verify(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    return engine_->verify(progress);
}

Result<Database::PageSizes> Database::page_sizes() { return engine_->page_sizes(); }

Result<Database::CompactReport> Database::compact(
    const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
    return engine_->compact(progress);
}

// ---- Keyspace -----------------------------------------------------------------------------------

const std::string& Keyspace::name() const noexcept {
    return static_cast<const db::KeyspaceState*>(state_)->name;
}

Result<Sequence> Keyspace::put(Bytes key, Bytes value) const {
    return put(key, value, engine_->options().user.durability);
}

Result<Sequence> Keyspace::put(Bytes key, Bytes value, Durability durability) const {
    return engine_->commit_one(*static_cast<db::KeyspaceState*>(state_), key, value, false,
                               durability);
}

Result<Sequence> Keyspace::erase(Bytes key) const {
    return erase(key, engine_->options().user.durability);
}

Result<Sequence> Keyspace::erase(Bytes key, Durability durability) const {
    return engine_->commit_one(*static_cast<db::KeyspaceState*>(state_), key, {}, true, durability);
}

// ---- WriteBatch ---------------------------------------------------------------------------------

void WriteBatch::add(const Keyspace& keyspace, Bytes key, Bytes value, bool erase) {
    const bool oversized = key.size() > kKeyBytesMax || value.size() > kValueBytesMax;
    if (oversized) key = value = {};
    const std::size_t offset = bytes_.size();
    bytes_.insert(bytes_.end(), key.begin(), key.end());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    operations_.push_back({load_be64_prefix(key), offset, keyspace.id_,
                           static_cast<std::uint32_t>(value.size()),
                           static_cast<std::uint16_t>(key.size()), erase, oversized});
    const std::uint64_t database = keyspace.engine_->identity();
    mixed_ = mixed_ || (database_ != 0 && database_ != database);
    database_ = database;
}

void WriteBatch::put(const Keyspace& keyspace, Bytes key, Bytes value) {
    add(keyspace, key, value, false);
}

void WriteBatch::erase(const Keyspace& keyspace, Bytes key) { add(keyspace, key, {}, true); }

}  // namespace fulgur
