// Lets operations in until somebody closes, and lets who closes wait for those that are inside:
// once a database's directory is let go, somebody else may own the files.
//
// Memory model: `enter` adds to the count and then reads `closed_`; `close` stores `closed_` and
// then reads the count. All four are sequentially consistent, so one of the two sees the other:
// either the operation finds the gate closed and goes away, or close finds it counted and waits.
#pragma once

#include <atomic>
#include <cstdint>

namespace fulgur {

class OperationGate {
public:
    /// @return false when the gate is closed.
    bool enter() {
        inside_.fetch_add(1);
        if (!closed_.load()) [[likely]] {
            return true;
        }
        leave();
        return false;
    }
    void leave() {
        if (inside_.fetch_sub(1) == 1 && closed_.load()) inside_.notify_all();
    }
    bool closed() const { return closed_.load(std::memory_order_acquire); }

    /// @return false when it was closed before.
    bool close() { return !closed_.exchange(true); }
    /// What was to be done after `close` is done: for those who closed second and wait.
    void finish() {
        finished_.store(true);
        finished_.notify_all();
    }
    void wait_until_finished() const { finished_.wait(false); }
    /// Returns when nobody is inside. After `close`.
    void wait_until_empty() {
        for (std::uint32_t inside = inside_.load(); inside != 0; inside = inside_.load()) {
            inside_.wait(inside);
        }
    }

private:
    // Lines of their own: readers look at `closed_` all the time.
    alignas(64) std::atomic<std::uint32_t> inside_{0};
    alignas(64) std::atomic<bool> closed_{false};
    std::atomic<bool> finished_{false};
};

/// An operation's stay inside.
class GatePass {
public:
    explicit GatePass(OperationGate& gate) : gate_(gate), entered_(gate.enter()) {}
    ~GatePass() {
        if (entered_) gate_.leave();
    }
    GatePass(const GatePass&) = delete;
    GatePass& operator=(const GatePass&) = delete;
    /// False: the gate is closed.
    explicit operator bool() const { return entered_; }

private:
    OperationGate& gate_;
    const bool entered_;
};

}  // namespace fulgur
