#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/thread_annotations.h"

// std::mutex carries no thread-safety annotations with libstdc++; these do, and add nothing else.

namespace fulgur::os {

class CAPABILITY("mutex") Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock() ACQUIRE() { mutex_.lock(); }
    void unlock() RELEASE() { mutex_.unlock(); }
    bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
    /// For the analysis only: says that the caller holds it where that cannot be seen.
    void assert_held() const ASSERT_CAPABILITY(this) {}

private:
    friend class ConditionVariable;
    std::mutex mutex_;
};

/// Holds a mutex for a scope; may let it go in between.
class SCOPED_CAPABILITY MutexLock {
public:
    explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() RELEASE() {
        if (held_) mutex_.unlock();
    }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

    void unlock() RELEASE() {
        mutex_.unlock();
        held_ = false;
    }
    void lock() ACQUIRE() {
        mutex_.lock();
        held_ = true;
    }

private:
    Mutex& mutex_;
    bool held_ = true;
};

/// Waiting for a change of what a mutex guards. Wake-ups may be spurious: wait in a loop over the
/// condition itself.
class ConditionVariable {
public:
    /// Lets `mutex` go while it waits, and holds it again when it returns.
    void wait(Mutex& mutex) REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        condition_.wait(lock);
        lock.release();
    }

    /// @return false when `ms` milliseconds passed without a notification.
    bool wait_for_ms(Mutex& mutex, std::uint64_t ms) REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        const auto status = condition_.wait_for(lock, std::chrono::milliseconds(ms));
        lock.release();
        return status == std::cv_status::no_timeout;
    }

    void notify_one() { condition_.notify_one(); }
    void notify_all() { condition_.notify_all(); }

private:
    std::condition_variable condition_;
};

}  // namespace fulgur::os
