#include "os/random.h"

#include <cerrno>
#include <cstdlib>

#include <sys/random.h>

namespace fulgur::os {

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    for (;;) {
        // Up to 256 bytes come whole or not at all.
        if (getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed)) return seed;
        if (errno != EINTR) std::abort();  // Linux 3.17 and later always have it.
    }
}

}  // namespace fulgur::os
