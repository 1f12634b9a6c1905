// Fulgur beside LMDB and RocksDB in one process: random insert, point get, multi-get, full scan.
//
// Fair play: every value read is compared with what was written, on every side; all sides run at
// the same durability class (buffered: nothing is synced, the log is written); keys and values are
// the same; the sides take turns within each round, in another order each time, and medians over
// the rounds are quoted. Peers' settings are printed.
//
//   engine_bench [--rows N] [--rounds N] [--dir DIR]
#include <lmdb.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fulgur/database.h>

namespace {

constexpr std::size_t kKeyBytes = 16;
constexpr std::size_t kValueBytes = 100;
constexpr std::size_t kGroup = 32;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "engine_bench: %s\n", what.c_str());
    std::exit(2);
}

std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccd;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}

/// A key, made from its row's number by arithmetic each time, as a program makes its keys: fetching
/// prepared keys from memory would add one more cache miss of the benchmark's own to every get.
struct Key {
    explicit Key(std::size_t i) {
        const std::uint64_t head = mix(i + 1), tail = i;
        std::memcpy(bytes, &head, 8);
        std::memcpy(bytes + 8, &tail, 8);
    }
    operator std::string_view() const { return {bytes, kKeyBytes}; }
    char bytes[kKeyBytes];
};

/// Row i: a key in random order, and a value that is known from i.
struct Rows {
    static void value(std::size_t i, char* to) {
        for (std::size_t at = 0; at + 8 <= kValueBytes; at += 8) {
            const std::uint64_t word = mix(i * 16 + at);
            std::memcpy(to + at, &word, 8);
        }
        std::memcpy(to + 96, &i, 4);
    }
    /// Two words of the value and its size: enough to know the row, cheap enough to do each time.
    static void check(std::size_t i, std::string_view value) {
        std::uint64_t first, last;
        if (value.size() != kValueBytes) fail("a value of the wrong size was read");
        std::memcpy(&first, value.data(), 8);
        std::memcpy(&last, value.data() + 88, 8);
        if (first != mix(i * 16) || last != mix(i * 16 + 88)) fail("a wrong value was read");
    }
    /// The row of a key, which carries its number.
    static std::size_t row_of(std::string_view key) {
        std::uint64_t i;
        std::memcpy(&i, key.data() + 8, 8);
        return i;
    }
};

class Side {
public:
    virtual ~Side() = default;
    virtual const char* name() const = 0;
    virtual void insert(std::size_t begin, std::size_t end, std::size_t batch) = 0;
    virtual void settle() = 0;  ///< what an owner would do once after loading
    virtual void get(const std::vector<std::uint32_t>& ids) = 0;
    virtual void get_many(const std::vector<std::uint32_t>& ids) = 0;
    virtual std::size_t scan() = 0;
};

class Fulgur final : public Side {
public:
    explicit Fulgur(const std::string& dir)
        : database_(fulgur::Database::open(dir, options()).value()),
          rows_(database_.keyspace("rows").value()) {}
    const char* name() const override { return "fulgur"; }
    void insert(std::size_t begin, std::size_t end, std::size_t batch) override {
        char value[kValueBytes];
        for (std::size_t i = begin; i < end; ++i) {
            Rows::value(i, value);
            write_.put(rows_, Key(i), {value, kValueBytes});
            if (write_.size() == batch || i + 1 == end) {
                database_.commit(write_, fulgur::Durability::kBuffered).value();
                write_.clear();
            }
        }
    }
    void settle() override { database_.checkpoint().value(); }
    void get(const std::vector<std::uint32_t>& ids) override {
        fulgur::Reader reader = database_.reader();
        for (const std::uint32_t id : ids) {
            const auto value = reader.get(rows_, Key(id)).value();
            if (!value) fail("fulgur: a row is missing");
            Rows::check(id, *value);
        }
    }
    void get_many(const std::vector<std::uint32_t>& ids) override {
        fulgur::Reader reader = database_.reader();
        std::vector<Key> made(kGroup, Key(0));
        std::array<fulgur::Bytes, kGroup> keys;
        std::array<std::optional<fulgur::Bytes>, kGroup> views;
        for (std::size_t at = 0; at + kGroup <= ids.size(); at += kGroup) {
            for (std::size_t i = 0; i < kGroup; ++i) keys[i] = made[i] = Key(ids[at + i]);
            reader.get_many(rows_, keys, views).value();
            for (std::size_t i = 0; i < kGroup; ++i) {
                if (!views[i]) fail("fulgur: a row is missing");
                Rows::check(ids[at + i], *views[i]);
            }
        }
    }
    std::size_t scan() override {
        fulgur::Reader reader = database_.reader();
        std::size_t n = 0;
        auto cursor = reader.cursor(rows_);
        for (; cursor.valid(); cursor.next(), ++n) {
            Rows::check(Rows::row_of(cursor.key()), cursor.value());
        }
        cursor.status().value();
        return n;
    }

private:
    static fulgur::Options options() {
        fulgur::Options options;
        options.memory_budget = std::uint64_t{4} << 30;
        return options;
    }
    fulgur::Database database_;
    fulgur::Keyspace rows_;
    fulgur::WriteBatch write_;
};

