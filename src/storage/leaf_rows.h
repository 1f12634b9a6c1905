// The rows of one leaf as a moment sees them, in key order, to walk both ways.
//
// A leaf that was consolidated and has no tail is walked where it lies: its records stand in key
// order, each key's versions newest first, so that a seek looks at as many records as a binary
// search does. Of a leaf with a tail the visible versions are listed once, on entering.
//
// A place is an index, of records or of the list. Records are appended meanwhile, but above the
// moment: they were not visible when it was taken (versions.h).
//
// Thread safety: an object is one thread's; the leaf may be appended to.
#pragma once

#include <vector>

#include "storage/leaf_merge.h"

namespace fulgur::storage {

class LeafRows {
public:
    /// Looks at the leaf's first `n` records.
    void enter(const Leaf& leaf, std::size_t n, Sequence snapshot) {
        leaf_ = &leaf;
        snapshot_ = snapshot;
        in_place_ = n == leaf.sorted_count;
        if (!in_place_) merge_.visible(leaf, n, snapshot, listed_);
        end_ = in_place_ ? n : listed_.size();
    }

    /// Behind all rows.
    std::size_t end() const { return end_; }
    /// Precondition: a row is there, as `find_from` and `find_before` say.
    Record row(std::size_t place) const {
        return in_place_ ? leaf_->record(place) : listed_[place];
    }
    /// The first place whose key's suffix is not below `suffix`. O(log n).
    std::size_t lower_bound(Bytes suffix) const;

    /// Moves to the first row at `place` or behind it. `place` is a bound, or behind a row.
    /// @return false: there is none before `limit`, a bound.
    bool find_from(std::size_t& place, std::size_t limit) const {
        if (!in_place_) return place < limit;
        for (; place < limit; place = behind(place)) {
            Record record = leaf_->record(place);
            while (record.sequence() > snapshot_) [[unlikely]] {
                    if (++place == limit) return false;
                    record = leaf_->record(place);
                }
            if (!record.tombstone()) [[likely]] {
                return true;
            }
        }
        return false;
    }
    /// The place behind a row.
    std::size_t behind(std::size_t place) const {
        ++place;
        if (!in_place_) return place;
        while (place < end_ && same_key(place - 1)) ++place;
        return place;
    }
    /// Moves to the last row before `place`, which is a row or a bound.
    /// @return false: there is none at `first`, a bound, or behind it.
    bool find_before(std::size_t& place, std::size_t first) const;

private:
    /// Whether a record and the one behind it are versions of one key. Keys differ in their prints
    /// mostly.
    bool same_key(std::size_t place) const {
        return leaf_->print(place) == leaf_->print(place + 1) &&
               same_bytes(leaf_->record(place).suffix(), leaf_->record(place + 1).suffix());
    }

    const Leaf* leaf_ = nullptr;
    Sequence snapshot_{};
    bool in_place_ = false;
    std::size_t end_ = 0;
    LeafMerge merge_;
    std::vector<Record> listed_;
};

}  // namespace fulgur::storage
