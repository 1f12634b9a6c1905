#pragma once

#include <cstdint>

#include <fulgur/bytes.h>

namespace fulgur {

/// CRC-32C (Castagnoli, as in iSCSI, RFC 3720) of `bytes`. With `seed` = the CRC of what came
/// before, the result is the CRC of both together; 0 begins. Uses the processor's instruction
/// where there is one, chosen at the first call. Any thread.
std::uint32_t crc32c(Bytes bytes, std::uint32_t seed = 0);

/// The same, by tables: for machines without the instruction, and for tests.
std::uint32_t crc32c_portable(Bytes bytes, std::uint32_t seed = 0);

}  // namespace fulgur
