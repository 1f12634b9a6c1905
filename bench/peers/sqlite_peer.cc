// SQLite: one table without rowid, write-ahead log, prepared statements, a cache for the data. Each
// session has a connection of its own.
#include <sqlite3.h>

#include <array>

#include <fmt/format.h>

#include "bench/peers/peers.h"

namespace fulgur::bench::peers {

namespace {

class Connection {
public:
    explicit Connection(const StoreOptions& options) {
        const std::string file = options.directory + "/rows.sqlite";
        check(sqlite3_open(file.c_str(), &db_), "open");
        check(sqlite3_busy_timeout(db_, 60'000), "set the timeout");
        run("PRAGMA journal_mode=WAL");
        run(options.durability == Durability::kSync ? "PRAGMA synchronous=FULL"
                                                    : "PRAGMA synchronous=OFF");
        run(fmt::format("PRAGMA cache_size=-{}", options.memory_bytes >> 10));
        run(fmt::format("PRAGMA mmap_size={}", options.memory_bytes));
        run("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID");
    }
    ~Connection() { sqlite3_close(db_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void check(int code, const char* what) const {
        if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
        throw Failure(fmt::format("sqlite: {}: {}", what, sqlite3_errmsg(db_)));
    }
    void run(const std::string& sql) const {
        check(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr), sql.c_str());
    }
    sqlite3* get() const { return db_; }

private:
    sqlite3* db_ = nullptr;
};

/// A prepared statement.
class Statement {
public:
    Statement(const Connection& connection, const char* sql) : connection_(connection) {
        connection.check(sqlite3_prepare_v3(connection.get(), sql, -1, SQLITE_PREPARE_PERSISTENT,
                                            &statement_, nullptr),
                         sql);
    }
    ~Statement() { sqlite3_finalize(statement_); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    void bind(int index, Bytes bytes) {
        connection_.check(
            sqlite3_bind_blob64(statement_, index, bytes.data(), bytes.size(), SQLITE_STATIC),
            "bind");
    }
    bool step() {
        const int code = sqlite3_step(statement_);
        connection_.check(code, "step");
        return code == SQLITE_ROW;
    }
    Bytes column(int index) {
        const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, index));
        return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, index))};
    }
    void reset() { sqlite3_reset(statement_); }

private:
    const Connection& connection_;
    sqlite3_stmt* statement_ = nullptr;
};

class SqliteSession final : public Session {
public:
    explicit SqliteSession(const StoreOptions& options)
        : connection_(options),
          get_(connection_, "SELECT value FROM rows WHERE key = ?1"),
          put_(connection_, "INSERT OR REPLACE INTO rows VALUES (?1, ?2)"),
          erase_(connection_, "DELETE FROM rows WHERE key = ?1"),
          scan_(connection_, "SELECT key, value FROM rows WHERE key >= ?1 ORDER BY key"),
          begin_(connection_, "BEGIN IMMEDIATE"),
          commit_(connection_, "COMMIT"),
          read_(connection_, "BEGIN") {}

    /// Reads share a transaction: one lock for many.
    void renew() override {
        get_.reset();
        end_reading();
        begin_reading();
    }
    std::optional<Bytes> get(Bytes key) override {
        begin_reading();
        get_.reset();
        get_.bind(1, key);
        if (!get_.step()) return std::nullopt;
        return get_.column(0);
    }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const std::optional<Bytes> found = get(keys[i]);
            views[i].reset();
            if (!found) continue;
            values_[i].assign(found->begin(), found->end());
            views[i] = values_[i];
        }
    }
    void write(std::span<const Write> writes) override {
        get_.reset();
        end_reading();
        run(begin_);
        for (const Write& write : writes) {
            Statement& statement = write.erase ? erase_ : put_;
            statement.bind(1, write.key);
            if (!write.erase) statement.bind(2, write.value);
            run(statement);
        }
        run(commit_);
    }
    std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
        begin_reading();
        scan_.bind(1, from.data() == nullptr ? Bytes("") : from);
        std::size_t n = 0;
        for (; n < rows && scan_.step(); ++n) visitor.row(scan_.column(0), scan_.column(1));
        scan_.reset();
        return n;
    }

private:
    static void run(Statement& statement) {
        while (statement.step()) {
        }
        statement.reset();
    }
    void begin_reading() {
        if (reading_) return;
        run(read_);
        reading_ = true;
    }
    void end_reading() {
        if (reading_) run(commit_);
        reading_ = false;
    }

    Connection connection_;
    Statement get_, put_, erase_, scan_, begin_, commit_, read_;
    bool reading_ = false;
    std::array<std::string, kGroupMax> values_;
};

class Sqlite final : public Store {
public:
    explicit Sqlite(const StoreOptions& options) : options_(options), connection_(options) {}
    std::unique_ptr<Session> session() override {
        return std::make_unique<SqliteSession>(options_);
    }
    void settle() override {
        connection_.run("PRAGMA wal_checkpoint(TRUNCATE)");
        connection_.run("ANALYZE");
    }
    std::string settings() const override {
        return fmt::format(
            "WAL, synchronous={}, cache and mmap {} MiB, table without rowid, prepared statements",
            options_.durability == Durability::kSync ? "FULL" : "OFF", options_.memory_bytes >> 20);
    }
    std::string version() const override { return sqlite3_libversion(); }

private:
    StoreOptions options_;
    Connection connection_;
};

}  // namespace

std::unique_ptr<Store> open_sqlite(const StoreOptions& options) {
    return std::make_unique<Sqlite>(options);
}

}  // namespace fulgur::bench::peers
