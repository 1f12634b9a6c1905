#include <array>
#include <vector>

#include <fmt/format.h>

#include <fulgur/database.h>

#include "bench/peers/peers.h"

namespace fulgur::bench {

namespace {

template <typename T>
T take(Result<T>&& result) {
    if (!result) throw Failure("fulgur: " + result.error().message());
    return *std::move(result);
}
void take(Result<void>&& result) {
    if (!result) throw Failure("fulgur: " + result.error().message());
}

class FulgurSession final : public Session {
    /// What is busy tells its caller to refresh the reader: the budget is full of pages it keeps.
    template <typename Read>
    auto refreshing(const Read& read) {
        auto result = read();
        if (!result && result.error().code() == ErrorCode::kBusy) [[unlikely]] {
            renew();
            return take(read());
        }
        return take(std::move(result));
    }

public:
    FulgurSession(Database& database, Keyspace keyspace, Durability durability)
        : database_(database), keyspace_(std::move(keyspace)), durability_(durability) {}

    void renew() override {
        if (reader_) {
            reader_->refresh();
        } else {
            reader_.emplace(take(database_.try_reader()));
        }
    }
    std::optional<Bytes> get(Bytes key) override {
        return refreshing([&] { return reader().get(keyspace_, key); });
    }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        refreshing([&] { return reader().get_many(keyspace_, keys, views); });
    }
    void write(std::span<const Write> writes) override {
        if (writes.size() == 1) {
            const Write& write = writes.front();
            take(write.erase ? keyspace_.erase(write.key, durability_)
                             : keyspace_.put(write.key, write.value, durability_));
            return;
        }
        batch_.clear();
        for (const Write& write : writes) {
            if (write.erase) {
                batch_.erase(keyspace_, write.key);
            } else {
                batch_.put(keyspace_, write.key, write.value);
            }
        }
        take(database_.commit(batch_, durability_));
    }
    std::size_t scan(Bytes first, std::size_t rows, RowVisitor& visitor) override {
        std::size_t n = 0;
        Cursor cursor = reader().cursor(keyspace_, from(first));
        for (; n < rows && cursor.valid(); cursor.next(), ++n) {
            visitor.row(cursor.key(), cursor.value());
        }
        take(cursor.status());
        return n;
    }

private:
    Reader& reader() {
        if (!reader_) renew();
        return *reader_;
    }

    Database& database_;
    Keyspace keyspace_;
    Durability durability_;
    std::optional<Reader> reader_;  ///< None while the session only writes: it would keep versions.
    WriteBatch batch_;
};

class FulgurStore final : public Store {
public:
    explicit FulgurStore(const StoreOptions& options)
        : options_(options),
          database_(
              take(Database::open(options.directory, Options{.memory_budget = options.memory_bytes,
                                                             .durability = options.durability}))),
          keyspace_(take(database_.keyspace("rows"))) {}

    std::unique_ptr<Session> session() override {
        return std::make_unique<FulgurSession>(database_, keyspace_, options_.durability);
    }
    void settle() override { take(database_.checkpoint()); }
    std::string settings() const override {
        return fmt::format("memory budget {} MiB, otherwise defaults", options_.memory_bytes >> 20);
    }
    std::string version() const override { return FULGUR_VERSION; }

private:
    StoreOptions options_;
    Database database_;
    Keyspace keyspace_;
};

}  // namespace

std::unique_ptr<Store> open_fulgur(const StoreOptions& options) {
    return std::make_unique<FulgurStore>(options);
}

}  // namespace fulgur::bench
