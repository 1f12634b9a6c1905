// Which pages leave memory when the budget is used up.
//
// A clock's hand goes round all trees in key order, one lowest inner page at a time. A leaf that
// was looked up or written since the hand last passed gets a second chance: its mark is cleared.
// Walks (cursors) set no mark, so that one scan of everything does not push out what is used all
// the time.
//
//   clean leaf   its image is on the disk: the child word becomes the image's descriptor again
//   dirty leaf   is imaged first, as the checkpoint's walker does it, many at a time into one large
//                write. No superblock refers to such an early image until a walk has passed, so its
//                space is allocated as "unemitted" (space.h), and the images it supersedes stay on
//                its descriptor's chain until the walker lets them go. Not synced: what makes a
//                commit durable is the log, and a superblock is written after a sync of everything.
//   large values the bytes that the disk has; the objects stay with their leaf
//   inner page   of the lowest level, when nothing below it is in memory
//
// Leaves that hold large values leave only when clean: which value is referred to by an image, and
// which only by the log, is decided in one place, the walk.
//
// Rules. Unlinking happens under the leaf's latch and its parent's, as every store into an inner
// page, while no commit is between prepare and apply (`exclude_writer`): so a prepared leaf stays.
// A page that left is retired through the epochs: readers that are in it read on. Memory that pins
// keep is not free; a reader that wants a page when all is kept gets kBusy.
//
// Source: the clock with a second chance is Corbató's, 1968; out-of-place eviction of B-tree pages
// as in LeanStore (Leis et al., ICDE 2018), here with immutable images.
//
// Thread safety: any thread may call make_room and keep_room that holds no latch and neither
// commit nor evict mutex. One sweeps at a time.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include <fulgur/result.h>

#include "os/mutex.h"
#include "storage/image_codec.h"
#include "storage/image_writer.h"
#include "storage/leaf_merge.h"
#include "storage/tree.h"

namespace fulgur::storage {

class Evictor final : public RoomMaker {
public:
    /// What it needs from the engine.
    struct Host {
        /// The living trees, in a fixed order. Called while pinned: one that is dropped meanwhile
        /// stays readable, and says so (Tree::evicting).
        std::function<void(std::vector<Tree*>&)> trees;
        /// Runs the function while no commit is between prepare and apply.
        std::function<void(const std::function<void()>&)> exclude_writer;
        /// A write other than for want of space failed: the handle must be poisoned.
        std::function<void(const Error&)> write_failed;
        /// More is used than should be: somebody should call keep_room soon. Cheap; any thread.
        std::function<void()> wake;
        /// What to say when there is no room: the host knows who keeps what.
        std::function<Error()> refusal;
    };

    /// @param reserve_bytes  that keep_room keeps free; 0: what readers turn out to need. What
    ///        leaves memory after a reader has pinned cannot be used again before that pin ends, so
    ///        as much should be free when it begins as will come in meanwhile: a quarter of the
    ///        budget at first, then twice what pins lately kept, within a sixteenth and a half.
    Evictor(TreeContext& context, Host host, std::uint64_t reserve_bytes);

    /// Makes `bytes` free, and some more for those who come next.
    /// @return kLimit or kBusy (full of pages that cannot go), kNoSpace, kIo.
    Result<void> make_room(std::uint64_t bytes) override;
    void note_taken() override {
        if (!context_.frames.has_room(reserve())) host_.wake();
    }
    /// Sweeps until as much is free as should be. What the background does.
    Result<void> keep_room();
    /// Whether keep_room has something to do.
    bool wants_room() const { return live_bytes() + reserve() > context_.frames.budget(); }

    std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
    std::uint64_t written() const { return written_.load(std::memory_order_relaxed); }

private:
    /// A leaf that may go.
    struct Candidate {
        std::size_t index = 0;
        Leaf* leaf = nullptr;
        bool imaged = false;  ///< here, early; else the walker's image serves
        std::size_t count = 0;
        PageRef ref;
    };

    std::uint64_t live_bytes() const;
    std::uint64_t reserve() const { return reserve_bytes_.load(std::memory_order_relaxed); }
    void learn_reserve() REQUIRES(mutex_);
    Result<void> sweep(std::uint64_t live_max) REQUIRES(mutex_);
    /// The hand's next step. @return whether it has gone round all trees.
    bool step(bool inner_pages) REQUIRES(mutex_);
    Inner* find_page(Tree& tree) REQUIRES(mutex_);
    void visit_root_leaf(Tree& tree) REQUIRES(mutex_);
    void visit(Tree& tree, Inner& page, bool inner_pages) REQUIRES(mutex_);
    void collect(Inner& page) REQUIRES(mutex_);
    Result<void> image_dirty(Tree& tree) REQUIRES(mutex_);
    Result<bool> image(Tree& tree, Candidate& candidate) REQUIRES(mutex_);
    void forget_unwritten() REQUIRES(mutex_);
    bool unlink(Tree& tree, Inner& page, const Candidate& candidate);
    bool unlink_inner(Tree& tree, Inner& page);

    TreeContext& context_;
    const Host host_;
    Versions::Slot* const slot_;
    const bool reserve_fixed_;
    std::atomic<std::uint64_t> reserve_bytes_;
    std::atomic<std::uint64_t> evicted_{0};
    std::atomic<std::uint64_t> written_{0};

    os::Mutex mutex_;
    ImageWriter writer_ GUARDED_BY(mutex_);
    ImageCompressor compressor_ GUARDED_BY(mutex_);
    std::uint64_t kept_by_pins_ GUARDED_BY(mutex_);  ///< the most lately
    std::vector<Tree*> trees_ GUARDED_BY(mutex_);
    std::size_t tree_ GUARDED_BY(mutex_) = 0;  ///< the hand: a tree,
    std::string key_ GUARDED_BY(mutex_);       ///< and a key in it
    std::vector<Candidate> candidates_ GUARDED_BY(mutex_);
    LeafMerge merge_ GUARDED_BY(mutex_);
    std::vector<Sequence> snapshots_ GUARDED_BY(mutex_);
    std::vector<char> buffer_ GUARDED_BY(mutex_);
    std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace fulgur::storage
