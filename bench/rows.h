// The data: keys and values that follow from a row's number, so that whatever is read can be
// checked.
//
// A value is [row u64][salt u64][words that follow from both]; its size follows from both too. The
// salt says which write it was: any salt is right as long as the whole value fits it.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include <fulgur/bytes.h>

#include "base/coding.h"
#include "bench/store.h"

namespace fulgur::bench {

/// A bijection that scatters (the finalizer of MurmurHash3).
inline std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccd;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}

/// FNV-1a over the eight bytes of a number: YCSB's hash.
inline std::uint64_t fnv64(std::uint64_t value) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (int i = 0; i < 8; ++i, value >>= 8) {
        hash ^= value & 0xff;
        hash *= 1099511628211ULL;
    }
    return hash;
}

enum class KeyStyle : std::uint8_t {
    kOrdered,    ///< 16 bytes, big-endian number and zeros, as db_bench makes them
    kScattered,  ///< 16 bytes, a hash and the number
    kYcsb,       ///< "user" and the hash in decimal
};

struct Row {
    static constexpr std::size_t kKeyMax = 32;
    static constexpr std::size_t kValueMin = 24;
    char key[kKeyMax];
    std::size_t key_size = 0;
    Bytes view() const { return {key, key_size}; }
};

class Rows {
public:
    Rows(KeyStyle style, std::uint32_t value_min, std::uint32_t value_max)
        : style_(style), value_min_(value_min), value_max_(value_max) {}

    void make_key(std::uint64_t row, Row& into) const {
        into.key_size = 16;
        switch (style_) {
            case KeyStyle::kOrdered:
                store_le(into.key, __builtin_bswap64(row));
                std::memset(into.key + 8, '0', 8);
                return;
            case KeyStyle::kScattered:
                store_le(into.key, mix(row + 1));
                store_le(into.key + 8, row);
                return;
            case KeyStyle::kYcsb:
                break;
        }
        const auto end = fmt::format_to_n(into.key, Row::kKeyMax, "user{}", fnv64(row));
        into.key_size = end.size;
    }

    std::uint32_t value_max() const { return value_max_; }
    std::uint32_t value_size(std::uint64_t row, std::uint64_t salt) const {
        if (value_min_ == value_max_) return value_min_;
        const std::uint64_t spread = value_max_ - value_min_ + 1;
        return value_min_ + static_cast<std::uint32_t>(mix(row * 31 + salt) % spread);
    }
    /// `into` has room for value_max() bytes, rounded up to 8.
    Bytes make_value(std::uint64_t row, std::uint64_t salt, char* into) const {
        const std::uint32_t size = value_size(row, salt);
        store_le(into, row);
        store_le(into + 8, salt);
        const std::uint64_t seed = mix(row ^ (salt << 32));
        for (std::size_t at = 16; at < size; at += 8) store_le(into + at, word_of(seed, at));
        return {into, size};
    }
    /// The value is one of this row's: size, row, and the first and the last whole word of the
    /// rest, as much as can be looked at without being measured. (check_whole compares all.)
    void check(std::uint64_t row, Bytes value) const {
        if (value.size() < Row::kValueMin) wrong(row);
        const auto salt = load_le<std::uint64_t>(value.data() + 8);
        const std::uint64_t seed = mix(row ^ (salt << 32));
        const std::size_t last = round_down(value.size(), 8) - 8;
        if (load_le<std::uint64_t>(value.data()) != row || value.size() != value_size(row, salt) ||
            load_le<std::uint64_t>(value.data() + 16) != word_of(seed, 16) ||
            load_le<std::uint64_t>(value.data() + last) != word_of(seed, last)) {
            wrong(row);
        }
    }
    void check_whole(std::uint64_t row, Bytes value) const {
        check(row, value);
        std::string expected(round_up(value_max_, 8), '\0');
        const auto salt = load_le<std::uint64_t>(value.data() + 8);
        if (make_value(row, salt, expected.data()) != value) wrong(row);
    }

private:
    static std::uint64_t word_of(std::uint64_t seed, std::size_t at) {
        const std::uint64_t word = (seed + at) * 0x9E3779B97F4A7C15;
        return word ^ (word >> 29);
    }
    [[noreturn]] static void wrong(std::uint64_t row) {
        throw Failure(fmt::format("a wrong value was read for row {}", row));
    }

    KeyStyle style_;
    std::uint32_t value_min_;
    std::uint32_t value_max_;
};

}  // namespace fulgur::bench
