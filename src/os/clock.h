#pragma once

#include <cstdint>

namespace fulgur::os {

/// Time as a port. Thread-safe.
class Clock {
public:
    virtual ~Clock() = default;
    /// Monotone, in nanoseconds from an arbitrary start.
    virtual std::uint64_t now_ns() = 0;
    /// Wall clock, milliseconds since 1970 UTC.
    virtual std::uint64_t wall_ms() = 0;
};

Clock& real_clock();

/// Processor time that all threads of this process have taken, in nanoseconds.
std::uint64_t process_cpu_ns();

}  // namespace fulgur::os
