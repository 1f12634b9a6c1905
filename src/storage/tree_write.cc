// The writing side of the tree: prepare, apply, consolidation. tree_inner.cc has the pages above.
// Rules in tree.h.
#include <algorithm>
#include <array>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "os/thread.h"
#include "storage/space.h"
#include "storage/tree.h"

namespace fulgur::storage {

namespace {

/// The horizon is asked for anew this often even when nothing seems to wait for it.
constexpr std::uint32_t kConsolidationsPerHorizon = 256;

std::size_t record_bytes_max(const TreeOperation& operation) {
    return Record::size_of(operation.key.size(), operation.value.size(),
                           (operation.flags & kExpires) != 0);
}

}  // namespace

// ---- prepare ----------------------------------------------------------------------------------

Result<void> Tree::prepare(std::span<TreeOperation> operations, std::uint64_t& bytes) {
    std::array<Bytes, kGroupMax> keys;
    std::array<Leaf*, kGroupMax> leaves;
    for (std::size_t begin = 0; begin < operations.size();) {
        // Sorted operations: the leaf at hand may cover some more.
        if (begin != 0 && operations[begin - 1].leaf->covers(operations[begin].key)) {
            operations[begin].leaf = operations[begin - 1].leaf;
            ++begin;
            continue;
        }
        const std::size_t n = std::min(kGroupMax, operations.size() - begin);
        for (std::size_t i = 0; i < n; ++i) keys[i] = operations[begin + i].key;
        if (n == 1) {
            Result<Leaf*> leaf = leaf_for(keys[0], Budget::kHolds);
            if (!leaf) return leaf.error();
            leaves[0] = *leaf;
        } else if (Result<void> found = leaves_for({keys.data(), n}, leaves, Budget::kHolds);
                   !found) {
            return found;
        }
        for (std::size_t i = 0; i < n; ++i) {
            operations[begin + i].leaf = leaves[i];
            // If there is no room for all of them, the next try is to find these still here.
            leaves[i]->mark_referenced();
        }
        begin += n;
    }
    // Sorted operations meet their leaves in order: add up what each leaf must take.
    for (std::size_t begin = 0; begin < operations.size();) {
        Leaf* leaf = operations[begin].leaf;
        std::size_t end = begin;
        while (end < operations.size() && operations[end].leaf == leaf) ++end;
        if (Result<void> room = prepare_leaf(*leaf, operations.subspan(begin, end - begin), bytes);
            !room) {
            return room;
        }
        begin = end;
    }
    return {};
}

/// Adds what consolidating and splitting may allocate, old frames included until readers end.
Result<void> Tree::prepare_leaf(const Leaf& leaf, std::span<const TreeOperation> operations,
                                std::uint64_t& bytes) {
    if (Result<void> bounded = check_versions(leaf, operations); !bounded) return bounded;
    std::size_t record_bytes = 0;
    for (const TreeOperation& operation : operations) record_bytes += record_bytes_max(operation);
    const std::size_t published = leaf.count.load(std::memory_order_relaxed);
    const bool room =
        published + operations.size() <= leaf.capacity && record_bytes <= leaf.free_bytes();
    if (room && leaf.holds_large == 0) {
        return {};
    }
    bytes += 3 * std::uint64_t{leaf.size} + 4 * record_bytes + 2 * kFrameBytesMin;
    return {};
}

/// Whether consolidating will find frames for everything, however the operations come to lie: step
/// by step the kept records of a leaf and the next one must fit one frame of the largest size, or
/// two with a key boundary between them; LeafMerge::plan finds such a layout. With T bytes of
/// records at most, F of fences, S of slots, g of the largest key and i of the next record, one
/// frame must hold T + F + S + i, or the better split T/2 + g/2 + F + S + i.
Result<void> Tree::check_versions(const Leaf& leaf, std::span<const TreeOperation> operations) {
    constexpr std::size_t kNeverTooMuch = 256_KiB;  // One frame holds it, two long fences and more.
    std::size_t record_bytes = 0, largest = 0;
    std::size_t longest = std::max(leaf.low_size, leaf.high_size);
    for (const TreeOperation& operation : operations) {
        const std::size_t size = record_bytes_max(operation);
        record_bytes += size;
        largest = std::max(largest, size);
        longest = std::max(longest, operation.key.size());
    }
    if (leaf.heap_bytes + record_bytes <= kNeverTooMuch) return {};
    context_.versions.refresh_horizon();
    Scratch scratch;
    collect(leaf, scratch);
    std::size_t records = record_bytes;
    for (const Record& record : scratch.merge.kept()) {
        records += record.size();
        longest = std::max(longest, leaf.prefix_size + record.suffix_size());
    }
    const std::size_t fences = Leaf::fence_bytes(longest, longest);
    // One record is appended after one consolidation, which may leave the leaf whole.
    const std::size_t whole =
        Leaf::overhead(scratch.merge.kept().size() + 65, leaf.low_size, leaf.high_size);
    if (operations.size() == 1 && records + whole <= kFrameBytesMax) return {};
    // What a frame held before it was consolidated is all that can be in it.
    records = std::min(records, kFrameBytesMax - fences);
    const std::size_t count =
        std::min(scratch.merge.kept().size() + operations.size(), records / Record::kHeaderBytes);
    const std::size_t beside = fences + largest + Leaf::overhead(count + 128, 0, 0);
    const std::size_t of_one_key = scratch.merge.largest_key_bytes() + largest;
    if (records + beside <= kFrameBytesMax) return {};
    if ((records + of_one_key) / 2 + beside <= kFrameBytesMax) return {};
    return Error(ErrorCode::kBusy,
                 "readers hold too many versions of one key; end the oldest reader and try again");
}

// ---- apply ------------------------------------------------------------------------------------

void Tree::apply(std::span<TreeOperation> operations, Sequence sequence) noexcept {
    // The heap's top is known only after the header has arrived: two steps ahead, one after the
    // other.
    constexpr std::size_t kHeaderAhead = 8, kHeapAhead = 4;
    Leaf* latched = nullptr;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        if (i + kHeaderAhead < operations.size()) {
            __builtin_prefetch(operations[i + kHeaderAhead].leaf->base(), 1);
        }
        if (i + kHeapAhead < operations.size()) {
            const Leaf* ahead = operations[i + kHeapAhead].leaf;
            const char* top = ahead->end() - ahead->heap_bytes;
            __builtin_prefetch(top - 64, 1);
            __builtin_prefetch(top - 128, 1);
        }
        apply_one(operations[i], sequence, latched);
    }
    if (latched != nullptr) unlatch(latched->latch);
}

