// A walk over one tree at one moment, both ways.
//
// Inside a leaf leaf_rows.h finds the rows that the moment sees. The next leaf comes from the
// lowest inner page it came through: a page that was live after the moment was taken is good for
// the whole pin (tree.h), so that a walk descends once per inner page. Forward, the leaf after the
// next is prefetched.
//
// Thread safety: one thread; its reader must stay pinned.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <fulgur/key_range.h>

#include "storage/leaf_rows.h"
#include "storage/tree.h"

namespace fulgur::storage {

class TreeCursor {
public:
    TreeCursor(Tree& tree, Sequence snapshot, KeyRange range);

    bool valid() const { return valid_; }
    /// Valid until the next step.
    Bytes key() const { return key_; }
    /// Valid as long as the reader is pinned.
    Record record() const { return rows_.row(position_); }

    void seek_to_first();
    void seek_to_last();
    void seek(Bytes key);
    void next();
    void previous();

    const std::optional<Error>& error() const { return error_; }
    void set_error(const Error& error);

private:
    /// A leaf's unsorted tail above this is worth sorting once for all who come later; a shorter
    /// one is when many come, of whom each would have to list the leaf's rows: one in so many does
    /// it.
    static constexpr std::size_t kTailMax = 8;
    static constexpr unsigned kListings = 8;

    void seek_inside(Bytes key);
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
    LeafRows rows_;  ///< of the leaf at hand
    std::size_t position_ = 0;
    std::size_t first_ = 0;  ///< bounds of the range inside rows_
    std::size_t limit_ = 0;
    bool ends_here_ = false;  ///< the range ends inside the leaf
    std::string key_;
    std::string fence_;
    std::optional<Error> error_;
    bool valid_ = false;
};

}  // namespace fulgur::storage
