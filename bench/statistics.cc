#include "bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "os/random.h"

namespace fulgur::bench {

namespace {

/// The median of values that may be put in another order.
double median_of(std::vector<double>& values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Twice the mean rank of each value among all, so that it is whole even with ties; and the sum of
/// t^3 - t over groups of t equal values, which the normal approximations take off.
struct Ranks {
    std::vector<std::uint32_t> doubled;
    double ties = 0;
};

Ranks rank(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    Ranks ranks;
    ranks.doubled.resize(values.size());
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        // Ranks begin + 1 to end: twice their mean is begin + 1 + end.
        for (std::size_t i = begin; i < end; ++i) {
            ranks.doubled[order[i]] = static_cast<std::uint32_t>(begin + 1 + end);
        }
        const double group = static_cast<double>(end - begin);
        ranks.ties += group * group * group - group;
        begin = end;
    }
    return ranks;
}

/// Two-sided p of a symmetric distribution over whole numbers, given the chance of each.
double two_sided(const std::vector<double>& chances, std::size_t found) {
    double below = 0;
    double above = 0;
    for (std::size_t sum = 0; sum < chances.size(); ++sum) {
        if (sum <= found) below += chances[sum];
        if (sum >= found) above += chances[sum];
    }
    return std::min(1.0, 2 * std::min(below, above));
}

/// Chance of each sum of ranks when each has its sign by the toss of a coin.
std::vector<double> signed_rank_chances(const std::vector<std::uint32_t>& ranks) {
    std::vector<double> chances(1, 1.0);
    for (const std::uint32_t value : ranks) {
        std::vector<double> next(chances.size() + value, 0.0);
        for (std::size_t sum = 0; sum < chances.size(); ++sum) {
            next[sum] += chances[sum] / 2;
            next[sum + value] += chances[sum] / 2;
        }
        chances = std::move(next);
    }
    return chances;
}

/// Chance of each sum of ranks of `size` values drawn from all without putting back.
std::vector<double> rank_sum_chances(const std::vector<std::uint32_t>& ranks, std::size_t size) {
    const std::size_t total = std::accumulate(ranks.begin(), ranks.end(), std::size_t{0});
    // ways[k][sum]: subsets of k values; counts below 2^60 are exact in a double or nearly so.
    std::vector<std::vector<double>> ways(size + 1, std::vector<double>(total + 1, 0.0));
    ways[0][0] = 1;
    std::size_t reached = 0;
    for (const std::uint32_t value : ranks) {
        reached += value;
        for (std::size_t k = size; k >= 1; --k) {
            for (std::size_t sum = reached; sum >= value; --sum) {
                ways[k][sum] += ways[k - 1][sum - value];
            }
        }
    }
    const double all = std::accumulate(ways[size].begin(), ways[size].end(), 0.0);
    for (double& way : ways[size]) way /= all;
    return ways[size];
}

/// Two-sided p of the normal distribution, half a step towards the mean for continuity.
double normal_two_sided(double distance, double variance) {
    if (variance <= 0) return 1;
    const double z = std::max(0.0, std::abs(distance) - 0.5) / std::sqrt(variance);
    return std::min(1.0, std::erfc(z / std::sqrt(2.0)));
}

std::vector<double> thinned(std::span<const double> values) {
    std::vector<double> kept;
    const std::size_t count = std::min(values.size(), kWalshMax);
    kept.reserve(count);
    for (std::size_t i = 0; i < count; ++i) kept.push_back(values[i * values.size() / count]);
    return kept;
}

std::vector<double> walsh_averages(std::span<const double> values) {
    std::vector<double> averages;
    averages.reserve(values.size() * (values.size() + 1) / 2);
    for (std::size_t i = 0; i < values.size(); ++i) {
        for (std::size_t j = i; j < values.size(); ++j) {
            averages.push_back((values[i] + values[j]) / 2);
        }
    }
    return averages;
}

std::vector<double> all_differences(std::span<const double> first, std::span<const double> second) {
    std::vector<double> differences;
    differences.reserve(first.size() * second.size());
    for (const double a : first) {
        for (const double b : second) differences.push_back(b - a);
    }
    return differences;
}

double nth(std::vector<double>& values, std::size_t index) {
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(index);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

/// The `cut`-th least and greatest of `values`.
Interval cut_both(std::vector<double>& values, std::size_t cut, double confidence) {
    const double low = nth(values, cut);
    return {low, nth(values, values.size() - 1 - cut), confidence};
}

}  // namespace

double normal_below(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }

double normal_quantile(double chance) {
    // Bisection: it is asked a few times a report, and needs no table of constants.
    double low = -40;
    double high = 40;
    for (int i = 0; i < 100; ++i) {
        const double middle = (low + high) / 2;
        (normal_below(middle) < chance ? low : high) = middle;
    }
    return (low + high) / 2;
}

double median(std::vector<double> values) { return median_of(values); }

Interval median_interval(std::vector<double> values, double confidence) {
    if (values.empty()) return {};
    const std::size_t n = values.size();
    std::ranges::sort(values);
    // tail: chance that fewer than `cut` + 1 of n fair coins show heads.
    const double log_half = std::log(0.5) * static_cast<double>(n);
    const auto log_factorial = [](std::size_t k) {
        return std::lgamma(static_cast<double>(k) + 1);
    };
    const auto chance = [&](std::size_t k) {
        return std::exp(log_factorial(n) - log_factorial(k) - log_factorial(n - k) + log_half);
    };
    std::size_t cut = 0;
    double tail = chance(0);
    while (cut + 1 <= (n - 1) / 2 && 1 - 2 * (tail + chance(cut + 1)) >= confidence) {
        tail += chance(++cut);
    }
    return {values[cut], values[n - 1 - cut], std::max(0.0, 1 - 2 * tail)};
}

Interval bootstrap_median_interval(std::span<const double> values, double confidence,
                                   std::uint64_t seed, std::size_t rounds) {
    if (values.empty()) return {};
    os::Random random(seed);
    std::vector<double> sorted(values.begin(), values.end());
    std::ranges::sort(sorted);
    const std::size_t n = sorted.size();
    std::vector<double> medians(rounds);
    std::vector<std::uint32_t> drawn(n);
    for (double& result : medians) {
        // How often each was drawn is enough: they are in order.
        std::ranges::fill(drawn, 0u);
        for (std::size_t i = 0; i < n; ++i) ++drawn[random.below(n)];
        std::size_t at = 0;
        std::size_t seen = drawn[0];
        while (seen < (n + 1) / 2) seen += drawn[++at];
        result = sorted[at];
        if (n % 2 == 1 || seen > n / 2) continue;
        // The next one drawn is the other half of an even middle.
        std::size_t next = at + 1;
        while (drawn[next] == 0) ++next;
        result = (sorted[at] + sorted[next]) / 2;
    }
    const double outside = (1 - confidence) / 2 * static_cast<double>(rounds);
    return cut_both(medians, static_cast<std::size_t>(outside), confidence);
}

TestOutcome signed_rank_test(std::span<const double> differences) {
    std::vector<double> sizes;
    std::vector<bool> positive;
    for (const double difference : differences) {
        if (difference == 0) continue;
        sizes.push_back(std::abs(difference));
        positive.push_back(difference > 0);
    }
    TestOutcome outcome;
    outcome.count = sizes.size();
    if (sizes.empty()) return outcome;
    const Ranks ranks = rank(sizes);
    std::size_t doubled_sum = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (positive[i]) doubled_sum += ranks.doubled[i];
    }
    outcome.statistic = static_cast<double>(doubled_sum) / 2;
    outcome.exact = sizes.size() <= kExactPairs;
    if (outcome.exact) {
        outcome.p = two_sided(signed_rank_chances(ranks.doubled), doubled_sum);
        return outcome;
    }
    const double n = static_cast<double>(sizes.size());
    const double mean = n * (n + 1) / 4;
    const double variance = n * (n + 1) * (2 * n + 1) / 24 - ranks.ties / 48;
    outcome.p = normal_two_sided(outcome.statistic - mean, variance);
    return outcome;
}

TestOutcome rank_sum_test(std::span<const double> first, std::span<const double> second) {
    TestOutcome outcome;
    outcome.count = first.size() + second.size();
    if (first.empty() || second.empty()) return outcome;
    std::vector<double> all(first.begin(), first.end());
    all.insert(all.end(), second.begin(), second.end());
    const Ranks ranks = rank(all);
    std::size_t doubled_sum = 0;
    for (std::size_t i = first.size(); i < all.size(); ++i) doubled_sum += ranks.doubled[i];
    const double n1 = static_cast<double>(first.size());
    const double n2 = static_cast<double>(second.size());
    outcome.statistic = static_cast<double>(doubled_sum) / 2 - n2 * (n2 + 1) / 2;
    outcome.exact = all.size() <= kExactBoth;
    if (outcome.exact) {
        outcome.p = two_sided(rank_sum_chances(ranks.doubled, second.size()), doubled_sum);
        return outcome;
    }
    const double n = n1 + n2;
    const double variance = n1 * n2 / 12 * (n + 1 - ranks.ties / (n * (n - 1)));
    outcome.p = normal_two_sided(outcome.statistic - n1 * n2 / 2, variance);
    return outcome;
}

double hodges_lehmann(std::span<const double> values) {
    std::vector<double> averages = walsh_averages(thinned(values));
    return median_of(averages);
}

double hodges_lehmann(std::span<const double> first, std::span<const double> second) {
    std::vector<double> differences = all_differences(thinned(first), thinned(second));
    return median_of(differences);
}

Interval signed_rank_interval(std::span<const double> values, double confidence) {
    if (values.empty()) return {};
    const std::vector<double> kept = thinned(values);
    std::vector<double> averages = walsh_averages(kept);
    const double n = static_cast<double>(kept.size());
    if (kept.size() <= kExactPairs) {
        std::vector<std::uint32_t> ranks(kept.size());
        std::iota(ranks.begin(), ranks.end(), 1u);
        const std::vector<double> chances = signed_rank_chances(ranks);
        // The greatest cut such that W+ <= cut - 1 is rare enough on its side.
        std::size_t cut = 0;
        double tail = chances[0];
        const double allowed = (1 - confidence) / 2;
        if (tail > allowed) return cut_both(averages, 0, std::max(0.0, 1 - 2 * tail));
        while (cut + 1 < chances.size() && tail + chances[cut + 1] <= allowed) {
            tail += chances[++cut];
        }
        return cut_both(averages, cut, 1 - 2 * tail);
    }
    const double spread = std::sqrt(n * (n + 1) * (2 * n + 1) / 24);
    const double z = normal_quantile((1 + confidence) / 2);
    const double cut = std::max(0.0, std::floor(n * (n + 1) / 4 - z * spread));
    return cut_both(averages, static_cast<std::size_t>(cut), confidence);
}

Interval rank_sum_interval(std::span<const double> first, std::span<const double> second,
                           double confidence) {
    if (first.empty() || second.empty()) return {};
    const std::vector<double> a = thinned(first);
    const std::vector<double> b = thinned(second);
    std::vector<double> differences = all_differences(a, b);
    const double n1 = static_cast<double>(a.size());
    const double n2 = static_cast<double>(b.size());
    const double spread = std::sqrt(n1 * n2 * (n1 + n2 + 1) / 12);
    const double z = normal_quantile((1 + confidence) / 2);
    const double cut = std::floor(n1 * n2 / 2 - z * spread - 0.5);
    if (cut >= 0) return cut_both(differences, static_cast<std::size_t>(cut), confidence);
    const double tail =
        std::exp(std::lgamma(n1 + 1) + std::lgamma(n2 + 1) - std::lgamma(n1 + n2 + 1));
    return cut_both(differences, 0, std::max(0.0, 1 - 2 * tail));
}

std::vector<double> holm(std::span<const double> p_values) {
    std::vector<std::size_t> order(p_values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order,
                      [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
    std::vector<double> adjusted(p_values.size());
    double least = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const double times = static_cast<double>(p_values.size() - i);
        least = std::max(least, std::min(1.0, times * p_values[order[i]]));
        adjusted[order[i]] = least;
    }
    return adjusted;
}

double visible_effect(const Interval& interval) {
    if (interval.confidence <= 0 || interval.confidence >= 1) {
        return std::numeric_limits<double>::infinity();
    }
    const double z = normal_quantile((1 + interval.confidence) / 2);
    return (interval.high - interval.low) / 2 * (z + normal_quantile(0.8)) / z;
}

}  // namespace fulgur::bench
