#include "bench/open_loop.h"

#include <array>
#include <cmath>

#include "bench/workload.h"
#include "os/thread.h"

namespace fulgur::bench {

namespace {

constexpr std::array<const char*, 4> kNames = {"constant", "ramp", "spike", "burst"};
constexpr double kSpikeFrom = 0.45, kSpikeTo = 0.55, kSpikeFactor = 5;

}  // namespace

const char* name_of(OpenLoop::Pattern pattern) { return kNames[static_cast<std::size_t>(pattern)]; }

bool parse_pattern(const std::string& word, OpenLoop::Pattern& pattern) {
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        if (word != kNames[i]) continue;
        pattern = static_cast<OpenLoop::Pattern>(i);
        return true;
    }
    return false;
}

// Each is the inverse of "operations that should have begun by then".
double Schedule::start_of(std::uint64_t n) const {
    const double rate = load_.rate, count = double(n);
    switch (load_.pattern) {
        case OpenLoop::Pattern::kConstant:
            break;
        case OpenLoop::Pattern::kRamp:
            return std::sqrt(2 * count * seconds_ / rate);
        case OpenLoop::Pattern::kSpike: {
            const double before = rate * seconds_ * kSpikeFrom;
            const double inside = rate * kSpikeFactor * seconds_ * (kSpikeTo - kSpikeFrom);
            if (count < before) break;
            if (count < before + inside) {
                return seconds_ * kSpikeFrom + (count - before) / (rate * kSpikeFactor);
            }
            return seconds_ * kSpikeTo + (count - before - inside) / rate;
        }
        case OpenLoop::Pattern::kBurst: {
            const double second = std::floor(count / rate);
            return second + (count - second * rate) / (2 * rate);
        }
    }
    return count / rate;
}

std::uint64_t Schedule::operations() const {
    std::uint64_t low = 0;
    auto high = static_cast<std::uint64_t>(load_.rate * seconds_ * (1 + kSpikeFactor)) + 1;
    while (low < high) {
        const std::uint64_t middle = (low + high) / 2;
        if (start_of(middle) < seconds_) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

OpenLoopResult run_open_loop(Task& task, const Schedule& schedule, std::uint64_t first,
                             std::uint64_t step, os::Clock& clock) {
    constexpr std::uint64_t kSleepFromNs = 100'000;
    OpenLoopResult result;
    const std::uint64_t begin = clock.now_ns();
    const std::uint64_t end = schedule.operations();
    for (std::uint64_t n = first; n < end; n += step) {
        const auto intended = begin + static_cast<std::uint64_t>(schedule.start_of(n) * 1e9);
        for (std::uint64_t now = clock.now_ns(); now < intended; now = clock.now_ns()) {
            if (intended - now > kSleepFromNs) os::sleep_us((intended - now - kSleepFromNs) / 1000);
        }
        result.verified += task.run(1);
        const std::uint64_t now = clock.now_ns();
        result.latency_ns.record(now - intended);
        ++result.operations;
        const std::size_t second = (now - begin) / 1'000'000'000;
        if (second >= result.per_second.size()) result.per_second.resize(second + 1);
        result.per_second[second] += 1;
    }
    return result;
}

}  // namespace fulgur::bench
