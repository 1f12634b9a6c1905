// How `Store::run` finds out what an unknown result was.
//
// Each run that writes has a mark to itself: a row beside the store's map, named by the session (16
// random bytes, drawn when the store is opened) and a place in it, which later runs use again. Each
// attempt has a number that no other attempt of the session has. The attempt reads its mark and
// writes its number there, in the same transaction as everything else.
//
// After an unknown result the mark is read in a new transaction:
//   it holds the attempt's number    the attempt committed
//   it does not                      a new number is written there. When that is committed, the
//                                    attempt never can be, however late it comes: it read the mark,
//                                    and what it read was changed. So the work may run again.
// Writing the new number may end with an unknown result as well: then all of this is done again, on
// what the mark holds by then. Nobody but the one run uses the mark meanwhile.
//
// `close` erases the session's marks; a killed process leaves as many as it had runs at one time.
//
// Thread safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/store.h>

#include "os/mutex.h"

namespace fulgur::store {

class Marks {
public:
    Marks();

    /// A mark that nobody else uses until it is given back.
    std::string take();
    void give_back(std::string name);
    std::uint64_t next_number() { return last_number_.fetch_add(1) + 1; }

    /// Names of all marks that were ever taken. For the end, when nobody takes any more.
    std::vector<std::string> all();

private:
    std::string name(std::uint64_t place) const;

    const std::string session_;
    std::atomic<std::uint64_t> last_number_{0};
    os::Mutex mutex_;
    std::vector<std::string> free_ GUARDED_BY(mutex_);
    std::uint64_t places_ GUARDED_BY(mutex_) = 0;
};

/// One call of `Store::run`.
class Run {
public:
    using Work = std::function<Result<void>(StoreTransaction&)>;

    Run(Store& store, Marks& marks, const Work& work);
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    Result<Version> run(const RunOptions& options);

private:
    Result<Version> attempt();
    Result<void> mark(StoreTransaction& transaction);
    Result<std::optional<Version>> settle();
    Result<std::optional<Version>> settle_once();
    void back_off(std::uint32_t failures) const;

    Store& store_;
    Marks& marks_;
    const Work& work_;
    std::optional<std::string> mark_;
    std::uint64_t number_ = 0;  ///< of the attempt
};

}  // namespace fulgur::store
