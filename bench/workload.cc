#include "bench/workload.h"

#include <algorithm>
#include <bit>

#include "bench/tasks.h"

namespace fulgur::bench {

Parameters Workload::fill_in(Parameters parameters) const {
    if (parameters.value_min == 0) parameters.value_min = value_min;
    if (parameters.value_max == 0) parameters.value_max = std::max(value_max, parameters.value_min);
    parameters.rows = std::max<std::uint64_t>(1, parameters.rows / one_row_of);
    if (parameters.batch == 0) parameters.batch = batch;
    if (sync) parameters.durability = Durability::kSync;
    return parameters;
}

const std::vector<Workload>& workloads() {
    static const std::vector<Workload> all = [] {
        std::vector<Workload> list = db_bench_workloads();
        for (auto&& more : {ycsb_workloads(), more_workloads()}) {
            list.insert(list.end(), more.begin(), more.end());
        }
        return list;
    }();
    return all;
}

const Workload* find_workload(const std::string& name) {
    const auto it = std::ranges::find_if(
        workloads(), [&](const Workload& workload) { return workload.name == name; });
    return it == workloads().end() ? nullptr : &*it;
}

// A Feistel network over the next even number of bits; what falls outside goes round again.
Permutation::Permutation(std::uint64_t count, std::uint64_t seed) : count_(count), seed_(seed) {
    const unsigned bits = static_cast<unsigned>(std::bit_width(std::max<std::uint64_t>(count, 2)));
    half_bits_ = (bits + 1) / 2;
    mask_ = (std::uint64_t{1} << half_bits_) - 1;
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
    do {
        std::uint64_t left = i >> half_bits_, right = i & mask_;
        for (std::uint64_t round = 0; round < 4; ++round) {
            const std::uint64_t next =
                left ^ (mix(right + (seed_ + round) * 0x9E3779B97F4A7C15) & mask_);
            left = right;
            right = next;
        }
        i = left << half_bits_ | right;
    } while (i >= count_);
    return i;
}

void load(Session& session, const Rows& rows, std::uint64_t count, std::uint64_t seed,
          const std::function<void(std::uint64_t)>& progress) {
    const Permutation order(count, seed);
    Batch batch(session, rows, 1000);
    for (std::uint64_t i = 0; i < count; ++i) {
        batch.put(order(i), 0);
        if (i % 10'000 == 0) progress(i);
    }
    batch.commit();
}

}  // namespace fulgur::bench
