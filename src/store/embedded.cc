#include "store/embedded.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fulgur/database.h>

#include "base/coding.h"
#include "base/planted.h"
#include "db/transaction.h"
#include "os/mutex.h"

namespace fulgur::store {

namespace {

using db::TransactionAccess;

Version version_of(Sequence sequence) {
    return static_cast<Version>(static_cast<std::uint64_t>(sequence));
}

/// The keyspace of the marks, made when it is first needed: a keyspace is a commit of its own, and
/// most stores never need it. Any thread.
class MarkSpace {
public:
    MarkSpace(Database& database, std::string name) : database_(database), name_(std::move(name)) {}

    Result<Keyspace> get() {
        const os::MutexLock lock(mutex_);
        if (!keyspace_) {
            Result<Keyspace> made = database_.keyspace(name_);
            if (!made) return made.error();
            keyspace_ = *std::move(made);
        }
        return *keyspace_;
    }

private:
    Database& database_;
    const std::string name_;
    os::Mutex mutex_;
    std::optional<Keyspace> keyspace_ GUARDED_BY(mutex_);
};

class EmbeddedTransaction final : public StoreTransaction {
public:
    EmbeddedTransaction(Transaction transaction, const Keyspace& keyspace, MarkSpace& marks)
        : transaction_(std::move(transaction)), keyspace_(keyspace), marks_(marks) {}

    Result<std::optional<std::string>> get_mark(Bytes name) override {
        Result<Keyspace> marks = marks_.get();
        if (!marks) return marks.error();
        Result<std::optional<Bytes>> found = transaction_.get(*marks, name);
        if (!found) return found.error();
        if (!*found) return std::optional<std::string>();
        return std::optional<std::string>(**found);
    }
    Result<void> put_mark(Bytes name, std::optional<Bytes> value) override {
        Result<Keyspace> marks = marks_.get();
        if (!marks) return marks.error();
        return value ? transaction_.put(*marks, name, *value) : transaction_.erase(*marks, name);
    }

private:
    Result<std::optional<Bytes>> do_get(Bytes key, ReadMode mode) override {
        return state().get(keyspace_, key, mode == ReadMode::kSerializable);
    }
    Result<void> do_get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> values,
                             ReadMode mode) override {
        return state().get_many(keyspace_, keys, values, mode == ReadMode::kSerializable);
    }
    Result<StorePage> do_range(const KeyRange& range, const RangeOptions& options) override;
    Result<void> do_put(Bytes key, Bytes value) override {
        return transaction_.put(keyspace_, key, value);
    }
    Result<void> do_erase(Bytes key) override { return transaction_.erase(keyspace_, key); }
    Result<void> do_erase_range(const KeyRange& range) override {
        Result<std::uint64_t> erased = transaction_.erase_range(keyspace_, range);
        return erased ? Result<void>() : Result<void>(erased.error());
    }
    Result<void> do_atomic(AtomicOperation operation, Bytes key, std::uint64_t number) override {
        Result<std::optional<Bytes>> before = transaction_.get(keyspace_, key);
        if (!before) return before.error();
        char bytes[sizeof(number)];
        store_le(bytes, atomic_result(operation, *before, number));
        return transaction_.put(keyspace_, key, {bytes, sizeof(bytes)});
    }
    Result<Version> do_commit() override {
        Result<Sequence> done = transaction_.commit();
        if (!done) return done.error();
        return version_of(*done);
    }

    db::TransactionState& state() { return TransactionAccess::state(transaction_); }

