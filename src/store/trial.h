// What the checks of the conformance suite are written with.
//
// Every store may let any transaction begin again at any call. So a check is a *scene* that is
// played with new keys until no actor (a transaction) was stopped by that, and what it expects
// counts only then. After an actor was stopped all calls of its scene do nothing.
//
// Thread safety: Trial::fail and failed from any thread, all else from one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/store.h>

#include "os/mutex.h"
#include "os/random.h"
#include "store/conformance.h"

namespace fulgur::store {

class Scene;

class Trial {
public:
    Trial(Store& store, const ConformanceOptions& options, std::string prefix);

    Store& store() { return store_; }
    const StoreCapabilities& limits() const { return store_.capabilities(); }
    const ConformanceOptions& options() const { return options_; }
    std::uint64_t seed() const { return options_.seed; }
    /// `n` by the effort that was asked for; at least 1.
    std::uint64_t scaled(std::uint64_t n) const;

    /// The first failure stays.
    void fail(const std::string& what);
    bool failed();
    std::optional<std::string> failure();
    void expect(bool holds, const std::string& what) {
        if (!holds) fail(what);
    }
    void expect_equal(const std::string& got, const std::string& wanted, const std::string& what);

    /// Keys of the check begin with it.
    const std::string& prefix() const { return prefix_; }
    /// Plays it until it comes through.
    void play(const std::function<void(Scene&)>& scene);
    /// Runs `work`, which must succeed.
    void run(const std::function<Result<void>(StoreTransaction&)>& work);
    /// Erases all keys of the check.
    void clean_up();

private:
    Store& store_;
    const ConformanceOptions& options_;
    const std::string prefix_;
    std::uint64_t scenes_ = 0;
    os::Mutex mutex_;
    std::optional<std::string> failure_ GUARDED_BY(mutex_);
};

/// A transaction whose keys are named without the scene's prefix.
class Actor {
public:
    Actor(Scene& scene, std::unique_ptr<StoreTransaction> transaction);

    /// "-": it is not there.
    std::string get(Bytes name, ReadMode mode = ReadMode::kSerializable);
    /// "a=1 b=2" from `begin` to before `end` ("": to the last), in pages of at most `limit`.
    std::string walk(Bytes begin, Bytes end, std::size_t limit = 0, bool reverse = false);
    StorePage page(Bytes begin, Bytes end, const RangeOptions& options);
    void put(Bytes name, Bytes value);
    void erase(Bytes name);
    void erase_range(Bytes begin, Bytes end);
    void atomic(AtomicOperation operation, Bytes name, std::uint64_t number);
    /// Must come through.
    void commit();
    /// Must be refused as a conflict.
    void commit_refused(const std::string& why);
    std::string names_of(const std::vector<StoreRow>& rows) const;

private:
    friend class Scene;
    StoreTransaction* ready();
    void note(const Result<void>& done, const char* what);
    KeyRange range(Bytes begin, Bytes end) const;

    Scene& scene_;
    std::unique_ptr<StoreTransaction> transaction_;
    std::uint64_t pages_ = 0;
};

/// One time of playing.
class Scene {
public:
    Scene(Trial& trial, std::uint64_t number);

    Trial& trial() { return trial_; }
    std::string key(Bytes name) const { return prefix_ + std::string(name); }
    const std::string& prefix() const { return prefix_; }
    Actor begin();
    /// Rows that are there before, "a=1 b=2".
    void given(const std::string& rows);
    /// What a new transaction sees.
    void then(const std::string& rows, const std::string& what);
    void expect_equal(const std::string& got, const std::string& wanted, const std::string& what) {
        if (!stopped_) trial_.expect_equal(got, wanted, what);
    }
    void fail(const std::string& what) {
        if (!stopped_) trial_.fail(what);
    }
    /// An actor met `error`: the scene begins again, or the check has failed.
    void stop(const Error& error, const char* what);
    bool over() const { return stopped_; }
    std::string why() const { return why_; }

private:
    Trial& trial_;
    const std::string prefix_;
    bool stopped_ = false;
    std::string why_;
};

/// `name` and `number` in decimal with leading zeros, so that names sort as numbers do.
std::string numbered(const char* name, std::uint64_t number);
std::int64_t to_integer(const std::string& text);

// The checks, by file. Each is in the list of conformance.cc.

void sees_its_own_writes(Trial& trial);
void keeps_its_moment(Trial& trial);
void refuses_a_lost_update(Trial& trial);
void refuses_two_inserts_of_one_key(Trial& trial);
void refuses_write_skew(Trial& trial);
void refuses_a_phantom_in_a_range(Trial& trial);
void refuses_a_phantom_in_an_empty_range(Trial& trial);
void refuses_the_read_only_anomaly(Trial& trial);
void forgets_what_is_not_committed(Trial& trial);
void ends_with_its_commit(Trial& trial);

void pages_both_ways(Trial& trial);
void goes_on_behind_the_last_row(Trial& trial);
void pages_with_its_own_writes(Trial& trial);
void erases_ranges(Trial& trial);
void gets_many(Trial& trial);
void takes_any_bytes(Trial& trial);
void takes_the_empty_key(Trial& trial);

void holds_its_limits(Trial& trial);
void refuses_what_is_too_large(Trial& trial);
void refuses_what_is_too_old(Trial& trial);
void counts_by_atomics(Trial& trial);

void runs_again_after_conflicts(Trial& trial);
void runs_each_work_once(Trial& trial);
void adds_in_many_threads(Trial& trial);
void moves_money_in_many_threads(Trial& trial);
void equals_a_model(Trial& trial);

}  // namespace fulgur::store
