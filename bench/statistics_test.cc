// Against published values, against brute force (every assignment of signs, every choice of a
// sample), and by simulation: how often do they alarm when there is nothing, and how often when
// there is something.
#include "bench/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "os/random.h"

namespace fulgur::bench {
namespace {

double uniform(os::Random& random) {
    return (static_cast<double>(random.next() >> 11) + 0.5) / (1ull << 53);
}
double normal(os::Random& random) {
    return std::sqrt(-2 * std::log(uniform(random))) *
           std::cos(2 * std::numbers::pi * uniform(random));
}

/// Mean ranks, by counting.
std::vector<double> mean_ranks(const std::vector<double>& values) {
    std::vector<double> ranks;
    for (const double value : values) {
        double less = 0;
        double equal = 0;
        for (const double other : values) {
            less += other < value ? 1 : 0;
            equal += other == value ? 1 : 0;
        }
        ranks.push_back(less + (equal + 1) / 2);
    }
    return ranks;
}

/// p of the signed ranks by every assignment of signs.
double enumerated_signed_rank_p(const std::vector<double>& differences) {
    std::vector<double> sizes;
    for (const double d : differences) {
        if (d != 0) sizes.push_back(std::abs(d));
    }
    const std::vector<double> ranks = mean_ranks(sizes);
    double found = 0;
    std::size_t at = 0;
    for (const double d : differences) {
        if (d == 0) continue;
        if (d > 0) found += ranks[at];
        ++at;
    }
    double below = 0;
    double above = 0;
    const std::size_t all = std::size_t{1} << sizes.size();
    for (std::size_t signs = 0; signs < all; ++signs) {
        double sum = 0;
        for (std::size_t i = 0; i < sizes.size(); ++i) sum += (signs >> i & 1) != 0 ? ranks[i] : 0;
        below += sum <= found ? 1 : 0;
        above += sum >= found ? 1 : 0;
    }
    return std::min(1.0, 2 * std::min(below, above) / static_cast<double>(all));
}

/// p of the rank sum by every choice of the second sample.
double enumerated_rank_sum_p(const std::vector<double>& first, const std::vector<double>& second) {
    std::vector<double> all = first;
    all.insert(all.end(), second.begin(), second.end());
    const std::vector<double> ranks = mean_ranks(all);
    double found = 0;
    for (std::size_t i = first.size(); i < all.size(); ++i) found += ranks[i];
    double below = 0;
    double above = 0;
    double total = 0;
    for (std::size_t chosen = 0; chosen < std::size_t{1} << all.size(); ++chosen) {
        if (static_cast<std::size_t>(std::popcount(chosen)) != second.size()) continue;
        double sum = 0;
        for (std::size_t i = 0; i < all.size(); ++i) sum += (chosen >> i & 1) != 0 ? ranks[i] : 0;
        below += sum <= found ? 1 : 0;
        above += sum >= found ? 1 : 0;
        total += 1;
    }
    return std::min(1.0, 2 * std::min(below, above) / total);
}

TEST(StatisticsTest, MedianOfOddAndEven) {
    EXPECT_EQ(median({}), 0);
    EXPECT_EQ(median({7}), 7);
    EXPECT_EQ(median({9, 1, 5}), 5);
    EXPECT_EQ(median({9, 1, 5, 6}), 5.5);
}

TEST(StatisticsTest, MedianIntervalIsThePublishedPairOfOrderStatistics) {
    // The tables of nonparametric statistics: n, the order statistics from each end, the coverage.
    const struct {
        std::size_t n;
        double low, high, confidence;
    } rows[] = {{6, 1, 6, 0.96875}, {10, 2, 9, 0.978516}, {20, 6, 15, 0.958610}};
    for (const auto& row : rows) {
        std::vector<double> values(row.n);
        std::iota(values.begin(), values.end(), 1.0);
        std::ranges::reverse(values);
        const Interval interval = median_interval(values);
        EXPECT_EQ(interval.low, row.low) << row.n;
        EXPECT_EQ(interval.high, row.high) << row.n;
        EXPECT_NEAR(interval.confidence, row.confidence, 1e-6) << row.n;
    }
}

TEST(StatisticsTest, MedianIntervalOfTooFewSaysWhatItCovers) {
    const Interval interval = median_interval({3, 1, 2});
    EXPECT_EQ(interval.low, 1);
    EXPECT_EQ(interval.high, 3);
    EXPECT_DOUBLE_EQ(interval.confidence, 0.75);
    EXPECT_DOUBLE_EQ(median_interval({5}).confidence, 0);
}

TEST(StatisticsTest, SignedRanksOfDarwinsMaize) {
    // Darwin's 15 pairs in eighths of an inch; R and SciPy print V = 96, p = 0.04126.
    const std::vector<double> differences = {49, -67, 8,  16, 6,  23, 28, 41,
                                             14, 29,  56, 24, 75, 60, -48};
    const TestOutcome outcome = signed_rank_test(differences);
    EXPECT_EQ(outcome.statistic, 96);
    EXPECT_TRUE(outcome.exact);
    EXPECT_DOUBLE_EQ(outcome.p, 0.041259765625);
}

TEST(StatisticsTest, RankSumOfSciPysDiabetics) {
    // The example of scipy.stats.mannwhitneyu: U = 17 and 3, exact p = 1/9.
    const std::vector<double> males = {19, 22, 16, 29, 24};
    const std::vector<double> females = {20, 11, 17, 12};
    EXPECT_EQ(rank_sum_test(females, males).statistic, 17);
    EXPECT_EQ(rank_sum_test(males, females).statistic, 3);
    EXPECT_NEAR(rank_sum_test(males, females).p, 1.0 / 9, 1e-12);
}

TEST(StatisticsTest, SignedRanksAreThoseOfEveryAssignmentOfSigns) {
    os::Random random(11);
    for (int round = 0; round < 300; ++round) {
        std::vector<double> differences(1 + random.below(11));
        // Few distinct values: ties and zeros abound.
        for (double& d : differences) d = static_cast<double>(random.below(9)) - 3;
        EXPECT_NEAR(signed_rank_test(differences).p, enumerated_signed_rank_p(differences), 1e-12)
            << "round " << round;
    }
}

TEST(StatisticsTest, RankSumsAreThoseOfEveryChoice) {
    os::Random random(12);
    for (int round = 0; round < 100; ++round) {
        std::vector<double> first(1 + random.below(5));
        std::vector<double> second(1 + random.below(5));
        for (double& value : first) value = static_cast<double>(random.below(6));
        for (double& value : second) value = static_cast<double>(random.below(8));
        EXPECT_NEAR(rank_sum_test(first, second).p, enumerated_rank_sum_p(first, second), 1e-12)
            << "round " << round;
    }
}

TEST(StatisticsTest, TheApproximationsMeetTheExactOnesWhereTheyTakeOver) {
    os::Random random(13);
    std::vector<double> differences;
    for (std::size_t i = 0; i < kExactPairs; ++i) differences.push_back(normal(random) + 0.2);
    const double exact = signed_rank_test(differences).p;
    differences.push_back(1e-9);  // Rank 1: changes little but the method.
    EXPECT_FALSE(signed_rank_test(differences).exact);
    EXPECT_NEAR(signed_rank_test(differences).p, exact, 0.1 * exact + 1e-3);

    std::vector<double> first(kExactBoth / 2);
    std::vector<double> second(kExactBoth / 2);
    for (double& value : first) value = normal(random);
    for (double& value : second) value = normal(random) + 0.5;
    const double exact_sum = rank_sum_test(first, second).p;
    second.push_back(0.25);
    EXPECT_FALSE(rank_sum_test(first, second).exact);
    EXPECT_NEAR(rank_sum_test(first, second).p, exact_sum, 0.3 * exact_sum + 1e-3);
}

TEST(StatisticsTest, NothingToRankIsNoEvidence) {
    EXPECT_EQ(signed_rank_test(std::vector<double>{}).p, 1);
    EXPECT_EQ(signed_rank_test(std::vector<double>{0, 0, 0}).p, 1);
    EXPECT_EQ(signed_rank_test(std::vector<double>(500, 0.0)).p, 1);
    EXPECT_EQ(rank_sum_test(std::vector<double>{}, std::vector<double>{1}).p, 1);
    EXPECT_EQ(rank_sum_test(std::vector<double>(90, 2.0), std::vector<double>(90, 2.0)).p, 1);
}

TEST(StatisticsTest, HodgesLehmannOfSmallSamples) {
    // Walsh averages of 1, 2, 9: 1, 1.5, 5, 2, 5.5, 9.
    EXPECT_EQ(hodges_lehmann(std::vector<double>{1, 2, 9}), 3.5);
    EXPECT_EQ(hodges_lehmann(std::vector<double>{1, 2}, std::vector<double>{4, 9, 11}), 7.5);
}

TEST(StatisticsTest, TheSignedRankIntervalHoldsTheCentresThatTheTestDoesNotRefuse) {
    os::Random random(14);
    for (int round = 0; round < 40; ++round) {
        std::vector<double> values(6 + random.below(20));
        for (double& value : values) value = normal(random);
        const Interval interval = signed_rank_interval(values, 0.9);
        for (int step = -40; step <= 40; ++step) {
            const double centre = step / 20.0 + 1e-7;
            std::vector<double> moved = values;
            for (double& value : moved) value -= centre;
            const bool refused = signed_rank_test(moved).p <= 0.1;
            EXPECT_EQ(interval.contains(centre), !refused) << "round " << round << " at " << centre;
        }
    }
}

TEST(StatisticsTest, HolmsExample) {
    const std::vector<double> adjusted = holm(std::vector<double>{0.01, 0.04, 0.03, 0.005});
    const std::vector<double> wanted = {0.03, 0.06, 0.06, 0.02};
    for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(adjusted[i], wanted[i], 1e-12);
    EXPECT_EQ(holm(std::vector<double>{0.9, 0.8})[0], 1);
    EXPECT_TRUE(holm(std::vector<double>{}).empty());
}

TEST(StatisticsTest, TheNormalDistributionIsTheOneOfTheTables) {
    EXPECT_NEAR(normal_below(1.959963985), 0.975, 1e-9);
    EXPECT_NEAR(normal_quantile(0.975), 1.959963985, 1e-8);
    EXPECT_NEAR(normal_quantile(0.8), 0.841621234, 1e-8);
    EXPECT_NEAR(visible_effect({-0.01959963985, 0.01959963985, 0.95}), 0.0280158, 1e-6);
}

/// How many of `rounds` comparisons of two samples that differ by `shift` have p < 0.05.
int alarms(double shift, std::size_t pairs, int rounds, std::uint64_t seed) {
    os::Random random(seed);
    int found = 0;
    for (int round = 0; round < rounds; ++round) {
        std::vector<double> differences(pairs);
        for (double& d : differences) d = normal(random) - normal(random) + shift;
        found += signed_rank_test(differences).p < 0.05 ? 1 : 0;
    }
    return found;
}

TEST(StatisticsTest, SignedRanksAlarmAsRarelyAsTheySay) {
    // 5 % of 2000 is 100, with a deviation of 10. Few pairs come in coarse steps: below is right.
    EXPECT_LE(alarms(0, 12, 2000, 21), 140);
    EXPECT_NEAR(alarms(0, 150, 2000, 22), 100, 40);
}

TEST(StatisticsTest, SignedRanksFindWhatIsThere) {
    // Deviation of a difference: 1.41. The power of a t-test with 40 pairs at 0.7 is 0.87.
    EXPECT_NEAR(alarms(0.7, 40, 500, 23), 500 * 0.85, 50);
    EXPECT_GE(alarms(0.7, 150, 300, 24), 298);
}

TEST(StatisticsTest, RankSumsAlarmAsRarelyAsTheySayAndFindWhatIsThere) {
    os::Random random(25);
    int false_alarms = 0;
    int found = 0;
    for (int round = 0; round < 1000; ++round) {
        std::vector<double> first(40);
        std::vector<double> second(40);
        for (double& value : first) value = std::exp(normal(random));
        for (double& value : second) value = std::exp(normal(random));
        false_alarms += rank_sum_test(first, second).p < 0.05 ? 1 : 0;
        for (double& value : second) value *= std::exp(1.0);
        found += rank_sum_test(first, second).p < 0.05 ? 1 : 0;
    }
    EXPECT_NEAR(false_alarms, 50, 30);
    EXPECT_GE(found, 980);
}

TEST(StatisticsTest, IntervalsHoldTheTruthAsOftenAsTheySay) {
    os::Random random(26);
    int by_order = 0;
    int by_bootstrap = 0;
    int by_ranks = 0;
    const double truth = std::log(2.0);  // The median of the exponential distribution.
    for (int round = 0; round < 400; ++round) {
        std::vector<double> skewed(61);
        for (double& value : skewed) value = -std::log(uniform(random));
        by_order += median_interval(skewed).contains(truth) ? 1 : 0;
        by_bootstrap +=
            bootstrap_median_interval(skewed, 0.95, random.next(), 300).contains(truth) ? 1 : 0;
        std::vector<double> even(30);
        for (double& value : even) value = normal(random) + 3;
        by_ranks += signed_rank_interval(even).contains(3) ? 1 : 0;
    }
    // 380 of 400, deviation 4.4; the percentile bootstrap is a little narrow.
    EXPECT_GE(by_order, 362);
    EXPECT_GE(by_bootstrap, 355);
    EXPECT_GE(by_ranks, 362);
    EXPECT_LE(by_ranks, 397);
}

TEST(StatisticsTest, TheRankSumIntervalHoldsTheShift) {
    os::Random random(27);
    int held = 0;
    for (int round = 0; round < 400; ++round) {
        std::vector<double> first(25);
        std::vector<double> second(30);
        for (double& value : first) value = normal(random);
        for (double& value : second) value = normal(random) + 1;
        held += rank_sum_interval(first, second).contains(1) ? 1 : 0;
    }
    EXPECT_GE(held, 362);
    EXPECT_LE(held, 397);
}

TEST(StatisticsTest, TheVisibleEffectIsFoundFourTimesOfFive) {
    os::Random random(28);
    double visible = 0;
    for (int round = 0; round < 50; ++round) {
        std::vector<double> values(50);
        for (double& value : values) value = normal(random) - normal(random);
        visible += visible_effect(signed_rank_interval(values)) / 50;
    }
    EXPECT_NEAR(alarms(visible, 50, 500, 29), 400, 45);
}

TEST(StatisticsTest, TheBootstrapIsThatOfResamplesMadeInFull) {
    for (const std::size_t n : {1, 2, 5, 8, 21}) {
        os::Random values_random(30 + n);
        std::vector<double> values(n);
        for (double& value : values) value = static_cast<double>(values_random.below(12));
        std::vector<double> sorted = values;
        std::ranges::sort(sorted);
        os::Random random(77);
        std::vector<double> medians(200);
        for (double& result : medians) {
            std::vector<double> drawn(n);
            for (double& value : drawn) value = sorted[random.below(n)];
            result = median(drawn);
        }
        std::ranges::sort(medians);
        const Interval interval = bootstrap_median_interval(values, 0.9, 77, 200);
        // A share of 0.05 of 200, which a double may hold as a little less than 10.
        EXPECT_TRUE(interval.low == medians[10] || interval.low == medians[9]) << n;
        EXPECT_TRUE(interval.high == medians[189] || interval.high == medians[190]) << n;
    }
}

TEST(StatisticsTest, TheBootstrapRepeatsItselfBySeed) {
    const std::vector<double> values = {5, 3, 8, 1, 9, 2, 7};
    const Interval once = bootstrap_median_interval(values, 0.9, 5);
    EXPECT_EQ(once.low, bootstrap_median_interval(values, 0.9, 5).low);
    EXPECT_LE(once.low, 5);
    EXPECT_GE(once.high, 5);
    EXPECT_EQ(bootstrap_median_interval({}, 0.9, 5).high, 0);
}

}  // namespace
}  // namespace fulgur::bench
