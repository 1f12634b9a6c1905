// One keyspace's tree in memory, over its images on the disk.
//
// Who may do what:
//   readers     pinned (versions.h); descend by acquire loads of child words; take no latch, but
//               to install a page that they read from the disk
//   the writer  one at a time (the holder of the engine's commit mutex): appends under the leaf's
//               latch; replaces leaves and inner pages
//   the walker  one at a time (checkpoint.h): images leaves unlatched, emits a lowest inner page
//               under that page's latch
//   the clock   one at a time (evict.h): makes child words descriptors again, under the latches of
//               the leaf and its parent, while no commit is between prepare and apply
//
// Every store into an inner page's child word, and every read or write of the children's `disk`,
// `carried` and `imaged_count`, is made under that inner page's latch after checking its `replaced`
// (the root word stands under `root_latch`). A writer checks `replaced` after latching any page.
// Latch order: leaf to root. There are no parent pointers: a parent is found by descending for the
// child's lower fence, which never changes in a page's life.
//
// Why a reader may use any page that it reached: child words are published with release after the
// page is complete; a page that was live at any moment after the reader took its sequence S holds
// every version that S sees, because commits up to S were applied before S was visible, later
// consolidations keep what a pin may see, and a replaced page never changes again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <fulgur/result.h>

#include "storage/checkpoint_clock.h"
#include "storage/frame_pool.h"
#include "storage/inner.h"
#include "storage/latch.h"
#include "storage/leaf.h"
#include "storage/leaf_merge.h"
#include "storage/slot_pool.h"
#include "storage/versions.h"

namespace fulgur::storage {

class DataFile;
class ImageCodec;
class LeafJoin;
class SpaceManager;

/// Who can make memory free; evict.h.
class RoomMaker {
public:
    virtual ~RoomMaker() = default;
    /// @return an error when so many bytes cannot be made free. Neither latch nor commit mutex may
    ///         be held.
    virtual Result<void> make_room(std::uint64_t bytes) = 0;
    /// Memory was taken. Cheap; anybody, holding anything.
    virtual void note_taken() = 0;
};

struct TreeCounters {
    std::atomic<std::uint64_t> pages_read{0};
    std::atomic<std::uint64_t> consolidations{0};
    std::atomic<std::uint64_t> splits{0};
    std::atomic<std::uint64_t> joins{0};
};

/// What all trees of a database share.
struct TreeContext {
    FramePool& frames;
    SlotPool<Descriptor>& descriptors;
    Versions& versions;
    DataFile& data;
    SpaceManager& space;
    CheckpointClock& clock;
    TreeCounters& counters;
    ImageCodec& codec;          ///< of images that are written
    RoomMaker* room = nullptr;  ///< none: what does not fit is refused
};

/// One operation of a commit, as the tree needs it.
struct TreeOperation {
    Bytes key;
    Bytes value;  ///< inline, or an encoded LargeReference
    std::uint64_t expiry = 0;
    std::uint8_t flags = 0;  ///< RecordFlag
    Leaf* leaf = nullptr;    ///< where prepare found it; may have been replaced since
};

/// What a range has, about.
struct RangeEstimate {
    double rows = 0;
    double bytes = 0;  ///< of keys and values

    void add(const RangeEstimate& other) {
        rows += other.rows;
        bytes += other.bytes;
    }
    RangeEstimate times(double factor) const { return {rows * factor, bytes * factor}; }
};

class Tree {
public:
    /// What becomes of a page that finds no room in memory: kMakeRoom evicts others; kHolds refuses
    /// it (kLimit), for who holds the commit mutex; kMayExceed takes it all the same.
    enum class Budget : std::uint8_t { kMakeRoom, kHolds, kMayExceed };

    explicit Tree(TreeContext& context);
    ~Tree();  ///< frees everything at once: nobody may be reading
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    /// Begins as one empty leaf.
    void make_empty();
    /// Nothing of it leaves memory any more: its space is about to be listed. Under the commit
    /// mutex, as every eviction's last step.
    void stop_evicting() { evicting_ = false; }
    bool evicting() const { return evicting_; }
    /// Begins as what a checkpoint wrote.
    void open_at(const PageRef& root);

    // Readers.
    /// The leaf that covers `key`, if all pages above it and itself are in memory, and its first
    /// lines on their way to the cache; else null: use leaf_for.
    Leaf* resident_leaf(Bytes key) const;
    /// The leaf that covers `key`, read from the disk when it must be.
    Result<Leaf*> leaf_for(Bytes key);
    /// The lowest inner page above that leaf, and the leaf's index in it; null when the root is a
    /// leaf.
    struct Place {
        Leaf* leaf = nullptr;
        Inner* parent = nullptr;
        std::size_t index = 0;
    };
    Result<Place> place_for(Bytes key);
    /// The leaf with the greatest keys below `key`.
    Result<Place> place_before(Bytes key);
    Result<Place> last_place();
    /// leaf_for for up to kGroupMax keys at once: cache misses overlap.
    static constexpr std::size_t kGroupMax = 32;
    Result<void> leaves_for(std::span<const Bytes> keys, std::span<Leaf*> leaves) {
        return leaves_for(keys, leaves, Budget::kMakeRoom);
    }
    /// The child of a lowest inner page, read when it must be; null: the page was replaced,
    /// descend.
    Result<Leaf*> child_leaf(Inner* parent, std::size_t index);

