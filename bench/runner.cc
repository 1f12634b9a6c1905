#include "bench/runner.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "bench/runner_parts.h"

namespace fulgur::bench {

namespace {

constexpr unsigned kPartsOfAPass = 20;
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

}  // namespace

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
            part.cpu_ns = 0;
        });
    }
    std::vector<Part*> order;
    for (Part& part : parts) order.push_back(&part);
    for (unsigned slice = 0; slice < slices; ++slice) {
        shuffle(order);
        for (Part* part : order) {
            if (part->failed()) continue;
            guarded(*part, [&] {
                const double operations = double(part->slice_operations);
                const double ns =
                    double(std::max<std::uint64_t>(1, run_slice(*part, part->slice_operations)));
                part->result.slices_ns.push_back(ns / operations);
                // A side may get faster on its way: pages that the first visitors put in order.
                const double fitting = operations * target_ns / ns;
                part->slice_operations = static_cast<std::uint64_t>(
                    std::max(1.0, std::clamp(fitting, operations / 2, operations * 2)));
            });
            steps_done_ += 1.0 / slices;
        }
        report(parts.front().workload.name);
    }
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
