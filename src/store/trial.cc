#include "store/trial.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace fulgur::store {

// ---- Trial --------------------------------------------------------------------------------------

Trial::Trial(Store& store, const ConformanceOptions& options, std::string prefix)
    : store_(store), options_(options), prefix_(std::move(prefix)) {}

std::uint64_t Trial::scaled(std::uint64_t n) const {
    return std::max<std::uint64_t>(1, n * options_.effort_percent / 100);
}

void Trial::fail(const std::string& what) {
    const os::MutexLock lock(mutex_);
    if (!failure_) failure_ = what;
}

bool Trial::failed() {
    const os::MutexLock lock(mutex_);
    return failure_.has_value();
}

std::optional<std::string> Trial::failure() {
    const os::MutexLock lock(mutex_);
    return failure_;
}

void Trial::expect_equal(const std::string& got, const std::string& wanted,
                         const std::string& what) {
    const auto shown = [](const std::string& text) {
        constexpr std::size_t kShown = 200;
        return '"' + text.substr(0, kShown) + (text.size() > kShown ? "..." : "") + '"';
    };
    if (got != wanted) fail(what + ": " + shown(got) + ", not " + shown(wanted));
}

void Trial::play(const std::function<void(Scene&)>& scene) {
    constexpr std::uint64_t kTimesMax = 1000;
    std::string why;
    for (std::uint64_t n = 0; n < kTimesMax && !failed(); ++n) {
        Scene once(*this, scenes_++);
        scene(once);
        if (!once.over()) return;
        why = once.why();
    }
    if (!failed()) fail("never came through, although it should: " + why);
}

void Trial::run(const std::function<Result<void>(StoreTransaction&)>& work) {
    const Result<Version> done = store_.run(work);
    if (!done) fail("run: " + done.error().message());
}

void Trial::clean_up() {
    for (bool more = true; more && !failed();) {
        run([&](StoreTransaction& transaction) -> Result<void> {
            Result<StorePage> page = transaction.range(fulgur::prefix(prefix_), {.limit = 100});
            if (!page) return page.error();
            more = page->continuation.has_value();
            for (const StoreRow& row : page->rows) {
                if (Result<void> erased = transaction.erase(row.key); !erased) return erased;
            }
            return {};
        });
    }
}

// ---- Scene --------------------------------------------------------------------------------------

Scene::Scene(Trial& trial, std::uint64_t number)
    : trial_(trial), prefix_(trial.prefix() + numbered("scene", number) + "/") {}

void Scene::stop(const Error& error, const char* what) {
    if (stopped_) return;
    const bool again = is_retryable(error.code()) || error.code() == ErrorCode::kUnknownResult;
    if (!again) trial_.fail(std::string(what) + ": " + error.message());
    stopped_ = true;
    why_ = std::string(what) + ": " + error.message();
}

Actor Scene::begin() {
    if (!stopped_) {
        Result<std::unique_ptr<StoreTransaction>> begun = trial_.store().begin();
        if (begun) return Actor(*this, *std::move(begun));
        stop(begun.error(), "begin");
    }
    return Actor(*this, nullptr);
}

void Scene::given(const std::string& rows) {
    trial_.run([&](StoreTransaction& transaction) -> Result<void> {
        for (std::size_t at = 0; at < rows.size();) {
            const std::size_t end = std::min(rows.find(' ', at), rows.size());
            const std::string row = rows.substr(at, end - at);
            at = end + 1;
            if (row.empty()) continue;
            const std::size_t equals = row.find('=');
            Result<void> put = transaction.put(key(row.substr(0, equals)), row.substr(equals + 1));
            if (!put) return put;
        }
        return {};
    });
}

void Scene::then(const std::string& rows, const std::string& what) {
    Actor reader = begin();
    const std::string seen = reader.walk("", "");
    expect_equal(seen, rows, what);
}

// ---- Actor --------------------------------------------------------------------------------------

Actor::Actor(Scene& scene, std::unique_ptr<StoreTransaction> transaction)
    : scene_(scene), transaction_(std::move(transaction)) {}

