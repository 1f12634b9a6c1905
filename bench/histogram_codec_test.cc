#include "bench/histogram_codec.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "os/random.h"

namespace fulgur::bench {
namespace {

std::string from_base64(Bytes text) {
    std::string bytes;
    EXPECT_TRUE(decode_base64(text, bytes).ok);
    return bytes;
}

// hdr-histogram-js 3.0.1, encodeIntoCompressedBase64 of 1, 2, 2, 1000, 2047, 2048, 1000000 (three
// times), 3600000000000; bitBucketSize 64, three digits. tests/hdr_histogram_test.py makes more.
constexpr Bytes kOfJavaScript =
    "HISTFAAAADR4nJNpmSzMwMAgxMDAwMjAwMDMAAGMDAzM/0EAzmdiOcnPtFqAiWl/HyPb5dtMTAADXQsC";

TEST(HistogramCodecTest, ReadsWhatTheJavaScriptLibraryWrote) {
    const HistogramOutcome outcome = decode_histogram(from_base64(kOfJavaScript));
    ASSERT_TRUE(outcome.histogram) << outcome.fault;
    Histogram wanted;
    for (const std::uint64_t value : {1, 2, 2, 1000, 2047, 2048}) wanted.record(value);
    wanted.record(1'000'000, 3);
    wanted.record(3'600'000'000'000);
    EXPECT_EQ(outcome.histogram->counts(), wanted.counts());
    EXPECT_EQ(outcome.histogram->count(), 10u);
}

TEST(HistogramCodecTest, ReadsBackWhatItWrote) {
    os::Random random(31);
    for (int round = 0; round < 60; ++round) {
        Histogram histogram;
        const std::uint64_t values = random.below(200);
        for (std::uint64_t i = 0; i < values; ++i) {
            histogram.record(random.next() >> random.below(64),
                             1 + (random.next() >> (20 + random.below(44))));
        }
        if (histogram.count() > ~std::uint64_t{0} / 2) continue;
        const HistogramOutcome outcome = decode_histogram(encode_histogram(histogram));
        ASSERT_TRUE(outcome.histogram) << outcome.fault << ", round " << round;
        EXPECT_EQ(outcome.histogram->counts(), histogram.counts()) << "round " << round;
        EXPECT_EQ(outcome.histogram->count(), histogram.count());
    }
}

TEST(HistogramCodecTest, KeepsTheGreatestValueAndTheGreatestCount) {
    Histogram histogram;
    histogram.record(~std::uint64_t{0}, 1);
    histogram.record(0, ~std::uint64_t{0} / 2 - 1);
    const HistogramOutcome outcome = decode_histogram(encode_histogram(histogram));
    ASSERT_TRUE(outcome.histogram) << outcome.fault;
    EXPECT_EQ(outcome.histogram->counts(), histogram.counts());
}

TEST(HistogramCodecTest, RefusesEveryCutAndNeverReadsAnotherHistogramForAFlippedBit) {
    Histogram histogram;
    for (std::uint64_t value = 1; value < 1'000'000; value *= 3) histogram.record(value, value);
    const std::string bytes = encode_histogram(histogram);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_histogram(Bytes(bytes).substr(0, size)).histogram) << size;
    }
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        const HistogramOutcome outcome = decode_histogram(flipped);
        if (outcome.histogram) {  // A bit of the zlib header that changes nothing.
            EXPECT_EQ(outcome.histogram->counts(), histogram.counts()) << bit;
        } else {
            EXPECT_NE(outcome.fault, nullptr) << bit;
        }
    }
}

}  // namespace
}  // namespace fulgur::bench
