#include "base/planted.h"

#if defined(FULGUR_PLANTED_FAULTS)

#include <cstdlib>
#include <cstring>

namespace fulgur {

bool is_planted(const char* name) noexcept {
    static const char* const live = std::getenv("FULGUR_PLANT");  // tidy-allow: system (tests only)
    return live != nullptr && std::strcmp(live, name) == 0;
}

}  // namespace fulgur

#endif
