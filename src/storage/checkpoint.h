// The checkpoint: an immutable picture of all trees on the disk, taken while the writer goes on.
//
// Steps: (1) R = visible; (2) walk each tree in key order, writing images of what changed; (3)
// write the inner levels above, then the catalog with the space lists; (4) sync the data; (5) make
// the log durable up to N, the newest sequence in any image; (6) write the superblock and sync; (7)
// only then let space and log segments go. A crash before (6) leaves the previous checkpoint; one
// inside (6) leaves either.
//
// The walk goes one lowest inner page at a time. Its changed leaves are imaged without a latch;
// then under the page's latch only the leaves that were swapped meanwhile are imaged again, and the
// page's own image is made. So the image of an inner page and the images of its leaves fit
// together, although leaves are imaged at different moments: replay from R brings all of them to N,
// and nobody reads before that.
//
// A leaf is unchanged when its count equals the count that was imaged: a dirty flag would have a
// moment between the writer's setting it and publishing the record in which a commit is lost.
//
// An image keeps every record of its leaf that refers to a large value, even a superseded one: who
// owns a large value's space is then the same on the disk as in memory, and space is neither lost
// nor freed twice by a crash. (Consolidation in memory drops it and releases the space.)
//
// Inner pages of level 2 and up are few (one in 10,000 of the data) and are written anew by each
// checkpoint that changed their tree; the catalog lists their places, so the next one can free
// them.
//
// One thread at a time runs a checkpoint (the engine's checkpoint mutex).
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fulgur/result.h>

#include "base/planted.h"
#include "storage/image_codec.h"
#include "storage/image_writer.h"
#include "storage/meta.h"
#include "storage/relocation.h"
#include "storage/superblock.h"
#include "storage/tree.h"

namespace fulgur::storage {

/// A tree as the walker meets it.
struct CheckpointTree {
    Tree* tree = nullptr;
    /// What the last attempt wrote: the walk replaces it. Also valid when that attempt was
    /// abandoned: its images are on the disk, or in the writer's hands.
    KeyspaceMeta* meta = nullptr;
    /// Of the lowest inner pages that meta's upper levels were built from; 0: not known.
    std::uint64_t* signature = nullptr;
    bool* released = nullptr;  ///< dropped trees: their space was let go
};

class Checkpointer {
public:
    /// @param newest  the superblock that recovery chose; checkpoints continue after it.
    /// @param other_replay  R of the other slot when it is valid too, else of `newest`.
    Checkpointer(TreeContext& context, const Superblock& newest, Sequence other_replay);

    /// What a checkpoint needs from the engine. Called once its attempt has begun, so that whatever
    /// happens from then on counts as happening during it.
    struct Job {
        Sequence replay{};  ///< R: visible, taken inside the call
        std::vector<CheckpointTree> trees;
        std::vector<CheckpointTree> dropped;  ///< no reader is left: let their space go
        std::uint32_t next_keyspace_id = 0;
        std::function<Result<void>()> sync_log;  ///< makes everything appended durable
        /// Runs something as the writer, while no commit does. Empty: nothing is joined.
        std::function<void(const std::function<void()>&)> as_writer;
        Relocation* relocation = nullptr;  ///< what to move on the way
        bool cut_short = false;            ///< give up any free tail of the file, however short
        std::uint64_t log_bytes_kept = 0;  ///< for the superblock
    };

    /// @return kNoSpace: abandoned, nothing is harmed, try again later. After another error look at
    ///         write_failed(): then the handle must be poisoned.
    Result<void> run(const std::function<Job()>& begin);
    /// A write or a sync failed: what is on the disk is not known any more.
    bool write_failed() const { return write_failed_; }

    const Superblock& superblock() const { return superblock_; }
    /// Log records up to here will never be replayed: at or below R of both superblocks.
    Sequence recyclable() const {
        if (FULGUR_PLANTED("recycled_for_one_superblock")) return superblock_.replay;
        return std::min(superblock_.replay, other_replay_);
    }
    /// Of the page that the walker is at; 0: none. Any thread.
    std::uint64_t pinned_epoch() const { return slot_->epoch.load(std::memory_order_acquire); }
    std::uint64_t pages_written() const { return pages_written_.load(std::memory_order_relaxed); }

private:
    /// A large value that was copied, and is to be told of it.
    struct MovedValue {
        LargeValue* value;
        std::uint64_t from;
        std::uint64_t to;
    };
    struct ImagedLeaf {
        std::size_t index = 0;  ///< child of the inner page at hand
        Leaf* leaf = nullptr;
        bool for_values = false;  ///< unchanged, and large values of it are to be moved
        std::size_t count = 0;    ///< records that the image stands for
        PageRef ref;
        std::uint64_t ticket = 0;        ///< of the writer
        std::vector<LargeValue*> large;  ///< that the image refers to
        std::vector<MovedValue> moved;
    };
    /// An unchanged image that was copied.
    struct MovedImage {
        std::size_t index = 0;  ///< child of the inner page at hand
        const Descriptor* from = nullptr;
        PageRef to;
    };
    /// While it lives, and if `pause`, nothing is moved.
    class MovingPause {
    public:
        MovingPause(Relocation*& moving, bool pause) : moving_(moving), kept_(moving) {
            if (pause) moving_ = nullptr;
        }
        ~MovingPause() { moving_ = kept_; }
        MovingPause(const MovingPause&) = delete;
        MovingPause& operator=(const MovingPause&) = delete;

