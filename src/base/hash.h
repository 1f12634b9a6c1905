#pragma once

#include <cstdint>

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL  // Short keys are hashed by a few instructions: a call would cost as much.
#endif
#include <xxhash.h>

#include <fulgur/bytes.h>

namespace fulgur {

/// XXH3-64 (Yann Collet, https://xxhash.com), seed 0: page checksums and key fingerprints. Stable
/// for ever: it is on disk. Not for adversaries: whoever may choose keys can make collisions.
inline std::uint64_t hash64(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace fulgur
