// Joining nearly empty leaves: after many rows were erased the tree gets smaller again.
//
// Two neighbours below one lowest inner page are replaced by one fresh leaf that covers both
// ranges, and the inner page by a copy without the key that parted them; so no page's key range
// ever changes. The checkpoint's walk asks for it, at a page that it has not passed yet, and it is
// done as by the writer, with the commit mutex held: what a commit found out about its leaves while
// it prepared stays true until it is applied. Leaves are latched by trying, since the page's latch
// is held already; whoever holds one of them keeps it as it is.
//
// What hung on the old leaves goes to the fresh one: their images, each to be let go by its next
// image; their large values, by the records. Their readers see them as they were.
#include <algorithm>
#include <cassert>
#include <vector>

#include "base/planted.h"
#include "os/thread.h"
#include "storage/leaf_join.h"
#include "storage/tree.h"

namespace fulgur::storage {

namespace {

/// A joined leaf is filled to half of the smallest frame at most, so that it does not split soon.
constexpr std::size_t kJoinedBytesMax = kFrameBytesMin / 2;

/// Bytes of a child's newest image; none: it has none, so that it cannot be nearly empty for long.
/// Under the parent's latch.
std::optional<std::size_t> image_bytes(const ChildWord& word) {
    const Descriptor* image = word.resident() ? word.page()->disk : word.descriptor();
    if (image == nullptr) return std::nullopt;
    return image->ref.memory_length;
}

void append_chain(Descriptor*& chain, Descriptor* more) {
    while (more != nullptr) {
        Descriptor* next = more->next;
        more->next = chain;
        chain = more;
        more = next;
    }
}

}  // namespace

/// Fences and headers are counted twice in the sum: it errs to the side of leaving things alone.
bool Tree::has_small_neighbours(Inner* page) {
    LatchGuard guard(page->latch);
    if (page->replaced.load(std::memory_order_relaxed) != 0) return false;
    std::size_t before = kJoinedBytesMax;
    for (std::size_t i = 0; i < page->children(); ++i) {
        const std::size_t bytes = image_bytes(load_child(page->child(i))).value_or(kJoinedBytesMax);
        if (before + bytes <= kJoinedBytesMax) return true;
        before = bytes;
    }
    return false;
}

/// Children that are nearly empty and not in memory are read, as far as the budget has room.
void Tree::load_small_children(Inner* page) {
    for (std::size_t i = 0; i < page->children(); ++i) {
        const ChildWord word = load_child(page->child(i));
        if (word.resident() || word.descriptor()->ref.memory_length > kJoinedBytesMax) continue;
        static_cast<void>(child_leaf(page, i).ok());
    }
}

/// Latches neighbours from `begin` on, as long as what they hold fits one leaf.
/// Under the parent's latch. Those in the join stay latched.
void Tree::gather(Inner& page, std::size_t begin, LeafJoin& join, std::vector<Leaf*>& leaves,
                  std::vector<Record>& dropped) {
    join.clear();
    leaves.clear();
    dropped.clear();
    std::size_t bytes = 0;
    for (std::size_t i = begin; i < page.children(); ++i) {
        const ChildWord word = load_child(page.child(i));
        bytes += image_bytes(word).value_or(kJoinedBytesMax + 1);
        if (bytes > kJoinedBytesMax || !word.resident()) return;
        auto* leaf = static_cast<Leaf*>(word.page());
        if (!try_latch(leaf->latch)) return;
        assert(leaf->replaced.load(std::memory_order_relaxed) == 0);  // Its parent names it.
        collect(*leaf, writer_scratch_);
        const LeafMerge& merge = writer_scratch_.merge;
        std::size_t kept = 0;
        for (const Record& record : merge.kept()) kept += record.size() + leaf->prefix_size;
        // It may have grown since its image.
        if (kept > kJoinedBytesMax || (!leaves.empty() && join.bytes() + kept > kJoinedBytesMax)) {
            unlatch(leaf->latch);
            return;
        }
        join.add(*leaf, merge);
        leaves.push_back(leaf);
        const auto large = merge.dropped_large();
        dropped.insert(dropped.end(), large.begin(), large.end());
    }
}

/// Builds the leaf that takes the place of `leaves`. Under the parent's latch and theirs.
Leaf* Tree::join(const LeafJoin& join, std::span<Leaf* const> leaves, std::size_t frame_bytes) {
    Leaf* fresh = join.build(context_.frames.allocate(frame_bytes), frame_bytes);
    for (Leaf* leaf : leaves) {
        append_chain(fresh->carried, std::exchange(leaf->carried, nullptr));
        Descriptor* image = std::exchange(leaf->disk, nullptr);
        if (image == nullptr || FULGUR_PLANTED("joined_images_forgotten")) continue;
        image->next = fresh->carried;
        fresh->carried = image;
    }
    return fresh;
}

std::size_t Tree::join_leaves(Inner* page) {
    context_.versions.refresh_horizon();
    latch(page->latch);
    // The copy of the page, and a small leaf for each two of its children at most.
    const std::uint64_t needed =
        2 * std::uint64_t{page->size} + page->children() / 2 * kFrameBytesMin;
    if (page->replaced.load(std::memory_order_relaxed) != 0 || !context_.frames.has_room(needed)) {
        unlatch(page->latch);
        return 0;
    }
    std::vector<Inner::Entry> entries = page->entries();
    std::vector<Inner::Entry> kept;
    std::vector<Leaf*> leaves, gone;
    std::vector<Record> dropped, ended;
    LeafJoin joining;
    for (std::size_t i = 0; i < entries.size();) {
        gather(*page, i, joining, leaves, dropped);
        const std::optional<std::size_t> size =
            leaves.size() < 2 ? std::nullopt : joining.frame_bytes();
        if (!size) {
            for (Leaf* leaf : leaves) unlatch(leaf->latch);
            kept.push_back(std::move(entries[i++]));
            continue;
        }
        kept.push_back({std::move(entries[i].separator), ChildWord(join(joining, leaves, *size))});
        release_dropped(dropped, page->emitted);
        ended.insert(ended.end(), dropped.begin(), dropped.end());
        gone.insert(gone.end(), leaves.begin(), leaves.end());
        i += leaves.size();
    }
    if (gone.empty()) {
        unlatch(page->latch);
        return 0;
    }
    const std::size_t bytes = Inner::bytes_needed(kept, page->low(), page->high());
    const std::size_t size = inner_frame_bytes(bytes);
    const std::size_t saved = entries.size() - kept.size();
    replace_in_parent(page, Inner::build(context_.frames.allocate(size), size, page->level, kept,
                                         page->low(), page->high(), page->has_high()));
    os::yield_point("leaves joined");
    // Only now that the leaves are unlinked, by which readers came to them.
    for (const Record& record : ended) retire_large(large_value_of(record));
    for (Leaf* leaf : gone) {
        leaf->replaced.store(1, std::memory_order_relaxed);
        unlatch(leaf->latch);
        retire_page(leaf);
    }
    context_.counters.joins.fetch_add(saved, std::memory_order_relaxed);
    return saved;
}

}  // namespace fulgur::storage
