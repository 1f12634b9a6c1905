// A walk over one tree at one moment, both ways.
//
// On entering a leaf the cursor lists the versions its moment sees, in key order, so that a step
// inside a leaf is one index. The next leaf comes from the lowest inner page it came through: a
// page that was live after the moment was taken is good for the whole pin (tree.h), so that a walk
// descends once per inner page. Forward, the leaf after the next is prefetched.
//
// Thread safety: one thread; its reader must stay pinned.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <fulgur/key_range.h>

#include "storage/tree.h"

namespace fulgur::storage {

class TreeCursor {
public:
    TreeCursor(Tree& tree, Sequence snapshot, KeyRange range);

    bool valid() const { return valid_; }
    /// Valid until the next step.
    Bytes key() const { return key_; }
    /// Valid as long as the reader is pinned.
    const Record& record() const { return records_[position_]; }

    void seek_to_first() { seek(range_.begin); }
    void seek_to_last();
    void seek(Bytes key);
    void next();
    void previous();

    const std::optional<Error>& error() const { return error_; }
    void set_error(const Error& error);

private:
    /// A leaf's unsorted tail above this is worth sorting once for all who come later.
    static constexpr std::size_t kTailMax = 8;

    bool enter(Result<Tree::Place> place);
    std::size_t lower_bound(Bytes key) const;
    bool enter_next();
    bool enter_previous();
    void settle_forward();
    void step_back();
    void show();

    Tree& tree_;
    const Sequence snapshot_;
    const KeyRange range_;
    Tree::Place place_;
    LeafMerge merge_;
    std::vector<Record> records_;  ///< of the leaf at hand, as the moment sees it
    std::size_t position_ = 0;
    std::size_t first_ = 0;  ///< bounds of the range inside records_
    std::size_t limit_ = 0;
    std::string key_;
    std::string fence_;
    std::optional<Error> error_;
    bool valid_ = false;
};

}  // namespace fulgur::storage
