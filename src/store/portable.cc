#include "store/portable.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "base/planted.h"
#include "os/mutex.h"
#include "os/random.h"
#include "store/embedded.h"

namespace fulgur::store {

namespace {

class PortableStore;

class PortableTransaction final : public StoreTransaction {
public:
    PortableTransaction(PortableStore& store, std::unique_ptr<StoreTransaction> under,
                        std::uint64_t seed);

    Result<std::optional<std::string>> get_mark(Bytes name) override {
        return under_->get_mark(name);
    }
    Result<void> put_mark(Bytes name, std::optional<Bytes> value) override {
        return under_->put_mark(name, value);
    }

private:
    Result<std::optional<Bytes>> do_get(Bytes key, ReadMode mode) override;
    Result<void> do_get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> values,
                             ReadMode mode) override;
    Result<StorePage> do_range(const KeyRange& range, const RangeOptions& options) override;
    Result<void> do_put(Bytes key, Bytes value) override;
    Result<void> do_erase(Bytes key) override;
    Result<void> do_erase_range(const KeyRange& range) override;
    Result<void> do_atomic(AtomicOperation operation, Bytes key, std::uint64_t number) override;
    Result<Version> do_commit() override;

    Result<void> before_read();
    Result<void> before_write(Bytes key, Bytes value);
    Result<void> check_key(Bytes key) const;
    Result<void> check_size();
    bool fails(std::uint64_t factor);
    bool expired() const;
    Error fail(ErrorCode code, const char* what);
    Result<Version> unknown_commit();

    PortableStore& store_;
    std::unique_ptr<StoreTransaction> under_;
    os::Random random_;
    const std::uint64_t begun_ns_;
    std::uint64_t bytes_ = 0;
    std::uint64_t mutations_ = 0;
    std::optional<Error> failed_;  ///< every later call says so again
};

class PortableStore final : public Store {
public:
    PortableStore(std::unique_ptr<Store> under, const PortableOptions& options)
        : under_(std::move(under)), options_(options), capabilities_(under_->capabilities()) {
        const auto lower = [](std::uint64_t& limit, std::uint64_t to) {
            limit = std::min(limit, to);
        };
        capabilities_.driver = "portable";
        lower(capabilities_.key_bytes_max, kPortableKeyBytesMax);
        lower(capabilities_.value_bytes_max, kPortableValueBytesMax);
        lower(capabilities_.transaction_bytes_max, kPortableTransactionBytesMax);
        lower(capabilities_.mutations_max, kPortableMutationsMax);
        lower(capabilities_.age_ms_max, kPortableAgeMsMax);
        capabilities_.unknown_results |= options.one_in != 0;
    }

    const StoreCapabilities& capabilities() const noexcept override { return capabilities_; }
    const PortableOptions& options() const { return options_; }

    Result<std::unique_ptr<StoreTransaction>> begin() override {
        const std::uint64_t number = begun_.fetch_add(1);
        os::Random random(options_.seed * 0x9E3779B97F4A7C15 + number);
        if (random.one_in(3)) let_one_arrive();
        Result<std::unique_ptr<StoreTransaction>> under = under_->begin();
        if (!under) return under.error();
        return std::make_unique<PortableTransaction>(*this, *std::move(under), random.next());
    }

    /// A commit that is on its way: it arrives when somebody begins a transaction, or never.
    void send(std::unique_ptr<StoreTransaction> commit) {
        constexpr std::size_t kOnTheirWayMax = 8;
        const os::MutexLock lock(mutex_);
        if (on_their_way_.size() < kOnTheirWayMax) on_their_way_.push_back(std::move(commit));
    }

private:
    void let_one_arrive() {
        std::unique_ptr<StoreTransaction> commit;
        {
            const os::MutexLock lock(mutex_);
            if (on_their_way_.empty()) return;
            commit = std::move(on_their_way_.front());
            on_their_way_.erase(on_their_way_.begin());
        }
        static_cast<void>(commit->commit().ok());  // Nobody waits for the answer.
    }

    Result<void> do_close() override {
        {
            const os::MutexLock lock(mutex_);
            on_their_way_.clear();
        }
        return under_->close();
    }

