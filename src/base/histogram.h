// Counts of values in buckets that are never wider than a thousandth of their value, after Gil
// Tene's HdrHistogram (three significant digits): latencies from nanoseconds to hours in 200 KiB at
// most.
//
// Bucket layout: values below 2048 have one bucket each; above, each doubling of the value has 1024
// buckets. The index of a value is its shift times 1024 plus its ten or eleven leading bits.
//
// One thread at a time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fulgur {

class Histogram {
public:
    /// O(1); memory grows with the largest value seen.
    void record(std::uint64_t value, std::uint64_t times = 1) {
        const std::size_t index = index_of(value);
        if (index >= counts_.size()) counts_.resize(index + 1);
        counts_[index] += times;
        count_ += times;
    }
    void add(const Histogram& other);
    void clear() { *this = Histogram(); }

    std::uint64_t count() const { return count_; }
    bool empty() const { return count_ == 0; }
    /// The least recorded value such that `percent` of all are not above it, to three digits
    /// (rounded up within its bucket). 0 when empty. O(buckets).
    std::uint64_t percentile(double percent) const;
    std::uint64_t max() const { return percentile(100); }
    std::uint64_t min() const;
    /// From the middles of the buckets.
    double mean() const;

    static constexpr unsigned kSubBits = 11;
    static constexpr std::size_t kHalf = std::size_t{1} << (kSubBits - 1);

    static std::size_t index_of(std::uint64_t value) {
        if (value < 2 * kHalf) return value;
        const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kSubBits;
        return shift * kHalf + static_cast<std::size_t>(value >> shift);
    }
    /// The bucket holds [lowest_of, highest_of].
    static std::uint64_t lowest_of(std::size_t index);
    static std::uint64_t highest_of(std::size_t index);
    /// By index, without trailing zeros.
    const std::vector<std::uint64_t>& counts() const { return counts_; }

private:
    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
};

}  // namespace fulgur
