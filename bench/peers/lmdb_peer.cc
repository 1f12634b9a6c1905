// LMDB: https://www.symas.com/lmdb. Reads are views into the mapping, inside a read transaction
// that is renewed, not begun anew; writes are one transaction a commit.
#include <lmdb.h>

#include <fmt/format.h>

#include "bench/peers/peers.h"

namespace fulgur::bench::peers {

namespace {

void check(int code, const char* what) {
    if (code != 0) throw Failure(fmt::format("lmdb: {}: {}", what, mdb_strerror(code)));
}

MDB_val to_val(Bytes bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
Bytes to_bytes(const MDB_val& value) {
    return {static_cast<const char*>(value.mv_data), value.mv_size};
}

class LmdbSession final : public Session {
public:
    LmdbSession(MDB_env* env, MDB_dbi dbi) : env_(env), dbi_(dbi) {
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reading_), "begin a read transaction");
        mdb_txn_reset(reading_);
    }
    ~LmdbSession() override {
        if (cursor_ != nullptr) mdb_cursor_close(cursor_);
        mdb_txn_abort(reading_);
    }
    void renew() override {
        mdb_txn_reset(reading_);
        active_ = false;
        read();
    }
    std::optional<Bytes> get(Bytes key) override {
        if (!active_) read();
        MDB_val k = to_val(key), v;
        const int code = mdb_get(reading_, dbi_, &k, &v);
        if (code == MDB_NOTFOUND) return std::nullopt;
        check(code, "get");
        return to_bytes(v);
    }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        for (std::size_t i = 0; i < keys.size(); ++i) views[i] = get(keys[i]);
    }
    void write(std::span<const Write> writes) override {
        // A read transaction that stays open would keep its pages from being used again.
        if (active_) mdb_txn_reset(reading_);
        active_ = false;
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin a transaction");
        for (const Write& write : writes) {
            MDB_val k = to_val(write.key), v = to_val(write.value);
            const int code =
                write.erase ? mdb_del(txn, dbi_, &k, nullptr) : mdb_put(txn, dbi_, &k, &v, 0);
            if (code != 0 && !(write.erase && code == MDB_NOTFOUND)) {
                mdb_txn_abort(txn);
                check(code, "write");
            }
        }
        check(mdb_txn_commit(txn), "commit");
    }
    std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
        if (!active_) read();
        if (cursor_ == nullptr) {
            check(mdb_cursor_open(reading_, dbi_, &cursor_), "open a cursor");
        } else if (stale_cursor_) {
            check(mdb_cursor_renew(reading_, cursor_), "renew a cursor");
        }
        stale_cursor_ = false;
        MDB_val k = to_val(from), v;
        std::size_t n = 0;
        int code = mdb_cursor_get(cursor_, &k, &v, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
        for (; n < rows && code == 0; ++n) {
            visitor.row(to_bytes(k), to_bytes(v));
            code = mdb_cursor_get(cursor_, &k, &v, MDB_NEXT);
        }
        if (code != MDB_NOTFOUND) check(code, "scan");
        return n;
    }

private:
    void read() {
        check(mdb_txn_renew(reading_), "renew a read transaction");
        active_ = true;
        stale_cursor_ = true;
    }

    MDB_env* env_;
    MDB_dbi dbi_;
    MDB_txn* reading_ = nullptr;
    MDB_cursor* cursor_ = nullptr;
    bool active_ = false;
    bool stale_cursor_ = false;
};

class Lmdb final : public Store {
public:
    Lmdb(const StoreOptions& options, unsigned flags, std::string words)
        : words_(std::move(words)) {
        if (options.durability == Durability::kBuffered) flags |= MDB_NOSYNC;
        // A writable mapping without syncs would let the kernel write pages in any order.
        check(mdb_env_create(&env_), "create");
        check(mdb_env_set_mapsize(env_, kMapBytes), "set the map's size");
        check(mdb_env_set_maxreaders(env_, 256), "set the readers");
        // Each session has its own read transaction, whatever thread made it.
        check(mdb_env_open(env_, options.directory.c_str(), flags | MDB_NOTLS, 0644), "open");
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin a transaction");
        check(mdb_dbi_open(txn, nullptr, 0, &dbi_), "open the table");
        check(mdb_txn_commit(txn), "commit");
        words_ += options.durability == Durability::kBuffered ? ", MDB_NOSYNC" : ", synced commits";
    }
    ~Lmdb() override { mdb_env_close(env_); }
    std::unique_ptr<Session> session() override {
        return std::make_unique<LmdbSession>(env_, dbi_);
    }
    void settle() override { check(mdb_env_sync(env_, 1), "sync"); }
    std::string settings() const override {
        return fmt::format("map {} GiB{}, read transactions renewed", kMapBytes >> 30, words_);
    }
    std::string version() const override {
        int major = 0, minor = 0, patch = 0;
        mdb_version(&major, &minor, &patch);
        return fmt::format("{}.{}.{}", major, minor, patch);
    }

private:
    static constexpr std::size_t kMapBytes = std::size_t{64} << 30;
    MDB_env* env_ = nullptr;
    MDB_dbi dbi_ = 0;
    std::string words_;
};

}  // namespace

std::unique_ptr<Store> open_lmdb(const StoreOptions& options) {
    return std::make_unique<Lmdb>(options, 0, "");
}
std::unique_ptr<Store> open_lmdb_writemap(const StoreOptions& options) {
    return std::make_unique<Lmdb>(options, MDB_WRITEMAP, ", MDB_WRITEMAP");
}
std::unique_ptr<Store> open_lmdb_nordahead(const StoreOptions& options) {
    return std::make_unique<Lmdb>(options, MDB_NORDAHEAD, ", MDB_NORDAHEAD");
}

}  // namespace fulgur::bench::peers
