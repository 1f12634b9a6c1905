// What the engine counts for its users, and who may count where.
//
// Nothing here makes two busy threads write one cache line:
//  * A reader counts in its own record (reader_state.h), which belongs to its slot: one owner at a
//    time, and the counts stay when the reader ends, so that ended readers need no merging.
//  * Commits count under the commit mutex, which they hold anyway.
//  * What is rare (errors, samples) goes to shared atomics and striped histograms.
//
// Memory model of an OwnedCounter: one thread at a time adds, by a relaxed load and a relaxed store
// instead of a locked instruction. Owners hand it over by what makes them owners (the slot's
// `taken`, the commit mutex: release and acquire), so each addition builds on all before it and
// none is lost. Anybody may read at any time; the values that one thread reads of one counter never
// go down (coherence of an atomic). Readings of different counters are not one moment: a scrape
// beside running readers may see an absent key's get before or after its absence. What a thread has
// counted before it is joined, or before anything else that orders it before the scrape, is seen
// exactly.
//
// Sampling is by counts and not by chance: every 1,024th operation of its kind is timed (of a slot
// for reads, of the database for each level of commits). The clock is read for these alone.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <fulgur/options.h>
#include <fulgur/result.h>

#include "storage/latency.h"

namespace fulgur::db {

inline constexpr std::uint64_t kSampleEvery = 1024;

class OwnedCounter {
public:
    /// @return the new value.
    std::uint64_t add(std::uint64_t n = 1) {
        const std::uint64_t value = value_.load(std::memory_order_relaxed) + n;
        value_.store(value, std::memory_order_relaxed);
        return value;
    }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Counts by the kind of an error. Any thread.
class ErrorCounts {
public:
    void add(ErrorCode code) { counts_[index(code)].fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t of(ErrorCode code) const {
        return counts_[index(code)].load(std::memory_order_relaxed);
    }

private:
    static std::size_t index(ErrorCode code) { return static_cast<std::size_t>(code); }
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(ErrorCode::kUnknownResult) + 1>
        counts_{};
};

/// What one commit adds, counted before the commit mutex is taken.
struct CommitCounts {
    Durability durability = Durability::kSync;
    std::uint64_t puts = 0;
    std::uint64_t erases = 0;
    std::uint64_t bytes = 0;  ///< keys and values
    std::uint64_t large_values = 0;
    std::uint64_t large_bytes = 0;
};

/// Owned by who holds the commit mutex, but for the samples' flags.
class CommitMetrics {
public:
    static constexpr std::size_t kLevels = 3;
    static std::size_t level(Durability durability) { return static_cast<std::size_t>(durability); }

    /// Under the commit mutex.
    void count(const CommitCounts& commit) {
        const std::size_t at = level(commit.durability);
        // The next one to begin is the 1,024th.
        if (commits[at].add() % kSampleEvery == kSampleEvery - 1) time_next(commit.durability);
        puts.add(commit.puts);
        erases.add(commit.erases);
        bytes.add(commit.bytes);
        if (commit.large_values != 0) {
            large_values.add(commit.large_values);
            large_bytes.add(commit.large_bytes);
        }
    }
    /// Any thread: whether this commit, which begins now, is to be timed.
    bool take_sample(Durability durability) {
        std::atomic<bool>& wanted = time_next_[level(durability)];
        return wanted.load(std::memory_order_relaxed) &&
               wanted.exchange(false, std::memory_order_relaxed);
    }
    /// Any thread: the sample that was taken came to nothing.
    void time_next(Durability durability) {
        time_next_[level(durability)].store(true, std::memory_order_relaxed);
    }

    std::array<OwnedCounter, kLevels> commits;
    OwnedCounter puts;
    OwnedCounter erases;
    OwnedCounter bytes;
    OwnedCounter large_values;
    OwnedCounter large_bytes;
    ErrorCounts errors;
    std::array<storage::SharedHistogram, kLevels> latency_ns;

private:
    /// Read by every commit outside the mutex, written twice in 1,024.
    alignas(64) std::array<std::atomic<bool>, kLevels> time_next_{};
};

/// What readers share. Any thread.
struct ReadMetrics {
    /// Few: of 1,024 gets of one thread, one meets another thread's.
    static constexpr std::size_t kStripes = 4;

    ErrorCounts errors;
    storage::SharedHistogram get_ns{kStripes};
    storage::SharedHistogram get_many_ns{kStripes};
};

}  // namespace fulgur::db
