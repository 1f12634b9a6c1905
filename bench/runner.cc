#include "bench/runner.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "bench/allocations.h"
#include "bench/tasks.h"
#include "os/thread.h"

namespace fulgur::bench {

namespace {

constexpr unsigned kPartsOfAPass = 20;
constexpr std::uint64_t kLatencySampleEvery = 16;
constexpr double kLatencyShare = 0.2;  ///< of the time for slices
constexpr unsigned kSlicesMin = 10;

/// Bytes that this process made the kernel write so far; nothing where the kernel does not say.
std::optional<std::uint64_t> written_bytes() {
    std::ifstream file("/proc/self/io");
    for (std::string word; file >> word;) {
        std::uint64_t number = 0;
        if (word == "write_bytes:" && file >> number) return number;
    }
    return std::nullopt;
}

std::uint64_t bytes_below(const std::string& directory) {
    std::uint64_t bytes = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored)) {
        if (entry.is_regular_file(ignored)) bytes += entry.file_size(ignored);
    }
    return bytes;
}

std::string show(Durability durability) {
    return durability == Durability::kSync ? "sync" : "buffered";
}

}  // namespace

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
    Result result;
    bool failed() const { return !result.note.empty(); }
};

Runner::Runner(Plan plan, os::Clock& clock, Report report, Sink sink)
    : plan_(std::move(plan)),
      clock_(clock),
      report_(std::move(report)),
      sink_(std::move(sink)),
      random_(plan_.parameters.seed) {
    for (const Side* side : plan_.sides) {
        arms_.push_back(std::make_unique<Arm>(*side));
        arms_.back()->directory = plan_.directory + "/" + side->name;
    }
    steps_ = double(plan_.workloads.size() * plan_.sides.size());
}

Runner::~Runner() {
    for (const auto& arm : arms_) close_arm(*arm);
}

void Runner::report(const std::string& doing) {
    report_({doing, std::min(1.0, steps_done_ / steps_)});
}

void Runner::run() {
    // What changes nothing comes first, so that one load serves many workloads.
    std::vector<const Workload*> order = plan_.workloads;
    std::ranges::stable_sort(order, {}, [](const Workload* workload) { return workload->changes; });
    for (std::size_t i = 0; i < order.size(); ++i) {
        run_workload(*order[i]);
        steps_done_ = double((i + 1) * arms_.size());  // Also when a side failed half way.
    }
    report("done");
}

void Runner::run_workload(const Workload& workload) {
    const Parameters parameters = workload.fill_in(plan_.parameters);
    std::deque<Part> parts;
    for (const auto& arm : arms_) {
        Part& part = parts.emplace_back(*arm, workload, parameters);
        Result& result = part.result;
        result.workload = workload.name;
        result.side = arm->side.name;
        result.durability = show(parameters.durability);
        result.unit = workload.unit;
        result.parameters = {
            {"rows", std::to_string(parameters.rows)},
            {"value_bytes", parameters.value_min == parameters.value_max
                                ? std::to_string(parameters.value_min)
                                : fmt::format("{}-{}", parameters.value_min, parameters.value_max)},
            {"batch", std::to_string(parameters.batch)},
            {"threads", std::to_string(parameters.threads)},
            {"seed", std::to_string(parameters.seed)}};
    }
    if (workload.kind == Workload::Kind::kPass) {
        run_pass(workload, parts);
    } else if (workload.kind != Workload::Kind::kTurns) {
        run_opening(workload, parts);
    } else {
        for (Part& part : parts) {
            guarded(part, [&] {
                load_arm(part.arm, part);
                begin_tasks(part);
            });
        }
        if (plan_.open_loop.rate > 0) {
            run_open(parts);
        } else {
            run_turns(parts);
            for (Part& part : parts) {
                if (!part.failed()) guarded(part, [&] { sample_latencies(part); });
            }
        }
    }
    for (Part& part : parts) {
        finish(part);
        if (workload.changes) part.arm.loaded.clear();
        sink_(part.result);
    }
}

