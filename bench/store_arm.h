// One side of a comparison inside a process (mode `fine`): a store with its rows, and one thread
// that does a workload's operations on it. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "bench/paired.h"
#include "bench/workload.h"
#include "os/clock.h"

namespace fulgur::bench {

class StoreArm final : public FineArm {
public:
    /// Makes the store in `directory`, which it removes at the end, and loads the rows. Throws
    /// Failure, or BenchError for a workload that has no slices (a fill, an opening).
    StoreArm(const Side& side, const Workload& workload, const Parameters& parameters,
             std::string directory, os::Clock& clock);
    ~StoreArm() override;
    StoreArm(const StoreArm&) = delete;
    StoreArm& operator=(const StoreArm&) = delete;

    double run(std::uint64_t operations) override;
    /// The same inside a function of its own, named kCountedMarker, for counting instructions.
    /// @return how many values were read and found right.
    std::uint64_t run_counted(std::uint64_t operations);
    static constexpr const char* kCountedMarker = "fulgur_bench_counted_operations";

private:
    std::string directory_;
    os::Clock& clock_;
    Parameters parameters_;
    Rows rows_;
    Shared shared_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Task> task_;
};

}  // namespace fulgur::bench
