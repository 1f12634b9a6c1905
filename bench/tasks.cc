#include "bench/tasks.h"

#include <algorithm>
#include <array>

namespace fulgur::bench {

namespace {

std::uint64_t seed_of(const TaskContext& context) {
    return mix(context.parameters.seed * 1000 + context.thread + 1);
}

/// Reads see a state that is at most this many operations old.
constexpr std::uint64_t kRenewEvery = 1024;

/// What tasks have in common.
class BasicTask : public Task {
public:
    explicit BasicTask(const TaskContext& context) : context_(context) {}

protected:
    Session& session() { return context_.session; }
    const Rows& rows() const { return context_.rows; }
    std::uint64_t row_count() const { return context_.parameters.rows; }
    std::uint64_t next_salt() {
        return context_.shared.next_salt.fetch_add(1, std::memory_order_relaxed);
    }
    void renew_sometimes() {
        if (operations_++ % kRenewEvery == 0) session().renew();
    }
    /// A row that was loaded must be there; a younger one may be on its way.
    bool check(std::uint64_t row, const std::optional<Bytes>& value) {
        if (!value) {
            if (row < row_count()) throw Failure(fmt::format("row {} is missing", row));
            return false;
        }
        rows().check(row, *value);
        return true;
    }

    TaskContext context_;
    Row key_;

private:
    std::uint64_t operations_ = 0;
};

/// The rows that one thread of several takes.
struct Share {
    explicit Share(const TaskContext& context)
        : next(context.thread), step(context.parameters.threads), end(context.parameters.rows) {}
    std::uint64_t next, step, end;
};

class FillTask final : public BasicTask {
public:
    FillTask(const TaskContext& context, bool random, bool erases)
        : BasicTask(context),
          share_(context),
          order_(context.parameters.rows, context.parameters.seed),
          random_(random),
          erases_(erases),
          batch_(context.session, context.rows, context.parameters.batch) {}

    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t n = 0; n < operations && share_.next < share_.end; ++n) {
            const std::uint64_t row = random_ ? order_(share_.next) : share_.next;
            if (erases_) {
                batch_.erase(row);
            } else {
                batch_.put(row, 0);
            }
            share_.next += share_.step;
        }
        batch_.commit();
        return 0;
    }

private:
    Share share_;
    Permutation order_;
    bool random_, erases_;
    Batch batch_;
};

class OverwriteTask final : public BasicTask {
public:
    explicit OverwriteTask(const TaskContext& context)
        : BasicTask(context),
          chooser_(Choice::kUniform, seed_of(context)),
          batch_(context.session, context.rows, context.parameters.batch) {}
    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t n = 0; n < operations; ++n) {
            batch_.put(chooser_.next(row_count()), next_salt());
        }
        batch_.commit();
        return 0;
    }

private:
    Chooser chooser_;
    Batch batch_;
};

class GetTask final : public BasicTask {
public:
    GetTask(const TaskContext& context, Choice choice)
        : BasicTask(context), chooser_(choice, seed_of(context)) {}
    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t n = 0; n < operations; ++n) {
            renew_sometimes();
            const std::uint64_t row = chooser_.next(row_count());
            rows().make_key(row, key_);
            check(row, session().get(key_.view()));
        }
        return operations;
    }

private:
    Chooser chooser_;
};

class MissTask final : public BasicTask {
public:
    explicit MissTask(const TaskContext& context)
        : BasicTask(context), chooser_(Choice::kUniform, seed_of(context)) {}
    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t n = 0; n < operations; ++n) {
            renew_sometimes();
            rows().make_key(chooser_.next(row_count()), key_);
            key_.key[key_.key_size - 1] ^= 0x40;  // Beside one that is there.
            if (session().get(key_.view())) throw Failure("a row was read that was never written");
        }
        return operations;
    }

private:
    Chooser chooser_;
};

