// The parts of the runner that open stores with a clock beside, and that keep to a rate.
#include <filesystem>

#include "bench/runner_parts.h"
#include "bench/tasks.h"

namespace fulgur::bench {

namespace {

constexpr std::uint64_t kLatencySampleEvery = 16;
constexpr double kLatencyShare = 0.2;  ///< of the time for slices

}  // namespace

void Runner::run_opening(const Workload& workload, std::deque<Part>& parts) {
    for (unsigned round = 0; round < plan_.rounds; ++round) {
        std::vector<Part*> order;
        for (Part& part : parts) order.push_back(&part);
        shuffle(order);
        for (Part* part : order) {
            report(workload.name + " " + part->result.side);
            if (!part->failed()) guarded(*part, [&] { open_once(*part); });
            steps_done_ += 1.0 / plan_.rounds;
        }
    }
}

/// Fills a store; closes it, or takes a copy of its files behind its back, as a kill leaves them;
/// and measures from opening to the first row.
void Runner::open_once(Part& part) {
    constexpr std::uint64_t kHandedOverMs = 200;  // Buffers of all sides have reached the kernel.
    Arm& arm = part.arm;
    const std::string filled = arm.directory + ".filled";
    std::filesystem::remove_all(filled);
    open_arm(arm, part.parameters);
    {
        const std::unique_ptr<Session> session = arm.store->session();
        Batch batch(*session, part.rows, part.parameters.batch);
        const Permutation order(part.parameters.rows, part.parameters.seed);
        for (std::uint64_t i = 0; i < part.parameters.rows; ++i) batch.put(order(i), 0);
        batch.commit();
    }
    part.result.version = arm.store->version();
    part.result.settings = arm.store->settings();
    if (part.workload.kind == Workload::Kind::kRecovery) {
        os::sleep_us(kHandedOverMs * 1000);
        std::filesystem::copy(arm.directory, filled, std::filesystem::copy_options::recursive);
        close_arm(arm);
        std::filesystem::rename(filled, arm.directory);
    } else {
        arm.store->settle();
        arm.store.reset();
    }
    // A row that was put early enough to be on its way to the disk on every side.
    const std::uint64_t row = Permutation(part.parameters.rows, part.parameters.seed)(0);
    const std::uint64_t begin = clock_.now_ns();
    arm.store =
        arm.side.open({arm.directory, part.parameters.durability, part.parameters.memory_bytes});
    const std::unique_ptr<Session> session = arm.store->session();
    Row key;
    part.rows.make_key(row, key);
    const std::optional<Bytes> value = session->get(key.view());
    const std::uint64_t ns = clock_.now_ns() - begin;
    if (!value) throw Failure("a row is missing after opening");
    part.rows.check_whole(row, *value);
    part.result.slices_ns.push_back(double(ns));
    part.result.latency_ns.record(ns);
    part.result.operations += 1;
    part.result.verified += 1;
    part.result.counters["disk_bytes"] = double(bytes_below(arm.directory));
}

/// One operation of some is timed; with several threads each times its own.
void Runner::sample_latencies(Part& part) {
    const auto budget = static_cast<std::uint64_t>(plan_.seconds * kLatencyShare * 1e9);
    std::vector<Histogram> of_threads(part.tasks.size());
    std::vector<os::Thread> threads;
    std::vector<std::string> failures(part.tasks.size());
    for (std::size_t i = 0; i < part.tasks.size(); ++i) {
        threads.emplace_back("bench", [&, i] {
            try {
                const std::uint64_t begin = clock_.now_ns();
                for (std::uint64_t now = begin; now - begin < budget;) {
                    part.tasks[i]->run(kLatencySampleEvery - 1);
                    const std::uint64_t from = clock_.now_ns();
                    part.tasks[i]->run(1);
                    now = clock_.now_ns();
                    of_threads[i].record(now - from);
                }
            } catch (const std::exception& error) {
                failures[i] = error.what();
            }
        });
    }
    for (os::Thread& thread : threads) thread.join();
    for (const std::string& failure : failures) {
        if (!failure.empty()) throw Failure(failure);
    }
    for (const Histogram& histogram : of_threads) part.result.latency_ns.add(histogram);
}

void Runner::run_open(std::deque<Part>& parts) {
    for (Part& part : parts) {
        if (part.failed()) continue;
        report(part.workload.name + " " + part.result.side);
        guarded(part, [&] {
            const Schedule schedule(plan_.open_loop, plan_.seconds);
            std::vector<OpenLoopResult> results(part.tasks.size());
            std::vector<std::string> failures(part.tasks.size());
            std::vector<os::Thread> threads;
            const std::uint64_t begin = clock_.now_ns();
            for (std::size_t i = 0; i < part.tasks.size(); ++i) {
                threads.emplace_back("bench", [&, i] {
                    try {
                        results[i] =
                            run_open_loop(*part.tasks[i], schedule, i, part.tasks.size(), clock_);
                    } catch (const std::exception& error) {
                        failures[i] = error.what();
                    }
                });
            }
            for (os::Thread& thread : threads) thread.join();
            const std::uint64_t ns = clock_.now_ns() - begin;
            for (const std::string& failure : failures) {
                if (!failure.empty()) throw Failure(failure);
            }
            Result& result = part.result;
            for (const OpenLoopResult& one : results) {
                result.latency_ns.add(one.latency_ns);
                result.operations += one.operations;
                result.verified += one.verified;
                result.per_second.resize(std::max(result.per_second.size(), one.per_second.size()));
                for (std::size_t i = 0; i < one.per_second.size(); ++i) {
                    result.per_second[i] += one.per_second[i];
                }
            }
            result.slices_ns = {double(ns) / double(std::max<std::uint64_t>(1, result.operations))};
            result.parameters["rate"] = fmt::format("{}", plan_.open_loop.rate);
            result.parameters["pattern"] = name_of(plan_.open_loop.pattern);
        });
        steps_done_ += 1;
    }
}

}  // namespace fulgur::bench
