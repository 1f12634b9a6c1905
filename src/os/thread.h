#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <fulgur/result.h>

namespace fulgur::os {

/// A thread that is joined when the object ends. Whoever ends it first tells the function to stop.
/// An object without a thread (default or moved from) does nothing.
class Thread {
public:
    Thread() noexcept;
    /// Ends the program when the system refuses; see `start`.
    Thread(const std::string& name, std::function<void()> function);
    Thread(Thread&&) noexcept;
    Thread& operator=(Thread&&) noexcept;
    ~Thread();

    /// @param name  for debuggers and `top -H`; cut to 15 bytes.
    /// @return kLimit when the system allows no more threads.
    static Result<Thread> start(const std::string& name, std::function<void()> function);

    /// Waits for the function to return; then the object has no thread.
    void join();
    bool joinable() const noexcept { return handle_ != nullptr; }

private:
    struct Handle;
    std::unique_ptr<Handle> handle_;
};

/// Lets other threads run.
void yield();
void sleep_us(std::uint64_t us);

// Yield points stand where two threads could meet: after the sequence is taken, before a swap, ...
// In builds with FULGUR_YIELD_POINTS a seed decides at each of them whether the thread goes on,
// yields or sleeps some microseconds: seeds drive interleavings. In other builds they are nothing.

/// Begins a schedule; 0, the default, means none.
void set_yield_seed(std::uint64_t seed);

#if defined(FULGUR_YIELD_POINTS)
void yield_point(const char* where);
#else
inline void yield_point(const char* /*where*/) {}
#endif

}  // namespace fulgur::os
