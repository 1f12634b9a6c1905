#include "storage/tree_cursor.h"

#include <algorithm>

#include "base/planted.h"

namespace fulgur::storage {

TreeCursor::TreeCursor(Tree& tree, Sequence snapshot, KeyRange range)
    : tree_(tree), snapshot_(snapshot), range_(std::move(range)) {
    seek_to_first();
}

void TreeCursor::set_error(const Error& error) {
    error_ = error;
    valid_ = false;
}

/// Index of the first record whose key is not below `key`.
std::size_t TreeCursor::lower_bound(Bytes key) const {
    const Leaf& leaf = *place_.leaf;
    if (key <= leaf.low()) return 0;
    if (leaf.has_high() && key >= leaf.high()) return records_.size();
    const Bytes suffix = key.substr(leaf.prefix_size);
    const auto it = std::lower_bound(
        records_.begin(), records_.end(), suffix,
        [](const Record& record, Bytes wanted) { return record.suffix() < wanted; });
    return static_cast<std::size_t>(it - records_.begin());
}

bool TreeCursor::enter(Result<Tree::Place> place) {
    if (!place) {
        set_error(place.error());
        return false;
    }
    place_ = *place;
    std::size_t n = place_.leaf->count.load(std::memory_order_acquire);
    if (n > place_.leaf->sorted_count + kTailMax) {
        tree_.tidy_leaf(place_);
    }
    const Leaf& leaf = *place_.leaf;
    merge_.visible(leaf, n, snapshot_, records_);
    first_ = range_.begin.empty() ? 0 : lower_bound(range_.begin);
    const bool ends_here = range_.end && (!leaf.has_high() || Bytes(*range_.end) < leaf.high());
    limit_ = ends_here ? lower_bound(*range_.end) : records_.size();
    key_.assign(leaf.prefix());
    return true;
}

/// To the first record of the next leaf. Leaves may have been joined since: what is before the
/// fence was shown.
bool TreeCursor::enter_next() {
    const Leaf& leaf = *place_.leaf;
    if (!leaf.has_high() || (range_.end && leaf.high() >= Bytes(*range_.end))) return false;
    if (place_.parent != nullptr && place_.index + 1 < place_.parent->children()) {
        Result<Leaf*> next = tree_.child_leaf(place_.parent, place_.index + 1);
        if (!next) return enter(next.error());
        if (*next != nullptr) {
            if (place_.index + 2 < place_.parent->children()) {
                const ChildWord after = load_child(place_.parent->child(place_.index + 2));
                for (std::size_t line = 0; after.resident() && line < 4; ++line) {
                    __builtin_prefetch(after.page()->base() + line * 64);
                }
            }
            if (!enter(Tree::Place{*next, place_.parent, place_.index + 1})) return false;
            position_ = first_;
            return true;
        }
    }
    fence_.assign(leaf.high());
    if (!enter(tree_.place_for(fence_))) return false;
    position_ = std::max(first_, lower_bound(fence_));
    return true;
}

/// Behind the last record of the leaf before that is below the fence.
bool TreeCursor::enter_previous() {
    const Leaf& leaf = *place_.leaf;
    if (leaf.low().empty() || leaf.low() <= Bytes(range_.begin)) return false;
    fence_.assign(leaf.low());
    if (!enter(tree_.place_before(fence_))) return false;
    position_ =
        FULGUR_PLANTED("cursor_ignores_its_fence") ? limit_ : std::min(limit_, lower_bound(fence_));
    return true;
}

void TreeCursor::show() {
    valid_ = true;
    key_.resize(place_.leaf->prefix_size);
    key_.append(records_[position_].suffix());
}

void TreeCursor::settle_forward() {
    while (position_ >= limit_) {
        if (limit_ < records_.size() || !enter_next()) {
            valid_ = false;
            return;
        }
    }
    show();
}

/// To the record before `position_`, in this leaf or an earlier one.
void TreeCursor::step_back() {
    while (position_ <= first_) {
        if (first_ > 0 || !enter_previous()) {
            valid_ = false;
            return;
        }
    }
    --position_;
    show();
}

void TreeCursor::seek(Bytes key) {
    if (key < Bytes(range_.begin)) key = range_.begin;
    valid_ = false;
    if (range_.end && key >= Bytes(*range_.end)) return;
    fence_.assign(key);
    if (!enter(tree_.place_for(fence_))) return;
    position_ = lower_bound(fence_);
    settle_forward();
}

void TreeCursor::seek_to_last() {
    valid_ = false;
    if (range_.end && Bytes(*range_.end) <= Bytes(range_.begin)) return;
    if (!enter(range_.end ? tree_.place_before(*range_.end) : tree_.last_place())) return;
    position_ = limit_;
    step_back();
}

void TreeCursor::next() {
    ++position_;
    settle_forward();
}

void TreeCursor::previous() { step_back(); }

}  // namespace fulgur::storage
