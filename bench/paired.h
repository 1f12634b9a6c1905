// Two sides measured in pairs on a noisy machine: what modes `fine` and `process` are made of.
//
// Every round runs each side once, in an order drawn anew: the one before, the one after, and the
// one before once more beside them (A/A). What the machine does to a round it does to its sides
// alike, nearly; what is left is in the spread of the logarithms of their ratios. Rounds are added
// until the interval is narrow enough, or a limit is met. Stopping looks at the width of the
// interval only, never at where it lies, so that stopping early alarms no more often.
//
// `fine` (slices of about 0.6 ms in one process, hundreds of rounds) takes the median of the log
// ratios, its bootstrap interval, and Wilcoxon's p. `process` (a command a slice, tens of rounds)
// takes Hodges and Lehmann's centre with the interval that belongs to Wilcoxon's test.
//
// One thread; the arms may have their own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bench/verdict.h"
#include "os/clock.h"

namespace fulgur::bench {

/// One side. The same object may stand for several sides.
class Arm {
public:
    virtual ~Arm() = default;
    /// Does its work `operations` times. @return the nanoseconds that all of it took, above 0.
    virtual double run(std::uint64_t operations) = 0;
};

/// A variant of an engine in this process, in slices.
using FineArm = Arm;

struct PairedPlan {
    enum class Estimate : std::uint8_t { kMedian, kHodgesLehmann };
    Estimate estimate = Estimate::kMedian;
    /// Operations of a slice; 0: as many as take slice_ns.
    std::uint64_t operations = 0;
    std::uint64_t slice_ns = 600'000;
    std::size_t rounds_min = 200;
    std::size_t rounds_max = 4000;
    /// Enough when half the interval is at most this, as a log ratio.
    double precision = 0.005;
    /// No round begins later than this after the first.
    std::uint64_t limit_ns = 60'000'000'000;
    std::uint64_t seed = 1;
    double confidence = 0.95;
    /// Called after each round with the rounds done and those that there may be.
    std::function<void(std::size_t, std::size_t)> progress = {};

    /// The plans of the two modes for a threshold (0.02 is 2 %).
    static PairedPlan fine(double threshold);
    static PairedPlan process(double threshold);
};

struct PairedOutcome {
    Comparison comparison;
    Comparison same;  ///< A/A, of the same rounds.
};

/// @param same  the variant of `before` that stands for the same code: `before` itself, or a second
///   instance of it, which also shows what a second place in memory does.
PairedOutcome compare_paired(const std::string& name, const std::string& unit, Arm& before,
                             Arm& after, Arm& same, const PairedPlan& plan, os::Clock& clock);

}  // namespace fulgur::bench
