// Pairs on a simulated machine: its clock is the arms', and its moods are drawn from seeds.
#include "bench/paired.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "os/random.h"
#include "os/sim_clock.h"

namespace fulgur::bench {
namespace {

/// A machine whose speed wanders by a quarter over thousands of slices, with noise of 5 % on each
/// slice, and one slice in fifty that takes three times as long.
class Machine {
public:
    explicit Machine(std::uint64_t seed) : random_(seed) {}

    double slice(double ns) {
        ++slices_;
        const double mood = 1 + 0.25 * std::sin(static_cast<double>(slices_) / 700);
        const double noise = std::exp(0.05 * normal());
        return ns * mood * noise * (random_.one_in(50) ? 3 : 1);
    }
    std::size_t slices() const { return slices_; }

private:
    double uniform() { return (static_cast<double>(random_.next() >> 11) + 0.5) / (1ull << 53); }
    double normal() {
        return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform());
    }

    os::Random random_;
    std::size_t slices_ = 0;
};

class SimArm final : public Arm {
public:
    SimArm(Machine& machine, os::SimClock& clock, double ns)
        : machine_(machine), clock_(clock), ns_(ns) {}
    double run(std::uint64_t operations) override {
        operations_ = operations;
        const double ns = machine_.slice(ns_ * static_cast<double>(operations));
        clock_.advance_ns(static_cast<std::uint64_t>(ns));
        return ns;
    }
    std::uint64_t operations() const { return operations_; }

private:
    Machine& machine_;
    os::SimClock& clock_;
    double ns_;
    std::uint64_t operations_ = 0;
};

struct Trial {
    PairedOutcome outcome;
    std::uint64_t operations = 0;
    std::size_t slices = 0;
};

Trial compare(double change, const PairedPlan& plan, std::uint64_t seed) {
    Machine machine(seed);
    os::SimClock clock;
    SimArm before(machine, clock, 100);
    SimArm after(machine, clock, 100 * (1 + change));
    SimArm same(machine, clock, 100);
    Trial trial;
    trial.outcome = compare_paired("get", "ns per get", before, after, same, plan, clock);
    trial.operations = before.operations();
    trial.slices = machine.slices();
    return trial;
}

Verdict verdict_of(const Comparison& comparison, double threshold) {
    Report report;
    report.threshold = threshold;
    report.rows = {comparison};
    judge(report);
    return report.rows[0].verdict;
}

TEST(PairedTest, SlicesTakeAsLongAsPlanned) {
    const Trial trial = compare(0, PairedPlan::fine(0.02), 1);
    EXPECT_NEAR(static_cast<double>(trial.operations), 6000, 4500);
    EXPECT_NEAR(trial.outcome.comparison.before, 100, 30);
    EXPECT_EQ(trial.outcome.comparison.pairs, trial.outcome.same.pairs);
}

TEST(PairedTest, FindsWhatWasAddedThroughMoodsTenTimesAsGreat) {
    int found = 0;
    int false_alarms = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const Trial slower = compare(0.03, PairedPlan::fine(0.02), seed);
        found += verdict_of(slower.outcome.comparison, 0.02) == Verdict::kRegression ? 1 : 0;
        EXPECT_NEAR(std::expm1(slower.outcome.comparison.log_ratio), 0.03, 0.012) << seed;
        const Verdict same = verdict_of(slower.outcome.same, 0.02);
        false_alarms += same != Verdict::kEquivalent ? 1 : 0;
    }
    EXPECT_EQ(found, 6);
    EXPECT_EQ(false_alarms, 0);
}

TEST(PairedTest, NothingAddedIsEquivalentAndLessIsAnImprovement) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        EXPECT_EQ(verdict_of(compare(0, PairedPlan::fine(0.02), seed).outcome.comparison, 0.02),
                  Verdict::kEquivalent)
            << seed;
        EXPECT_EQ(verdict_of(compare(-0.05, PairedPlan::fine(0.02), seed).outcome.comparison, 0.02),
                  Verdict::kImprovement)
            << seed;
    }
}

TEST(PairedTest, StoppingEarlyAlarmsNoMoreOften) {
    int alarms = 0;
    for (std::uint64_t seed = 1; seed <= 120; ++seed) {
        PairedPlan plan = PairedPlan::process(0.03);
        plan.rounds_max = 60;
        alarms += compare(0, plan, seed).outcome.comparison.p < 0.05 ? 1 : 0;
    }
    EXPECT_LE(alarms, 15);  // 5 % is 6, deviation 2.4.
}

TEST(PairedTest, RoundsEndAtTheirNumberOrAtTheLimit) {
    PairedPlan plan = PairedPlan::process(0.03);
    plan.precision = 0;  // Never narrow enough.
    plan.rounds_max = 17;
    EXPECT_EQ(compare(0, plan, 5).outcome.comparison.pairs, 17u);
    plan.rounds_max = 1000;
    plan.limit_ns = 3000;  // A round takes about 300.
    const std::size_t pairs = compare(0, plan, 5).outcome.comparison.pairs;
    EXPECT_GE(pairs, 5u);
    EXPECT_LE(pairs, 20u);
    plan.limit_ns = 0;
    EXPECT_EQ(compare(0, plan, 5).outcome.comparison.pairs, 1u);
}

TEST(PairedTest, ProgressIsToldRoundByRound) {
    PairedPlan plan = PairedPlan::process(0.03);
    plan.rounds_max = 12;
    plan.precision = 0;
    std::vector<std::size_t> told;
    plan.progress = [&](std::size_t done, std::size_t max) {
        EXPECT_EQ(max, 12u);
        told.push_back(done);
    };
    compare(0, plan, 5);
    EXPECT_EQ(told.size(), 12u);
    EXPECT_EQ(told.back(), 12u);
}

TEST(PairedTest, TheOrderOfTheSidesIsDrawn) {
    class Recorder final : public Arm {
    public:
        Recorder(std::string& order, char name) : order_(order), name_(name) {}
        double run(std::uint64_t) override {
            order_ += name_;
            return 1;
        }

    private:
        std::string& order_;
        char name_;
    };
    std::string order;
    Recorder a(order, 'a');
    Recorder b(order, 'b');
    Recorder c(order, 'c');
    os::SimClock clock;
    PairedPlan plan = PairedPlan::process(0.03);
    plan.rounds_max = 600;
    plan.precision = -1;
    compare_paired("x", "ns", a, b, c, plan, clock);
    std::map<std::string, int> orders;
    for (std::size_t i = 0; i < order.size(); i += 3) ++orders[order.substr(i, 3)];
    EXPECT_EQ(orders.size(), 6u);
    for (const auto& [which, times] : orders) EXPECT_NEAR(times, 100, 45) << which;
}

TEST(PairedTest, AnArmThatMeasuresNothingIsAnError) {
    class Zero final : public Arm {
    public:
        double run(std::uint64_t) override { return 0; }
    };
    Zero zero;
    os::SimClock clock;
    EXPECT_THROW(compare_paired("x", "ns", zero, zero, zero, PairedPlan::process(0.03), clock),
                 BenchError);
}

}  // namespace
}  // namespace fulgur::bench
