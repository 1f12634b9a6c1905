#include "db/read_set.h"

#include <algorithm>
#include <utility>

namespace fulgur::db {

/// Settling is worth its time when half of what there is came since the last time.
Result<void> ReadSet::make_room(std::uint64_t bytes) {
    const std::uint64_t due = std::max(settle_at_, bytes_max_ / 2);
    if (bytes_ + bytes > due) {
        settle();
        settle_at_ = bytes_ + (bytes_max_ - std::min(bytes_, bytes_max_)) / 2;
    }
    if (bytes_ + bytes <= bytes_max_) {
        bytes_ += bytes;
        return {};
    }
    settle();
    if (bytes_ + bytes > bytes_max_) {
        return Error(ErrorCode::kLimit,
                     "the transaction read too many separate keys; walk ranges, or read less");
    }
    bytes_ += bytes;
    return {};
}

Result<void> ReadSet::add_point(KeyspaceState& keyspace, Bytes key) {
    if (Result<void> room = make_room(key.size() + kPointBytes); !room) return room;
    Reads& reads = reads_[&keyspace];
    reads.points.push_back({reads.bytes.size(), key.size()});
    reads.bytes.insert(reads.bytes.end(), key.begin(), key.end());
    return {};
}

Result<void> ReadSet::add_range(KeyspaceState& keyspace, WalkedRange range) {
    if (range.end && *range.end <= range.begin) return {};
    if (Result<void> room = make_room(bytes_of(range)); !room) return room;
    reads_[&keyspace].ranges.push_back(std::move(range));
    return {};
}

void ReadSet::settle() {
    bytes_ = 0;
    for (auto& [keyspace, reads] : reads_) bytes_ += settle(reads);
}

/// @return the bytes that are left.
std::uint64_t ReadSet::settle(Reads& reads) {
    std::uint64_t total = 0;
    std::sort(reads.ranges.begin(), reads.ranges.end(),
              [](const WalkedRange& a, const WalkedRange& b) { return a.begin < b.begin; });
    std::vector<WalkedRange> ranges;
    for (WalkedRange& range : reads.ranges) {
        if (ranges.empty() || (ranges.back().end && *ranges.back().end < range.begin)) {
            ranges.push_back(std::move(range));
        } else if (ranges.back().end && (!range.end || *ranges.back().end < *range.end)) {
            ranges.back().end = std::move(range.end);
        }
    }
    reads.ranges = std::move(ranges);
    for (const WalkedRange& range : reads.ranges) total += bytes_of(range);

    std::sort(reads.points.begin(), reads.points.end(),
              [&](const Point& a, const Point& b) { return reads.key(a) < reads.key(b); });
    Reads kept;
    auto range = reads.ranges.begin();
    for (const Point& point : reads.points) {
        const Bytes key = reads.key(point);
        if (!kept.points.empty() && kept.key(kept.points.back()) == key) continue;
        while (range != reads.ranges.end() && range->end && *range->end <= key) ++range;
        if (range != reads.ranges.end() && range->contains(key)) continue;
        kept.points.push_back({kept.bytes.size(), key.size()});
        kept.bytes.insert(kept.bytes.end(), key.begin(), key.end());
        total += key.size() + kPointBytes;
    }
    reads.points = std::move(kept.points);
    reads.bytes = std::move(kept.bytes);
    return total;
}

}  // namespace fulgur::db