    Transaction transaction_;
    const Keyspace& keyspace_;
    MarkSpace& marks_;
    std::vector<std::vector<char>> keys_;  ///< of pages: a cursor's keys last one step only
};

/// What is left of `range` behind the row that a page ended with.
KeyRange rest_of(const KeyRange& range, const RangeOptions& options) {
    KeyRange rest = range;
    if (!options.continuation) return rest;
    const std::string& last = *options.continuation;
    if (options.reverse) {
        if (!rest.end || last < *rest.end) rest.end = last;
    } else {
        std::string next = last;
        if (!FULGUR_PLANTED("continuation_repeats_its_row")) next.push_back('\0');
        if (rest.begin < next) rest.begin = std::move(next);
    }
    return rest;
}

Result<StorePage> EmbeddedTransaction::do_range(const KeyRange& range,
                                                const RangeOptions& options) {
    TransactionCursor cursor = TransactionAccess::cursor(
        transaction_, keyspace_, rest_of(range, options),
        {.at_last = options.reverse, .tracked = options.mode == ReadMode::kSerializable});
    StorePage page;
    std::vector<char> bytes;
    std::uint64_t page_bytes = 0;
    while (cursor.valid()) {
        const Bytes key = cursor.key();
        // Where the key lies is known when all of them are there.
        page.rows.push_back({{nullptr, key.size()}, cursor.value()});
        bytes.insert(bytes.end(), key.begin(), key.end());
        page_bytes += key.size() + page.rows.back().value.size();
        // The row behind the last one is not looked at: it would count as read.
        if (page.rows.size() == options.limit || page_bytes >= kPageBytesTarget) {
            page.continuation = key;
            break;
        }
        options.reverse ? cursor.previous() : cursor.next();
    }
    if (Result<void> status = cursor.status(); !status) return status.error();
    const char* at = keys_.emplace_back(std::move(bytes)).data();
    for (StoreRow& row : page.rows) {
        row.key = {at, row.key.size()};
        at += row.key.size();
    }
    return page;
}

class EmbeddedStore final : public Store {
public:
    EmbeddedStore(Database& database, Keyspace keyspace)
        : keyspace_(std::move(keyspace)), marks_(database, keyspace_.name() + ".marks") {
        const std::uint64_t budget =
            TransactionAccess::engine(keyspace_)->options().user.memory_budget;
        capabilities_.driver = "fulgur";
        capabilities_.key_bytes_max = kKeyBytesMax;
        capabilities_.value_bytes_max = kValueBytesMax;
        capabilities_.transaction_bytes_max = std::min(kBatchBytesMax, budget / 4);
    }
    EmbeddedStore(std::unique_ptr<Database> database, Keyspace keyspace)
        : EmbeddedStore(*database, std::move(keyspace)) {
        owned_ = std::move(database);
    }

    const StoreCapabilities& capabilities() const noexcept override { return capabilities_; }

    Result<std::unique_ptr<StoreTransaction>> begin() override {
        Result<Transaction> begun = TransactionAccess::begin(TransactionAccess::engine(keyspace_),
                                                             Isolation::kSerializable);
        if (!begun) return begun.error();
        return std::make_unique<EmbeddedTransaction>(*std::move(begun), keyspace_, marks_);
    }

private:
    Result<void> do_close() override { return owned_ ? owned_->close() : Result<void>(); }

    std::unique_ptr<Database> owned_;
    const Keyspace keyspace_;
    MarkSpace marks_;
    StoreCapabilities capabilities_;
};

}  // namespace

std::uint64_t atomic_result(AtomicOperation operation, std::optional<Bytes> before,
                            std::uint64_t number) {
    char bytes[sizeof(number)] = {};
    if (before) std::copy_n(before->data(), std::min(sizeof(bytes), before->size()), bytes);
    const std::uint64_t old = load_le<std::uint64_t>(bytes);
    switch (operation) {
        case AtomicOperation::kAdd:
            return old + number;
        case AtomicOperation::kMin:
            return before ? std::min(old, number) : number;
        case AtomicOperation::kMax:
            return std::max(old, number);
    }
    return old;
}

Result<std::unique_ptr<Store>> embedded_over(Database& database, std::string_view keyspace) {
    Result<Keyspace> opened = database.keyspace(keyspace);
    if (!opened) return opened.error();
    return std::make_unique<EmbeddedStore>(database, *std::move(opened));
}

Result<std::unique_ptr<Store>> open_embedded(Url& url, bool in_memory) {
    Options options;
    Result<std::optional<std::uint64_t>> budget = url.take_size("budget");
    if (!budget) return budget.error();
    options.memory_budget = budget->value_or(0);
    Result<std::optional<bool>> create = url.take_bool("create");
    if (!create) return create.error();
    options.create_if_missing = create->value_or(true);
    const std::string durability = url.take("durability").value_or("sync");
    if (durability == "os") {
        options.durability = Durability::kOs;
    } else if (durability == "buffered") {
        options.durability = Durability::kBuffered;
    } else if (durability != "sync") {
        return Error(ErrorCode::kInvalid, "durability in a store's URL is sync, os or buffered")
            .at(durability);
    }
    const std::string name = url.take("keyspace").value_or("default");
    if (Result<void> taken = url.check_all_taken(); !taken) return taken.error();

    Result<Database> opened =
        in_memory ? Database::in_memory(options) : Database::open(url.path, options);
    if (!opened) return opened.error();
    auto database = std::make_unique<Database>(*std::move(opened));
    Result<Keyspace> keyspace = database->keyspace(name);
    if (!keyspace) return keyspace.error();
    return std::make_unique<EmbeddedStore>(std::move(database), *std::move(keyspace));
}

}  // namespace fulgur::store