    /// The newest versions not above `snapshot` of up to kGroupMax keys, tombstones included.
    Result<void> find_many(std::span<const Bytes> keys, Sequence snapshot,
                           std::span<std::optional<Record>> records);
    /// The newest version not above `snapshot`, a tombstone included.
    Result<std::optional<Record>> find(Bytes key, std::uint64_t hash, Sequence snapshot) {
        if (const Leaf* leaf = resident_leaf(key)) [[likely]] {
            return leaf->find(key.substr(leaf->prefix_size), print_of(hash), snapshot);
        }
        return find_cold(key, hash, snapshot);
    }

    // What changed (tree_changes.cc).
    /// A key of [begin, end) with a version above `since`, a tombstone included. `since` is
    /// registered, or the caller's pin is not newer. Reads only pages that changed since.
    /// @return kIo, kCorruption, kLimit: such a page could not be read.
    Result<std::optional<std::string>> changed_key(Bytes begin, std::optional<Bytes> end,
                                                   Sequence since, Budget budget);
    /// The same of single keys: the index of one that changed.
    Result<std::optional<std::size_t>> changed_point(std::span<const Bytes> keys, Sequence since,
                                                     Budget budget);

    /// Rows and their bytes in [begin, end), about (tree_estimate.cc). Reads no leaf, and of the
    /// inner pages those at the ends. The caller is pinned.
    Result<RangeEstimate> estimate(Bytes begin, std::optional<Bytes> end, Sequence snapshot);

    // The writer.
    /// Makes the leaves of sorted operations resident and adds what applying may take to `bytes`.
    /// The last step that may refuse. @return kIo, kCorruption, kLimit, kBusy.
    Result<void> prepare(std::span<TreeOperation> operations, std::uint64_t& bytes);
    /// Applies prepared operations. Cannot fail: the log has them. (The end of the machine's memory
    /// ends the process; the next open replays.)
    void apply(std::span<TreeOperation> operations, Sequence sequence) noexcept;
    /// Replaces a leaf whose tail is long by a sorted one, if nobody holds its latch. Any reader.
    void tidy_leaf(const Place& place);

    // The walker, joining nearly empty leaves (tree_join.cc). It is pinned.
    /// Whether a lowest inner page has neighbours that would fit one leaf, by their newest images.
    bool has_small_neighbours(Inner* page);
    void load_small_children(Inner* page);
    /// As the writer: joins what it can. @return how many leaves fewer there are; the page is
    /// replaced when there are.
    std::size_t join_leaves(Inner* page);

    // The walker.
    ChildSlot& root() { return root_; }
    LatchWord& root_latch() { return root_latch_; }
    std::uint32_t height() const;
    /// Loads an inner page, over the budget if it must be: a checkpoint must be possible when
    /// memory is full, and those above the lowest ones are one in ten thousand. Lowest ones, which
    /// may be evicted again, are loaded only where something is moved (checkpoint_move.cc).
    /// @return as load_resident: a null page when `parent` was replaced meanwhile.
    Result<ChildWord> load_upper(Inner* parent, ChildSlot& slot, ChildWord word);
    TreeContext& context() { return context_; }
    /// Retires `page`: it was unlinked.
    void retire_page(PageHeader* page);
    Descriptor* make_descriptor(const PageRef& ref, std::uint64_t emitted);
    void retire_descriptor(Descriptor* descriptor);
    /// Under the page's latch: its image names children that are not its children any more.
    void outdate_image(Inner& page);

    // Eviction (tree_evict.cc).
    void replace_by_image(Inner& page, std::size_t index);
    void replace_by_early_image(Inner& page, std::size_t index, const PageRef& ref);
    bool replace_inner_by_image(Inner& page);
    void retire_large_values(const Leaf& leaf);
    /// The bytes of its large values that the disk has. Pinned; no latch is needed.
    void drop_large_bytes(const Leaf& leaf);
    /// A large value's bytes: from memory, or read and kept, counted against the budget.
    /// @return kLimit above a quarter of the budget; then read parts of it.
    Result<Bytes> load_large(LargeValue& value);
    /// Frees the memory of everything below the root; large values too. Nobody may be reading.
    void free_memory();

private:
    /// A latched parent: an inner page, or the root word when `page` is null.
    struct Parent {
        Inner* page = nullptr;
        ChildSlot* slot = nullptr;
        std::size_t index = 0;
        LatchWord* word = nullptr;
    };
    Result<void> leaves_for(std::span<const Bytes> keys, std::span<Leaf*> leaves, Budget budget);
    void announce_read(Bytes key);
    void resident_leaves(std::span<const Bytes> keys, std::span<Leaf*> leaves) const;
    Result<std::optional<Record>> find_cold(Bytes key, std::uint64_t hash, Sequence snapshot);
    template <typename Choose>
    Result<Place> descend(const Choose& choose, Budget budget = Budget::kMakeRoom);
    Result<Leaf*> leaf_for(Bytes key, Budget budget);
    /// Latches the parent of `child`; its slot points to `child`.
    Parent latch_parent(const PageHeader* child);
    Result<ChildWord> load_resident(Inner* parent, ChildSlot& slot, ChildWord word, Budget budget);
    Result<void> find_room(std::uint64_t bytes, Budget budget);
    Result<PageHeader*> page_in(const Descriptor& descriptor, Budget budget);
    Result<PageHeader*> build_from_image(const PageRef& ref, std::span<char> image, Budget budget);
    void adopt_large_values(Leaf* leaf);
    void retire_large(LargeValue* value);
    void delete_descriptor(Descriptor* descriptor);
    void delete_chain(Descriptor* first);
    void discard(PageHeader* page);
    void free_subtree(ChildWord word);

