#include "storage/evict.h"

#include <algorithm>
#include <span>

#include "base/planted.h"
#include "os/thread.h"
#include "storage/space.h"

namespace fulgur::storage {

namespace {

/// Steps of the hand under one pin: so long may memory that others retire wait for us.
constexpr unsigned kStepsPerPin = 32;
/// Once round the clock clears the marks, once more finds who is unmarked, and, since the hand
/// begins anywhere, a third round goes on to the inner pages; the last one sees what that freed.
constexpr unsigned kRounds = 4;
constexpr unsigned kRoundsWithoutInner = 2;

/// Under the parent's latch and the leaf's, or the leaf not being written.
bool is_clean(const Leaf& leaf) {
    return leaf.disk != nullptr && leaf.imaged_count == leaf.count.load(std::memory_order_acquire);
}

/// The second chance, which it has once.
bool take_mark(Leaf& leaf) {
    const auto marks = leaf.marks.fetch_and(static_cast<std::uint8_t>(~PageHeader::kReferenced),
                                            std::memory_order_relaxed);
    return (marks & PageHeader::kReferenced) != 0;
}

}  // namespace

Evictor::Evictor(TreeContext& context, Host host, std::uint64_t reserve_bytes)
    : context_(context),
      host_(std::move(host)),
      slot_(context.versions.take_slot()),
      reserve_fixed_(reserve_bytes != 0),
      reserve_bytes_(reserve_fixed_ ? reserve_bytes : context.frames.budget() / 4),
      writer_(context.data, context.space, SpaceManager::Emission::kLater),
      compressor_(context.codec),
      kept_by_pins_(context.frames.budget() / 8) {}

/// Retired memory is on its way out: evicting more would not make it go faster.
std::uint64_t Evictor::live_bytes() const {
    const std::uint64_t retired = context_.versions.retired_bytes();
    const std::uint64_t used = context_.frames.used();
    return used - std::min(used, retired);
}

/// Under way between sweeps is what pins keep; it fades by a 64th each time it is less.
void Evictor::learn_reserve() {
    const std::uint64_t budget = context_.frames.budget();
    const std::uint64_t retired = context_.versions.retired_bytes();
    kept_by_pins_ = std::max(retired, kept_by_pins_ - kept_by_pins_ / 64);
    if (reserve_fixed_) return;
    reserve_bytes_.store(std::clamp(2 * kept_by_pins_, budget / 16, budget / 2),
                         std::memory_order_relaxed);
}

Result<void> Evictor::make_room(std::uint64_t bytes) {
    const FramePool& frames = context_.frames;
    os::MutexLock lock(mutex_);
    learn_reserve();
    context_.versions.reclaim();
    if (frames.has_room(bytes)) return {};
    const std::uint64_t wanted = bytes + reserve();
    Result<void> swept = sweep(frames.budget() - std::min(frames.budget(), wanted));
    if (frames.has_room(bytes)) return {};
    if (!swept) return swept;
    return host_.refusal();
}

Result<void> Evictor::keep_room() {
    os::MutexLock lock(mutex_);
    learn_reserve();
    if (!wants_room()) {
        context_.versions.reclaim();
        return {};
    }
    // A little more, so that not each page that comes in calls for the next sweep.
    const std::uint64_t live_max = context_.frames.budget() - reserve();
    return sweep(live_max - live_max / 32);
}

Result<void> Evictor::sweep(std::uint64_t live_max) {
    error_.reset();
    unsigned rounds = 0, steps = 0;
    while (live_bytes() > live_max && rounds < kRounds) {
        if (steps++ % kStepsPerPin == 0) {
            context_.versions.pin_memory(*slot_);
            host_.trees(trees_);
        }
        if (step(rounds >= kRoundsWithoutInner)) ++rounds;
    }
    context_.versions.unpin(*slot_);
    context_.versions.reclaim();
    if (error_) return *error_;
    return {};
}

bool Evictor::step(bool inner_pages) {
    if (tree_ >= trees_.size()) {
        tree_ = 0;
        key_.clear();
        return true;
    }
    Tree& tree = *trees_[tree_];
    Inner* page = find_page(tree);
    const bool last = page == nullptr || !page->has_high();
    std::string next = last ? std::string() : std::string(page->high());
    if (page != nullptr) {
        visit(tree, *page, inner_pages);
    } else {
        visit_root_leaf(tree);
    }
    key_ = std::move(next);
    if (last) ++tree_;
    return false;
}

/// The first lowest inner page in memory at or behind the hand; null: none in this tree.
Inner* Evictor::find_page(Tree& tree) {
    for (;;) {
        ChildWord word = load_child(tree.root());
        if (!word.resident() || word.page()->level == 0) return nullptr;
        Inner* page = static_cast<Inner*>(word.page());
        bool again = false;
        while (page->level > 1 && !again) {
            const std::size_t index = page->search(key_);
            word = load_child(page->child(index));
            if (word.resident()) {
                page = static_cast<Inner*>(word.page());
                continue;
            }
            if (!page->child_has_high(index)) return nullptr;
            key_ = page->child_high(index);
            again = true;
        }
        if (!again) return page;
    }
}

/// A root that is a leaf stays, but not the bytes of its large values.
void Evictor::visit_root_leaf(Tree& tree) {
    const ChildWord word = load_child(tree.root());
    if (!word.resident() || word.page()->level != 0) return;
    Leaf& leaf = *static_cast<Leaf*>(word.page());
    if (!take_mark(leaf)) tree.drop_large_bytes(leaf);
}

void Evictor::visit(Tree& tree, Inner& page, bool inner_pages) {
    candidates_.clear();
    collect(page);
    // Clean leaves can go although dirty ones cannot be written.
    if (Result<void> imaged = image_dirty(tree); !imaged) error_ = imaged.error();
    os::yield_point("before evicting");
    std::vector<const Candidate*> stayed;
    const std::span<const Candidate> candidates = candidates_;  // Locked here.
    host_.exclude_writer([&] {
        // Dropped since the hand came here: a checkpoint may be listing its space.
        const bool evicting = tree.evicting();
        for (const Candidate& candidate : candidates) {
            if (evicting && unlink(tree, page, candidate)) {
                evicted_.fetch_add(1, std::memory_order_relaxed);
                if (candidate.imaged) written_.fetch_add(1, std::memory_order_relaxed);
            } else if (candidate.imaged) {
                stayed.push_back(&candidate);
            }
        }
        if (inner_pages && evicting && unlink_inner(tree, page)) {
            evicted_.fetch_add(1, std::memory_order_relaxed);
        }
    });
    // Written, so that nobody's late write can fall on it: free at once.
    for (const Candidate* candidate : stayed) {
        context_.space.give_back({candidate->ref.sector, candidate->ref.sectors()});
    }
}

/// Lists what may go, and clears the marks of what may not yet.
void Evictor::collect(Inner& page) {
    LatchGuard guard(page.latch);
    if (page.replaced.load(std::memory_order_relaxed) != 0) return;
    for (std::size_t i = 0; i < page.children(); ++i) {
        const ChildWord word = load_child(page.child(i));
        if (!word.resident()) continue;
        Leaf* leaf = static_cast<Leaf*>(word.page());
        if (take_mark(*leaf)) continue;
        candidates_.push_back({i, leaf, !is_clean(*leaf), 0, {}});
    }
}

/// Images the dirty candidates and writes them; no latch is held. On failure only what was written
/// is left of them.
Result<void> Evictor::image_dirty(Tree& tree) {
    Result<void> done;
    std::size_t kept = 0;
    for (Candidate& candidate : candidates_) {
        if (candidate.imaged) {
            if (!done || error_) continue;
            Result<bool> imaged = image(tree, candidate);
            if (!imaged) done = imaged.error();
            if (!imaged || !*imaged) continue;
            if (writer_.wants_flush()) done = writer_.flush();
        }
        candidates_[kept++] = candidate;
    }
    candidates_.resize(kept);
    Result<void> flushed = writer_.flush();
    if (flushed) return done;
    if (flushed.error().code() != ErrorCode::kNoSpace) host_.write_failed(flushed.error());
    forget_unwritten();
    context_.space.cut_tail();
    return flushed;
}

/// After a failed flush: nothing of it refers to the disk.
void Evictor::forget_unwritten() {
    std::size_t kept = 0;
    for (const Candidate& candidate : candidates_) {
        if (candidate.imaged && writer_.waits(candidate.ref.sector)) continue;
        candidates_[kept++] = candidate;
    }
    candidates_.resize(kept);
    writer_.discard();
}

/// @return false: it holds large values, and stays.
Result<bool> Evictor::image(Tree& tree, Candidate& candidate) {
    Leaf& leaf = *candidate.leaf;
    candidate.count = leaf.count.load(std::memory_order_acquire);
    const Sequence horizon = context_.versions.horizon();  // Before the snapshots: versions.h.
    context_.versions.snapshots(snapshots_);
    merge_.collect(leaf, candidate.count, {horizon, snapshots_}, true);
    if (merge_.has_large()) {
        tree.drop_large_bytes(leaf);
        return false;
    }
    buffer_.resize(merge_.image_bytes(leaf));
    const Leaf* image = merge_.build_image(leaf, buffer_.data());
    PageRef& ref = candidate.ref;
    const Bytes stored = compressor_.pack({buffer_.data(), buffer_.size()}, ref);
    Result<std::uint64_t> sector = writer_.add(stored);
    if (!sector) return sector.error();
    ref.sector = *sector;
    ref.checkpoint = context_.clock.first_with();
    ref.newest = to_number(merge_.newest());
    ref.count = image->count.load(std::memory_order_relaxed);
    return true;
}

bool Evictor::unlink(Tree& tree, Inner& page, const Candidate& candidate) {
    Leaf* leaf = candidate.leaf;
    if (!try_latch(leaf->latch)) return false;
    bool gone = false;
    if (leaf->replaced.load(std::memory_order_relaxed) == 0) {
        LatchGuard guard(page.latch);
        gone = page.replaced.load(std::memory_order_relaxed) == 0 &&
               load_child(page.child(candidate.index)) == ChildWord(leaf);
        const std::size_t count = leaf->count.load(std::memory_order_relaxed);
        if (gone && candidate.imaged) {
            gone = (count == candidate.count || FULGUR_PLANTED("commit_lost_by_eviction")) &&
                   leaf->holds_large == 0;
            if (gone) tree.replace_by_early_image(page, candidate.index, candidate.ref);
        } else if (gone) {
            // Its image may still be in the walker's buffer.
            gone = (is_clean(*leaf) || FULGUR_PLANTED("dirty_leaf_evicted")) &&
                   leaf->disk != nullptr && context_.clock.is_written(leaf->disk->ticket);
            if (gone) tree.replace_by_image(page, candidate.index);
        }
        if (gone) leaf->replaced.store(1, std::memory_order_relaxed);
    }
    unlatch(leaf->latch);
    if (!gone) return false;
    tree.retire_large_values(*leaf);
    tree.retire_page(leaf);
    return true;
}

/// A lowest inner page with nothing below it in memory, and with an image that is up to date.
bool Evictor::unlink_inner(Tree& tree, Inner& page) {
    if (!try_latch(page.latch)) return false;
    bool idle = page.replaced.load(std::memory_order_relaxed) == 0 && page.disk != nullptr &&
                page.carried == nullptr && context_.clock.is_written(page.disk->ticket);
    for (std::size_t i = 0; i < page.children() && idle; ++i) {
        const ChildWord word = load_child(page.child(i));
        idle =
            !word.resident() && word.descriptor()->next == nullptr && !word.descriptor()->unemitted;
    }
    if (idle) idle = tree.replace_inner_by_image(page);
    unlatch(page.latch);
    if (!idle) return false;
    for (std::size_t i = 0; i < page.children(); ++i) {
        tree.retire_descriptor(load_child(page.child(i)).descriptor());
    }
    tree.retire_page(&page);
    return true;
}

}  // namespace fulgur::storage
