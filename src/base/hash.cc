// The streaming form is too large to be inlined by force where little is optimised.
#define XXH_NO_INLINE_HINTS 1
#include "base/hash.h"

namespace fulgur {

struct Hash64Stream::State {
    XXH3_state_t xxh;
};

Hash64Stream::Hash64Stream() : state_(std::make_unique<State>()) {
    XXH3_64bits_reset(&state_->xxh);
}
Hash64Stream::~Hash64Stream() = default;

void Hash64Stream::add(Bytes bytes) {
    XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}

std::uint64_t Hash64Stream::result() const { return XXH3_64bits_digest(&state_->xxh); }

}  // namespace fulgur