    struct Changed {
        Place place;                      ///< leaf: null when nothing before `high` changed
        std::optional<std::string> high;  ///< where its keys end
    };
    Result<Changed> next_changed(Bytes key, Sequence since, Budget budget);
    struct Lowest {
        Inner* page = nullptr;
        Leaf* leaf = nullptr;             ///< the root is a leaf
        std::optional<PageRef> cold;      ///< not in memory: the page's, or the root leaf's
        std::optional<std::string> high;  ///< where its keys end
    };
    Result<Lowest> lowest_inner(Bytes key, bool read);

    Leaf* resident_leaf_for(Bytes key);
    /// One thread's memory for consolidating.
    struct Scratch {
        LeafMerge merge;
        std::vector<Sequence> snapshots;
    };
    void apply_one(const TreeOperation& operation, Sequence sequence, Leaf*& latched);
    void make_room(Leaf* leaf, Bytes key, std::size_t record_bytes, Scratch& scratch);
    void carry_out(Leaf* leaf, Scratch& scratch);
    Result<void> check_versions(const Leaf& leaf, std::span<const TreeOperation> operations);
    void collect(const Leaf& leaf, Scratch& scratch);
    Result<void> prepare_leaf(const Leaf& leaf, std::span<const TreeOperation> operations,
                              std::uint64_t& bytes);
    void replace_leaf(Leaf* leaf, Leaf* left, Leaf* right, std::span<const Record> dropped);
    void release_dropped(std::span<const Record> dropped, std::uint64_t emitted);

    // Inner pages (tree_inner.cc).
    using Entries = std::vector<Inner::Entry>;
    /// What the pages that take one page's place have in common, and the fences around them.
    struct LevelBounds {
        std::uint64_t emitted = 0;
        Bytes low, high;
        bool has_high = false;
    };
    void insert_split(const PageHeader* child, PageHeader* left, Entries siblings, Parent parent);
    void split_inner(Inner* page, std::span<const Inner::Entry> entries, std::size_t inserted);
    Entries build_level(std::uint8_t level, std::span<const Inner::Entry> entries,
                        std::size_t first, const LevelBounds& bounds);
    void replace_in_parent(Inner* page, Inner* copy);
    static void carry(PageHeader* from, PageHeader* to);
    void gather(Inner& page, std::size_t begin, LeafJoin& join, std::vector<Leaf*>& leaves,
                std::vector<Record>& dropped);
    Leaf* join(const LeafJoin& join, std::span<Leaf* const> leaves, std::size_t frame_bytes);

    TreeContext& context_;
    ChildSlot root_{0};
    LatchWord root_latch_{0};
    Scratch writer_scratch_;  ///< tidy_leaf has its own
    std::atomic<std::uint32_t> consolidations_{0};
    bool evicting_ = true;
};

/// The lines of a leaf that one search needs: header, prints and slots come together, instead of
/// each when the one before has told where. The last line is not for its bytes: most records are in
/// its 4 KiB, and where huge pages are not huge for the host their address is translated meanwhile.
__attribute__((always_inline)) inline void prefetch_leaf(const ChildWord& word) {
    const char* at = reinterpret_cast<const char*>(word.bits());
    for (std::size_t line = 0; line < 4; ++line) __builtin_prefetch(at + line * 64);
    __builtin_prefetch(at + kFrameBytesMin - 64);
}

inline Leaf* Tree::resident_leaf(Bytes key) const {
    ChildWord word = load_child(root_);
    if (!word.resident()) [[unlikely]] {
        return nullptr;
    }
    // Levels are counted, not asked of each page: a leaf's header is not needed to know it is one.
    for (std::size_t level = word.page()->level; level > 0; --level) {
        const Inner* inner = static_cast<const Inner*>(word.page());
        word = load_child(inner->child(inner->search(key)));
        if (!word.resident()) [[unlikely]] {
            return nullptr;
        }
        if (level == 1) prefetch_leaf(word);
    }
    return static_cast<Leaf*>(word.page());
}

/// Reads the image behind `ref`, checks its checksum and form, decompresses it.
/// @return kIo; kCorruption, kUnsupported: naming the byte in the data file.
Result<std::vector<char>> read_image(DataFile& data, const PageRef& ref);

}  // namespace fulgur::storage
