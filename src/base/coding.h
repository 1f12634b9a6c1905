#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <fulgur/bytes.h>

// Integers in bytes. Everything on disk is little-endian and may be unaligned; a key's head is
// big-endian, so that comparing heads as numbers compares keys as bytes.

namespace fulgur {

template <typename T>
concept Codable = std::integral<T> || std::is_enum_v<T>;

namespace detail {
template <std::size_t kSize>
struct UnsignedOfSize;
template <>
struct UnsignedOfSize<1> {
    using type = std::uint8_t;
};
template <>
struct UnsignedOfSize<2> {
    using type = std::uint16_t;
};
template <>
struct UnsignedOfSize<4> {
    using type = std::uint32_t;
};
template <>
struct UnsignedOfSize<8> {
    using type = std::uint64_t;
};

constexpr std::uint8_t swap_bytes(std::uint8_t v) { return v; }
constexpr std::uint16_t swap_bytes(std::uint16_t v) { return __builtin_bswap16(v); }
constexpr std::uint32_t swap_bytes(std::uint32_t v) { return __builtin_bswap32(v); }
constexpr std::uint64_t swap_bytes(std::uint64_t v) { return __builtin_bswap64(v); }

template <std::endian kOrder, typename Unsigned>
constexpr Unsigned to_order(Unsigned v) {
    if constexpr (std::endian::native == kOrder) return v;
    return swap_bytes(v);
}

template <std::endian kOrder, Codable T>
T load(const char* p) {
    typename UnsignedOfSize<sizeof(T)>::type raw;
    std::memcpy(&raw, p, sizeof raw);
    return static_cast<T>(to_order<kOrder>(raw));
}

template <std::endian kOrder, Codable T>
void store(char* p, T v) {
    const auto raw = to_order<kOrder>(static_cast<typename UnsignedOfSize<sizeof(T)>::type>(v));
    std::memcpy(p, &raw, sizeof raw);
}
}  // namespace detail

/// The little-endian integer (or enumerator) at `p`; any alignment.
template <Codable T>
T load_le(const char* p) {
    return detail::load<std::endian::little, T>(p);
}

/// Writes `v` at `p`, little-endian; any alignment.
template <Codable T>
void store_le(char* p, T v) {
    detail::store<std::endian::little>(p, v);
}

/// The first 8 bytes of `bytes` as one big-endian number, zeros for what is missing. Its order is
/// the order of the bytes, except that a tie says nothing: the rest, or the length, decides.
inline std::uint64_t load_be64_prefix(Bytes bytes) {
    const char* p = bytes.data();
    const std::size_t n = bytes.size();
    if (n >= 8) return detail::load<std::endian::big, std::uint64_t>(p);
    if (n >= 4) {  // Two words that overlap: their common bytes are equal and fall on each other.
        const std::uint64_t high = detail::load<std::endian::big, std::uint32_t>(p);
        const std::uint64_t low = detail::load<std::endian::big, std::uint32_t>(p + n - 4);
        return high << 32 | low << (8 * (8 - n));
    }
    if (n == 0) return 0;
    const auto byte_at = [p](std::size_t i) {  // First, middle and last cover 1, 2 and 3 bytes.
        return static_cast<std::uint64_t>(static_cast<std::uint8_t>(p[i])) << (56 - 8 * i);
    };
    return byte_at(0) | byte_at(n / 2) | byte_at(n - 1);
}

/// `x` up to the next multiple of `unit`, a power of two. Not for 16-bit numbers: 65535 has no next
/// multiple among them.
template <std::unsigned_integral T>
    requires(sizeof(T) >= 4)
constexpr T round_up(T x, std::type_identity_t<T> unit) {
    return static_cast<T>((x + unit - 1) & ~(unit - 1));
}

/// `x` down to a multiple of `unit`, a power of two.
template <std::unsigned_integral T>
constexpr T round_down(T x, std::type_identity_t<T> unit) {
    return static_cast<T>(x & ~(unit - 1));
}

}  // namespace fulgur