void Runner::run_pass(const Workload& workload, std::deque<Part>& parts) {
    for (unsigned round = 0; round < plan_.rounds; ++round) {
        std::vector<Part*> order;
        for (Part& part : parts) order.push_back(&part);
        shuffle(order);
        for (Part* part : order) {
            if (part->failed()) continue;
            report(workload.name + " " + part->result.side);
            guarded(*part, [&] {
                if (workload.start == Workload::Start::kLoaded) {
                    part->arm.loaded.clear();
                    load_arm(part->arm, *part);
                } else {
                    open_arm(part->arm, part->parameters);
                }
                begin_tasks(*part);
                const std::optional<std::uint64_t> before = written_bytes();
                const std::uint64_t rows = part->parameters.rows;
                for (unsigned i = 0; i < kPartsOfAPass; ++i) {
                    const std::uint64_t n =
                        rows * (i + 1) / kPartsOfAPass - rows * i / kPartsOfAPass;
                    if (n == 0) continue;
                    const std::uint64_t ns = run_slice(*part, n);
                    part->result.slices_ns.push_back(double(ns) / double(n));
                }
                end_tasks(*part);
                part->arm.store->settle();
                if (const auto after = written_bytes(); after && before) {
                    part->result.counters["written_bytes"] = double(*after - *before);
                }
            });
            finish(*part);
            close_arm(part->arm);
            steps_done_ += 1.0 / plan_.rounds;
        }
    }
}

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

