// Random transactions of several handles, interleaved step by step in one thread, beside a model: a
// map of every keyspace for every sequence.
//
// Each transaction writes down what it did and what it was told. When told, the answer must be that
// of its moment and its own writes. When it has committed at sequence N, everything is done again
// on the state before N: every answer must be the same, and what comes out must be the state at N.
// So the committed transactions, one after the other, explain all that anybody saw: that is what
// serializable means. A conflict must have a reason: a key that was read, or lies in a range that a
// cursor may have walked, and that was written since.
//
// FULGUR_SEED=n: one run alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fulgur/database.h>

#include "os/random.h"
#include "os/sim_file_system.h"
#include "tests/bad_days.h"

namespace fulgur::system_test {
namespace {

constexpr std::size_t kKeyspaces = 2;
using Rows = std::map<std::string, std::string>;
using State = std::vector<Rows>;
using Row = std::optional<std::pair<std::string, std::string>>;

struct Event {
    enum Kind { kGet, kPut, kErase, kEraseRange, kOpen, kSeek, kFirst, kLast, kNext, kPrevious };
    Kind kind;
    std::size_t keyspace = 0;
    std::string key;    ///< or the range's begin
    std::string value;  ///< or its end; empty: none
    std::size_t cursor = 0;
    Row answer = {};
};

/// What a transaction that runs alone would be told.
class Alone {
public:
    explicit Alone(State state) : state_(std::move(state)) {}
    const State& state() const { return state_; }

    Row run(const Event& event) {
        Rows& rows = state_[event.keyspace];
        switch (event.kind) {
            case Event::kGet: {
                const auto it = rows.find(event.key);
                return it == rows.end() ? Row() : Row(*it);
            }
            case Event::kPut:
                rows[event.key] = event.value;
                return {};
            case Event::kErase:
                rows.erase(event.key);
                return {};
            case Event::kEraseRange: {
                if (!event.value.empty() && event.value <= event.key) return Row({"0", ""});
                const auto low = rows.lower_bound(event.key);
                const auto high = event.value.empty() ? rows.end() : rows.lower_bound(event.value);
                const auto n = std::distance(low, high);
                rows.erase(low, high);
                return Row({std::to_string(n), ""});
            }
            case Event::kOpen:
                cursors_.push_back({event.keyspace, event.key, event.value, {}});
                return settle(cursors_.back(), event.key);
            default:
                return walk(event, cursors_[event.cursor]);
        }
    }

private:
    struct Walk {
        std::size_t keyspace;
        std::string begin;
        std::string end;
        std::optional<std::string> at;
    };

    Row walk(const Event& event, Walk& cursor) {
        const Rows& rows = state_[cursor.keyspace];
        switch (event.kind) {
            case Event::kSeek:
                return settle(cursor, std::max(event.key, cursor.begin));
            case Event::kFirst:
                return settle(cursor, cursor.begin);
            case Event::kLast:
                return settle_before(
                    cursor, cursor.end.empty() ? rows.end() : rows.lower_bound(cursor.end));
            case Event::kNext:
                return cursor.at ? settle(cursor, *cursor.at + '\0') : Row();
            default:
                return cursor.at ? settle_before(cursor, rows.lower_bound(*cursor.at)) : Row();
        }
    }
    Row settle(Walk& cursor, const std::string& low) {
        const Rows& rows = state_[cursor.keyspace];
        const auto it = rows.lower_bound(low);
        const bool none = it == rows.end() || (!cursor.end.empty() && it->first >= cursor.end);
        return stand(cursor, none ? Row() : Row(*it));
    }
    Row settle_before(Walk& cursor, Rows::const_iterator it) {
        const bool none =
            it == state_[cursor.keyspace].begin() || std::prev(it)->first < cursor.begin;
        return stand(cursor, none ? Row() : Row(*std::prev(it)));
    }
    Row stand(Walk& cursor, Row row) {
        cursor.at.reset();
        if (row) cursor.at = row->first;
        return row;
    }

