#pragma once

#include <cstdint>
#include <memory>

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
    Hash64Stream();
    ~Hash64Stream();
    Hash64Stream(const Hash64Stream&) = delete;
    Hash64Stream& operator=(const Hash64Stream&) = delete;
    void add(Bytes bytes);
    std::uint64_t result() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace fulgur