/// @param latched  the leaf whose latch the caller holds, or null; the same on return.
void Tree::apply_one(const TreeOperation& operation, Sequence sequence, Leaf*& latched) {
    const std::uint8_t print = print_of(hash64(operation.key));
    Leaf* leaf = operation.leaf;
    if (leaf->replaced.load(std::memory_order_relaxed) != 0 && latched != nullptr &&
        latched->covers(operation.key)) {
        leaf = latched;  // It came in its place for the operation before.
    }
    for (;;) {
        if (latched != leaf) {
            if (latched != nullptr) unlatch(latched->latch);
            latched = nullptr;
            latch(leaf->latch);
            latched = leaf;
        }
        if (leaf->replaced.load(std::memory_order_relaxed) != 0 &&
            !FULGUR_PLANTED("replaced_leaf_written")) {
            unlatch(leaf->latch);
            latched = nullptr;
            leaf = resident_leaf_for(operation.key);
            continue;
        }
        assert(leaf->covers(operation.key));
        const RecordParts parts{operation.key.substr(leaf->prefix_size),
                                operation.value,
                                sequence,
                                operation.expiry,
                                operation.flags,
                                print};
        if (leaf->has_room(parts.size()) && !leaf->wastes_large()) [[likely]] {
            os::yield_point("before append");
            if (leaf->holds_large != 0) leaf->note_superseded(parts);
            leaf->append(parts);
            return;
        }
        latched = nullptr;
        make_room(leaf, operation.key, parts.size(), writer_scratch_);
        leaf = resident_leaf_for(operation.key);
    }
}

/// Everything was made resident by prepare, and nothing is evicted until apply has ended.
Leaf* Tree::resident_leaf_for(Bytes key) {
    ChildWord word = load_child(root_);
    for (;;) {
        assert(word.resident());
        if (word.page()->kind == PageKind::kLeaf) return static_cast<Leaf*>(word.page());
        Inner* inner = static_cast<Inner*>(word.page());
        word = load_child(inner->child(inner->search(key)));
    }
}

// ---- consolidation ----------------------------------------------------------------------------