StoreTransaction* Actor::ready() { return scene_.over() ? nullptr : transaction_.get(); }

void Actor::note(const Result<void>& done, const char* what) {
    if (!done) scene_.stop(done.error(), what);
}

KeyRange Actor::range(Bytes begin, Bytes end) const {
    KeyRange all = prefix(scene_.prefix());
    all.begin += begin;
    if (!end.empty()) all.end = scene_.key(end);
    return all;
}

std::string Actor::get(Bytes name, ReadMode mode) {
    StoreTransaction* const transaction = ready();
    if (transaction == nullptr) return "-";
    Result<std::optional<Bytes>> found = transaction->get(scene_.key(name), mode);
    if (!found) scene_.stop(found.error(), "get");
    return found && *found ? std::string(**found) : "-";
}

StorePage Actor::page(Bytes begin, Bytes end, const RangeOptions& options) {
    constexpr std::uint64_t kPagesMax = 5000;
    StoreTransaction* const transaction = ready();
    if (transaction == nullptr) return {};
    if (++pages_ > kPagesMax) {
        scene_.stop(Error(ErrorCode::kInvalid, "the pages of a range do not end"), "range");
        return {};
    }
    Result<StorePage> page = transaction->range(range(begin, end), options);
    if (page) return *std::move(page);
    scene_.stop(page.error(), "range");
    return {};
}

std::string Actor::names_of(const std::vector<StoreRow>& rows) const {
    std::string text;
    for (const StoreRow& row : rows) {
        if (!text.empty()) text += ' ';
        const bool ours = row.key.starts_with(scene_.prefix());
        text += ours ? row.key.substr(scene_.prefix().size()) : Bytes("(foreign)");
        text += '=';
        text += row.value;
    }
    return text;
}

std::string Actor::walk(Bytes begin, Bytes end, std::size_t limit, bool reverse) {
    std::string text;
    RangeOptions options{.limit = limit, .reverse = reverse};
    do {
        StorePage rows = page(begin, end, options);
        if (limit != 0 && rows.rows.size() > limit) scene_.fail("a page is over its limit");
        const std::string more = names_of(rows.rows);
        if (!text.empty() && !more.empty()) text += ' ';
        text += more;
        options.continuation = std::move(rows.continuation);
    } while (options.continuation);
    return text;
}

void Actor::put(Bytes name, Bytes value) {
    if (StoreTransaction* const transaction = ready()) {
        note(transaction->put(scene_.key(name), value), "put");
    }
}

void Actor::erase(Bytes name) {
    if (StoreTransaction* const transaction = ready()) {
        note(transaction->erase(scene_.key(name)), "erase");
    }
}

void Actor::erase_range(Bytes begin, Bytes end) {
    if (StoreTransaction* const transaction = ready()) {
        note(transaction->erase_range(range(begin, end)), "erase_range");
    }
}

void Actor::atomic(AtomicOperation operation, Bytes name, std::uint64_t number) {
    if (StoreTransaction* const transaction = ready()) {
        note(transaction->atomic(operation, scene_.key(name), number), "atomic");
    }
}

void Actor::commit() {
    if (StoreTransaction* const transaction = ready()) {
        const Result<Version> done = transaction->commit();
        if (!done) scene_.stop(done.error(), "commit");
    }
}

void Actor::commit_refused(const std::string& why) {
    StoreTransaction* const transaction = ready();
    if (transaction == nullptr) return;
    const Result<Version> done = transaction->commit();
    if (done) return scene_.fail("committed: " + why);
    if (done.error().code() != ErrorCode::kConflict) scene_.stop(done.error(), "commit");
}

// ---- words --------------------------------------------------------------------------------------

std::string numbered(const char* name, std::uint64_t number) {
    constexpr std::size_t kDigits = 6;
    const std::string digits = std::to_string(number);
    return name + std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
}

std::int64_t to_integer(const std::string& text) { return std::strtoll(text.c_str(), nullptr, 10); }

}  // namespace fulgur::store
