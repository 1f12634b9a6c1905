#include "store/marks.h"

#include <algorithm>

#include "base/coding.h"
#include "base/planted.h"
#include "os/random.h"
#include "os/thread.h"

namespace fulgur::store {

namespace {

std::string number_bytes(std::uint64_t number) {
    std::string bytes(sizeof(number), '\0');
    store_le(bytes.data(), number);
    return bytes;
}

}  // namespace

// ---- Marks --------------------------------------------------------------------------------------

Marks::Marks() : session_(number_bytes(os::random_seed()) + number_bytes(os::random_seed())) {}

std::string Marks::name(std::uint64_t place) const { return session_ + number_bytes(place); }

std::string Marks::take() {
    const os::MutexLock lock(mutex_);
    if (free_.empty()) return name(places_++);
    std::string taken = std::move(free_.back());
    free_.pop_back();
    return taken;
}

void Marks::give_back(std::string name) {
    const os::MutexLock lock(mutex_);
    free_.push_back(std::move(name));
}

std::vector<std::string> Marks::all() {
    const os::MutexLock lock(mutex_);
    std::vector<std::string> names;
    for (std::uint64_t place = 0; place < places_; ++place) names.push_back(name(place));
    return names;
}

// ---- Run ----------------------------------------------------------------------------------------

Run::Run(Store& store, Marks& marks, const Work& work)
    : store_(store), marks_(marks), work_(work) {}

Run::~Run() {
    if (mark_) marks_.give_back(*std::move(mark_));
}

Result<Version> Run::run(const RunOptions& options) {
    for (std::uint32_t failures = 0;;) {
        Result<Version> done = attempt();
        if (done || !is_retryable(done.error().code())) return done;
        if (++failures >= options.attempts_max) return done;
        back_off(failures);
    }
}

Result<Version> Run::attempt() {
    Result<std::unique_ptr<StoreTransaction>> begun = store_.begin();
    if (!begun) return begun.error();
    std::unique_ptr<StoreTransaction> transaction = *std::move(begun);
    if (Result<void> worked = work_(*transaction); !worked) return worked.error();
    if (transaction->ended()) {
        return Error(ErrorCode::kInvalid, "the function of Store::run ended the transaction");
    }
    const bool marked = store_.capabilities().unknown_results && transaction->has_writes();
    if (marked) {
        if (Result<void> done = mark(*transaction); !done) return done.error();
    }
    Result<Version> done = transaction->commit();
    if (done || done.error().code() != ErrorCode::kUnknownResult || !marked) return done;
    transaction.reset();
    const Error lost(ErrorCode::kConflict, "the commit did not reach the store");
    if (FULGUR_PLANTED("unknown_result_runs_again")) return lost;
    Result<std::optional<Version>> settled = settle();
    if (!settled) return done;
    if (!*settled) return lost;
    return **settled;
}

Result<void> Run::mark(StoreTransaction& transaction) {
    if (!mark_) mark_ = marks_.take();
    number_ = marks_.next_number();
    Result<std::optional<std::string>> before = transaction.get_mark(*mark_);
    if (!before) return before.error();
    return transaction.put_mark(*mark_, number_bytes(number_));
}

/// @return the version of the commit or a later one; none: there was none and never will be.
Result<std::optional<Version>> Run::settle() {
    constexpr std::uint32_t kAttempts = 64;
    for (std::uint32_t failures = 0;;) {
        Result<std::optional<Version>> settled = settle_once();
        if (settled) return settled;
        const ErrorCode code = settled.error().code();
        if (!is_retryable(code) && code != ErrorCode::kUnknownResult) return settled;
        if (++failures == kAttempts) return settled;
        back_off(failures);
    }
}

Result<std::optional<Version>> Run::settle_once() {
    Result<std::unique_ptr<StoreTransaction>> begun = store_.begin();
    if (!begun) return begun.error();
    StoreTransaction& transaction = **begun;
    Result<std::optional<std::string>> found = transaction.get_mark(*mark_);
    if (!found) return found.error();
    const std::uint64_t number = *found && (*found)->size() == sizeof(number_)
                                     ? load_le<std::uint64_t>((*found)->data())
                                     : 0;
    const bool committed = number == number_;
    // Greater than the attempt's: written here before, with an unknown result.
    if (number < number_ && !FULGUR_PLANTED("settling_does_not_fence")) {
        Result<void> put = transaction.put_mark(*mark_, number_bytes(marks_.next_number()));
        if (!put) return put.error();
    }
    Result<Version> version = transaction.commit();
    if (!version) return version.error();
    return committed ? std::optional<Version>(*version) : std::optional<Version>();
}

/// Random, so that those who met once do not meet again.
void Run::back_off(std::uint32_t failures) const {
    constexpr std::uint32_t kDoublings = 8;
    const bool far = store_.capabilities().latency == StoreCapabilities::Latency::kNetwork;
    const std::uint64_t first_us = far ? 1'000 : 40;
    const std::uint64_t most_us = far ? 200'000 : 10'000;
    thread_local os::Random random(os::random_seed());
    os::sleep_us(random.below(std::min(most_us, first_us << std::min(failures, kDoublings))));
}

}  // namespace fulgur::store
