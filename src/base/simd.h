#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/sanitizer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Search of one cache line of fingerprints. Bit i of a result says that byte i of the block equals
// the value.
//
// Concurrency: the block may be written by others meanwhile, byte by byte. Each byte is seen as it
// was or as it became; the caller masks the bytes that were not yet published. A vector load of
// such bytes is outside the letter of the C++ memory model, on every processor it is what it looks
// like, and it is done here only; under the thread sanitizer the block is read as relaxed atomic
// words instead (so it must be 8-byte aligned; a cache line is).

namespace fulgur {

namespace detail {
inline constexpr std::uint64_t kLowBits = 0x7F7F7F7F7F7F7F7F;
inline constexpr std::uint64_t kEachByte = 0x0101010101010101;

/// One bit for each byte of `word` that equals `value`, lowest byte first.
inline std::uint64_t match_bytes8(std::uint64_t word, std::uint8_t value) {
    const std::uint64_t x = word ^ (kEachByte * value);  // A zero byte where they are equal.
    // Bit 7 of each byte becomes 1 exactly when the byte is zero: no carry leaves a byte.
    const std::uint64_t zeros = ~(((x & kLowBits) + kLowBits) | x | kLowBits);
    return (zeros >> 7) * 0x0102040810204080 >> 56;  // Gathers the eight bits in the top byte.
}
}  // namespace detail

/// Without vector instructions.
inline std::uint64_t match_bytes64_portable(const char* block64, std::uint8_t value) {
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        std::uint64_t word;
        std::memcpy(&word, block64 + 8 * i, 8);
        if constexpr (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) word = __builtin_bswap64(word);
        mask |= detail::match_bytes8(word, value) << (8 * i);
    }
    return mask;
}

#if defined(__x86_64__)

/// Every x86-64 has it.
inline std::uint64_t match_bytes64_sse2(const char* block64, std::uint8_t value) {
    const __m128i wanted = _mm_set1_epi8(static_cast<char>(value));
    const auto part = [&](std::size_t i) -> std::uint64_t {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block64 + 16 * i));
        return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted)));
    };
    return (part(0) | part(1) << 16) | (part(2) | part(3) << 16) << 32;
}

__attribute__((target("avx2"))) inline std::uint64_t match_bytes64_avx2(const char* block64,
                                                                        std::uint8_t value) {
    const __m256i wanted = _mm256_set1_epi8(static_cast<char>(value));
    const auto* parts = reinterpret_cast<const __m256i*>(block64);
    const __m256i low = _mm256_cmpeq_epi8(_mm256_loadu_si256(parts), wanted);
    const __m256i high = _mm256_cmpeq_epi8(_mm256_loadu_si256(parts + 1), wanted);
    const auto low_mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(low));
    const auto high_mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(high));
    return low_mask | static_cast<std::uint64_t>(high_mask) << 32;
}

__attribute__((target("avx512bw"))) inline std::uint64_t match_bytes64_avx512(const char* block64,
                                                                              std::uint8_t value) {
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(block64),
                                  _mm512_set1_epi8(static_cast<char>(value)));
}

#elif defined(__aarch64__)

inline std::uint64_t match_bytes64_neon(const char* block64, std::uint8_t value) {
    // Each byte that matches keeps its own bit of eight; three rounds of pairwise addition gather
    // the 64 bits in order.
    alignas(16) static constexpr std::uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                                           1, 2, 4, 8, 16, 32, 64, 128};
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(block64);
    const uint8x16_t wanted = vdupq_n_u8(value);
    const uint8x16_t bits = vld1q_u8(kBits);
    const auto part = [&](int i) {
        return vandq_u8(vceqq_u8(vld1q_u8(bytes + 16 * i), wanted), bits);
    };
    const uint8x16_t low = vpaddq_u8(part(0), part(1));
    const uint8x16_t high = vpaddq_u8(part(2), part(3));
    const uint8x16_t quarter = vpaddq_u8(low, high);
    const uint8x16_t gathered = vpaddq_u8(quarter, quarter);
    return vgetq_lane_u64(vreinterpretq_u64_u8(gathered), 0);
}

#endif

#if defined(__x86_64__) && !defined(__AVX512F__) && !defined(FULGUR_THREAD_SANITIZER)
#define FULGUR_MATCH_AT_RUN_TIME 1

namespace detail {
/// Whether the processor (and the kernel, for the wide registers) does AVX-512BW. Set before main;
/// false until then.
extern const bool has_avx512;

/// The AVX-512 search for code that is compiled without AVX-512, where the intrinsic could only be
/// called, not inlined, and the call would cost what the search saves. The compiler does not know
/// registers zmm16 and k1 to k4 here: it keeps nothing there, nor may they be named as changed.
/// Hence not for functions with a target attribute of their own. Register 16 is above those whose
/// dirty upper halves slow SSE code down, so nothing need be cleared afterwards.
inline std::uint64_t match_bytes64_avx512_inline(const char* block64, std::uint8_t value) {
    const std::uint32_t wanted = value;
    const auto& block = *reinterpret_cast<const char(*)[64]>(block64);
    std::uint64_t mask;
    __asm__(
        "vpbroadcastb %[wanted], %%zmm16\n\t"
        "vpcmpeqb %[block], %%zmm16, %%k1\n\t"
        "kmovq %%k1, %[mask]"
        : [mask] "=r"(mask)
        : [wanted] "r"(wanted), [block] "m"(block));
    return mask;
}

/// Bit i of the result: word i of the line is below `value`.
inline std::uint32_t below8_avx512_inline(const std::uint64_t* line, std::uint64_t value) {
    const auto& block = *reinterpret_cast<const std::uint64_t(*)[8]>(line);
    std::uint32_t mask;
    __asm__(
        "vpbroadcastq %[value], %%zmm16\n\t"
        "vpcmpnleuq %[block], %%zmm16, %%k1\n\t"
        "kmovd %%k1, %[mask]"
        : [mask] "=r"(mask)
        : [value] "r"(value), [block] "m"(block));
    return mask;
}

/// Bits of 32 words, in no order: how many are below `value` is what counts.
inline std::uint32_t below32_avx512_inline(const std::uint64_t* lines, std::uint64_t value) {
    const auto& block = *reinterpret_cast<const std::uint64_t(*)[32]>(lines);
    std::uint32_t mask;
    __asm__(
        "vpbroadcastq %[value], %%zmm16\n\t"
        "vpcmpnleuq (%[lines]), %%zmm16, %%k1\n\t"
        "vpcmpnleuq 64(%[lines]), %%zmm16, %%k2\n\t"
        "vpcmpnleuq 128(%[lines]), %%zmm16, %%k3\n\t"
        "vpcmpnleuq 192(%[lines]), %%zmm16, %%k4\n\t"
        "kunpckbw %%k1, %%k2, %%k1\n\t"
        "kunpckbw %%k3, %%k4, %%k3\n\t"
        "kunpckwd %%k1, %%k3, %%k1\n\t"
        "kmovd %%k1, %[mask]"
        : [mask] "=r"(mask)
        : [value] "r"(value), [lines] "r"(lines), "m"(block));
    return mask;
}
}  // namespace detail
#endif

