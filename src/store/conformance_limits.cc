// Checks of the conformance suite: limits, the age of transactions, and atomic operations.
#include <limits>
#include <string>

#include "base/coding.h"
#include "store/embedded.h"
#include "store/trial.h"

namespace fulgur::store {

namespace {

/// Larger values than this are left to the tests of whoever stores them.
constexpr std::uint64_t kTriedBytesMax = 64_MiB;

/// `put` of one row at a limit must come through, and one byte past it must not be taken.
void hold_limit(Trial& trial, const std::string& what, const std::string& name_at,
                const std::string& value_at, const std::string& name_past,
                const std::string& value_past) {
    trial.play([&](Scene& scene) {
        const auto full = [&](const std::string& name) {
            // Up to the length that was asked for, the scene's prefix included.
            const std::string& prefix = scene.prefix();
            return name.size() > prefix.size() ? prefix + name.substr(prefix.size())
                                               : scene.key(name);
        };
        Result<std::unique_ptr<StoreTransaction>> begun = scene.trial().store().begin();
        if (!begun) return scene.stop(begun.error(), "begin");
        StoreTransaction& transaction = **begun;
        Result<void> put = transaction.put(full(name_at), value_at);
        if (!put) return scene.stop(put.error(), (what + " at its limit").c_str());
        put = transaction.put(full(name_past), value_past);
        if (put || put.error().code() != ErrorCode::kLimit) {
            return scene.fail(what + " past its limit is not kLimit");
        }
        // The rest stands.
        Result<Version> done = transaction.commit();
        if (!done) return scene.stop(done.error(), (what + " at its limit").c_str());
        Actor reader = scene.begin();
        const StorePage page = reader.page("", "", {});
        if (scene.over()) return;
        if (page.rows.size() != 1 || page.rows[0].key != full(name_at) ||
            page.rows[0].value != value_at) {
            scene.fail(what + " at its limit is not there, or more is");
        }
    });
}

/// Puts `rows` rows of `bytes` bytes in one transaction. @return where it was refused.
Result<void> put_rows(Scene& scene, std::uint64_t rows, std::uint64_t bytes) {
    Result<std::unique_ptr<StoreTransaction>> begun = scene.trial().store().begin();
    if (!begun) return begun.error();
    const std::string value(bytes, 'v');
    for (std::uint64_t n = 0; n < rows; ++n) {
        Result<void> put = (*begun)->put(scene.key(numbered("row", n)), value);
        if (!put) return put;
    }
    Result<Version> done = (*begun)->commit();
    return done ? Result<void>() : Result<void>(done.error());
}

void refuse_rows(Trial& trial, const std::string& what, std::uint64_t rows, std::uint64_t bytes) {
    trial.play([&](Scene& scene) {
        const Result<void> done = put_rows(scene, rows, bytes);
        if (done) return scene.fail(what + " past the limit of a transaction was committed");
        if (done.error().code() != ErrorCode::kLimit) return scene.stop(done.error(), "too large");
        scene.then("", what + " past the limit left something behind");
    });
    trial.play([&](Scene& scene) {  // The store goes on, with a tenth of it.
        const Result<void> done = put_rows(scene, rows / 10, bytes);
        if (!done) scene.stop(done.error(), "less than the limit");
    });
}

}  // namespace

void holds_its_limits(Trial& trial) {
    const StoreCapabilities& limits = trial.limits();
    if (limits.key_bytes_max <= kTriedBytesMax) {
        const auto bytes = static_cast<std::size_t>(limits.key_bytes_max);
        hold_limit(trial, "a key", std::string(bytes, 'k'), "v", std::string(bytes + 1, 'l'), "v");
    }
    if (limits.value_bytes_max <= kTriedBytesMax) {
        const auto bytes = static_cast<std::size_t>(limits.value_bytes_max);
        hold_limit(trial, "a value", "a", std::string(bytes, 'v'), "b",
                   std::string(bytes + 1, 'v'));
    }
}

void refuses_what_is_too_large(Trial& trial) {
    const StoreCapabilities& limits = trial.limits();
    if (limits.transaction_bytes_max <= kTriedBytesMax) {
        constexpr std::uint64_t kRowBytes = 32_KiB;
        refuse_rows(trial, "bytes", limits.transaction_bytes_max / kRowBytes + 1, kRowBytes);
    }
    if (limits.mutations_max <= 1'000'000)
        refuse_rows(trial, "writes", limits.mutations_max + 1, 1);
}

void refuses_what_is_too_old(Trial& trial) {
    const StoreCapabilities& limits = trial.limits();
    if (limits.age_ms_max == StoreCapabilities::kUnlimited || !trial.options().pass_time) return;
    const auto too_old = [&](Scene& scene, const auto& result, const char* what) {
        if (result) return scene.fail(std::string(what) + " of an old transaction came through");
        if (result.error().code() == ErrorCode::kTooOld) return;
        scene.stop(result.error(), what);
    };
    trial.play([&](Scene& scene) {
        scene.given("a=1");
        Actor young = scene.begin();
        trial.options().pass_time(limits.age_ms_max / 2);
        scene.expect_equal(young.get("a"), "1", "a transaction of half the age");
        young.put("b", "2");
        young.commit();

        Result<std::unique_ptr<StoreTransaction>> reader = trial.store().begin();
        if (!reader) return scene.stop(reader.error(), "begin");
        Result<std::unique_ptr<StoreTransaction>> writer = trial.store().begin();
        if (!writer) return scene.stop(writer.error(), "begin");
        const Result<void> put = (*writer)->put(scene.key("c"), "3");
        if (!put) return scene.stop(put.error(), "put");
        trial.options().pass_time(limits.age_ms_max + 1);
        too_old(scene, (*reader)->get(scene.key("a")), "a get");
        too_old(scene, (*writer)->commit(), "a commit");
        scene.then("a=1 b=2", "after an old transaction");
    });
}

namespace {

std::string number_bytes(std::uint64_t number) {
    std::string bytes(sizeof(number), '\0');
    store_le(bytes.data(), number);
    return bytes;
}

}  // namespace

void counts_by_atomics(Trial& trial) {
    using enum AtomicOperation;
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
    struct Case {
        const char* what;
        std::optional<std::string> before;
        AtomicOperation operation;
        std::uint64_t number;
        std::uint64_t after;
    };
    const Case cases[] = {
        {"add to an absent key", std::nullopt, kAdd, 5, 5},
        {"add", number_bytes(7), kAdd, 5, 12},
        {"take away", number_bytes(7), kAdd, kMost, 6},
        {"below nothing", number_bytes(0), kAdd, kMost, kMost},
        {"past the end", number_bytes(kMost), kAdd, 2, 1},
        {"add to a short value", "\x02", kAdd, 5, 7},
        {"add to a long value", number_bytes(9) + "long", kAdd, 1, 10},
        {"add to an empty value", "", kAdd, 3, 3},
        {"min of an absent key", std::nullopt, kMin, 5, 5},
        {"min, less", number_bytes(7), kMin, 5, 5},
        {"min, more", number_bytes(7), kMin, 9, 7},
        {"min is unsigned", number_bytes(kMost), kMin, 1, 1},
        {"max of an absent key", std::nullopt, kMax, 5, 5},
        {"max, less", number_bytes(7), kMax, 5, 7},
        {"max, more", number_bytes(256), kMax, 511, 511},
        {"max is unsigned", number_bytes(1), kMax, kMost, kMost},
    };
    for (const Case& one : cases) {
        trial.play([&](Scene& scene) {
            Actor before = scene.begin();
            if (one.before) before.put("n", *one.before);
            before.commit();
            Actor actor = scene.begin();
            actor.atomic(one.operation, "n", one.number);
            scene.expect_equal(actor.get("n"), number_bytes(one.after),
                               std::string(one.what) + ", seen by itself");
            actor.atomic(kAdd, "n", 1);
            actor.commit();
            Actor reader = scene.begin();
            scene.expect_equal(reader.get("n"), number_bytes(one.after + 1), one.what);
        });
    }
}

}  // namespace fulgur::store
