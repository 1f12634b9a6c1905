// The statistics behind every verdict. All of it works on values in memory, without a clock or a
// state: the same values (and seed) give the same answer on every machine. Any thread may call.
//
// What needs no assumption about how times are spread is used throughout, because they are spread
// badly: ranks and order statistics instead of means and deviations. What is assumed is that the
// values are independent of each other; the order of the sides is drawn anew for each pair to make
// that nearly so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fulgur::bench {

struct Interval {
    double low = 0;
    double high = 0;
    /// What it really covers: order statistics come in steps, and few values reach little.
    double confidence = 0;

    bool contains(double value) const { return low <= value && value <= high; }
};

/// The middle value, or the mean of the two in the middle. 0 of none. O(n).
double median(std::vector<double> values);

/// Confidence interval of the median by order statistics: the narrowest symmetric pair whose
/// coverage, by the binomial distribution, is at least `confidence`. When so few values cannot
/// reach that, the least and the greatest, with what they do cover. O(n log n).
Interval median_interval(std::vector<double> values, double confidence = 0.95);

/// Percentile bootstrap (Efron, 1979) of the median, from `rounds` resamples. O(n * rounds).
Interval bootstrap_median_interval(std::span<const double> values, double confidence,
                                   std::uint64_t seed, std::size_t rounds = 1000);

struct TestOutcome {
    double p = 1;           ///< Two-sided.
    double statistic = 0;   ///< W+ of signed ranks, U of the second sample.
    std::size_t count = 0;  ///< Values that took part: zero differences do not.
    bool exact = true;      ///< By the distribution itself; else by the normal approximation.
};

/// Wilcoxon's signed-rank test (1945) that differences lie evenly around 0. Zeros are left out,
/// ties get mean ranks. Exact, ties included, up to kExactPairs differences; above that the normal
/// approximation with corrections for ties and continuity.
TestOutcome signed_rank_test(std::span<const double> differences);
inline constexpr std::size_t kExactPairs = 100;

/// Mann and Whitney's test (1947) that neither of two independent samples tends to be greater.
/// Exact, ties included, up to kExactBoth values in all.
TestOutcome rank_sum_test(std::span<const double> first, std::span<const double> second);
inline constexpr std::size_t kExactBoth = 60;

/// Hodges and Lehmann's estimate (1963) of where differences are centred: the median of the means
/// of all pairs, each value with itself included. More than kWalshMax values are thinned evenly.
/// O(n^2) time and memory.
double hodges_lehmann(std::span<const double> values);
/// The same for two independent samples: the median of all differences second - first.
double hodges_lehmann(std::span<const double> first, std::span<const double> second);
inline constexpr std::size_t kWalshMax = 1500;

/// The interval that belongs to hodges_lehmann and signed_rank_test: what the test at
/// 1 - confidence would not refuse as centre. Too few values: the whole range, and what it covers.
Interval signed_rank_interval(std::span<const double> values, double confidence = 0.95);
/// The same for two samples, by the normal approximation of U.
Interval rank_sum_interval(std::span<const double> first, std::span<const double> second,
                           double confidence = 0.95);

/// Holm's step-down correction (1979): what each p is worth when all were asked at once. In the
/// order given. The chance of any false alarm stays below alpha when they are compared with alpha.
std::vector<double> holm(std::span<const double> p_values);

/// The true change that a comparison with this interval would have found four times of five:
/// (z of the confidence + z of 0.8) standard errors, where the interval's half is z of them.
/// Infinite when the interval covers nothing.
double visible_effect(const Interval& interval);

/// Standard normal distribution: the chance of a value below z, and its inverse (0 < chance < 1).
double normal_below(double z);
double normal_quantile(double chance);

}  // namespace fulgur::bench