class GetManyTask final : public BasicTask {
public:
    explicit GetManyTask(const TaskContext& context)
        : BasicTask(context), chooser_(Choice::kUniform, seed_of(context)) {}
    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t done = 0; done < operations;) {
            renew_sometimes();
            const std::size_t n = std::min<std::uint64_t>(kGroup, operations - done);
            for (std::size_t i = 0; i < n; ++i) {
                row_[i] = chooser_.next(row_count());
                rows().make_key(row_[i], made_[i]);
                keys_[i] = made_[i].view();
            }
            session().get_many({keys_.data(), n}, {views_.data(), n});
            for (std::size_t i = 0; i < n; ++i) check(row_[i], views_[i]);
            done += n;
        }
        return operations;
    }

private:
    static constexpr std::size_t kGroup = 32;
    Chooser chooser_;
    std::array<std::uint64_t, kGroup> row_{};
    std::array<Row, kGroup> made_;
    std::array<Bytes, kGroup> keys_;
    std::array<std::optional<Bytes>, kGroup> views_;
};

/// Checks what a scan shows: ascending keys, and values that carry their row's number.
class ScanCheck final : public RowVisitor {
public:
    explicit ScanCheck(const Rows& rows) : rows_(rows) {}
    void row(Bytes key, Bytes value) override {
        if (key.size() > Row::kKeyMax || value.size() < Row::kValueMin) {
            throw Failure("a scan showed a row that was never written");
        }
        const Bytes last(last_.key, last_.key_size);
        if (last_.key_size != 0 && !(last < key)) throw Failure("a scan is not in order");
        std::memcpy(last_.key, key.data(), key.size());
        last_.key_size = key.size();
        rows_.check(load_le<std::uint64_t>(value.data()), value);
    }
    /// The smallest key above the last one seen.
    Bytes after() {
        last_.key[last_.key_size] = '\0';
        return {last_.key, last_.key_size + 1};
    }
    void restart() { last_.key_size = 0; }
    bool begun() const { return last_.key_size != 0; }

private:
    const Rows& rows_;
    Row last_;
};

class ReadAllTask final : public BasicTask {
public:
    explicit ReadAllTask(const TaskContext& context) : BasicTask(context), check_(context.rows) {}
    std::uint64_t run(std::uint64_t operations) override {
        for (std::uint64_t done = 0; done < operations;) {
            session().renew();
            char from[Row::kKeyMax + 1];
            Bytes start;
            if (check_.begun()) {
                const Bytes after = check_.after();
                std::memcpy(from, after.data(), after.size());
                start = {from, after.size()};
            }
            const std::uint64_t wanted = operations - done;
            const std::size_t n = session().scan(start, wanted, check_);
            passed_ += n;
            done += n;
            if (n == wanted) continue;
            if (passed_ != row_count()) {
                throw Failure(fmt::format("a scan showed {} rows of {}", passed_, row_count()));
            }
            passed_ = 0;
            check_.restart();
        }
        return operations;
    }

private:
    ScanCheck check_;
    std::uint64_t passed_ = 0;  ///< since the first key
};

class SeekTask final : public BasicTask {
public:
    SeekTask(const TaskContext& context, unsigned length)
        : BasicTask(context),
          chooser_(Choice::kUniform, seed_of(context)),
          check_(context.rows),
          length_(length) {}
    std::uint64_t run(std::uint64_t operations) override {
        std::uint64_t seen = 0;
        for (std::uint64_t n = 0; n < operations; ++n) {
            renew_sometimes();
            rows().make_key(chooser_.next(row_count()), key_);
            check_.restart();
            const std::size_t found = session().scan(key_.view(), length_, check_);
            if (found == 0) throw Failure("a seek found nothing behind a key that is there");
            seen += found;
        }
        return seen;
    }

private:
    Chooser chooser_;
    ScanCheck check_;
    unsigned length_;
};