void lmdb_check(int rc) {
    if (rc != 0) fail(std::string("lmdb: ") + mdb_strerror(rc));
}

class Lmdb final : public Side {
public:
    explicit Lmdb(const std::string& dir) {
        std::filesystem::create_directories(dir);
        lmdb_check(mdb_env_create(&env_));
        lmdb_check(mdb_env_set_mapsize(env_, std::size_t{8} << 30));
        lmdb_check(mdb_env_open(env_, dir.c_str(), MDB_NOSYNC, 0644));
        MDB_txn* txn;
        lmdb_check(mdb_txn_begin(env_, nullptr, 0, &txn));
        lmdb_check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
        lmdb_check(mdb_txn_commit(txn));
        lmdb_check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &read_));
        mdb_txn_reset(read_);
    }
    ~Lmdb() override {
        mdb_txn_abort(read_);
        mdb_env_close(env_);
    }
    const char* name() const override { return "lmdb"; }
    void insert(std::size_t begin, std::size_t end, std::size_t batch) override {
        char value[kValueBytes];
        for (std::size_t i = begin; i < end;) {
            MDB_txn* txn;
            lmdb_check(mdb_txn_begin(env_, nullptr, 0, &txn));
            for (std::size_t n = 0; n < batch && i < end; ++n, ++i) {
                Rows::value(i, value);
                Key key(i);
                MDB_val k{kKeyBytes, key.bytes}, v{kValueBytes, value};
                lmdb_check(mdb_put(txn, dbi_, &k, &v, 0));
            }
            lmdb_check(mdb_txn_commit(txn));
        }
    }
    void settle() override { lmdb_check(mdb_env_sync(env_, 1)); }
    void get(const std::vector<std::uint32_t>& ids) override {
        lmdb_check(mdb_txn_renew(read_));
        for (const std::uint32_t id : ids) {
            Key key(id);
            MDB_val k{kKeyBytes, key.bytes}, v;
            lmdb_check(mdb_get(read_, dbi_, &k, &v));
            Rows::check(id, {static_cast<char*>(v.mv_data), v.mv_size});
        }
        mdb_txn_reset(read_);
    }
    void get_many(const std::vector<std::uint32_t>& ids) override { get(ids); }
    std::size_t scan() override {
        lmdb_check(mdb_txn_renew(read_));
        MDB_cursor* cursor;
        lmdb_check(mdb_cursor_open(read_, dbi_, &cursor));
        std::size_t n = 0;
        MDB_val k, v;
        while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
            Rows::check(Rows::row_of({static_cast<char*>(k.mv_data), k.mv_size}),
                        {static_cast<char*>(v.mv_data), v.mv_size});
            ++n;
        }
        mdb_cursor_close(cursor);
        mdb_txn_reset(read_);
        return n;
    }

private:
    MDB_env* env_ = nullptr;
    MDB_dbi dbi_ = 0;
    MDB_txn* read_ = nullptr;
};

void rocks_check(const rocksdb::Status& status) {
    if (!status.ok()) fail("rocksdb: " + status.ToString());
}

