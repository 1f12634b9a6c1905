#include "storage/leaf_rows.h"

#include <algorithm>

#include "base/coding.h"

namespace fulgur::storage {

std::size_t LeafRows::lower_bound(Bytes suffix) const {
    if (!in_place_) {
        const auto it = std::lower_bound(
            listed_.begin(), listed_.end(), suffix,
            [](const Record& record, Bytes wanted) { return record.suffix() < wanted; });
        return static_cast<std::size_t>(it - listed_.begin());
    }
    const std::uint64_t head = load_be64_prefix(suffix);
    std::size_t low = 0, size = end_;
    while (size != 0) {
        const std::size_t half = size / 2;
        // Both records that may be next, while the one at hand is still on its way.
        __builtin_prefetch(leaf_->record(low + half / 2).bytes());
        if (low + half + 1 < end_) {
            const std::size_t above = (size - half - 1) / 2;
            __builtin_prefetch(leaf_->record(std::min(low + half + 1 + above, end_ - 1)).bytes());
        }
        const Bytes at = leaf_->record(low + half).suffix();
        const std::uint64_t at_head = load_be64_prefix(at);
        if (at_head != head ? at_head < head : at < suffix) {
            low += half + 1;
            size -= half + 1;
        } else {
            size = half;
        }
    }
    return low;
}

bool LeafRows::find_before(std::size_t& place, std::size_t first) const {
    if (!in_place_) {
        if (place <= first) return false;
        --place;
        return true;
    }
    // To the newest version of the row's key.
    std::size_t behind = place;
    while (behind > first && behind < end_ && same_key(behind - 1)) --behind;
    while (behind > first) {
        std::size_t begin = behind - 1;
        while (begin > first && same_key(begin - 1)) --begin;
        for (std::size_t i = begin; i < behind; ++i) {
            const Record record = leaf_->record(i);
            if (record.sequence() > snapshot_) continue;
            if (record.tombstone()) break;
            place = i;
            return true;
        }
        behind = begin;
    }
    return false;
}

}  // namespace fulgur::storage
