// A workload: what is done to a store, operation by operation, on each side alike.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/choose.h"
#include "bench/rows.h"
#include "bench/store.h"

namespace fulgur::bench {

/// What a person may choose; zero means the workload's own.
struct Parameters {
    std::uint64_t rows = 1'000'000;
    std::uint32_t value_min = 0;
    std::uint32_t value_max = 0;
    std::uint32_t batch = 0;
    std::uint32_t threads = 1;
    std::uint64_t memory_bytes = 4_GiB;  ///< of each side: cache or budget
    std::uint64_t seed = 1;
    Durability durability = Durability::kBuffered;
};

/// What the threads of one side share.
struct Shared {
    std::atomic<std::uint64_t> next_row{0};  ///< the next row to insert
    std::atomic<std::uint64_t> next_salt{1};
};

struct TaskContext {
    Session& session;
    const Rows& rows;
    Shared& shared;
    const Parameters& parameters;  ///< with the workload's own filled in
    std::uint32_t thread = 0;
};

/// One thread's part on one side.
class Task {
public:
    virtual ~Task() = default;
    /// Does so many operations. @return how many values were read and found right.
    virtual std::uint64_t run(std::uint64_t operations) = 0;
};

struct Workload {
    enum class Start : std::uint8_t { kEmpty, kLoaded };
    enum class Kind : std::uint8_t {
        kTurns,     ///< the sides take turns in slices for as long as is asked for
        kPass,      ///< once over all rows, each side alone
        kOpen,      ///< opens a store that was closed well, up to the first row read
        kRecovery,  ///< opens what a killed process left, up to the first row read
    };
    std::string name;
    std::string family;  ///< "db_bench", "ycsb", "more"
    std::string what;    ///< a line for people
    std::string unit;    ///< of an operation
    Start start = Start::kLoaded;
    bool changes = false;  ///< the store is not as it was afterwards
    Kind kind = Kind::kTurns;
    KeyStyle keys = KeyStyle::kOrdered;
    std::uint32_t value_min = 100;
    std::uint32_t value_max = 100;
    std::uint32_t batch = 1;
    /// Of the rows that are asked for one of so many: where rows are large.
    std::uint32_t one_row_of = 1;
    bool sync = false;  ///< synced commits, whatever is asked for
    std::function<std::unique_ptr<Task>(const TaskContext&)> make;
    /// One more thread that runs beside and is not timed; or none.
    std::function<std::unique_ptr<Task>(const TaskContext&)> make_beside;

    Parameters fill_in(Parameters parameters) const;
};

const std::vector<Workload>& workloads();
const Workload* find_workload(const std::string& name);
/// Puts all rows, in random order, in batches.
void load(Session& session, const Rows& rows, std::uint64_t count, std::uint64_t seed,
          const std::function<void(std::uint64_t)>& progress);

/// A permutation of 0 .. count - 1 that needs no memory.
class Permutation {
public:
    Permutation(std::uint64_t count, std::uint64_t seed);
    std::uint64_t operator()(std::uint64_t i) const;

private:
    std::uint64_t count_;
    std::uint64_t mask_;
    unsigned half_bits_;
    std::uint64_t seed_;
};

}  // namespace fulgur::bench
