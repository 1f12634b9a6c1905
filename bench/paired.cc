#include "bench/paired.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "os/random.h"

namespace fulgur::bench {

namespace {

constexpr std::size_t kSides = 3;
constexpr std::size_t kWarmUps = 3;

double timed(Arm& arm, std::uint64_t operations) {
    const double ns = arm.run(operations);
    if (!(ns > 0) || !std::isfinite(ns)) {
        throw BenchError(fmt::format("a slice took {} ns: the arm measures nothing", ns));
    }
    return ns;
}

/// Operations that take about slice_ns.
std::uint64_t calibrate(Arm& arm, std::uint64_t slice_ns) {
    std::uint64_t operations = 1;
    for (;;) {
        const double ns = timed(arm, operations);
        const double wanted = static_cast<double>(slice_ns);
        if (ns * 2 >= wanted || operations > std::uint64_t{1} << 40) {
            const double scaled = static_cast<double>(operations) * wanted / ns;
            return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(scaled));
        }
        operations *= 2;
    }
}

/// The log ratios of one pair of sides.
struct Ratios {
    std::vector<double> logs;
    std::vector<double> before_ns;
    std::vector<double> after_ns;

    void add(double before, double after) {
        before_ns.push_back(before);
        after_ns.push_back(after);
        logs.push_back(std::log(after / before));
    }
};

Interval interval_of(const Ratios& ratios, const PairedPlan& plan) {
    return plan.estimate == PairedPlan::Estimate::kMedian
               ? median_interval(ratios.logs, plan.confidence)
               : signed_rank_interval(ratios.logs, plan.confidence);
}

Comparison conclude(const std::string& name, const std::string& unit, const Ratios& ratios,
                    const PairedPlan& plan) {
    Comparison comparison;
    comparison.name = name;
    comparison.unit = unit;
    comparison.before = median(ratios.before_ns);
    comparison.after = median(ratios.after_ns);
    comparison.pairs = ratios.logs.size();
    comparison.p = signed_rank_test(ratios.logs).p;
    if (plan.estimate == PairedPlan::Estimate::kMedian) {
        comparison.log_ratio = median(ratios.logs);
        comparison.interval = bootstrap_median_interval(ratios.logs, plan.confidence, plan.seed);
    } else {
        comparison.log_ratio = hodges_lehmann(ratios.logs);
        comparison.interval = signed_rank_interval(ratios.logs, plan.confidence);
    }
    return comparison;
}

bool narrow_enough(const Ratios& ratios, const PairedPlan& plan) {
    const Interval interval = interval_of(ratios, plan);
    return interval.confidence >= plan.confidence - 1e-4 &&
           (interval.high - interval.low) / 2 <= plan.precision;
}

}  // namespace

PairedPlan PairedPlan::fine(double threshold) {
    PairedPlan plan;
    plan.precision = std::log1p(threshold) / 8;
    return plan;
}

PairedPlan PairedPlan::process(double threshold) {
    PairedPlan plan;
    plan.estimate = Estimate::kHodgesLehmann;
    plan.operations = 1;
    plan.rounds_min = 10;
    plan.rounds_max = 200;
    plan.precision = std::log1p(threshold) / 3;
    plan.limit_ns = 600'000'000'000;
    return plan;
}

PairedOutcome compare_paired(const std::string& name, const std::string& unit, Arm& before,
                             Arm& after, Arm& same, const PairedPlan& plan, os::Clock& clock) {
    os::Random random(plan.seed);
    const std::uint64_t operations =
        plan.operations != 0 ? plan.operations : calibrate(before, plan.slice_ns);
    const std::array<Arm*, kSides> arms = {&before, &after, &same};
    for (std::size_t i = 0; i < kWarmUps && plan.operations == 0; ++i) {
        for (Arm* arm : arms) timed(*arm, operations);
    }
    Ratios changed;
    Ratios unchanged;
    const std::uint64_t begin = clock.now_ns();
    // Looking costs too: each time after an eighth more.
    std::size_t look_at = std::max<std::size_t>(1, plan.rounds_min);
    while (changed.logs.size() < plan.rounds_max) {
        if (!changed.logs.empty() && clock.now_ns() - begin > plan.limit_ns) break;
        if (changed.logs.size() >= look_at) {
            if (narrow_enough(changed, plan)) break;
            look_at += std::max<std::size_t>(1, look_at / 8);
        }
        std::array<std::size_t, kSides> order = {0, 1, 2};
        for (std::size_t i = kSides - 1; i > 0; --i)
            std::swap(order[i], order[random.below(i + 1)]);
        std::array<double, kSides> ns{};
        for (const std::size_t side : order) {
            ns[side] = timed(*arms[side], operations) / static_cast<double>(operations);
        }
        changed.add(ns[0], ns[1]);
        unchanged.add(ns[0], ns[2]);
        if (plan.progress) plan.progress(changed.logs.size(), plan.rounds_max);
    }
    return {conclude(name, unit, changed, plan), conclude(name, unit, unchanged, plan)};
}

}  // namespace fulgur::bench
