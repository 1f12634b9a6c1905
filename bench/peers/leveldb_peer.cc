// LevelDB: a large write buffer and a block cache for the data, bloom filters, no compression.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "bench/peers/lsm.h"
#include "bench/peers/peers.h"

namespace fulgur::bench::peers {

namespace {

void check(const leveldb::Status& status) {
    if (!status.ok()) throw Failure("leveldb: " + status.ToString());
}

leveldb::Slice to_slice(Bytes bytes) { return {bytes.data(), bytes.size()}; }

class LevelSession final : public Session {
public:
    LevelSession(leveldb::DB& db, bool sync) : db_(db) { options_.sync = sync; }
    void renew() override {}
    std::optional<Bytes> get(Bytes key) override { return get_into(key, values_[0]); }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        for (std::size_t i = 0; i < keys.size(); ++i) views[i] = get_into(keys[i], values_[i]);
    }
    void write(std::span<const Write> writes) override {
        batch_.Clear();
        for (const Write& write : writes) {
            if (write.erase) {
                batch_.Delete(to_slice(write.key));
            } else {
                batch_.Put(to_slice(write.key), to_slice(write.value));
            }
        }
        check(db_.Write(options_, &batch_));
    }
    std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
        const std::unique_ptr<leveldb::Iterator> it(db_.NewIterator({}));
        return scan_by_iterator<leveldb::Slice>(*it, from, rows, visitor, check);
    }

private:
    std::optional<Bytes> get_into(Bytes key, std::string& value) {
        const leveldb::Status status = db_.Get({}, to_slice(key), &value);
        if (status.IsNotFound()) return std::nullopt;
        check(status);
        return Bytes(value);
    }

    leveldb::DB& db_;
    leveldb::WriteOptions options_;
    leveldb::WriteBatch batch_;
    std::array<std::string, kGroupMax> values_;
};

class Level final : public Store {
public:
    explicit Level(const StoreOptions& options)
        : options_(options),
          write_buffer_bytes_(std::min(kWriteBufferBytes, options.memory_bytes / 8)),
          cache_bytes_(options.memory_bytes < 2_GiB ? options.memory_bytes / 2
                                                    : options.memory_bytes),
          cache_(leveldb::NewLRUCache(cache_bytes_)),
          filter_(leveldb::NewBloomFilterPolicy(10)) {
        leveldb::Options level;
        level.create_if_missing = true;
        level.write_buffer_size = write_buffer_bytes_;
        level.block_cache = cache_.get();
        level.filter_policy = filter_.get();
        level.compression = leveldb::kNoCompression;
        leveldb::DB* db = nullptr;
        check(leveldb::DB::Open(level, options.directory, &db));
        db_.reset(db);
    }
    std::unique_ptr<Session> session() override {
        return std::make_unique<LevelSession>(*db_, options_.durability == Durability::kSync);
    }
    void settle() override { db_->CompactRange(nullptr, nullptr); }
    std::string settings() const override {
        return fmt::format(
            "write buffer {} MiB, cache {} MiB, bloom 10 bits, no compression, compacted before "
            "reads{}",
            write_buffer_bytes_ >> 20, cache_bytes_ >> 20,
            options_.durability == Durability::kSync ? ", synced commits" : "");
    }
    std::string version() const override {
        return fmt::format("{}.{}", leveldb::kMajorVersion, leveldb::kMinorVersion);
    }

private:
    static constexpr std::uint64_t kWriteBufferBytes = 128_MiB;
    StoreOptions options_;
    std::uint64_t write_buffer_bytes_;
    std::uint64_t cache_bytes_;
    std::unique_ptr<leveldb::Cache> cache_;
    std::unique_ptr<const leveldb::FilterPolicy> filter_;
    std::unique_ptr<leveldb::DB> db_;
};

}  // namespace

std::unique_ptr<Store> open_leveldb(const StoreOptions& options) {
    return std::make_unique<Level>(options);
}

}  // namespace fulgur::bench::peers
