#include "os/thread.h"

#include <atomic>
#include <cerrno>
#include <utility>

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "os/random.h"

namespace fulgur::os {

struct Thread::Handle {
    pthread_t id{};
    std::string name;
    std::function<void()> function;

    static void* run(void* argument) {
        auto* handle = static_cast<Handle*>(argument);
        pthread_setname_np(pthread_self(), handle->name.c_str());  // Only for people: may fail.
        handle->function();
        return nullptr;
    }
};

Thread::Thread() noexcept = default;

Thread::Thread(const std::string& name, std::function<void()> function)
    : Thread(start(name, std::move(function)).value()) {}

Thread::Thread(Thread&& other) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
    if (this != &other) {
        join();
        handle_ = std::move(other.handle_);
    }
    return *this;
}

Thread::~Thread() { join(); }

Result<Thread> Thread::start(const std::string& name, std::function<void()> function) {
    Thread thread;
    thread.handle_ = std::make_unique<Handle>();
    thread.handle_->name = name.substr(0, 15);
    thread.handle_->function = std::move(function);
    const int error =
        pthread_create(&thread.handle_->id, nullptr, Handle::run, thread.handle_.get());
    if (error != 0) {
        thread.handle_.reset();
        return Error(ErrorCode::kLimit,
                     "cannot start a thread: raise the limit of processes (ulimit -u, pids.max)")
            .at(name)
            .os(error);
    }
    return thread;
}

void Thread::join() {
    if (handle_ == nullptr) return;
    pthread_join(handle_->id, nullptr);
    handle_.reset();
}

void yield() { sched_yield(); }

void sleep_us(std::uint64_t us) {
    timespec rest{};
    rest.tv_sec = static_cast<time_t>(us / 1'000'000);
    rest.tv_nsec = static_cast<long>(us % 1'000'000 * 1'000);
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR) {
    }
}

namespace {
constinit std::atomic<std::uint64_t> yield_seed{0};
}  // namespace

void set_yield_seed(std::uint64_t seed) { yield_seed.store(seed, std::memory_order_relaxed); }

#if defined(FULGUR_YIELD_POINTS)

namespace {
constinit std::atomic<std::uint64_t> threads_seen{0};
}  // namespace

void yield_point(const char* where) {
    const std::uint64_t seed = yield_seed.load(std::memory_order_relaxed);
    if (seed == 0) return;
    // Each thread draws from a stream of its own: seed and order of first arrival.
    thread_local const std::uint64_t ordinal = threads_seen.fetch_add(1, std::memory_order_relaxed);
    thread_local std::uint64_t seeded_with = 0;
    thread_local Random random(0);
    if (seeded_with != seed) {
        random = Random(seed * 1'000'003 + ordinal);
        seeded_with = seed;
    }
    // The place takes part, so that a seed favours some places over others.
    std::uint64_t place = seed;
    for (const char* c = where; *c != 0; ++c) place = place * 31 + static_cast<std::uint8_t>(*c);
    const std::uint64_t draw = random.below(16 + place % 48);
    if (draw == 0) {
        sleep_us(random.between(1, 100));
    } else if (draw < 4) {
        yield();
    }
}

#endif

}  // namespace fulgur::os
