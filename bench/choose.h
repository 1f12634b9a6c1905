// Which row an operation takes: the distributions that the field's benchmarks use.
#pragma once

#include <cmath>
#include <cstdint>

#include "bench/rows.h"
#include "os/random.h"

namespace fulgur::bench {

/// Zipf's law over 0 .. items - 1, the most frequent first, by the method of Gray et al. (Quickly
/// Generating Billion-Record Synthetic Databases, 1994). Construction is O(items).
class Zipf {
public:
    static constexpr double kTheta = 0.99;

    explicit Zipf(std::uint64_t items) : Zipf(items, zeta(items)) {}
    Zipf(std::uint64_t items, double zeta_of_items)
        : items_(items), zeta_(zeta_of_items), alpha_(1 / (1 - kTheta)) {
        const double zeta2 = 1 + std::pow(0.5, kTheta);
        eta_ = (1 - std::pow(2.0 / double(items), 1 - kTheta)) / (1 - zeta2 / zeta_);
        second_ = zeta2;
    }
    std::uint64_t next(os::Random& random) const {
        const double u = double(random.next() >> 11) * 0x1p-53, uz = u * zeta_;
        if (uz < 1) return 0;
        if (uz < second_) return 1;
        const double at = double(items_) * std::pow(eta_ * u - eta_ + 1, alpha_);
        return std::min(items_ - 1, static_cast<std::uint64_t>(at));
    }
    static double zeta(std::uint64_t items) {
        double sum = 0;
        for (std::uint64_t i = 1; i <= items; ++i) sum += std::pow(1 / double(i), kTheta);
        return sum;
    }

private:
    std::uint64_t items_;
    double zeta_;
    double alpha_;
    double eta_ = 0;
    double second_ = 0;
};

/// YCSB's scrambled Zipf: of ten billion items, hashed onto the rows there are, so that the
/// frequent ones lie anywhere. The constant is zeta(10^10, 0.99), as in YCSB's source.
class ScrambledZipf {
public:
    std::uint64_t next(os::Random& random, std::uint64_t rows) const {
        return fnv64(zipf_.next(random)) % rows;
    }

private:
    Zipf zipf_{10'000'000'000, 26.46902820178302};
};

enum class Choice : std::uint8_t {
    kUniform,
    kZipf,     ///< scrambled, 0.99
    kLatest,   ///< Zipf from the newest row backwards
    kHotSet,   ///< 90 % of the operations on 1 % of the rows (db_bench's readhot: all on 1 %)
    kHotOnly,  ///< all on 1 % of the rows
    kHotKey,   ///< one row
};

class Chooser {
public:
    Chooser(Choice choice, std::uint64_t seed)
        : choice_(choice), random_(seed), latest_(choice == Choice::kLatest ? 1'000'000 : 2) {}

    std::uint64_t next(std::uint64_t rows) {
        switch (choice_) {
            case Choice::kUniform:
                return random_.below(rows);
            case Choice::kZipf:
                return zipf_.next(random_, rows);
            case Choice::kLatest:
                return rows - 1 - latest_.next(random_) % rows;
            case Choice::kHotSet:
                if (random_.below(10) == 0) return random_.below(rows);
                break;
            case Choice::kHotOnly:
                break;
            case Choice::kHotKey:
                return rows / 2;
        }
        // The hot rows are spread over all keys.
        const std::uint64_t hot = std::max<std::uint64_t>(1, rows / 100);
        return random_.below(hot) * (rows / hot);
    }
    os::Random& random() { return random_; }

private:
    Choice choice_;
    os::Random random_;
    ScrambledZipf zipf_;
    Zipf latest_;
};

}  // namespace fulgur::bench
