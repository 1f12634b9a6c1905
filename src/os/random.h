#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>

namespace fulgur::os {

/// Pseudo-random numbers by xoshiro256** (Blackman and Vigna, 2018): the same numbers from the same
/// seed on every machine. Not for secrets. Not thread-safe: each thread has its own.
class Random {
public:
    explicit Random(std::uint64_t seed) {
        for (std::uint64_t& word : state_) {  // SplitMix64 spreads the seed, 0 included.
            seed += 0x9E3779B97F4A7C15;
            std::uint64_t z = seed;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            word = z ^ (z >> 31);
        }
    }

    std::uint64_t next() {
        const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
        const std::uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    /// Uniform in [0, bound), to one part in 2^64 / bound; `bound` > 0.
    std::uint64_t below(std::uint64_t bound) {
        assert(bound != 0);
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
    }

    /// Uniform in [low, high].
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        assert(low <= high);
        return high - low == ~std::uint64_t{0} ? next() : low + below(high - low + 1);
    }

    /// True once in `n` times.
    bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::array<std::uint64_t, 4> state_{};
};

/// Unpredictable bits from the kernel: the seed of what nobody must be able to repeat.
std::uint64_t random_seed();

}  // namespace fulgur::os
