// Distributions that many threads record into: latencies in nanoseconds, sizes of groups.
//
// A Histogram belongs to one thread at a time, so each stripe here has a mutex: it is taken by who
// records, which whoever samples does once in 1,024 operations, and by who reads all. Nobody holds
// it for longer than one record or one addition of a stripe, nor takes another lock meanwhile.
// Threads spread over stripes by a number of their own choice (a reader's slot); a stripe too few
// costs waiting, never a count.
//
// Memory model: everything in a stripe is written and read under its mutex. A reading that goes
// over the stripes is not one moment of all of them, but each value is in it once or not yet, and
// is in every later reading.
#pragma once

#include <cstdint>
#include <memory>

#include "base/histogram.h"
#include "base/thread_annotations.h"
#include "os/mutex.h"

namespace fulgur::storage {

/// What was recorded up to now.
struct Recorded {
    Histogram values;
    std::uint64_t sum = 0;
};

class SharedHistogram {
public:
    explicit SharedHistogram(std::size_t stripes = 1)
        : stripes_(std::make_unique<Stripe[]>(stripes)), size_(stripes) {}

    /// From now on recording up to about a second into this stripe allocates nothing.
    void prepare(std::size_t stripe) {
        constexpr std::uint64_t kPreparedNs = 1'000'000'000;
        Stripe& of = stripes_[stripe % size_];
        os::MutexLock lock(of.mutex);
        of.recorded.values.record(kPreparedNs, 0);
    }
    void record(std::uint64_t value, std::size_t stripe = 0) {
        Stripe& of = stripes_[stripe % size_];
        os::MutexLock lock(of.mutex);
        of.recorded.values.record(value);
        of.recorded.sum += value;
    }
    Recorded read() const {
        Recorded all;
        for (std::size_t i = 0; i < size_; ++i) {
            Stripe& of = stripes_[i];
            os::MutexLock lock(of.mutex);
            if (of.recorded.values.empty()) continue;
            all.values.add(of.recorded.values);
            all.sum += of.recorded.sum;
        }
        return all;
    }

private:
    struct alignas(64) Stripe {
        mutable os::Mutex mutex;
        Recorded recorded GUARDED_BY(mutex);
    };
    std::unique_ptr<Stripe[]> stripes_;
    std::size_t size_;
};

}  // namespace fulgur::storage
