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

/// hash64 of bytes that come in parts.
class Hash64Stream {
public:
    Hash64Stream() { XXH3_64bits_reset(&state_); }
    void add(Bytes bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
    std::uint64_t result() const { return XXH3_64bits_digest(&state_); }

private:
    XXH3_state_t state_;
};

}  // namespace fulgur
