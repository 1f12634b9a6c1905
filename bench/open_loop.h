// Load that does not wait for answers: each operation has an intended start, and its latency counts
// from there, also when the side was late with the one before ("coordinated omission" is what
// leaving that out is called; Gil Tene, 2013).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "os/clock.h"

namespace fulgur::bench {

class Task;

struct OpenLoop {
    enum class Pattern : std::uint8_t {
        kConstant,
        kRamp,   ///< from nothing to the rate
        kSpike,  ///< the rate, and five times the rate in the middle tenth
        kBurst,  ///< twice the rate for half of each second, nothing for the other half
    };
    double rate = 0;  ///< operations a second, all threads together; 0: closed loop
    Pattern pattern = Pattern::kConstant;
};

/// The intended starts, by their number: seconds from the beginning. Pure, for one thread of
/// several.
class Schedule {
public:
    Schedule(OpenLoop load, double seconds) : load_(load), seconds_(seconds) {}
    /// When operation `n` should start; ascending in n.
    double start_of(std::uint64_t n) const;
    /// Operations that start within the run.
    std::uint64_t operations() const;

private:
    OpenLoop load_;
    double seconds_;
};

/// The word of a pattern, or nothing.
const char* name_of(OpenLoop::Pattern pattern);
bool parse_pattern(const std::string& word, OpenLoop::Pattern& pattern);

/// What a thread of an open loop saw.
struct OpenLoopResult {
    Histogram latency_ns;
    std::vector<double> per_second;
    std::uint64_t operations = 0;
    std::uint64_t verified = 0;
};

/// Runs every `step`-th operation of the schedule from `first` on. Sleeps when it is early by more
/// than a tenth of a millisecond, else looks at the clock.
OpenLoopResult run_open_loop(Task& task, const Schedule& schedule, std::uint64_t first,
                             std::uint64_t step, os::Clock& clock);

}  // namespace fulgur::bench