    State state_;
    std::vector<Walk> cursors_;
};

struct Running {
    Transaction transaction;
    Isolation isolation;
    Alone alone;
    std::vector<Event> events = {};
    std::vector<TransactionCursor> cursors = {};  ///< end before the transaction
    ~Running() { cursors.clear(); }
    Running(Transaction t, Isolation level, Alone a)
        : transaction(std::move(t)), isolation(level), alone(std::move(a)) {}
};

class TransactionModel {
public:
    explicit TransactionModel(std::uint64_t seed)
        : random_(seed), disk_(seed), keys_(random_.one_in(3) ? 400 : 12 + random_.below(30)) {
        db::EngineOptions options = small_engine(disk_, "db");
        database_.emplace(db::open_database(options).value());
        for (std::size_t i = 0; i < kKeyspaces; ++i) {
            keyspaces_.push_back(database_->keyspace(std::to_string(i)).value());
        }
        history_[now()] = State(kKeyspaces);
    }

    void run(std::uint64_t steps) {
        for (std::uint64_t i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
            SCOPED_TRACE(testing::Message() << "step " << i);
            step();
        }
        running_.clear();
        if (testing::Test::HasFailure()) return;
        EXPECT_EQ(database_->stats().snapshots, 0u);
        EXPECT_TRUE(database_->verify().ok());
    }
    std::uint64_t committed = 0, conflicts = 0;

private:
    std::uint64_t now() const { return number(database_->reader().sequence()); }

    std::string key() { return row_key(random_.below(keys_)); }
    std::string value() {
        const std::size_t size =
            random_.one_in(40) ? 2000 + random_.below(3000) : random_.below(60);
        return row_value(++values_, size);
    }
    std::pair<std::string, std::string> range() {
        std::string low = random_.one_in(4) ? "" : key(), high = random_.one_in(4) ? "" : key();
        if (!high.empty() && high < low && !random_.one_in(10)) std::swap(low, high);
        return {low, high};
    }

    void step() {
        const std::uint64_t what = random_.below(100);
        if (what < 6 || running_.empty()) {
            if (running_.size() < 5) begin();
        } else if (what < 16) {
            blind_commit();
        } else if (what < 17) {
            ASSERT_TRUE(database_->checkpoint().ok());
        } else {
            auto it = running_.begin();
            std::advance(it, random_.below(running_.size()));
            if (what < 24) {
                commit(*it);
                running_.erase(it);
            } else if (what < 25) {
                running_.erase(it);
            } else if (what < 27) {
                it->cursors.clear();
                it->transaction.release_views();  // The model's cursors are not asked any more.
            } else {
                act(*it);
            }
        }
    }

    void begin() {
        const Isolation level = random_.one_in(5) ? Isolation::kSnapshot : Isolation::kSerializable;
        Transaction transaction = database_->begin(level).value();
        ASSERT_EQ(number(transaction.snapshot()), now());
        running_.emplace_back(std::move(transaction), level,
                              Alone(history_.at(number(transaction.snapshot()))));
    }

    /// Somebody else's commit, without a transaction.
    void blind_commit() {
        WriteBatch batch;
        State next = history_.rbegin()->second;
        std::set<std::pair<std::size_t, std::string>> written;
        for (std::uint64_t n = random_.one_in(5) ? 100 : 1 + random_.below(3); n > 0; --n) {
            const std::size_t at = random_.below(kKeyspaces);
            const std::string k = key();
            written.insert({at, k});
            if (random_.one_in(2)) {
                batch.erase(keyspaces_[at], k);
                next[at].erase(k);
            } else {
                next[at][k] = value();
                batch.put(keyspaces_[at], k, next[at][k]);
            }
        }
        const Result<Sequence> done = database_->commit(batch, Durability::kBuffered);
        ASSERT_TRUE(done.ok()) << done.error().message();
        took(number(*done), std::move(next), written);
    }

    void took(std::uint64_t sequence, State next,
              const std::set<std::pair<std::size_t, std::string>>& written) {
        history_[sequence] = std::move(next);
        for (const auto& at : written) written_at_[at] = sequence;
    }

