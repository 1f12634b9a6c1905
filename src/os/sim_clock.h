#pragma once

#include <atomic>
#include <cstdint>

#include "os/clock.h"

namespace fulgur::os {

/// A clock that stands still until it is told otherwise. Thread-safe.
class SimClock final : public Clock {
public:
    /// @param wall_ms  milliseconds since 1970 UTC at the start; by default in the year 2001.
    explicit SimClock(std::uint64_t wall_ms = 1'000'000'000'000) : wall_ns_(wall_ms * 1'000'000) {}

    std::uint64_t now_ns() override { return now_ns_.load(std::memory_order_relaxed); }
    std::uint64_t wall_ms() override {
        return wall_ns_.load(std::memory_order_relaxed) / 1'000'000;
    }

    /// Time passes, for both clocks.
    void advance_ns(std::uint64_t ns) {
        now_ns_.fetch_add(ns, std::memory_order_relaxed);
        wall_ns_.fetch_add(ns, std::memory_order_relaxed);
    }
    void advance_ms(std::uint64_t ms) { advance_ns(ms * 1'000'000); }

    /// Somebody sets the wall clock; it may go backward. The monotone clock does not notice.
    void set_wall_ms(std::uint64_t ms) {
        wall_ns_.store(ms * 1'000'000, std::memory_order_relaxed);
    }

private:
    std::atomic<std::uint64_t> now_ns_{0};
    std::atomic<std::uint64_t> wall_ns_;
};

}  // namespace fulgur::os
