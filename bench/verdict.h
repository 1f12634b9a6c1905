// What a comparison means: verdicts over a whole suite, and what they add up to.
//
// A row is one thing measured on two sides. Its effect is the logarithm of after / before, so that
// twice as slow and twice as fast are equally far from nothing; above 0 is slower, or more.
//   regression    the test, corrected by Holm over all rows, refuses "no change", and the estimate
//                 is at least the threshold;
//   improvement   the same on the other side;
//   equivalent    the whole confidence interval lies within the threshold on both sides;
//   inconclusive  neither: the noise is too great for the question. `visible` says which change
//                 would have been found four times of five.
// A/A rows compare a side with itself. When one of them would be a verdict of its own, the
// measurement deceives itself, and no row of its kind (timed or counted) is believed.
// docs/comparing.md tells it to people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/bench_error.h"
#include "bench/statistics.h"

namespace fulgur::bench {

using Json = nlohmann::ordered_json;

enum class Verdict : std::uint8_t { kRegression, kImprovement, kEquivalent, kInconclusive };
const char* to_string(Verdict verdict);

struct Comparison {
    std::string name;
    std::string unit;   ///< "ns per get", "ms", "instructions"
    double before = 0;  ///< Medians, for people.
    double after = 0;
    double log_ratio = 0;
    Interval interval;      ///< Of log_ratio.
    double p = 1;           ///< That there is no change; before any correction.
    std::size_t pairs = 0;  ///< Or values of the smaller side, where they are no pairs.
    bool counted = false;   ///< Exact, not timed: what deceives clocks does not touch it.
    bool gates = true;      ///< A regression here may fail a build. Stored times never do.
    std::string note;       ///< Why there is no figure, or what to know of it.

    // What judge() finds.
    double p_adjusted = 1;
    double visible = 0;  ///< A log ratio; infinite when nothing would be.
    Verdict verdict = Verdict::kInconclusive;
};

struct Report {
    std::string mode;         ///< "counts", "fine", "process", "stored"
    double threshold = 0.02;  ///< A share: 0.02 is 2 %.
    double alpha = 0.05;
    std::vector<Comparison> rows;
    std::vector<Comparison> same;  ///< A/A.
    std::vector<std::string> notes;
    bool deceived = false;  ///< judge() found an A/A row that differs.
};

/// Sets p_adjusted, visible and verdict of every row.
void judge(Report& report);

/// A regression that gates before anything inconclusive that gates. A report without rows is
/// inconclusive: nothing was compared.
Exit exit_of(const Report& report);

/// For people: A/A first, then what became worse, then the rest.
std::string to_text(const Report& report);
/// For programs. Ratios are shares: 0.05 is 5 % more.
Json to_json(const Report& report);

/// "+1.25 %" of a log ratio.
std::string percent_text(double log_ratio);

}  // namespace fulgur::bench