    Row ask(Running& running, const Event& event) {
        Transaction& transaction = running.transaction;
        const Keyspace& keyspace = keyspaces_[event.keyspace];
        const auto fine = [](const auto& result) {
            EXPECT_TRUE(result.ok()) << result.error().message();
        };
        switch (event.kind) {
            case Event::kGet:
                return get(transaction, keyspace, event.key);
            case Event::kPut:
                fine(transaction.put(keyspace, event.key, event.value));
                return {};
            case Event::kErase:
                fine(transaction.erase(keyspace, event.key));
                return {};
            case Event::kEraseRange: {
                const Result<std::uint64_t> n = transaction.erase_range(keyspace, range_of(event));
                fine(n);
                return Row({std::to_string(n.value()), ""});
            }
            case Event::kOpen:
                running.cursors.push_back(transaction.cursor(keyspace, range_of(event)));
                return shown(running.cursors.back());
            default:
                return walk(event, running.cursors[event.cursor]);
        }
    }
    static KeyRange range_of(const Event& event) {
        return event.value.empty() ? from(event.key) : between(event.key, event.value);
    }
    Row get(Transaction& transaction, const Keyspace& keyspace, const std::string& key) {
        std::optional<Bytes> found;
        if (random_.one_in(3)) {
            const std::vector<Bytes> keys{"nobody", key};
            std::vector<std::optional<Bytes>> views(2);
            const Result<void> got = transaction.get_many(keyspace, keys, views);
            EXPECT_TRUE(got.ok());
            found = views[1];
        } else {
            const Result<std::optional<Bytes>> got = transaction.get(keyspace, key);
            EXPECT_TRUE(got.ok()) << got.error().message();
            found = *got;
        }
        return found ? Row({key, std::string(*found)}) : Row();
    }
    static Row walk(const Event& event, TransactionCursor& cursor) {
        switch (event.kind) {
            case Event::kSeek:
                cursor.seek(event.key);
                break;
            case Event::kFirst:
                cursor.seek_to_first();
                break;
            case Event::kLast:
                cursor.seek_to_last();
                break;
            case Event::kNext:
                cursor.next();
                break;
            default:
                cursor.previous();
        }
        return shown(cursor);
    }
    static Row shown(TransactionCursor& cursor) {
        EXPECT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        if (!cursor.valid()) return {};
        EXPECT_EQ(cursor.value_size(), cursor.value().size());
        return Row({std::string(cursor.key()), std::string(cursor.value())});
    }

    void act(Running& running) {
        const std::size_t at = random_.below(kKeyspaces);
        const std::uint64_t what = random_.below(100);
        if (what < 25) return record(running, {Event::kGet, at, key(), ""});
        if (what < 40) return record(running, {Event::kPut, at, key(), value()});
        if (what < 48) return record(running, {Event::kErase, at, key(), ""});
        if (what < 50 || (what < 60 && running.cursors.size() < 4)) {
            auto [low, high] = range();
            const auto kind = what < 50 ? Event::kEraseRange : Event::kOpen;
            return record(running, {kind, at, low, high});
        }
        if (running.cursors.empty()) return;
        // Cursors that ended with their views stand before the living ones in the model.
        const std::size_t living = random_.below(running.cursors.size());
        const std::size_t first = opens(running) - running.cursors.size();
        constexpr Event::Kind kWalks[] = {Event::kSeek,    Event::kFirst,    Event::kLast,
                                          Event::kNext,    Event::kPrevious, Event::kNext,
                                          Event::kPrevious};
        const Event::Kind kind = kWalks[random_.below(std::size(kWalks))];
        // In both directions for a while.
        const std::uint64_t times =
            kind == Event::kNext || kind == Event::kPrevious ? 1 + random_.below(4) : 1;
        for (std::uint64_t i = 0; i < times; ++i) {
            Event event{kind, 0, key(), "", first + living};
            const Row expected = running.alone.run(event);
            event.answer = walk(event, running.cursors[living]);
            ASSERT_TRUE(event.answer == expected) << describe(event);
            running.events.push_back(event);
        }
    }
    static std::size_t opens(const Running& running) {
        return static_cast<std::size_t>(
            std::count_if(running.events.begin(), running.events.end(),
                          [](const Event& event) { return event.kind == Event::kOpen; }));
    }

    void record(Running& running, Event event) {
        const Row expected = running.alone.run(event);
        event.answer = ask(running, event);
        ASSERT_TRUE(event.answer == expected) << describe(event);
        running.events.push_back(std::move(event));
    }
    static std::string describe(const Event& event) {
        return "event " + std::to_string(event.kind) + " of " + event.key + " was told " +
               (event.answer ? event.answer->first : "nothing");
    }