class Rocks final : public Side {
public:
    explicit Rocks(const std::string& dir) {
        rocksdb::Options options;
        options.create_if_missing = true;
        options.IncreaseParallelism(2);
        options.write_buffer_size = 128 << 20;
        options.max_write_buffer_number = 4;
        rocksdb::BlockBasedTableOptions table;
        table.block_cache = rocksdb::NewLRUCache(std::size_t{2} << 30);
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
        options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        options.compression = rocksdb::kNoCompression;
        rocksdb::DB* db;
        rocks_check(rocksdb::DB::Open(options, dir, &db));
        db_.reset(db);
    }
    const char* name() const override { return "rocksdb"; }
    void insert(std::size_t begin, std::size_t end, std::size_t batch) override {
        char value[kValueBytes];
        rocksdb::WriteOptions options;  // The log is written, not synced.
        for (std::size_t i = begin; i < end;) {
            rocksdb::WriteBatch write;
            for (std::size_t n = 0; n < batch && i < end; ++n, ++i) {
                Rows::value(i, value);
                write.Put(rocksdb::Slice(Key(i).bytes, kKeyBytes), {value, kValueBytes});
            }
            rocks_check(db_->Write(options, &write));
        }
    }
    void settle() override {
        rocks_check(db_->Flush({}));
        rocks_check(db_->CompactRange({}, nullptr, nullptr));
    }
    void get(const std::vector<std::uint32_t>& ids) override {
        rocksdb::PinnableSlice value;
        for (const std::uint32_t id : ids) {
            value.Reset();
            rocks_check(
                db_->Get({}, db_->DefaultColumnFamily(), {Key(id).bytes, kKeyBytes}, &value));
            Rows::check(id, {value.data(), value.size()});
        }
    }
    void get_many(const std::vector<std::uint32_t>& ids) override {
        std::vector<Key> made(kGroup, Key(0));
        std::array<rocksdb::Slice, kGroup> keys;
        std::array<rocksdb::PinnableSlice, kGroup> values;
        std::array<rocksdb::Status, kGroup> statuses;
        for (std::size_t at = 0; at + kGroup <= ids.size(); at += kGroup) {
            for (std::size_t i = 0; i < kGroup; ++i) {
                made[i] = Key(ids[at + i]);
                keys[i] = {made[i].bytes, kKeyBytes};
            }
            db_->MultiGet({}, db_->DefaultColumnFamily(), kGroup, keys.data(), values.data(),
                          statuses.data());
            for (std::size_t i = 0; i < kGroup; ++i) {
                rocks_check(statuses[i]);
                Rows::check(ids[at + i], {values[i].data(), values[i].size()});
                values[i].Reset();
            }
        }
    }
    std::size_t scan() override {
        std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
        std::size_t n = 0;
        for (it->SeekToFirst(); it->Valid(); it->Next(), ++n) {
            Rows::check(Rows::row_of({it->key().data(), it->key().size()}),
                        {it->value().data(), it->value().size()});
        }
        rocks_check(it->status());
        return n;
    }

private:
    std::unique_ptr<rocksdb::DB> db_;
};

double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class Report {
public:
    void add(const std::string& workload, const std::string& side, double ns) {
        figures_[workload][side].push_back(ns);
    }
    void print() const {
        std::printf(
            "\n| workload (ns per row, median [min, max]) | fulgur | lmdb | rocksdb | of lmdb | of "
            "rocksdb |\n"
            "|---|---|---|---|---|---|\n");
        for (const auto& [workload, sides] : figures_) {
            std::printf("| %s |", workload.c_str());
            for (const char* side : {"fulgur", "lmdb", "rocksdb"}) {
                std::vector<double> sorted = sorted_of(sides.at(side));
                std::printf(" %.0f [%.0f, %.0f] |", sorted[sorted.size() / 2], sorted.front(),
                            sorted.back());
            }
            const double own = median(sides.at("fulgur"));
            std::printf(" %.1fx | %.1fx |\n", median(sides.at("lmdb")) / own,
                        median(sides.at("rocksdb")) / own);
        }
    }

private:
    static std::vector<double> sorted_of(std::vector<double> values) {
        std::sort(values.begin(), values.end());
        return values;
    }
    static double median(const std::vector<double>& values) {
        return sorted_of(values)[values.size() / 2];
    }
    std::map<std::string, std::map<std::string, std::vector<double>>> figures_;
};

struct Settings {
    std::size_t rows = 1'000'000;
    std::size_t rounds = 5;
    std::string dir = "engine-bench-data";
};

