// WiredTiger: a B-tree table with raw byte keys, a cache for all of the data, the log on. Each
// session keeps one cursor open, as its documentation advises.
#include <wiredtiger.h>

#include <array>

#include <fmt/format.h>

#include "bench/peers/peers.h"

namespace fulgur::bench::peers {

namespace {

constexpr const char* kTable = "table:rows";

void check(int code, const char* what) {
    if (code != 0)
        throw Failure(fmt::format("wiredtiger: {}: {}", what, wiredtiger_strerror(code)));
}

class TigerSession final : public Session {
public:
    TigerSession(WT_CONNECTION* connection, bool sync) : sync_(sync) {
        check(connection->open_session(connection, nullptr, nullptr, &session_), "open a session");
        check(session_->open_cursor(session_, kTable, nullptr, "overwrite=true", &cursor_),
              "open a cursor");
    }
    ~TigerSession() override { static_cast<void>(session_->close(session_, nullptr)); }
    void renew() override { check(cursor_->reset(cursor_), "reset a cursor"); }
    std::optional<Bytes> get(Bytes key) override {
        set_key(key);
        const int code = cursor_->search(cursor_);
        if (code == WT_NOTFOUND) return std::nullopt;
        check(code, "search");
        return value();
    }
    void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const std::optional<Bytes> found = get(keys[i]);
            views[i].reset();
            if (!found) continue;
            values_[i].assign(found->begin(), found->end());  // The cursor moves on.
            views[i] = values_[i];
        }
    }
    void write(std::span<const Write> writes) override {
        check(session_->begin_transaction(session_, sync_ ? "sync=true" : "sync=false"), "begin");
        for (const Write& write : writes) {
            set_key(write.key);
            if (write.erase) {
                const int code = cursor_->remove(cursor_);
                if (code != WT_NOTFOUND) check(code, "remove");
                continue;
            }
            WT_ITEM item{};
            item.data = write.value.data();
            item.size = write.value.size();
            cursor_->set_value(cursor_, &item);
            check(cursor_->insert(cursor_), "insert");
        }
        check(session_->commit_transaction(session_, nullptr), "commit");
    }
    std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
        int code = 0;
        if (from.empty()) {
            check(cursor_->reset(cursor_), "reset a cursor");
            code = cursor_->next(cursor_);
        } else {
            set_key(from);
            int exact = 0;
            code = cursor_->search_near(cursor_, &exact);
            if (code == 0 && exact < 0) code = cursor_->next(cursor_);
        }
        std::size_t n = 0;
        for (; n < rows && code == 0; ++n, code = cursor_->next(cursor_)) {
            WT_ITEM key{};
            check(cursor_->get_key(cursor_, &key), "read a key");
            visitor.row({static_cast<const char*>(key.data), key.size}, value());
        }
        if (code != WT_NOTFOUND) check(code, "scan");
        check(cursor_->reset(cursor_), "reset a cursor");
        return n;
    }

private:
    void set_key(Bytes key) {
        WT_ITEM item{};
        item.data = key.data();
        item.size = key.size();
        cursor_->set_key(cursor_, &item);
    }
    Bytes value() {
        WT_ITEM item{};
        check(cursor_->get_value(cursor_, &item), "read a value");
        return {static_cast<const char*>(item.data), item.size};
    }

    WT_SESSION* session_ = nullptr;
    WT_CURSOR* cursor_ = nullptr;
    bool sync_;
    std::array<std::string, kGroupMax> values_;
};

class Tiger final : public Store {
public:
    explicit Tiger(const StoreOptions& options) : options_(options) {
        const std::string configuration = fmt::format(
            "create,cache_size={}M,session_max=256,log=(enabled=true,file_max=128MB),"
            "checkpoint=(wait=60,log_size=1GB),statistics=(none)",
            options.memory_bytes >> 20);
        check(wiredtiger_open(options.directory.c_str(), nullptr, configuration.c_str(),
                              &connection_),
              "open");
        WT_SESSION* session = nullptr;
        check(connection_->open_session(connection_, nullptr, nullptr, &session), "open a session");
        const int code = session->create(session, kTable, "key_format=u,value_format=u");
        static_cast<void>(session->close(session, nullptr));
        check(code, "create the table");
    }
    ~Tiger() override { static_cast<void>(connection_->close(connection_, nullptr)); }
    std::unique_ptr<Session> session() override {
        return std::make_unique<TigerSession>(connection_,
                                              options_.durability == Durability::kSync);
    }
    void settle() override {
        WT_SESSION* session = nullptr;
        check(connection_->open_session(connection_, nullptr, nullptr, &session), "open a session");
        const int code = session->checkpoint(session, nullptr);
        static_cast<void>(session->close(session, nullptr));
        check(code, "checkpoint");
    }
    std::string settings() const override {
        return fmt::format("B-tree table, cache {} MiB, log on, checkpoint each minute or GB{}",
                           options_.memory_bytes >> 20,
                           options_.durability == Durability::kSync ? ", synced commits" : "");
    }
    std::string version() const override {
        int major = 0, minor = 0, patch = 0;
        static_cast<void>(wiredtiger_version(&major, &minor, &patch));
        return fmt::format("{}.{}.{}", major, minor, patch);
    }

private:
    StoreOptions options_;
    WT_CONNECTION* connection_ = nullptr;
};

}  // namespace

std::unique_ptr<Store> open_wiredtiger(const StoreOptions& options) {
    return std::make_unique<Tiger>(options);
}

}  // namespace fulgur::bench::peers