    const std::unique_ptr<Store> under_;
    const PortableOptions options_;
    StoreCapabilities capabilities_;
    std::atomic<std::uint64_t> begun_{0};
    os::Mutex mutex_;
    /// After `under_`, so that they end before it.
    std::vector<std::unique_ptr<StoreTransaction>> on_their_way_ GUARDED_BY(mutex_);
};

PortableTransaction::PortableTransaction(PortableStore& store,
                                         std::unique_ptr<StoreTransaction> under,
                                         std::uint64_t seed)
    : store_(store),
      under_(std::move(under)),
      random_(seed),
      begun_ns_(store.options().clock->now_ns()) {}

// ---- what fails ---------------------------------------------------------------------------------

bool PortableTransaction::fails(std::uint64_t factor) {
    const std::uint64_t one_in = store_.options().one_in;
    return one_in != 0 && random_.one_in(one_in * factor);
}

bool PortableTransaction::expired() const {
    const std::uint64_t age_ns = store_.options().clock->now_ns() - begun_ns_;
    return age_ns > store_.capabilities().age_ms_max * 1'000'000;
}

Error PortableTransaction::fail(ErrorCode code, const char* what) {
    return failed_.emplace(code, what);
}

Result<void> PortableTransaction::before_read() {
    if (failed_) return *failed_;
    if (expired()) return fail(ErrorCode::kTooOld, "the transaction is older than 5 s");
    if (fails(8)) return fail(ErrorCode::kTooOld, "the transaction is too old (on purpose)");
    return {};
}

Result<void> PortableTransaction::check_key(Bytes key) const {
    if (key.size() <= store_.capabilities().key_bytes_max) return {};
    return Error(ErrorCode::kLimit, "the key is over the portable limit, 2 KiB");
}

Result<void> PortableTransaction::before_write(Bytes key, Bytes value) {
    if (failed_) return *failed_;
    if (Result<void> checked = check_key(key); !checked) return checked;
    if (value.size() > store_.capabilities().value_bytes_max) {
        return Error(ErrorCode::kLimit, "the value is over the portable limit, 64 KiB");
    }
    bytes_ += key.size() + value.size();
    ++mutations_;
    return {};
}

Result<void> PortableTransaction::check_size() {
    const StoreCapabilities& limits = store_.capabilities();
    if (bytes_ > limits.transaction_bytes_max) {
        return fail(ErrorCode::kLimit, "the transaction is over the portable limit, 1 MiB");
    }
    if (mutations_ > limits.mutations_max) {
        return fail(ErrorCode::kLimit, "the transaction is over the portable limit, 1,000 writes");
    }
    const bool near =
        bytes_ > limits.transaction_bytes_max / 2 || mutations_ > limits.mutations_max / 2;
    if (near && fails(1)) {
        return fail(ErrorCode::kLimit,
                    "the transaction is too near to the portable limits (on purpose)");
    }
    return {};
}

// ---- operations ---------------------------------------------------------------------------------

Result<std::optional<Bytes>> PortableTransaction::do_get(Bytes key, ReadMode mode) {
    if (Result<void> ready = before_read(); !ready) return ready.error();
    if (Result<void> checked = check_key(key); !checked) return checked.error();
    return under_->get(key, mode);
}

Result<void> PortableTransaction::do_get_many(std::span<const Bytes> keys,
                                              std::span<std::optional<Bytes>> values,
                                              ReadMode mode) {
    if (Result<void> ready = before_read(); !ready) return ready;
    for (const Bytes key : keys) {
        if (Result<void> checked = check_key(key); !checked) return checked;
    }
    return under_->get_many(keys, values, mode);
}

Result<StorePage> PortableTransaction::do_range(const KeyRange& range,
                                                const RangeOptions& options) {
    if (Result<void> ready = before_read(); !ready) return ready.error();
    RangeOptions shorter = options;
    if (fails(1)) {
        const std::size_t limit = 1 + random_.below(4);
        shorter.limit = options.limit == 0 ? limit : std::min(limit, options.limit);
    }
    return under_->range(range, shorter);
}

Result<void> PortableTransaction::do_put(Bytes key, Bytes value) {
    if (Result<void> ready = before_write(key, value); !ready) return ready;
    return under_->put(key, value);
}

Result<void> PortableTransaction::do_erase(Bytes key) {
    if (Result<void> ready = before_write(key, {}); !ready) return ready;
    return under_->erase(key);
}

Result<void> PortableTransaction::do_erase_range(const KeyRange& range) {
    if (failed_) return *failed_;
    bytes_ += range.begin.size() + (range.end ? range.end->size() : 0);
    ++mutations_;
    return under_->erase_range(range);
}

Result<void> PortableTransaction::do_atomic(AtomicOperation operation, Bytes key,
                                            std::uint64_t number) {
    if (Result<void> ready = before_write(key, "8 bytes."); !ready) return ready;
    return under_->atomic(operation, key, number);
}

Result<Version> PortableTransaction::do_commit() {
    if (failed_) return *failed_;
    if (!has_writes()) return under_->commit();
    if (Result<void> fits = check_size(); !fits) return fits.error();
    if (expired()) return fail(ErrorCode::kTooOld, "the transaction is older than 5 s");
    if (!fails(1)) return under_->commit();
    switch (random_.below(4)) {
        case 0:
            return fail(ErrorCode::kConflict, "another commit came first (on purpose)");
        case 1:
            return fail(ErrorCode::kTooOld, "the transaction is too old (on purpose)");
        default:
            return unknown_commit();
    }
}

Result<Version> PortableTransaction::unknown_commit() {
    switch (random_.below(4)) {
        case 0:
            store_.send(std::move(under_));
            break;
        case 1:
            break;
        default:
            static_cast<void>(under_->commit().ok());  // Whatever it was is lost on its way.
    }
    return fail(ErrorCode::kUnknownResult, "the answer to the commit was lost (on purpose)");
}

}  // namespace

std::unique_ptr<Store> make_portable(std::unique_ptr<Store> under, const PortableOptions& options) {
    return std::make_unique<PortableStore>(std::move(under), options);
}

Result<std::unique_ptr<Store>> open_portable(Url& url) {
    PortableOptions options;
    Result<std::optional<std::uint64_t>> seed = url.take_number("seed");
    if (!seed) return seed.error();
    options.seed = seed->value_or(options.seed);
    Result<std::optional<std::uint64_t>> one_in = url.take_number("one_in");
    if (!one_in) return one_in.error();
    if (one_in->value_or(0) > 1'000'000) {
        return Error(ErrorCode::kInvalid, "one_in in a store's URL is at most 1,000,000");
    }
    options.one_in = static_cast<std::uint32_t>(one_in->value_or(options.one_in));
    Result<std::unique_ptr<Store>> under = open_embedded(url, url.path.empty());
    if (!under) return under.error();
    return make_portable(*std::move(under), options);
}

}  // namespace fulgur::store
