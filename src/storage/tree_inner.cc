// The writing side above the leaves: a page's parent, new separators, splits. Rules in tree.h.
//
// An inner page is replaced by one or more: mostly it fits as it is or in two halves, but
// separators may be 64 KiB long, and one that lacks the page's common prefix makes all others
// whole. So a part that no frame or image holds (Inner::fits) is halved until it does. Two children
// always fit.
#include <algorithm>
#include <cassert>
#include <iterator>

#include "base/planted.h"
#include "os/thread.h"
#include "storage/tree.h"

namespace fulgur::storage {

namespace {

/// Where to divide a page that fits nothing: half of its separators' bytes on each side.
std::size_t middle_of(std::span<const Inner::Entry> entries) {
    constexpr std::size_t kPerChild = 20;
    std::size_t all = 0;
    for (const Inner::Entry& entry : entries) all += kPerChild + entry.separator.size();
    std::size_t middle = 0;
    for (std::size_t bytes = 0; bytes < all / 2; ++middle) {
        bytes += kPerChild + entries[middle].separator.size();
    }
    return std::clamp<std::size_t>(middle, 1, entries.size() - 1);
}

}  // namespace

Tree::Parent Tree::latch_parent(const PageHeader* child) {
    for (;;) {
        const ChildWord root = load_child(root_);
        if (root.page() == child) {
            latch(root_latch_);
            if (load_child(root_).page() == child) return {nullptr, &root_, 0, &root_latch_};
            unlatch(root_latch_);
            continue;
        }
        // Pages above a resident page are resident.
        Inner* page = static_cast<Inner*>(root.page());
        while (page->level > child->level + 1) {
            page = static_cast<Inner*>(load_child(page->child(page->search(child->low()))).page());
        }
        latch(page->latch);
        if (page->replaced.load(std::memory_order_relaxed) == 0) {
            const std::size_t index = page->search(child->low());
            ChildSlot& slot = page->child(index);
            if (load_child(slot).page() == child) return {page, &slot, index, &page->latch};
        }
        unlatch(page->latch);
        os::yield();
    }
}

/// Puts `left` and the siblings behind it where `child` was; lets the parent's latch go.
void Tree::insert_split(const PageHeader* child, PageHeader* left, Entries siblings,
                        Parent parent) {
    if (parent.page == nullptr) {
        siblings.insert(siblings.begin(), {{}, ChildWord(left)});
        for (std::uint8_t level = child->level; siblings.size() > 1;) {
            siblings = build_level(++level, siblings, {}, {child->emitted, {}, {}, false});
        }
        root_.store(siblings.front().child.bits(), std::memory_order_release);
        unlatch(*parent.word);
        return;
    }
    Inner* page = parent.page;
    if (siblings.size() == 1) {
        char* frame = context_.frames.allocate(page->size);
        Inner* copy = Inner::copy_with_split(frame, *page, parent.index, ChildWord(left),
                                             siblings.front().separator, siblings.front().child);
        if (copy != nullptr) {
            replace_in_parent(page, copy);
            return;
        }
        context_.frames.free(frame, page->size);
    }
    Entries entries = page->entries();
    entries[parent.index].child = ChildWord(left);
    entries.insert(entries.begin() + static_cast<std::ptrdiff_t>(parent.index) + 1,
                   std::make_move_iterator(siblings.begin()),
                   std::make_move_iterator(siblings.end()));
    split_inner(page, entries, parent.index + siblings.size());
}

/// Rebuilds a latched inner page that is full, as one page or as several; lets its latch go.
/// @param inserted  the last of the new entries.
void Tree::split_inner(Inner* page, std::span<const Inner::Entry> entries, std::size_t inserted) {
    constexpr std::size_t kChildrenMin =
        8;  // Long separators get larger frames, not thinner pages.
    const std::size_t needed = Inner::bytes_needed(entries, page->low(), page->high());
    const bool whole = entries.size() < kChildrenMin || inner_frame_bytes(needed) <= kFrameBytesMin;
    std::size_t first = whole ? entries.size() : entries.size() / 2;
    if (!whole && inserted + 1 == entries.size()) {
        // Ascending keys fill pages: the new child alone goes right. Not when the left page would
        // have to grow for it: who always inserts before the last fence must not grow it for ever.
        const std::size_t left = inner_frame_bytes(
            Inner::bytes_needed(entries.first(inserted), page->low(), entries[inserted].separator));
        if (left <= std::max<std::size_t>(page->size, 2 * kFrameBytesMin) ||
            FULGUR_PLANTED("inner_page_of_any_size")) {
            first = inserted;
        }
    }
    Entries pages = build_level(page->level, entries, first,
                                {page->emitted, page->low(), page->high(), page->has_high()});
    auto* left = static_cast<Inner*>(pages.front().child.page());
    if (pages.size() == 1) {
        replace_in_parent(page, left);
        return;
    }
    pages.erase(pages.begin());
    const Parent parent = latch_parent(page);
    carry(page, left);
    insert_split(page, left, std::move(pages), parent);
    page->replaced.store(1, std::memory_order_relaxed);
    unlatch(page->latch);
    retire_page(page);
}

/// Builds pages of `entries`: of the first `first` and of the others, and as many more as it takes.
/// @param first  may be 0 or all of them: then one page, if it fits.
Tree::Entries Tree::build_level(std::uint8_t level, std::span<const Inner::Entry> entries,
                                std::size_t first, const LevelBounds& bounds) {
    Entries pages;
    const auto build = [&](const auto& self, std::span<const Inner::Entry> part, std::size_t cut,
                           Bytes low, Bytes high, bool has_high) -> void {
        if (cut == 0 || cut == part.size()) {
            if (FULGUR_PLANTED("inner_page_of_any_size") || Inner::fits(part, low, high)) {
                const std::size_t size = inner_frame_bytes(Inner::bytes_needed(part, low, high));
                Inner* page = Inner::build(context_.frames.allocate(size), size, level, part, low,
                                           high, has_high);
                page->emitted = bounds.emitted;
                pages.push_back({std::string(low), ChildWord(page)});
                return;
            }
            assert(part.size() > 2);
            cut = middle_of(part);
        }
        const Bytes separator = part[cut].separator;
        self(self, part.first(cut), 0, low, separator, true);
        self(self, part.subspan(cut), 0, separator, high, has_high);
    };
    build(build, entries, first, bounds.low, bounds.high, bounds.has_high);
    return pages;
}

/// Swaps a latched inner page for its copy; lets its latch go.
void Tree::replace_in_parent(Inner* page, Inner* copy) {
    const Parent parent = latch_parent(page);
    carry(page, copy);
    copy->emitted = page->emitted;
    parent.slot->store(ChildWord(copy).bits(), std::memory_order_release);
    unlatch(*parent.word);
    page->replaced.store(1, std::memory_order_relaxed);
    unlatch(page->latch);
    retire_page(page);
}

}  // namespace fulgur::storage
