#include "bench/store_arm.h"

#include <filesystem>

#include "bench/bench_error.h"

namespace fulgur::bench {

StoreArm::StoreArm(const Side& side, const Workload& workload, const Parameters& parameters,
                   std::string directory, os::Clock& clock)
    : directory_(std::move(directory)),
      clock_(clock),
      parameters_(workload.fill_in(parameters)),
      rows_(workload.keys, parameters_.value_min, parameters_.value_max) {
    if (workload.kind != Workload::Kind::kTurns) {
        throw BenchError(workload.name + " cannot be cut into slices: compare it in mode process");
    }
    std::filesystem::create_directories(directory_);
    store_ = side.open({directory_, parameters_.durability, parameters_.memory_bytes});
    session_ = store_->session();
    load(*session_, rows_, parameters_.rows, parameters_.seed, [](std::uint64_t) {});
    store_->settle();
    shared_.next_row = parameters_.rows;
    task_ = workload.make({*session_, rows_, shared_, parameters_, 0});
}

StoreArm::~StoreArm() {
    task_.reset();
    session_.reset();
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

}  // namespace fulgur::bench

extern "C" __attribute__((noinline)) std::uint64_t fulgur_bench_counted_operations(
    fulgur::bench::Task& task, std::uint64_t operations) {
    return task.run(operations);
}

namespace fulgur::bench {

std::uint64_t StoreArm::run_counted(std::uint64_t operations) {
    task_->run(operations / 10);  // What happens once has happened.
    return fulgur_bench_counted_operations(*task_, operations);
}

double StoreArm::run(std::uint64_t operations) {
    const std::uint64_t begin = clock_.now_ns();
    task_->run(operations);
    return double(clock_.now_ns() - begin);
}

}  // namespace fulgur::bench
