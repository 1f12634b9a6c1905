// Random operations against a model (tests/engine_model.h), under configurations that each make
// one thing frequent: restarts, checkpoints, small log segments, snapshots that last.
//
// A seed decides everything: FULGUR_SEED=n runs that one alone, FULGUR_SEEDS=n sets how many,
// FULGUR_LONG=1 runs ten times as many. The engine's pages have no size to choose: leaves grow from
// 8 KiB and split, so many keys (config "pages") stand in for small pages.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/engine_model.h"
#include "tests/engine_model_reads.h"

namespace fulgur::system_test {

EngineModel::EngineModel(const ModelConfig& config, std::uint64_t seed)
    : config_(config), random_(seed), disk_(std::make_unique<os::SimFileSystem>(seed)) {
    history_[0] = {};
}

void EngineModel::run() {
    open();
    while (!failed() && snapshots_.size() < config_.snapshots_held) {
        commit();
        new_snapshot();
    }
    for (std::uint64_t steps = config_.steps; steps > 0 && !failed(); --steps) step();
    if (failed()) return;
    Reader reader = database_->reader();
    check_all(reader);
    for (HeldReader& held : readers_) check_views(held);
    for (const Snapshot& snapshot : snapshots_) {
        Result<Reader> then = snapshot.reader();
        ASSERT_TRUE(then.ok()) << then.error().message();
        check_all(*then);
    }
    if (!failed()) checkpoint();
}

void EngineModel::open() {
    db::EngineOptions options = small_engine(*disk_, "db");
    options.background = config_.background;
    options.log.segment_bytes = config_.segment_bytes;
    options.user.checkpoint_on_close = random_.below(2) == 0;
    options.user.compression = static_cast<Compression>(random_.below(4));
    // Held readers keep what is evicted and read again; being busy is another test's matter.
    options.user.memory_budget = 1_GiB;
    if (config_.live_bytes != 0) {
        options.evict_reserve_bytes = options.user.memory_budget - config_.live_bytes;
    }
    if (!config_.background) options.clock = &clock_;
    Result<Database> opened =
        config_.in_memory ? Database::in_memory(options.user) : db::open_database(options);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    database_.emplace(*std::move(opened));
    ASSERT_EQ(number(database_->stats().visible), last_);
    std::vector<std::string> names;
    for (const auto& [name, keyspace] : now()) {
        names.push_back(name);
        Result<std::optional<Keyspace>> found = database_->find_keyspace(name);
        ASSERT_TRUE(found.ok() && *found) << name;
        ASSERT_EQ((*found)->id(), keyspace->id);
        handles_.emplace(keyspace->id, **found);
    }
    ASSERT_EQ(database_->keyspace_names(), names);
    Reader reader = database_->reader();
    check_all(reader);
}

/// The database ends in one of four ways; all of them lose nothing here.
void EngineModel::restart() {
    if (config_.in_memory) return;
    for (HeldReader& held : readers_) check_views(held);
    snapshots_.clear();
    std::unique_ptr<os::SimFileSystem>
        after;  // The engine's own threads may still use the old one.
    const std::uint64_t way = random_.below(4);
    if (way == 0) {
        ASSERT_TRUE(database_->sync().ok());
        readers_.clear();
        after = disk_->recover(random_.next());
    } else if (way == 1) {
        // A killed process: what was only in our buffer would be lost.
        ASSERT_TRUE(database_->sync().ok());
        readers_.clear();
        after = disk_->recover_after_kill(random_.next());
    } else if (way == 2) {
        const Result<void> closed = database_->close();
        ASSERT_TRUE(closed.ok()) << closed.error().message();
        // Views outlive the handle.
        for (HeldReader& held : readers_) check_views(held);
    }
    database_.reset();
    for (HeldReader& held : readers_) check_views(held);
    readers_.clear();
    handles_.clear();
    if (after != nullptr) disk_ = std::move(after);
    open();
}

void EngineModel::step() {
    clock_.advance_ms(1 + random_.below(30));
    if (config_.restart_one_in != 0 && random_.one_in(config_.restart_one_in)) return restart();
    if (random_.one_in(config_.checkpoint_one_in)) return checkpoint();
    switch (random_.below(32)) {
        case 0:
            return change_keyspaces();
        case 1:
            return new_snapshot();
        case 2:
        case 3:
            return look_at_snapshot();
        case 4:
            return new_reader();
        case 5:
        case 6:
        case 7:
        case 8:
            return look_at_reader();
        case 9: {
            Reader reader = database_->reader();
            ASSERT_EQ(number(reader.sequence()), last_);
            return random_.one_in(4) ? check_all(reader) : walk(reader);
        }
        case 10: {
            Reader reader = database_->reader();
            return random_.below(2) == 0 ? get_many(reader) : read_part(reader);
        }
        case 11:
            return random_.one_in(8) ? compact() : put_one();
        case 12:
            return random_.one_in(8) ? thin_out() : put_one();
        default:
            return commit();
    }
}

std::string EngineModel::key() {
    const std::uint64_t kind = random_.below(400);
    if (kind == 0) return {};
    if (kind == 1) return std::string(kKeyBytesMax, 'm');
    if (kind == 2) return std::string(1 + random_.below(9), kind % 2 == 0 ? '\0' : '\xff');
    std::string key(kind < 20 ? random_.below(2000) : 0, 'p');
    key.push_back(static_cast<char>('a' + random_.below(3)));
    key.append(std::to_string(random_.below(random_.below(3) == 0 ? 12 : config_.keys)));
    return key;
}

ModelValue EngineModel::value() {
    constexpr std::size_t kInline = 2_KiB;    // Above it a value has memory of its own,
    constexpr std::size_t kLogged = 256_KiB;  // and above this it goes past the log.
    std::size_t size = random_.below(200);
    const std::uint64_t kind = random_.below(200);
    if (kind < 10) size = 2'000 + random_.below(20'000);
    if (kind == 10) size = kInline - 1 + random_.below(3);
    if (kind == 11) size = kLogged - 1 + random_.below(3);
    if (kind == 12) size = kLogged + random_.below(100'000);
    return {random_.next(), size};
}

KeyRange EngineModel::range() {
    switch (random_.below(4)) {
        case 0:
            return between(key(), key());  // Perhaps an empty or a reversed one.
        case 1:
            return prefix(key().substr(0, 2));
        case 2:
            return from(key());
        default:
            return everything();
    }
}

std::shared_ptr<const EngineModel::ModelKeyspace> EngineModel::pick(const State& state) {
    if (state.empty()) return nullptr;
    return std::next(state.begin(), static_cast<std::ptrdiff_t>(random_.below(state.size())))
        ->second;
}

void EngineModel::committed(const Result<Sequence>& done, State next) {
    ASSERT_TRUE(done.ok()) << done.error().message() << "; memory used "
                           << database_->stats().memory_used;
    ASSERT_EQ(number(*done), last_ + 1);
    history_[++last_] = std::move(next);
}

void EngineModel::commit() {
    State next = now();
    if (next.empty()) return change_keyspaces();
    std::map<std::string, std::shared_ptr<ModelKeyspace>> changed;
    WriteBatch batch;
    const std::uint64_t size =
        random_.one_in(6) ? 1 + random_.below(config_.batch_max) : 1 + random_.below(3);
    for (std::uint64_t i = 0; i < size; ++i) {
        const auto it = any_of(next);
        std::shared_ptr<ModelKeyspace>& to = changed[it->first];
        if (to == nullptr) to = std::make_shared<ModelKeyspace>(*it->second);
        const std::string k = key();
        if (random_.one_in(4)) {
            batch.erase(handles_.at(to->id), k);
            to->rows.erase(k);
        } else {
            const ModelValue v = value();
            batch.put(handles_.at(to->id), k, v.make());
            to->rows[k] = v;
        }
    }
    for (auto& [name, keyspace] : changed) next[name] = std::move(keyspace);
    Result<Sequence> done = database_->commit(batch, level());
    if (busy(done)) {
        // A walking reader may be left, which nobody here can end.
        if (database_->stats().readers != 0) return;
        done = database_->commit(batch, level());
    }
    committed(done, std::move(next));
}

/// Readers may hold so many versions of a great key that no page takes another. They are ended
/// then; the commit has left nothing.
bool EngineModel::busy(const Result<Sequence>& done) {
    if (done || done.error().code() != ErrorCode::kBusy || database_->stats().readers == 0) {
        return false;
    }
    for (HeldReader& held : readers_) check_views(held);
    readers_.clear();
    return true;
}

EngineModel::State::iterator EngineModel::any_of(State& state) {
    return std::next(state.begin(), static_cast<std::ptrdiff_t>(random_.below(state.size())));
}

/// By the keyspace's own calls, and read back at once.
void EngineModel::put_one() {
    State next = now();
    if (next.empty()) return;
    const auto it = any_of(next);
    auto changed = std::make_shared<ModelKeyspace>(*it->second);
    const Keyspace& keyspace = handles_.at(changed->id);
    const std::string k = key();
    const ModelValue v = value();
    const bool erase = random_.below(2) == 0;
    if (erase) {
        changed->rows.erase(k);
    } else {
        changed->rows[k] = v;
    }
    it->second = changed;
    const auto write = [&] {
        return erase ? keyspace.erase(k, level()) : keyspace.put(k, v.make(), level());
    };
    Result<Sequence> done = write();
    if (busy(done)) done = write();
    committed(done, std::move(next));
    if (failed()) return;
    const Result<std::optional<std::string>> found = keyspace.get(k);
    ASSERT_TRUE(found.ok()) << found.error().message();
    ASSERT_EQ(found->has_value(), !erase);
    ASSERT_TRUE(erase || **found == v.make());
}

void EngineModel::change_keyspaces() {
    const std::string name(1, static_cast<char>('a' + random_.below(4)));
    State next = now();
    const auto it = next.find(name);
    if (it != next.end() && random_.below(2) == 0) {
        // It is there: nothing is committed, and the handle is of the same keyspace.
        Result<Keyspace> same = database_->keyspace(name);
        ASSERT_TRUE(same.ok()) << same.error().message();
        ASSERT_EQ(same->id(), it->second->id);
        ASSERT_EQ(number(database_->stats().visible), last_);
    } else if (it != next.end()) {
        const Keyspace& dropped = handles_.at(it->second->id);
        next.erase(it);
        const Result<void> done = database_->drop_keyspace(name);
        ASSERT_TRUE(done.ok()) << done.error().message();
        committed(Sequence{last_ + 1}, std::move(next));
        const Result<Sequence> late = dropped.put("key", "value");
        ASSERT_FALSE(late.ok());
        ASSERT_EQ(late.error().code(), ErrorCode::kInvalid);
    } else {
        Result<Keyspace> made = database_->keyspace(name);
        ASSERT_TRUE(made.ok()) << made.error().message();
        ASSERT_FALSE(handles_.contains(made->id())) << "an id was given twice";
        handles_.emplace(made->id(), *made);
        auto empty = std::make_shared<ModelKeyspace>();
        empty->id = made->id();
        next[name] = std::move(empty);
        committed(Sequence{last_ + 1}, std::move(next));
    }
    ASSERT_EQ(number(database_->stats().visible), last_);
}

void EngineModel::checkpoint() {
    const Result<void> done = database_->checkpoint();
    ASSERT_TRUE(done.ok()) << done.error().message();
    const Result<Database::VerifyReport> sound = database_->verify();
    ASSERT_TRUE(sound.ok()) << sound.error().message();
    std::uint64_t records = 0;
    for (const auto& [name, keyspace] : now()) records += keyspace->rows.size();
    ASSERT_GE(sound->records, records);  // Versions that are still needed come on top.
    ASSERT_EQ(number(database_->stats().checkpointed), last_);
}

void EngineModel::compact() {
    const Result<Database::CompactReport> done = database_->compact();
    ASSERT_TRUE(done.ok()) << done.error().message();
    ASSERT_EQ(done->bytes_after, database_->stats().data_file_bytes);
    const Result<Database::VerifyReport> sound = database_->verify();
    ASSERT_TRUE(sound.ok()) << sound.error().message();
    Reader reader = database_->reader();
    check_all(reader);
}

/// Most rows of a keyspace go, so that its pages are joined, and checkpoints come while readers and
/// snapshots still see them.
void EngineModel::thin_out() {
    State next = now();
    if (next.empty()) return;
    const auto it = any_of(next);
    auto changed = std::make_shared<ModelKeyspace>(*it->second);
    for (auto row = changed->rows.begin(); row != changed->rows.end();) {
        WriteBatch batch;
        State after = now();
        for (; batch.size() < 500 && row != changed->rows.end();) {
            if (random_.one_in(20)) {
                ++row;
                continue;
            }
            batch.erase(handles_.at(changed->id), row->first);
            row = changed->rows.erase(row);
        }
        if (batch.empty()) break;
        const Result<Sequence> done = database_->commit(batch, Durability::kBuffered);
        if (!done && done.error().code() == ErrorCode::kBusy) return;
        after[it->first] = std::make_shared<ModelKeyspace>(*changed);
        committed(done, std::move(after));
        if (failed()) return;
    }
    for (int i = 0; i < 3 && !failed(); ++i) checkpoint();
}

void EngineModel::new_snapshot() {
    Result<Snapshot> made = database_->snapshot();
    ASSERT_TRUE(made.ok()) << made.error().message();
    ASSERT_EQ(number(made->sequence()), last_);
    if (snapshots_.size() < std::max<std::size_t>(config_.snapshots_held, 4)) {
        snapshots_.push_back(*std::move(made));
    } else {
        snapshots_[random_.below(snapshots_.size())] = *std::move(made);
    }
}

void EngineModel::new_reader() {
    if (readers_.size() >= 4) readers_.erase(readers_.begin());
    Result<Reader> made = database_->try_reader();
    ASSERT_TRUE(made.ok()) << made.error().message();
    readers_.push_back({*std::move(made), {}});
    get_some(readers_.back().reader, &readers_.back().views);
}

namespace {

class ModelTest : public ::testing::TestWithParam<ModelConfig> {};

TEST_P(ModelTest, EveryMomentIsWhatWasCommittedUpToIt) {
    const Seeds seeds(kSlowBuild ? GetParam().seeds : 4 * GetParam().seeds);
    std::cout << "seeds " << seeds.first << " to " << seeds.last << "\n";
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        EngineModel model(GetParam(), seed);
        model.run();
        ASSERT_FALSE(HasFailure()) << "run again with FULGUR_SEED=" << seed;
    }
}

// One line a configuration: what it makes frequent.
INSTANTIATE_TEST_SUITE_P(
    Configs, ModelTest,
    ::testing::Values(
        ModelConfig{.name = "plain", .background = true, .restart_one_in = 150},
        ModelConfig{.name = "in_memory", .in_memory = true, .background = true},
        ModelConfig{.name = "restarts", .restart_one_in = 6},
        ModelConfig{.name = "checkpoints", .restart_one_in = 60, .checkpoint_one_in = 5},
        ModelConfig{.name = "small_segments", .restart_one_in = 40, .segment_bytes = 64_KiB},
        ModelConfig{.name = "snapshots",
                    .restart_one_in = 0,
                    .checkpoint_one_in = 20,
                    .snapshots_held = 6,
                    .keys = 40},
        ModelConfig{.name = "pages",
                    .seeds = 2,
                    .restart_one_in = 80,
                    .snapshots_held = 1,
                    .keys = 4000,
                    .batch_max = 1000},
        ModelConfig{.name = "evicting",
                    .seeds = 1,
                    .restart_one_in = 80,
                    .checkpoint_one_in = 30,
                    .snapshots_held = 1,
                    .keys = 4000,
                    .batch_max = 1000,
                    .live_bytes = 64_KiB},
        // The simulated disk keeps each unsynced version of a sector, and a thread that evicts
        // all the time writes many: short lives keep them few.
        ModelConfig{.name = "evicting_beside",
                    .seeds = 1,
                    .steps = 120,
                    .background = true,
                    .restart_one_in = 30,
                    .checkpoint_one_in = 30,
                    .keys = 4000,
                    .batch_max = 1000,
                    .live_bytes = 64_KiB}),
    [](const ::testing::TestParamInfo<ModelConfig>& of) { return of.param.name; });

}  // namespace
}  // namespace fulgur::system_test
