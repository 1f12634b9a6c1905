// What the runner keeps for each side, and for each workload on a side.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bench/runner.h"
#include "os/thread.h"

namespace fulgur::bench {

struct Runner::Arm {
    explicit Arm(const Side& of) : side(of) {}
    const Side& side;
    std::string directory;
    std::unique_ptr<Store> store;
    std::string loaded;  ///< what the store holds, as a word; empty: nothing that can be used again
};

struct Runner::Part {
    Part(Arm& of, const Workload& does, const Parameters& with)
        : arm(of),
          workload(does),
          parameters(with),
          rows(does.keys, with.value_min, with.value_max) {}

    Arm& arm;
    const Workload& workload;
    Parameters parameters;
    Rows rows;
    Shared shared;
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::unique_ptr<Task>> tasks;
    std::unique_ptr<Session> session_beside;
    std::unique_ptr<Task> beside;
    std::atomic<bool> stop_beside{false};
    os::Thread thread_beside;
    std::string failure_beside;
    std::uint64_t slice_operations = 0;
    double own_seconds = 0;
    std::uint64_t allocations = 0;
    std::uint64_t cpu_ns = 0;  ///< of the whole process during this part's slices
    Result result;
    bool failed() const { return !result.note.empty(); }
};

std::string show(Durability durability);
/// Of the files in a directory and below it.
std::uint64_t bytes_below(const std::string& directory);

}  // namespace fulgur::bench
