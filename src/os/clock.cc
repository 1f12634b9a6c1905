#include "os/clock.h"

#include <time.h>

namespace fulgur::os {
namespace {

std::uint64_t read_ns(clockid_t id) {
    timespec now{};
    clock_gettime(id, &now);  // Cannot fail: these clocks exist everywhere.
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

class RealClock final : public Clock {
public:
    std::uint64_t now_ns() override { return read_ns(CLOCK_MONOTONIC); }
    std::uint64_t wall_ms() override { return read_ns(CLOCK_REALTIME) / 1'000'000; }
};

}  // namespace

std::uint64_t process_cpu_ns() { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }

Clock& real_clock() {
    static RealClock clock;
    return clock;
}

}  // namespace fulgur::os
