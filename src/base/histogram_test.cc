#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "os/random.h"

namespace fulgur {
namespace {

TEST(HistogramTest, BucketsAreNeverWiderThanAThousandth) {
    std::size_t before = 0;
    for (std::uint64_t value = 0; value < (std::uint64_t{1} << 62); value += 1 + value / 777) {
        const std::size_t index = Histogram::index_of(value);
        ASSERT_GE(index, before);
        before = index;
        const std::uint64_t low = Histogram::lowest_of(index), high = Histogram::highest_of(index);
        ASSERT_LE(low, value);
        ASSERT_GE(high, value);
        ASSERT_LE(high - low, value / 1000);
        ASSERT_EQ(Histogram::index_of(low), index);
        ASSERT_EQ(Histogram::index_of(high), index);
        ASSERT_EQ(Histogram::index_of(high + 1), index + 1);
    }
    EXPECT_EQ(Histogram::highest_of(Histogram::index_of(~std::uint64_t{0})), ~std::uint64_t{0});
}

TEST(HistogramTest, PercentilesAreThoseOfTheSortedValues) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        os::Random random(seed);
        std::vector<std::uint64_t> values(1 + random.below(5000));
        Histogram first, second;
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = random.below(std::uint64_t{1} << (1 + random.below(40)));
            (i % 2 == 0 ? first : second).record(values[i]);
        }
        first.add(second);
        std::sort(values.begin(), values.end());
        ASSERT_EQ(first.count(), values.size());
        for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
            const double rank = std::ceil(percent / 100 * double(values.size()));
            const std::uint64_t exact = values[rank < 1 ? 0 : std::size_t(rank) - 1];
            ASSERT_GE(first.percentile(percent), exact) << percent;
            ASSERT_LE(first.percentile(percent), exact + exact / 1000) << percent;
        }
        ASSERT_LE(first.min(), values.front());
        ASSERT_GE(first.max(), values.back());
    }
}

TEST(HistogramTest, EmptyOneAnswersZero) {
    const Histogram none;
    EXPECT_EQ(none.percentile(99), 0u);
    EXPECT_EQ(none.min(), 0u);
    EXPECT_EQ(none.mean(), 0);
}

}  // namespace
}  // namespace fulgur
