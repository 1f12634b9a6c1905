// The suite that every driver of the store has to pass: a library, so that the tests run it and the
// command too (`fulgur store-conformance URL`), on a server of the user's own.
//
// Each check works in a range of keys of its own, which it erases at the end. A check passes on any
// store that keeps the promises of fulgur/store.h, however often it lets transactions begin again;
// what only some drivers do (no false conflicts, say) is not checked here.
//
// Thread safety: one thread runs a check; checks start threads of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include <fulgur/store.h>

namespace fulgur::store {

class Trial;

struct ConformanceOptions {
    std::uint64_t seed = 1;
    /// How much the random checks and the threads do, in percent.
    std::uint64_t effort_percent = 100;
    /// Lets the store's time pass; empty: transactions that are too old are not checked.
    std::function<void(std::uint64_t ms)> pass_time = {};
};

struct ConformanceCheck {
    const char* name;
    void (*run)(Trial& trial);
};

std::span<const ConformanceCheck> conformance_checks();

/// @return none: the check passed; else what was wrong.
std::optional<std::string> run_check(const ConformanceCheck& check, Store& store,
                                     const ConformanceOptions& options);

}  // namespace fulgur::store
