// RocksDB: settings after its tuning guide for data that fits memory: a block cache for all of it,
// bloom filters, several large write buffers, no compression (nobody else compresses here).
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "bench/peers/lsm.h"
#include "bench/peers/peers.h"

namespace fulgur::bench::peers {

namespace {

void check(const rocksdb::Status& status) {
    if (!status.ok()) throw Failure("rocksdb: " + status.ToString());
}

rocksdb::Slice to_slice(Bytes bytes) { return {bytes.data(), bytes.size()}; }
Bytes to_bytes(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class RocksSession final : public Session {
public:
    RocksSession(rocksdb::DB& db, bool sync) : db_(db) { options_.sync = sync; }
    void renew() override {
        for (rocksdb::PinnableSlice& value : values_) value.Reset();
    }
    std::optional<Bytes> get(Bytes key) override {
        values_[0].Reset();
        const rocksdb::Status status =
            db_.Get({}, db_.DefaultColumnFamily(), to_slice(key), &values_[0]);
        if (status.IsNotFound()) return std::nullopt;
        check(status);
        return to_bytes(values_[0]);
    }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            keys_[i] = to_slice(keys[i]);
            values_[i].Reset();
        }
        db_.MultiGet({}, db_.DefaultColumnFamily(), keys.size(), keys_.data(), values_.data(),
                     statuses_.data());
        for (std::size_t i = 0; i < keys.size(); ++i) {
            views[i].reset();
            if (statuses_[i].IsNotFound()) continue;
            check(statuses_[i]);
            views[i] = to_bytes(values_[i]);
        }
    }
    void write(std::span<const Write> writes) override {
        batch_.Clear();
        for (const Write& write : writes) {
            check(write.erase ? batch_.Delete(to_slice(write.key))
                              : batch_.Put(to_slice(write.key), to_slice(write.value)));
        }
        check(db_.Write(options_, &batch_));
    }
    std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
        const std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator({}));
        return scan_by_iterator<rocksdb::Slice>(*it, from, rows, visitor, check);
    }

private:
    rocksdb::DB& db_;
    rocksdb::WriteOptions options_;
    rocksdb::WriteBatch batch_;
    std::array<rocksdb::Slice, kGroupMax> keys_;
    std::array<rocksdb::PinnableSlice, kGroupMax> values_;
    std::array<rocksdb::Status, kGroupMax> statuses_;
};

class Rocks final : public Store {
public:
    explicit Rocks(const StoreOptions& options) : options_(options) {
        rocksdb::Options rocks;
        rocks.create_if_missing = true;
        rocks.IncreaseParallelism(2);
        // Cache and buffers together keep to the memory that each side has.
        write_buffer_bytes_ = std::min(kWriteBufferBytes, options.memory_bytes / 8);
        cache_bytes_ =
            options.memory_bytes < 2_GiB ? options.memory_bytes / 2 : options.memory_bytes;
        rocks.write_buffer_size = write_buffer_bytes_;
        rocks.max_write_buffer_number = kWriteBuffers;
        rocks.compression = rocksdb::kNoCompression;
        rocksdb::BlockBasedTableOptions table;
        table.block_cache = rocksdb::NewLRUCache(cache_bytes_);
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
        rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        rocksdb::DB* db = nullptr;
        check(rocksdb::DB::Open(rocks, options.directory, &db));
        db_.reset(db);
    }
    std::unique_ptr<Session> session() override {
        return std::make_unique<RocksSession>(*db_, options_.durability == Durability::kSync);
    }
    void settle() override {
        check(db_->Flush({}));
        check(db_->CompactRange({}, nullptr, nullptr));
    }
    std::string settings() const override {
        return fmt::format(
            "write buffers {} x {} MiB, cache {} MiB, bloom 10 bits, no compression, 2 background "
            "threads, compacted before reads{}",
            kWriteBuffers, write_buffer_bytes_ >> 20, cache_bytes_ >> 20,
            options_.durability == Durability::kSync ? ", synced commits" : "");
    }
    std::string version() const override {
        return fmt::format("{}.{}.{}", ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH);
    }

private:
    static constexpr std::uint64_t kWriteBufferBytes = 128_MiB;
    static constexpr int kWriteBuffers = 4;
    StoreOptions options_;
    std::uint64_t write_buffer_bytes_ = 0;
    std::uint64_t cache_bytes_ = 0;
    std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

std::unique_ptr<Store> open_rocksdb(const StoreOptions& options) {
    return std::make_unique<Rocks>(options);
}

}  // namespace fulgur::bench::peers
