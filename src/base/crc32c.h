#pragma once

#include <cstddef>
#include <cstdint>

#include <fulgur/bytes.h>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#else
#include "base/coding.h"
#endif

namespace fulgur {

/// CRC-32C (Castagnoli, as in iSCSI, RFC 3720) of `bytes`. With `seed` = the CRC of what came
/// before, the result is the CRC of both together; 0 begins. Uses the processor's instruction
/// where there is one, chosen at the first call. Any thread.
std::uint32_t crc32c(Bytes bytes, std::uint32_t seed = 0);

/// The same, by tables: for machines without the instruction, and for tests.
std::uint32_t crc32c_portable(Bytes bytes, std::uint32_t seed = 0);

/// The same of bytes that are still in registers: `first` and then each of `words`, little-endian.
/// To store them and to read them again at other boundaries would wait for the stores.
template <std::size_t kWords>
std::uint32_t crc32c_words(std::uint32_t first, const std::uint64_t (&words)[kWords],
                           std::uint32_t seed) {
#if defined(__SSE4_2__)
    std::uint64_t state = _mm_crc32_u32(~seed, first);
    for (const std::uint64_t word : words) state = _mm_crc32_u64(state, word);
    return ~static_cast<std::uint32_t>(state);
#else
    char bytes[4 + 8 * kWords];
    store_le(bytes, first);
    for (std::size_t i = 0; i < kWords; ++i) store_le(bytes + 4 + 8 * i, words[i]);
    return crc32c(Bytes(bytes, sizeof bytes), seed);
#endif
}

}  // namespace fulgur