void Runner::run_turns(std::deque<Part>& parts) {
    const double target_ns = double(plan_.slice_ms) * 1e6;
    const unsigned slices =
        std::max(kSlicesMin, static_cast<unsigned>(plan_.seconds * 1000 / double(plan_.slice_ms)));
    for (Part& part : parts) {
        if (part.failed()) continue;
        report(part.workload.name + " " + part.result.side);
        guarded(part, [&] {
            std::uint64_t operations = 100 * part.parameters.threads;
            for (int i = 0; i < 8; ++i) {
                const double ns = double(std::max<std::uint64_t>(1, run_slice(part, operations)));
                part.slice_operations = std::max<std::uint64_t>(
                    1, static_cast<std::uint64_t>(double(operations) * target_ns / ns));
                if (ns > target_ns / 2) break;
                operations = std::min(part.slice_operations, operations * 20);
            }
            // That was for warming up.
            part.result.verified = part.result.operations = 0;
            part.result.per_second.clear();
            part.own_seconds = 0;
            part.allocations = 0;
        });
    }
    std::vector<Part*> order;
    for (Part& part : parts) order.push_back(&part);
    for (unsigned slice = 0; slice < slices; ++slice) {
        shuffle(order);
        for (Part* part : order) {
            if (part->failed()) continue;
            guarded(*part, [&] {
                const std::uint64_t ns = run_slice(*part, part->slice_operations);
                part->result.slices_ns.push_back(double(ns) / double(part->slice_operations));
            });
            steps_done_ += 1.0 / slices;
        }
        report(parts.front().workload.name);
    }
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

// ---- arms ---------------------------------------------------------------------------------------

void Runner::open_arm(Arm& arm, const Parameters& parameters) {
    close_arm(arm);
    std::filesystem::create_directories(arm.directory);
    arm.store = arm.side.open({arm.directory, parameters.durability, parameters.memory_bytes});
}

void Runner::load_arm(Arm& arm, const Part& part) {
    const Parameters& parameters = part.parameters;
    const std::string holds = fmt::format(
        "{} {} {} {} {} {}", static_cast<int>(part.workload.keys), parameters.rows,
        parameters.value_min, parameters.value_max, show(parameters.durability), parameters.seed);
    if (arm.loaded == holds && arm.store != nullptr) return;
    open_arm(arm, parameters);
    const std::unique_ptr<Session> session = arm.store->session();
    load(*session, part.rows, parameters.rows, parameters.seed, [&](std::uint64_t row) {
        report(fmt::format("load {} {:.0f}%", arm.side.name,
                           100 * double(row) / double(parameters.rows)));
    });
    arm.store->settle();
    arm.loaded = holds;
}

void Runner::close_arm(Arm& arm) {
    arm.store.reset();
    arm.loaded.clear();
    std::error_code ignored;
    std::filesystem::remove_all(arm.directory, ignored);
}

void Runner::begin_tasks(Part& part) {
    end_tasks(part);
    part.shared.next_row = part.parameters.rows;
    const auto context = [&](Session& session, std::uint32_t thread) {
        return TaskContext{session, part.rows, part.shared, part.parameters, thread};
    };
    for (std::uint32_t i = 0; i < part.parameters.threads; ++i) {
        part.sessions.push_back(part.arm.store->session());
        part.tasks.push_back(part.workload.make(context(*part.sessions.back(), i)));
    }
    if (!part.workload.make_beside) return;
    part.session_beside = part.arm.store->session();
    part.beside = part.workload.make_beside(context(*part.session_beside, part.parameters.threads));
}

void Runner::end_tasks(Part& part) {
    part.tasks.clear();
    part.sessions.clear();
    part.beside.reset();
    part.session_beside.reset();
}

std::uint64_t Runner::run_slice(Part& part, std::uint64_t operations) {
    part.stop_beside = false;
    if (part.beside != nullptr) {
        part.thread_beside = os::Thread("beside", [&part] {
            try {
                while (!part.stop_beside) part.beside->run(1);
            } catch (const std::exception& error) {
                part.failure_beside = error.what();
            }
        });
    }
    const std::size_t threads = part.tasks.size();
    std::vector<std::uint64_t> verified(threads), allocations(threads);
    std::vector<std::string> failures(threads);
    const auto work = [&](std::size_t i) {
        try {
            const std::uint64_t mine = operations * (i + 1) / threads - operations * i / threads;
            const std::uint64_t before = allocations_so_far();
            verified[i] = part.tasks[i]->run(mine);
            allocations[i] = allocations_so_far() - before;
        } catch (const std::exception& error) {
            failures[i] = error.what();
        }
    };
    const std::uint64_t begin = clock_.now_ns();
    if (threads == 1) {
        work(0);
    } else {
        std::vector<os::Thread> running;
        for (std::size_t i = 0; i < threads; ++i)
            running.emplace_back("bench", [&, i] { work(i); });
        for (os::Thread& thread : running) thread.join();
    }
    const std::uint64_t ns = clock_.now_ns() - begin;
    part.stop_beside = true;
    part.thread_beside.join();
    for (const std::string& failure : failures) {
        if (!failure.empty()) throw Failure(failure);
    }
    if (!part.failure_beside.empty()) throw Failure(part.failure_beside);
    for (const std::uint64_t n : verified) part.result.verified += n;
    for (const std::uint64_t n : allocations) part.allocations += n;
    part.result.operations += operations;
    // A second of this side's own time, the others' turns left out.
    const double from = part.own_seconds;
    part.own_seconds += double(ns) / 1e9;
    const auto second = static_cast<std::size_t>(from);
    if (second >= part.result.per_second.size()) part.result.per_second.resize(second + 1);
    part.result.per_second[second] += double(operations);
    return ns;
}

void Runner::finish(Part& part) {
    end_tasks(part);
    if (part.arm.store == nullptr) return;
    Result& result = part.result;
    result.version = part.arm.store->version();
    result.settings = part.arm.store->settings();
    result.counters["disk_bytes"] = double(bytes_below(part.arm.directory));
    if (counts_allocations() && result.operations != 0 && part.workload.make != nullptr) {
        result.counters["allocations_per_operation"] =
            double(part.allocations) / double(result.operations);
    }
    const auto written = result.counters.find("written_bytes");
    if (written == result.counters.end()) return;
    const Parameters& parameters = part.parameters;
    const double user =
        double(parameters.rows) * (16 + (parameters.value_min + parameters.value_max) / 2.0);
    result.counters["write_amplification"] = written->second / user;
    result.counters["space_amplification"] = result.counters["disk_bytes"] / user;
}

void Runner::guarded(Part& part, const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& error) {
        part.result.note = error.what();
        part.result.slices_ns.clear();
        end_tasks(part);
        close_arm(part.arm);
    }
}

void Runner::shuffle(std::vector<Part*>& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
}

}  // namespace fulgur::bench