class MixedTask final : public BasicTask {
public:
    MixedTask(const TaskContext& context, Shares shares)
        : BasicTask(context),
          shares_(shares),
          chooser_(shares.choice, seed_of(context)),
          check_(context.rows),
          batch_(context.session, context.rows, 1) {}
    std::uint64_t run(std::uint64_t operations) override {
        std::uint64_t verified = 0;
        for (std::uint64_t n = 0; n < operations; ++n) verified += one();
        return verified;
    }

private:
    std::uint64_t one() {
        const std::uint64_t there = context_.shared.next_row.load(std::memory_order_relaxed);
        unsigned dice = static_cast<unsigned>(chooser_.random().below(100));
        const auto falls = [&dice](unsigned share) {
            if (dice < share) return true;
            dice -= share;
            return false;
        };
        if (falls(shares_.read)) return read(chooser_.next(there));
        if (falls(shares_.update)) {
            batch_.put(chooser_.next(there), next_salt());
        } else if (falls(shares_.insert)) {
            batch_.put(context_.shared.next_row.fetch_add(1, std::memory_order_relaxed), 0);
        } else if (falls(shares_.scan)) {
            return scan(chooser_.next(there));
        } else if (falls(shares_.modify)) {
            const std::uint64_t row = chooser_.next(there);
            const std::uint64_t verified = read(row);
            batch_.put(row, next_salt());
            return verified;
        } else {
            batch_.erase(chooser_.next(there));
        }
        return 0;
    }
    /// Each read sees the newest state, as a server's client would.
    std::uint64_t read(std::uint64_t row) {
        session().renew();
        rows().make_key(row, key_);
        const std::optional<Bytes> value = session().get(key_.view());
        if (!value && shares_.erase != 0) return 0;
        return check(row, value) ? 1 : 0;
    }
    std::uint64_t scan(std::uint64_t row) {
        session().renew();
        rows().make_key(row, key_);
        check_.restart();
        const std::uint64_t length = 1 + chooser_.random().below(shares_.scan_rows_max);
        return session().scan(key_.view(), length, check_);
    }

    Shares shares_;
    Chooser chooser_;
    ScanCheck check_;
    Batch batch_;
};

template <typename T, typename... Arguments>
MakeTask maker(Arguments... arguments) {
    return [=](const TaskContext& context) { return std::make_unique<T>(context, arguments...); };
}

}  // namespace

Batch::Batch(Session& session, const Rows& rows, std::size_t size)
    : session_(session), rows_(rows), items_(std::max<std::size_t>(1, size)) {
    for (Item& item : items_) item.value.resize(round_up(rows.value_max(), 8) + 8);
    writes_.resize(items_.size());
}

void Batch::put(std::uint64_t row, std::uint64_t salt) {
    Item& item = items_[used_];
    rows_.make_key(row, item.row);
    writes_[used_] = {item.row.view(), rows_.make_value(row, salt, item.value.data()), false};
    added();
}

void Batch::erase(std::uint64_t row) {
    Item& item = items_[used_];
    rows_.make_key(row, item.row);
    writes_[used_] = {item.row.view(), {}, true};
    added();
}

void Batch::added() {
    if (++used_ == items_.size()) commit();
}

void Batch::commit() {
    if (used_ != 0) session_.write({writes_.data(), used_});
    used_ = 0;
}

MakeTask fill(bool random) { return maker<FillTask>(random, false); }
MakeTask overwrite() { return maker<OverwriteTask>(); }
MakeTask erase(bool random) { return maker<FillTask>(random, true); }
MakeTask get(Choice choice) { return maker<GetTask>(choice); }
MakeTask get_missing() { return maker<MissTask>(); }
MakeTask get_many() { return maker<GetManyTask>(); }
MakeTask read_all() { return maker<ReadAllTask>(); }
MakeTask seek(unsigned rows) { return maker<SeekTask>(rows); }
MakeTask mixed(Shares shares) { return maker<MixedTask>(shares); }

}  // namespace fulgur::bench