void Tree::collect(const Leaf& leaf, Scratch& scratch) {
    Versions& versions = context_.versions;
    const bool due =
        consolidations_.fetch_add(1, std::memory_order_relaxed) % kConsolidationsPerHorizon == 0;
    if (due || leaf.wastes_large()) {
        versions.refresh_horizon();
    }
    const std::size_t n = leaf.count.load(std::memory_order_acquire);
    for (bool refreshed = false;; refreshed = true) {
        const Sequence horizon = versions.horizon();  // Before the snapshots: see versions.h.
        versions.snapshots(scratch.snapshots);
        scratch.merge.collect(leaf, n, {horizon, scratch.snapshots}, false);
        if (refreshed || scratch.merge.superseded_kept() * 4 <= n) return;
        versions.refresh_horizon();
    }
}

/// Consolidates a latched leaf into one or two with room for the record; lets the latch go.
void Tree::make_room(Leaf* leaf, Bytes key, std::size_t record_bytes, Scratch& scratch) {
    collect(*leaf, scratch);
    const bool planned = scratch.merge.plan(*leaf, key, record_bytes);
    assert(planned);  // check_versions saw to it.
    if (!planned) {
        detail::value_of_error(Error(ErrorCode::kBusy, "no frame holds one key's kept versions"));
    }
    carry_out(leaf, scratch);
}

/// Builds what was planned and puts it in the leaf's place; lets the latch go.
void Tree::carry_out(Leaf* leaf, Scratch& scratch) {
    std::array<Leaf*, 2> fresh{};
    const auto plans = scratch.merge.plans();
    for (std::size_t i = 0; i < plans.size(); ++i) {
        fresh[i] = scratch.merge.build(*leaf, plans[i], context_.frames.allocate(plans[i].size));
    }
    context_.counters.consolidations.fetch_add(1, std::memory_order_relaxed);
    replace_leaf(leaf, fresh[0], fresh[1], scratch.merge.dropped_large());
}

void Tree::replace_leaf(Leaf* leaf, Leaf* left, Leaf* right, std::span<const Record> dropped) {
    os::yield_point("before swap");
    const Parent parent = latch_parent(leaf);
    carry(leaf, left);
    left->emitted = leaf->emitted;
    release_dropped(dropped, parent.page == nullptr ? leaf->emitted : parent.page->emitted);
    if (right == nullptr) {
        parent.slot->store(ChildWord(left).bits(), std::memory_order_release);
        unlatch(*parent.word);
    } else {
        context_.counters.splits.fetch_add(1, std::memory_order_relaxed);
        right->emitted = leaf->emitted;
        Entries siblings{{std::string(right->low()), ChildWord(right)}};
        insert_split(leaf, left, std::move(siblings), parent);
    }
    leaf->replaced.store(1, std::memory_order_relaxed);
    unlatch(leaf->latch);
    // Only now: who pins before the leaf is unlinked may still come to them through it.
    for (const Record& record : dropped) retire_large(large_value_of(record));
    retire_page(leaf);
}

/// The images that `from` stood for are now superseded by `to`'s next image.
void Tree::carry(PageHeader* from, PageHeader* to) {
    to->carried = from->carried;
    from->carried = nullptr;
    if (from->disk != nullptr) {
        from->disk->next = to->carried;
        to->carried = from->disk;
        from->disk = nullptr;
    }
}

/// Lets go of the space of large values that no version needs. Under the parent's latch, so that
/// `emitted` says for sure whether the running checkpoint already refers to them. A value that no
/// image refers to may be named by log records that the running checkpoint replays.
void Tree::release_dropped(std::span<const Record> dropped, std::uint64_t emitted) {
    for (const Record& record : dropped) {
        LargeValue* value = large_value_of(record);
        std::uint64_t sector = 0;
        if (!value->sector.compare_exchange_strong(sector, LargeValue::kDropped,
                                                   std::memory_order_acq_rel)) {
            const bool in_image = value->emitted.load(std::memory_order_relaxed) ||
                                  FULGUR_PLANTED("logged_value_released_early");
            context_.space.release({sector, value->sectors()}, context_.clock,
                                   in_image ? emitted : CheckpointClock::kLoggedOnly,
                                   context_.versions.advance_epoch());
        }
    }
}

void Tree::tidy_leaf(const Place& place) {
    Leaf* leaf = place.leaf;
    if (!context_.frames.has_room(3 * std::uint64_t{leaf->size}) || !try_latch(leaf->latch)) return;
    if (leaf->replaced.load(std::memory_order_relaxed) != 0) {
        unlatch(leaf->latch);
        return;
    }
    Scratch scratch;
    collect(*leaf, scratch);
    // With many kept versions there may be no better layout: then it stays as it is.
    if (scratch.merge.plan(*leaf, {}, 0)) {
        carry_out(leaf, scratch);
    } else {
        unlatch(leaf->latch);
    }
}

}  // namespace fulgur::storage
