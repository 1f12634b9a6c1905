// What a workload sees of a storage engine: ours and its peers, behind one interface that costs
// each of them the same virtual calls.
//
// Errors: whatever a side cannot do is a Failure; the runner keeps it as that side's result.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/options.h>

namespace fulgur::bench {

/// A side failed: a wrong value, a refusal, a full disk. The message is for people.
class Failure : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Write {
    Bytes key;
    Bytes value;
    bool erase = false;
};

/// Called with each row of a scan.
class RowVisitor {
public:
    virtual ~RowVisitor() = default;
    virtual void row(Bytes key, Bytes value) = 0;
};

/// One thread's way into a store.
class Session {
public:
    virtual ~Session() = default;
    /// From here on reads see the newest state. Ends the views that were given before.
    virtual void renew() = 0;
    /// The view is valid until the next call.
    virtual std::optional<Bytes> get(Bytes key) = 0;
    /// The values of some keys, at most kGroupMax; the views are valid until the next call.
    virtual void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) = 0;
    static constexpr std::size_t kGroupMax = 64;
    /// One atomic commit, at the store's durability.
    virtual void write(std::span<const Write> writes) = 0;
    /// Visits up to `rows` rows in order, from the first key that is not below `from`.
    /// @return how many there were.
    virtual std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) = 0;
};

struct StoreOptions {
    std::string directory;                          ///< exists; the store's own
    Durability durability = Durability::kBuffered;  ///< kBuffered or kSync
    std::uint64_t memory_bytes = 2_GiB;             ///< cache, or budget
};

class Store {
public:
    virtual ~Store() = default;
    virtual std::unique_ptr<Session> session() = 0;
    /// What an owner would do once after loading, before reads are measured.
    virtual void settle() = 0;
    /// Its documented good settings, as they were set, for people.
    virtual std::string settings() const = 0;
    virtual std::string version() const = 0;
};

/// An engine that can take part.
struct Side {
    std::string name;
    std::string what;     ///< a line for people
    std::string package;  ///< that it comes in, for those who lack it
    /// Empty when this build lacks it.
    std::function<std::unique_ptr<Store>(const StoreOptions&)> open;
};

/// All that this tool knows, ours first.
const std::vector<Side>& sides();
/// The one of that name; null when there is none.
const Side* find_side(const std::string& name);

}  // namespace fulgur::bench
