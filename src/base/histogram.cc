#include "base/histogram.h"

#include <algorithm>
#include <cmath>

namespace fulgur {

namespace {

unsigned shift_of(std::size_t index) {
    return index < 2 * Histogram::kHalf ? 0 : static_cast<unsigned>(index / Histogram::kHalf) - 1;
}

}  // namespace

std::uint64_t Histogram::lowest_of(std::size_t index) {
    const unsigned shift = shift_of(index);
    return static_cast<std::uint64_t>(index - shift * kHalf) << shift;
}

std::uint64_t Histogram::highest_of(std::size_t index) {
    return lowest_of(index) + ((std::uint64_t{1} << shift_of(index)) - 1);
}

void Histogram::add(const Histogram& other) {
    if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
    for (std::size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
}

std::uint64_t Histogram::percentile(double percent) const {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(std::clamp(percent, 0.0, 100.0) / 100 * double(count_));
    const std::uint64_t rank = std::clamp<std::uint64_t>(std::uint64_t(wanted), 1, count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        seen += counts_[i];
        if (seen >= rank) return highest_of(i);
    }
    return highest_of(counts_.size() - 1);
}

std::uint64_t Histogram::min() const {
    const auto first =
        std::find_if(counts_.begin(), counts_.end(), [](std::uint64_t n) { return n != 0; });
    return first == counts_.end() ? 0 : lowest_of(std::size_t(first - counts_.begin()));
}

double Histogram::mean() const {
    double sum = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        sum += double(counts_[i]) * (double(lowest_of(i)) + double(highest_of(i))) / 2;
    }
    return count_ == 0 ? 0 : sum / double(count_);
}

}  // namespace fulgur
