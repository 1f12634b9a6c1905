// Changes: the public handle of a change feed. It makes operations out of a follower's records.
#include <fulgur/changes.h>

#include <algorithm>
#include <map>

#include <fulgur/database.h>

#include "db/engine.h"

namespace fulgur {

struct db::ChangesState {
    std::shared_ptr<Engine> engine;
    std::unique_ptr<storage::LogFollower> follower;
    std::vector<std::string> wanted;             ///< Names; empty: all.
    std::map<std::uint32_t, std::string> names;  ///< Of keyspaces that came along.
    Sequence sequence{};                         ///< Of the newest batch.
    std::vector<Change> changes;                 ///< Its operations: views into the follower.
    std::optional<Error> ended;                  ///< What every call returns since.

    Result<std::optional<ChangeBatch>> next();
    Result<void> decode(Bytes body);
    Result<void> add(const LoggedOperation& operation);
    Bytes name_of(const LoggedOperation& operation);
};

namespace db {

/// Commits that change nothing that is wanted are passed over.
Result<std::optional<ChangeBatch>> ChangesState::next() {
    changes.clear();
    if (ended) return *ended;
    for (;;) {
        Result<std::optional<storage::LoggedRecord>> record = engine->next_logged(*follower);
        if (!record) {
            if (record.error().code() == ErrorCode::kLimit) ended = record.error();
            return record.error();
        }
        if (!*record) return std::optional<ChangeBatch>();
        sequence = (*record)->sequence;
        if (Result<void> done = decode((*record)->body); !done) {
            changes.clear();
            ended = done.error();
            return *ended;
        }
        if (!changes.empty()) return std::optional<ChangeBatch>(ChangeBatch{sequence, changes});
    }
}

Result<void> ChangesState::decode(Bytes body) {
    return for_each_operation(body,
                              [this](const LoggedOperation& operation) { return add(operation); });
}

Result<void> ChangesState::add(const LoggedOperation& operation) {
    Change change;
    change.keyspace_id = operation.keyspace_id;
    change.keyspace = name_of(operation);
    if (!wanted.empty() &&
        std::find(wanted.begin(), wanted.end(), change.keyspace) == wanted.end()) {
        return {};
    }
    switch (operation.type) {
        case LogOperation::kPut:
            change.value = operation.value;
            change.value_size = operation.value.size();
            break;
        case LogOperation::kPutExtent: {
            const LoggedExtent place = LoggedExtent::decode(operation.value.data());
            change.value_size = place.length;
            change.sector = place.sector;
            change.checksum = place.checksum;
            break;
        }
        case LogOperation::kErase:
            change.kind = Change::Kind::kErase;
            break;
        case LogOperation::kCreateKeyspace:
            change.kind = Change::Kind::kCreateKeyspace;
            break;
        case LogOperation::kDropKeyspace:
            change.kind = Change::Kind::kDropKeyspace;
            break;
    }
    const bool row = change.kind == Change::Kind::kPut || change.kind == Change::Kind::kErase;
    if (row) change.key = operation.key;
    changes.push_back(change);
    return {};
}

Bytes ChangesState::name_of(const LoggedOperation& operation) {
    const auto known = names.find(operation.keyspace_id);
    if (operation.type == LogOperation::kCreateKeyspace ||
        operation.type == LogOperation::kDropKeyspace) {
        if (known != names.end()) return known->second = std::string(operation.key);
        return names.emplace(operation.keyspace_id, std::string(operation.key)).first->second;
    }
    if (known != names.end()) return known->second;
    const KeyspaceState* state = engine->find_keyspace(operation.keyspace_id);
    return names.emplace(operation.keyspace_id, state == nullptr ? "" : state->name).first->second;
}

}  // namespace db

Changes::Changes(std::unique_ptr<db::ChangesState> state) noexcept : state_(std::move(state)) {}
Changes::Changes(Changes&&) noexcept = default;
Changes& Changes::operator=(Changes&&) noexcept = default;
Changes::~Changes() = default;

Result<std::optional<ChangeBatch>> Changes::next() { return state_->next(); }

Result<std::optional<ChangeBatch>> Changes::wait(std::uint64_t timeout_ms) {
    constexpr std::uint64_t kMs = 1'000'000;  // In nanoseconds.
    constexpr std::uint64_t kLongestMs = 3'600'000;
    db::Engine& engine = *state_->engine;
    for (std::uint64_t left_ns = std::min(timeout_ms, ~std::uint64_t{0} / kMs) * kMs;;) {
        const std::uint64_t start_ns = engine.now_ns();
        Result<std::optional<ChangeBatch>> found = state_->next();
        if (!found || *found || left_ns == 0) return found;
        const std::uint64_t ms = std::min((left_ns - 1) / kMs + 1, kLongestMs);
        const bool more = engine.wait_for_log(*state_->follower, ms);
        left_ns -= std::min(left_ns, more ? engine.now_ns() - start_ns : ms * kMs);
    }
}

Sequence Changes::position() const noexcept { return state_->follower->next_sequence(); }

Result<std::optional<std::string>> Changes::load(const Change& change) {
    if (change.kind != Change::Kind::kPut) {
        return Error(ErrorCode::kInvalid, "only a put has a value");
    }
    if (!change.apart()) return std::optional<std::string>(std::string(change.value));
    return state_->engine->load_logged(state_->engine, change.keyspace_id, change.key,
                                       state_->sequence,
                                       {change.sector, change.value_size, change.checksum});
}

// ---- Database -----------------------------------------------------------------------------------

Result<Changes> Database::changes(Sequence from, const ChangesOptions& options) const {
    Result<std::unique_ptr<storage::LogFollower>> follower = engine_->follow_log(from);
    if (!follower) return follower.error();
    auto state = std::make_unique<db::ChangesState>();
    state->engine = engine_;
    state->follower = *std::move(follower);
    state->wanted = options.keyspaces;
    return Changes(std::move(state));
}

Result<Sequence> Database::oldest_change() const { return engine_->oldest_change(); }

}  // namespace fulgur