Settings parse(int argc, char** argv) {
    Settings settings;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        if (option == "--rows") {
            settings.rows = std::strtoull(argv[i + 1], nullptr, 10);
        } else if (option == "--rounds") {
            settings.rounds = std::strtoull(argv[i + 1], nullptr, 10);
        } else if (option == "--dir") {
            settings.dir = argv[i + 1];
        } else {
            fail("unknown option " + option);
        }
    }
    if (argc % 2 == 0 || settings.rows < 1000 || settings.rounds == 0) {
        fail("usage: engine_bench [--rows N] [--rounds N] [--dir DIR]");
    }
    return settings;
}

using Sides = std::vector<std::unique_ptr<Side>>;

Sides open_sides(const std::string& dir) {
    std::filesystem::remove_all(dir);
    std::filesystem::create_directories(dir);
    Sides sides;
    sides.push_back(std::make_unique<Fulgur>(dir + "/fulgur"));
    sides.push_back(std::make_unique<Lmdb>(dir + "/lmdb"));
    sides.push_back(std::make_unique<Rocks>(dir + "/rocksdb"));
    return sides;
}

/// Loads in slices, the sides taking turns, so that a slow minute of the machine meets all of them.
void insert_round(Sides& sides, std::size_t n, std::size_t batch, Report& report,
                  std::mt19937& order) {
    constexpr std::size_t kSlices = 10;
    std::map<std::string, double> seconds;
    for (std::size_t slice = 0; slice < kSlices; ++slice) {
        std::vector<Side*> turn;
        for (auto& side : sides) turn.push_back(side.get());
        std::shuffle(turn.begin(), turn.end(), order);
        for (Side* side : turn) {
            seconds[side->name()] += seconds_of(
                [&] { side->insert(n * slice / kSlices, n * (slice + 1) / kSlices, batch); });
        }
    }
    const std::string workload = "random insert, buffered, batch " + std::to_string(batch);
    for (const auto& [side, s] : seconds)
        report.add(workload, side, s / static_cast<double>(n) * 1e9);
}

void read_rounds(Sides& sides, const Settings& settings, Report& report, std::mt19937& order) {
    constexpr std::size_t kReads = 32 * 8192;
    for (std::size_t round = 0; round < settings.rounds; ++round) {
        std::vector<std::uint32_t> ids(kReads);
        for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(order() % settings.rows);
        std::vector<Side*> turn;
        for (auto& side : sides) turn.push_back(side.get());
        std::shuffle(turn.begin(), turn.end(), order);
        for (Side* side : turn) {
            const double get = seconds_of([&] { side->get(ids); });
            const double many = seconds_of([&] { side->get_many(ids); });
            std::size_t scanned = 0;
            const double scan = seconds_of([&] { scanned = side->scan(); });
            if (scanned != settings.rows)
                fail(std::string(side->name()) + ": the scan misses rows");
            report.add("point get, uniform", side->name(), get / kReads * 1e9);
            report.add("get_many(32), uniform, per key", side->name(), many / kReads * 1e9);
            report.add("full scan after a checkpoint", side->name(),
                       scan / static_cast<double>(settings.rows) * 1e9);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Settings settings = parse(argc, argv);
    std::printf(
        "%zu rows of %zu + %zu bytes, %zu rounds, durability: buffered (no side syncs)\n"
        "lmdb %s: MDB_NOSYNC, map 8 GiB, read transaction renewed per slice\n"
        "rocksdb %d.%d.%d: write buffers 4 x 128 MiB, cache 2 GiB, bloom 10 bits, no compression, "
        "compacted before reads\n",
        settings.rows, kKeyBytes, kValueBytes, settings.rounds, MDB_VERSION_STRING, ROCKSDB_MAJOR,
        ROCKSDB_MINOR, ROCKSDB_PATCH);
    Report report;
    std::mt19937 order(1);
    for (const std::size_t batch : {std::size_t{1}, std::size_t{100}}) {
        Sides sides = open_sides(settings.dir);
        insert_round(sides, settings.rows / 4, batch, report, order);
    }
    for (std::size_t round = 0; round < settings.rounds; ++round) {
        std::fprintf(stderr, "round %zu of %zu\n", round + 1, settings.rounds);
        Sides sides = open_sides(settings.dir);
        insert_round(sides, settings.rows, 1000, report, order);
        if (round + 1 < settings.rounds) continue;
        for (auto& side : sides) side->settle();
        read_rounds(sides, settings, report, order);
    }
    std::filesystem::remove_all(settings.dir);
    report.print();
    return 0;
}