    private:
        Relocation*& moving_;
        Relocation* const kept_;
    };
    /// A page of the level at hand, and the lower bound of its keys.
    struct Entry {
        std::string low;
        PageRef ref;
    };
    using Entries = std::vector<Entry>;

    Result<void> attempt(const std::function<Job()>& begin);
    Result<void> publish(const Job& job);

    // The walk (checkpoint_walk.cc).
    Result<void> walk(const CheckpointTree& target);
    /// Appends what covers `key` and moves `key` to its upper bound; false: look again.
    Result<bool> visit(Tree& tree, std::string& key, bool& more, Entries& entries);
    Result<bool> visit_unloaded(Tree& tree, Inner* parent, ChildSlot& slot, ChildWord word,
                                std::string low, Entries& entries);
    Result<bool> emit_root_leaf(Tree& tree, Leaf* leaf, Entries& entries);
    Result<bool> emit_inner(Tree& tree, Inner* page, Entries& entries);
    bool list_images(Inner& page, std::vector<ImagedLeaf>& imaged);
    Result<void> make_images(std::vector<ImagedLeaf>& imaged);
    Result<void> emit_children(Tree& tree, Inner& page, std::vector<ImagedLeaf>& imaged,
                               Entries& children);
    Result<ImagedLeaf> image_leaf(Leaf* leaf, std::size_t index);
    Result<void> place_large(LargeValue& value);
    void adopt_image(Tree& tree, const ImagedLeaf& imaged);
    void emit_early_image(Tree& tree, Descriptor& image, Descriptor*& superseded);
    void release_images(Tree& tree, PageHeader* page);
    void release_chain(Tree& tree, Descriptor*& first);
    void abandon(const ImagedLeaf& imaged);
    void abandon_values(const ImagedLeaf& imaged);
    Result<PageRef> write_inner(std::uint8_t level, std::span<const Entry> entries, Bytes high,
                                bool has_high);
    Result<void> write_upper(KeyspaceMeta& meta, Entries entries);

    bool join_small(Tree& tree, Inner* page);

    // Moving (checkpoint_move.cc). A visit of a page copies so much before it tells memory, and the
    // page is visited again for the rest: then that much at most is copied in vain when a commit
    // replaces the page meanwhile, and is kept waiting for the pin. When that has happened so often
    // to a page, one after the other, nothing of it is moved: the walk must come to its end.
    static constexpr std::uint64_t kVisitCopiesBytes = 16_MiB;
    static constexpr unsigned kVisitsInVainMax = 2;
    /// Copies take free space, and where they come from is not free before two more checkpoints;
    /// what this one must write to be published needs room, too. So nothing is copied unless this
    /// much is held back for that.
    static constexpr std::uint64_t kReserveBytes = 512_KiB;
    Result<void> take_reserve();
    void give_reserve_back();
    bool copied_enough() const { return visit_copied_ >= kVisitCopiesBytes; }
    Result<std::uint64_t> add_image(Bytes image);
    bool moves(const Descriptor* descriptor) const;
    bool moves_values_of(const Leaf& leaf) const;
    std::optional<PageRef> copy_image(const PageRef& ref);
    void load_to_move(Tree& tree, Inner* page);
    void list_moves(Inner& page);
    Result<void> make_moves(std::span<const ImagedLeaf> imaged);
    Result<void> flush_moves();
    void abandon_moves();
    void count_moved(std::uint64_t bytes);
    bool adopt_move(Tree& tree, ChildSlot& slot, const MovedImage& move);
    bool adopt_move_of(Tree& tree, ChildSlot& slot, std::size_t index);
    Result<bool> move_unloaded(Tree& tree, Inner* parent, ChildSlot& slot, ChildWord word);
    Result<std::uint64_t> move_value(LargeValue& value, std::vector<MovedValue>& moved);
    Result<bool> copy_value(const LargeValue& value, std::uint64_t from, std::uint64_t to);
    void adopt_moved_values(const std::vector<MovedValue>& moved);

    // Dropped trees (checkpoint_walk.cc).
    Result<void> list_subtree(const PageRef& ref, std::vector<Extent>& extents);
    Result<void> list_resident(PageHeader* page, std::vector<Extent>& extents);
    Result<void> release_tree(const CheckpointTree& target);

    void cut_tail(bool however_short);
    void cut_file();
    void release(Extent extent);
    Result<void> flush();
    Result<void> written(Result<void> result);

    TreeContext& context_;
    ImageWriter writer_;
    ImageWriter mover_;      ///< of copies: nothing refers to one before it is written
    Superblock superblock_;  ///< the published one
    Sequence other_replay_;
    Extent catalog_;              ///< of the last attempt
    std::uint64_t attempts_ = 0;  ///< at the next checkpoint's number
    bool write_failed_ = false;
    std::atomic<std::uint64_t> pages_written_{0};

    // Of the attempt at hand.
    std::uint64_t number_ = 0;
    CheckpointClock::Attempt attempt_ = 0;
    std::vector<char> buffer_;
    ImageCompressor compressor_;
    LeafMerge merge_;
    std::vector<Sequence> snapshots_;
    const Job* job_ = nullptr;
    Relocation* moving_ = nullptr;
    Extent reserve_;                  ///< empty: none is held
    std::vector<MovedImage> moves_;   ///< of the inner page at hand; in the end those copied
    std::uint64_t visit_copied_ = 0;  ///< bytes, in the visit at hand,
    std::uint64_t visit_moved_ = 0;   ///< and those that memory was told of
    unsigned copied_in_vain_ = 0;     ///< visits of the page at hand, one after the other
    Versions::Slot* slot_;
};

}  // namespace fulgur::storage