/// The best for this processor, inlined: by the compiler's flags where they say enough, else by a
/// branch that always goes the same way. (AVX2 is not worth a branch over SSE2.)
inline std::uint64_t match_bytes64(const char* block64, std::uint8_t value) {
#if defined(FULGUR_THREAD_SANITIZER)
    char copy[64];
    for (std::size_t i = 0; i < 8; ++i) {
        const auto* word = reinterpret_cast<const std::uint64_t*>(block64) + i;
        const std::uint64_t loaded = __atomic_load_n(word, __ATOMIC_RELAXED);
        std::memcpy(copy + 8 * i, &loaded, 8);
    }
    return match_bytes64_portable(copy, value);
#elif defined(__AVX512BW__)
    return match_bytes64_avx512(block64, value);
#elif defined(__x86_64__)
#if defined(FULGUR_MATCH_AT_RUN_TIME)
    if (detail::has_avx512) [[likely]]
        return detail::match_bytes64_avx512_inline(block64, value);
#endif
    return match_bytes64_sse2(block64, value);
#elif defined(__aarch64__)
    return match_bytes64_neon(block64, value);
#else
    return match_bytes64_portable(block64, value);
#endif
}

/// How many of the 32 words of four cache lines are below `value`. The lines do not change.
inline std::size_t count_below32(const std::uint64_t* lines, std::uint64_t value) {
#if defined(FULGUR_MATCH_AT_RUN_TIME)
    const std::uint32_t mask = detail::below32_avx512_inline(lines, value);
    return static_cast<std::size_t>(__builtin_popcount(mask));
#elif defined(__AVX512F__)
    std::size_t count = 0;
    for (std::size_t i = 0; i < 32; i += 8) {
        const __mmask8 mask = _mm512_cmplt_epu64_mask(
            _mm512_loadu_si512(lines + i), _mm512_set1_epi64(static_cast<long long>(value)));
        count += static_cast<std::size_t>(__builtin_popcount(mask));
    }
    return count;
#else
    std::size_t count = 0;
    for (std::size_t i = 0; i < 32; ++i) count += lines[i] < value ? 1 : 0;
    return count;
#endif
}

/// How many of the eight words of a cache line are below `value`. The line does not change.
inline std::size_t count_below8(const std::uint64_t* line, std::uint64_t value) {
#if defined(FULGUR_MATCH_AT_RUN_TIME)
    if (detail::has_avx512) [[likely]] {
        const std::uint32_t mask = detail::below8_avx512_inline(line, value);
        return static_cast<std::size_t>(__builtin_popcount(mask));
    }
#elif defined(__AVX512F__)
    const __mmask8 mask = _mm512_cmplt_epu64_mask(_mm512_loadu_si512(line),
                                                  _mm512_set1_epi64(static_cast<long long>(value)));
    return static_cast<std::size_t>(__builtin_popcount(mask));
#endif
    std::size_t count = 0;
    for (std::size_t i = 0; i < 8; ++i) count += line[i] < value ? 1 : 0;
    return count;
}

/// How many of `words` ascending words are below `value`, by binary search. words > 0.
inline std::size_t count_below_sorted_portable(const std::uint64_t* lines, std::size_t words,
                                               std::uint64_t value) {
    const std::uint64_t* at = lines;
    for (std::size_t length = words; length > 1;) {
        const std::size_t half = length / 2;
        // Arithmetic, not a choice: a branch would be mispredicted every second time.
        at += half & -static_cast<std::size_t>(at[half - 1] < value);
        length -= half;
    }
    return static_cast<std::size_t>(at - lines) + (*at < value ? 1 : 0);
}

/// The same for some groups of 32 words that fill four cache lines each; they do not change. With
/// AVX-512 all are compared, so that no branch and no load depends on the value.
inline std::size_t count_below_sorted(const std::uint64_t* lines, std::size_t words,
                                      std::uint64_t value) {
#if defined(FULGUR_MATCH_AT_RUN_TIME)
    const bool all = detail::has_avx512;
#elif defined(__AVX512F__)
    constexpr bool all = true;
#else
    constexpr bool all = false;
#endif
    if (!all) return count_below_sorted_portable(lines, words, value);
    std::size_t count = 0;
    for (std::size_t i = 0; i < words; i += 32) count += count_below32(lines + i, value);
    return count;
}

}  // namespace fulgur
