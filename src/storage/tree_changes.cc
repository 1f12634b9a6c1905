// What changed since a moment: the question that a transaction asks before it commits.
//
// A key has changed when it has a version above the moment, a tombstone included. The moment is
// registered (versions.h) as long as the question is asked, so consolidation leaves an answer:
//   * a version above the moment that was superseded went because a newer one is there;
//   * a tombstone goes with everything above it only when nothing below it is kept. The version
//     that the moment sees is kept, so it was absent then and is absent now: that the key was there
//     in between is not to be seen from either end, and no conflict.
// A later moment may be asked about as well, once nothing has changed up to it: what the registered
// one sees is what that one sees.
//
// Pages tell by `newest` that nothing in them is above the moment; so do the references of pages
// that are not in memory. Only what changed since is looked into or read.
//
// Concurrency: the caller is pinned. Commits up to `visible` as he loaded it before are seen, and
// newer ones may be; who holds the commit mutex sees them all.
#include <array>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "storage/tree.h"

namespace fulgur::storage {

namespace {

bool counts_as_change(const Record& record, Sequence since) {
    if (FULGUR_PLANTED("tombstones_no_conflict") && record.tombstone()) return false;
    return record.sequence() > since;
}

bool may_have_changed(const PageHeader& page, Sequence since) {
    return page.newest.load(std::memory_order_relaxed) > to_number(since);
}

/// A changed key of the leaf in [begin, end).
std::optional<std::string> changed_in(const Leaf& leaf, Bytes begin, std::optional<Bytes> end,
                                      Sequence since) {
    if (!may_have_changed(leaf, since)) return {};
    const std::size_t n = leaf.count.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < n; ++i) {
        const Record record = leaf.record(i);
        if (!counts_as_change(record, since)) continue;
        std::string key(leaf.prefix());
        key.append(record.suffix());
        if (key >= begin && (!end || key < *end)) return key;
    }
    return {};
}

}  // namespace

Result<std::optional<std::size_t>> Tree::changed_point(std::span<const Bytes> keys, Sequence since,
                                                       Budget budget) {
    std::array<Leaf*, kGroupMax> leaves;
    for (std::size_t begin = 0; begin < keys.size(); begin += kGroupMax) {
        const std::size_t n = std::min(kGroupMax, keys.size() - begin);
        resident_leaves(keys.subspan(begin, n), leaves);
        for (std::size_t i = 0; i < n; ++i) {
            const Bytes key = keys[begin + i];
            if (leaves[i] == nullptr) {
                std::string behind(key);
                behind.push_back('\0');
                Result<std::optional<std::string>> changed =
                    changed_key(key, behind, since, budget);
                if (!changed) return changed.error();
                if (*changed) return std::optional<std::size_t>(begin + i);
                continue;
            }
            if (!may_have_changed(*leaves[i], since)) continue;
            const std::optional<Record> newest = leaves[i]->find(
                key.substr(leaves[i]->prefix_size), print_of(hash64(key)), Sequence{kSequenceMax});
            if (newest && counts_as_change(*newest, since)) {
                return std::optional<std::size_t>(begin + i);
            }
        }
    }
    return std::optional<std::size_t>();
}

/// The page with the least keys from `key` on that may have changed: a leaf, or nothing but where
/// unchanged pages end.
Result<Tree::Changed> Tree::next_changed(Bytes key, Sequence since, Budget budget) {
    for (;;) {
        Changed at;
        ChildSlot* slot = &root_;
        for (;;) {
            const ChildWord word = load_child(*slot);
            if (!word.resident()) {
                if (word.descriptor()->ref.newest <= to_number(since)) {
                    Inner* const parent = at.place.parent;
                    if (parent != nullptr && parent->child_has_high(at.place.index)) {
                        at.high = parent->child_high(at.place.index);
                    }
                    return at;
                }
                Result<ChildWord> loaded = load_resident(at.place.parent, *slot, word, budget);
                if (!loaded) return loaded.error();
                if (loaded->page() == nullptr) break;  // The parent was replaced: again.
                continue;
            }
            if (word.page()->kind == PageKind::kLeaf) {
                at.place.leaf = static_cast<Leaf*>(word.page());
                return at;
            }
            at.place.parent = static_cast<Inner*>(word.page());
            at.place.index = at.place.parent->search(key);
            slot = &at.place.parent->child(at.place.index);
        }
    }
}

Result<std::optional<std::string>> Tree::changed_key(Bytes begin, std::optional<Bytes> end,
                                                     Sequence since, Budget budget) {
    if (end && *end <= begin) return std::optional<std::string>();
    std::string at(begin);
    for (;;) {
        Result<Changed> found = next_changed(at, since, budget);
        if (!found) return found.error();
        if (found->place.leaf == nullptr) {
            if (!found->high || (end && Bytes(*found->high) >= *end)) break;
            at = *std::move(found->high);
            continue;
        }
        // The leaf, and those beside it without a descent for each: a page that was live after the
        // question was asked has all that is asked for.
        Inner* const parent = found->place.parent;
        const Leaf* leaf = found->place.leaf;
        for (std::size_t i = found->place.index;;) {
            if (auto key = changed_in(*leaf, begin, end, since)) return key;
            if (!leaf->has_high() || (end && leaf->high() >= *end)) {
                return std::optional<std::string>();
            }
            if (parent == nullptr || ++i == parent->children()) break;
            const ChildWord word = load_child(parent->child(i));
            if (!word.resident()) break;
            leaf = static_cast<const Leaf*>(word.page());
        }
        at = leaf->high();
    }
    return std::optional<std::string>();
}

}  // namespace fulgur::storage
