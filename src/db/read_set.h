// What a transaction read: keys, and ranges that its cursors walked.
//
// Both are appended as they come. When they reach half of what is allowed, and before they are
// checked, `settle` puts them in order, joins ranges that touch and drops keys that were read twice
// or lie in a range; so what counts against the limit is what is different.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

namespace fulgur::db {

struct KeyspaceState;

/// Keys from `begin` to before `end`; none: to the last key.
struct WalkedRange {
    std::string begin;
    std::optional<std::string> end;

    bool contains(Bytes key) const { return key >= begin && (!end || key < *end); }
};

class ReadSet {
public:
    static constexpr std::size_t kPointBytes = 32;
    static constexpr std::size_t kRangeBytes = 96;

    explicit ReadSet(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

    struct Point {
        std::size_t offset = 0;  ///< of the key in `bytes`
        std::size_t size = 0;
    };
    struct Reads {
        std::vector<char> bytes;
        std::vector<Point> points;
        std::vector<WalkedRange> ranges;

        Bytes key(const Point& point) const { return {bytes.data() + point.offset, point.size}; }
    };

    /// @return kLimit: not remembered.
    Result<void> add_point(KeyspaceState& keyspace, Bytes key);
    Result<void> add_range(KeyspaceState& keyspace, WalkedRange range);
    /// Sorts, joins and drops.
    void settle();
    const std::map<KeyspaceState*, Reads>& reads() const { return reads_; }
    std::uint64_t bytes() const { return bytes_; }
    bool empty() const { return reads_.empty(); }

private:
    Result<void> make_room(std::uint64_t bytes);
    static std::uint64_t settle(Reads& reads);
    static std::uint64_t bytes_of(const WalkedRange& range) {
        return range.begin.size() + (range.end ? range.end->size() : 0) + kRangeBytes;
    }

    const std::uint64_t bytes_max_;
    std::uint64_t bytes_ = 0;
    std::uint64_t settle_at_ = 0;  ///< settled when `bytes_` reaches it; 0: half of the limit
    std::map<KeyspaceState*, Reads> reads_;
};

}  // namespace fulgur::db