    void commit(Running& running) {
        const Result<Sequence> done = running.transaction.commit(Durability::kBuffered);
        std::set<std::pair<std::size_t, std::string>> written = written_by(running);
        if (!done) {
            ASSERT_EQ(done.error().code(), ErrorCode::kConflict) << done.error().message();
            ++conflicts;
            ASSERT_TRUE(has_reason(running, written)) << done.error().message();
            return;
        }
        if (written.empty()) {
            ASSERT_EQ(*done, running.transaction.snapshot());
            return;
        }
        ++committed;
        const State& before = std::prev(history_.end())->second;
        ASSERT_EQ(number(*done), history_.rbegin()->first + 1);
        if (running.isolation == Isolation::kSnapshot) {
            State next = before;
            const State& moment = history_.at(number(running.transaction.snapshot()));
            for (const auto& [at, k] : written) {
                ASSERT_EQ(value_in(before, at, k), value_in(moment, at, k)) << "lost update " << k;
                const Rows& own = running.alone.state()[at];
                next[at].erase(k);
                if (const auto it = own.find(k); it != own.end()) next[at].insert(*it);
            }
            took(number(*done), std::move(next), written);
        } else {
            Alone again(before);
            for (const Event& event : running.events) {
                ASSERT_TRUE(again.run(event) == event.answer)
                    << "not serializable: " << describe(event);
            }
            took(number(*done), again.state(), written);
        }
        check_now();
    }

    static std::optional<std::string> value_in(const State& state, std::size_t at,
                                               const std::string& k) {
        const auto it = state[at].find(k);
        return it == state[at].end() ? std::nullopt : std::optional(it->second);
    }

    std::set<std::pair<std::size_t, std::string>> written_by(const Running& running) const {
        std::set<std::pair<std::size_t, std::string>> written;
        Alone alone(history_.at(number(running.transaction.snapshot())));
        for (const Event& event : running.events) {
            if (event.kind == Event::kPut || event.kind == Event::kErase) {
                written.insert({event.keyspace, event.key});
            }
            if (event.kind == Event::kEraseRange) {
                for (const auto& [k, v] : alone.state()[event.keyspace]) {
                    if (k >= event.key && (event.value.empty() || k < event.value)) {
                        written.insert({event.keyspace, k});
                    }
                }
            }
            alone.run(event);
        }
        return written;
    }

    bool has_reason(const Running& running,
                    const std::set<std::pair<std::size_t, std::string>>& written) const {
        const std::uint64_t moment = number(running.transaction.snapshot());
        for (const auto& [at, sequence] : written_at_) {
            if (sequence <= moment) continue;
            if (running.isolation == Isolation::kSnapshot) {
                if (written.contains(at)) return true;
                continue;
            }
            for (const Event& event : running.events) {
                if (event.keyspace != at.first) continue;
                if (event.kind == Event::kGet && event.key == at.second) return true;
                const bool walks = event.kind == Event::kOpen || event.kind == Event::kEraseRange;
                if (walks && at.second >= event.key &&
                    (event.value.empty() || at.second < event.value)) {
                    return true;
                }
            }
        }
        return false;
    }

    void check_now() {
        Reader reader = database_->reader();
        const State& expected = history_.rbegin()->second;
        for (std::size_t i = 0; i < kKeyspaces; ++i) {
            Rows found;
            for (Cursor cursor = reader.cursor(keyspaces_[i]); cursor.valid(); cursor.next()) {
                found.emplace(cursor.key(), cursor.value());
            }
            ASSERT_TRUE(found == expected[i]) << "the commit left another state";
        }
    }

    os::Random random_;
    os::SimFileSystem disk_;
    const std::uint64_t keys_;
    std::optional<Database> database_;
    std::vector<Keyspace> keyspaces_;
    std::map<std::uint64_t, State> history_;
    std::map<std::pair<std::size_t, std::string>, std::uint64_t> written_at_;
    std::list<Running> running_;
    std::uint64_t values_ = 0;
};

TEST(TransactionModelTest, CommittedTransactionsExplainAllThatWasSeen) {
    const Seeds seeds(kSlowBuild ? 25 : 100);
    std::uint64_t committed = 0, conflicts = 0;
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        SCOPED_TRACE(testing::Message() << "run again with FULGUR_SEED=" << seed);
        TransactionModel model(seed);
        model.run(1500);
        ASSERT_FALSE(HasFailure());
        committed += model.committed;
        conflicts += model.conflicts;
    }
    std::cout << committed << " committed, " << conflicts << " conflicts\n";
    EXPECT_GT(committed, 0u);
    EXPECT_GT(conflicts, 0u);
}

}  // namespace
}  // namespace fulgur::system_test
