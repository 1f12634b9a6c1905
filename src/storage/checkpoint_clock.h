// Which checkpoint comes next or is running, and so from which one on something that is let go just
// now is not needed any more.
//
// One atomic word, so that number and attempt are read together. It is read under the latch of the
// page that the thing hangs on, where the walker's passing is known for sure (`emitted`), and
// inside SpaceManager, so that a tag and the end of an abandoned attempt do not cross.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/planted.h"

namespace fulgur::storage {

class CheckpointClock {
public:
    /// Identifies an attempt at a checkpoint: never 0, never used twice.
    using Attempt = std::uint64_t;
    /// 16 million attempts at one checkpoint, and 2^40 checkpoints.
    static constexpr unsigned kAttemptBits = 24;
    static constexpr std::uint64_t kAttemptsMax = (std::uint64_t{1} << kAttemptBits) - 1;
    /// Instead of an attempt: no image refers to the thing, but log records may that the running
    /// checkpoint still replays.
    static constexpr Attempt kLoggedOnly = ~Attempt{0};

    static constexpr Attempt attempt_of(std::uint64_t number, std::uint64_t attempt) {
        return number << kAttemptBits | attempt;
    }

    /// Begins (attempt > 0) or ends (0) an attempt at checkpoint `number`.
    void set(std::uint64_t number, std::uint64_t attempt) {
        word_.store(attempt_of(number, attempt), std::memory_order_release);
    }
    std::uint64_t number() const { return load() >> kAttemptBits; }
    /// The running attempt.
    Attempt attempt() const { return load(); }
    /// The first checkpoint that will not need something let go just now.
    /// @param emitted  the attempt that last wrote the place where it was.
    std::uint64_t first_without(Attempt emitted) const {
        const std::uint64_t word = load();
        const bool running = (word & kAttemptsMax) != 0;
        const bool needed = emitted == word || emitted == kLoggedOnly;
        return (word >> kAttemptBits) + (running && needed ? 1 : 0);
    }

    /// The first checkpoint that may refer to an image made just now.
    std::uint64_t first_with() const {
        const std::uint64_t word = load();
        return (word >> kAttemptBits) + ((word & kAttemptsMax) != 0 ? 1 : 0);
    }

    /// Images of the walk wait in its writer's buffer: whether the one with that ticket (0: one of
    /// another origin) can be read.
    bool is_written(std::uint64_t ticket) const {
        return ticket <= written_.load(std::memory_order_acquire) ||
               FULGUR_PLANTED("unwritten_image_evicted");
    }
    void set_written(std::uint64_t ticket) { written_.store(ticket, std::memory_order_release); }

private:
    std::uint64_t load() const { return word_.load(std::memory_order_acquire); }
    std::atomic<std::uint64_t> word_{attempt_of(1, 0)};
    std::atomic<std::uint64_t> written_{0};
};

}  // namespace fulgur::storage
