// Threads, mutexes, the process barrier, random numbers, the machine.

#include "os/thread.h"

#include <atomic>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "os/barrier.h"
#include "os/clock.h"
#include "os/machine.h"
#include "os/mutex.h"
#include "os/random.h"

namespace fulgur::os {
namespace {

TEST(ThreadTest, JoinsWhenItEndsAndWhenReplaced) {
    std::atomic<int> ran{0};
    {
        Thread thread("a-name-longer-than-fifteen-bytes", [&] {
            sleep_us(2000);
            ++ran;
        });
        EXPECT_TRUE(thread.joinable());
        thread = Thread("second", [&] { ++ran; });
        EXPECT_GE(ran.load(), 1);
        Thread moved = std::move(thread);
        EXPECT_FALSE(thread.joinable());  // NOLINT: a moved-from thread is nothing, by promise.
        moved.join();
        EXPECT_FALSE(moved.joinable());
    }
    EXPECT_EQ(ran.load(), 2);
    Thread nothing;
    nothing.join();
}

TEST(ThreadTest, YieldPointsMayStandAnywhereUnderAnySeed) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        set_yield_seed(seed);
        Thread thread("yield-test", [] {
            for (int i = 0; i < 300; ++i) yield_point("elsewhere");
        });
        for (int i = 0; i < 300; ++i) yield_point("here");
    }
    set_yield_seed(0);
}

struct Counter {
    Mutex mutex;
    ConditionVariable changed;
    int value GUARDED_BY(mutex) = 0;
};

TEST(MutexTest, GuardsAndWakes) {
    Counter counter;
    std::vector<Thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back("adder", [&counter] {
            for (int i = 0; i < 1000; ++i) {
                yield_point("test");
                MutexLock lock(counter.mutex);
                ++counter.value;
                if (counter.value == 4000) counter.changed.notify_all();
            }
        });
    }
    MutexLock lock(counter.mutex);
    while (counter.value != 4000) counter.changed.wait(counter.mutex);
    EXPECT_EQ(counter.value, 4000);
    lock.unlock();
    threads.clear();
    lock.lock();
}

TEST(MutexTest, WaitEndsWithItsTime) {
    Counter counter;
    MutexLock lock(counter.mutex);
    const std::uint64_t before = real_clock().now_ns();
    while (counter.changed.wait_for_ms(counter.mutex, 5)) {
    }
    EXPECT_GE(real_clock().now_ns() - before, 5'000'000U);
}

// Dekker's pattern: at least one side sees the other.
TEST(BarrierTest, OneSideSeesTheOther) {
    std::atomic<int> often{0};
    std::atomic<int> rarely{0};
    std::atomic<int> round{0};
    std::atomic<int> often_saw{-1};
    constexpr int kRounds = 300;
    Thread thread("often", [&] {
        for (int i = 1; i <= kRounds; ++i) {
            while (round.load(std::memory_order_acquire) != i) yield();
            int saw;
            if (process_barrier_available()) {
                often.store(i, std::memory_order_relaxed);
                light_barrier();
                saw = rarely.load(std::memory_order_relaxed);
            } else {
                often.exchange(i);
                saw = rarely.load();
            }
            often_saw.store(saw, std::memory_order_release);
        }
    });
    for (int i = 1; i <= kRounds; ++i) {
        often_saw.store(-1);
        round.store(i, std::memory_order_release);
        rarely.exchange(i);
        process_barrier();
        const int saw = often.load(std::memory_order_relaxed);
        int other = -1;
        while ((other = often_saw.load(std::memory_order_acquire)) == -1) yield();
        ASSERT_TRUE(saw == i || other == i) << i;
    }
}

TEST(RandomTest, SeedRepeatsAndSeedsDiffer) {
    Random a(5);
    Random b(5);
    Random c(6);
    int equal = 0;
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t x = a.next();
        ASSERT_EQ(x, b.next());
        equal += x == c.next() ? 1 : 0;
    }
    EXPECT_EQ(equal, 0);
    EXPECT_NE(random_seed(), random_seed());
}

TEST(RandomTest, BoundsHold) {
    Random random(0);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) {
        seen.insert(random.between(3, 7));
        ASSERT_LT(random.below(1), 1U);
    }
    EXPECT_EQ(seen, (std::set<std::uint64_t>{3, 4, 5, 6, 7}));
    (void)random.between(0, ~std::uint64_t{0});
}

TEST(MachineTest, HasSomething) {
    EXPECT_GE(core_count(), 1U);
    EXPECT_GT(memory_bytes(), std::uint64_t{16} << 20);
    EXPECT_GT(process_id(), 0U);
    EXPECT_GT(real_clock().wall_ms(), 1'600'000'000'000U);
    const std::uint64_t before = real_clock().now_ns();
    EXPECT_GE(real_clock().now_ns(), before);
}

}  // namespace
}  // namespace fulgur::os
