// The part of the runner that opens and fills stores, and runs a slice on one.
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "bench/allocations.h"
#include "bench/memory_limit.h"
#include "bench/runner_parts.h"
#include "os/clock.h"

namespace fulgur::bench {

std::string show(Durability durability) {
    return durability == Durability::kSync ? "sync" : "buffered";
}

std::uint64_t bytes_below(const std::string& directory) {
    std::uint64_t bytes = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored)) {
        if (entry.is_regular_file(ignored)) bytes += entry.file_size(ignored);
    }
    return bytes;
}

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
    if (plan_.memory_limit != nullptr) plan_.memory_limit->lift();
    const std::unique_ptr<Session> session = arm.store->session();
    load(*session, part.rows, parameters.rows, parameters.seed, [&](std::uint64_t row) {
        report(fmt::format("load {} {:.0f}%", arm.side.name,
                           100 * double(row) / double(parameters.rows)));
    });
    arm.store->settle();
    if (plan_.memory_limit != nullptr) plan_.memory_limit->hold();
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
    const std::uint64_t cpu_before = os::process_cpu_ns();
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
    part.cpu_ns += os::process_cpu_ns() - cpu_before;
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
    if (part.cpu_ns != 0 && result.operations != 0) {
        result.counters["cpu_ns_per_operation"] = double(part.cpu_ns) / double(result.operations);
    }
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

}  // namespace fulgur::bench
