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

/// The first place whose key is not below `key`.
std::size_t TreeCursor::lower_bound(Bytes key) const {
    const Leaf& leaf = *place_.leaf;
    if (key <= leaf.low()) return 0;
    if (leaf.has_high() && key >= leaf.high()) return rows_.end();
    return rows_.lower_bound(key.substr(leaf.prefix_size));
}

bool TreeCursor::enter(Result<Tree::Place> place) {
    if (!place) {
        set_error(place.error());
        return false;
    }
    place_ = *place;
    std::size_t n = place_.leaf->count.load(std::memory_order_acquire);
    if (const std::size_t tail = n - place_.leaf->sorted_count; tail != 0) {
        thread_local unsigned met = 0;
        if (tail > kTailMax || ++met % kListings == 0) tree_.tidy_leaf(place_);
    }
    const Leaf& leaf = *place_.leaf;
    rows_.enter(leaf, n, snapshot_);
    first_ = range_.begin.empty() ? 0 : lower_bound(range_.begin);
    ends_here_ = range_.end && (!leaf.has_high() || Bytes(*range_.end) < leaf.high());
    limit_ = ends_here_ ? lower_bound(*range_.end) : rows_.end();
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
    key_.append(rows_.row(position_).suffix());
}

void TreeCursor::settle_forward() {
    while (!rows_.find_from(position_, limit_)) {
        if (ends_here_ || !enter_next()) {
            valid_ = false;
            return;
        }
    }
    show();
}

/// To the row before `position_`, in this leaf or an earlier one.
void TreeCursor::step_back() {
    while (!rows_.find_before(position_, first_)) {
        if (first_ > 0 || !enter_previous()) {
            valid_ = false;
            return;
        }
    }
    show();
}

void TreeCursor::seek_to_first() { seek_inside(range_.begin); }

void TreeCursor::seek(Bytes key) {
    fence_.assign(key);  // It may be a view of the key at hand.
    seek_inside(std::max(Bytes(fence_), Bytes(range_.begin)));
}

/// @param key  not below the range, nor in `key_`.
void TreeCursor::seek_inside(Bytes key) {
    valid_ = false;
    if (range_.end && key >= Bytes(*range_.end)) return;
    if (!enter(tree_.place_for(key))) return;
    position_ = key == Bytes(range_.begin) ? first_ : lower_bound(key);
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
    position_ = rows_.behind(position_);
    settle_forward();
}

void TreeCursor::previous() { step_back(); }

}  // namespace fulgur::storage
