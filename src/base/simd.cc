#include "base/simd.h"

namespace fulgur {

#if defined(FULGUR_MATCH_AT_RUN_TIME)
const bool detail::has_avx512 = __builtin_cpu_supports("avx512bw") != 0;
#endif

}  // namespace fulgur
