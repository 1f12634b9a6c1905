// Store and StoreTransaction: what is the same for every driver.
#include <fulgur/store.h>

#include "store/embedded.h"
#include "store/marks.h"
#include "store/portable.h"
#include "store/url.h"

namespace fulgur {

// ---- StoreTransaction ---------------------------------------------------------------------------

Error StoreTransaction::ended_error() {
    return Error(ErrorCode::kInvalid, "the transaction has ended");
}

Result<void> StoreTransaction::get_many(std::span<const Bytes> keys,
                                        std::span<std::optional<Bytes>> values, ReadMode mode) {
    if (ended_) return ended_error();
    if (values.size() < keys.size()) {
        return Error(ErrorCode::kInvalid, "get_many: fewer values than keys");
    }
    return do_get_many(keys, values, mode);
}

Result<void> StoreTransaction::put(Bytes key, Bytes value) {
    if (ended_) return ended_error();
    has_writes_ = true;
    return do_put(key, value);
}

Result<void> StoreTransaction::erase(Bytes key) {
    if (ended_) return ended_error();
    has_writes_ = true;
    return do_erase(key);
}

Result<void> StoreTransaction::erase_range(const KeyRange& range) {
    if (ended_) return ended_error();
    has_writes_ = true;
    return do_erase_range(range);
}

Result<void> StoreTransaction::atomic(AtomicOperation operation, Bytes key, std::uint64_t number) {
    if (ended_) return ended_error();
    has_writes_ = true;
    return do_atomic(operation, key, number);
}

Result<Version> StoreTransaction::commit() {
    if (ended_) return ended_error();
    ended_ = true;
    return do_commit();
}

// ---- Store --------------------------------------------------------------------------------------

namespace {

/// @return whether they are gone.
bool erase_marks(Store& store, const std::vector<std::string>& names) {
    Result<std::unique_ptr<StoreTransaction>> transaction = store.begin();
    if (!transaction) return false;
    for (const std::string& name : names) {
        if (!(*transaction)->put_mark(name, std::nullopt)) return false;
    }
    return (*transaction)->commit().ok();
}

}  // namespace

Store::Store() : marks_(std::make_unique<store::Marks>()) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(std::string_view url) {
    Result<store::Url> parsed = store::Url::parse(url);
    if (!parsed) return parsed.error();
    if (parsed->scheme == "fulgur") return store::open_embedded(*parsed);
    if (parsed->scheme == "portable") return store::open_portable(*parsed);
    return Error(ErrorCode::kInvalid, "a store's URL begins with fulgur: or portable:").at(url);
}

Result<std::unique_ptr<Store>> Store::over(Database& database, std::string_view keyspace) {
    return store::embedded_over(database, keyspace);
}

Result<Version> Store::run(const std::function<Result<void>(StoreTransaction&)>& work,
                           const RunOptions& options) {
    return store::Run(*this, *marks_, work).run(options);
}

Result<void> Store::close() {
    const std::vector<std::string> marks = marks_->all();
    if (!marks.empty()) {
        // A mark that stays does no harm, so neither does giving up.
        constexpr int kAttempts = 8;
        for (int n = 0; n < kAttempts && !erase_marks(*this, marks); ++n) {
        }
    }
    return do_close();
}

}  // namespace fulgur
