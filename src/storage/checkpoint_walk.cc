// The checkpoint's walk over one tree, and the listing of a dropped one. Rules in checkpoint.h.
#include <algorithm>
#include <cassert>
#include <utility>

#include "base/hash.h"
#include "base/planted.h"
#include "os/thread.h"
#include "storage/checkpoint.h"
#include "storage/page_image.h"

namespace fulgur::storage {

namespace {

/// Images of inner pages stop growing here; at least two children, whatever their separators.
constexpr std::size_t kInnerImageBytes = 16_KiB;

/// Under the parent's latch.
bool changed(const Leaf& leaf) {
    const std::size_t count = leaf.count.load(std::memory_order_acquire);
    if (FULGUR_PLANTED("changed_leaf_passed_over")) return leaf.disk == nullptr;
    return leaf.disk == nullptr || leaf.imaged_count != count;
}

}  // namespace

// ---- one tree -----------------------------------------------------------------------------------

Result<void> Checkpointer::walk(const CheckpointTree& target) {
    Tree& tree = *target.tree;
    Entries entries;
    std::string key;
    copied_in_vain_ = 0;
    for (bool more = true; more;) {
        // Pinned for one page at a time: a checkpoint must not keep retired memory from being used.
        context_.versions.pin_memory(*slot_);
        visit_copied_ = visit_moved_ = 0;
        if (Result<void> held = take_reserve(); !held) return held;
        Result<bool> seen = visit(tree, key, more, entries);
        if (!seen) return seen.error();
        if (*seen) copied_in_vain_ = 0;
        if (moving_ != nullptr) moving_->tell();
        // Runs that are not full keep the space from copies that should lie there.
        if (writer_.wants_flush() || moving_ != nullptr) {
            if (Result<void> flushed = flush(); !flushed) return flushed;
        }
    }
    context_.versions.unpin(*slot_);
    std::string signature;
    for (const Entry& entry : entries) {
        char encoded[PageRef::kEncodedSize];
        entry.ref.encode(encoded);
        signature.append(encoded, sizeof(encoded));
    }
    const std::uint64_t hash = hash64(signature) | 1;
    const auto moves = [this](const Extent& extent) {
        return moving_ != nullptr && moving_->concerns(extent.sector);
    };
    const std::vector<Extent>& upper = target.meta->upper;
    if (hash == *target.signature && std::none_of(upper.begin(), upper.end(), moves)) return {};
    if (Result<void> done = write_upper(*target.meta, std::move(entries)); !done) return done;
    *target.signature = hash;
    return {};
}

Result<bool> Checkpointer::visit(Tree& tree, std::string& key, bool& more, Entries& entries) {
    os::yield_point("walker visits");
    Inner* parent = nullptr;
    std::size_t index = 0;
    ChildSlot* slot = &tree.root();
    ChildWord word = load_child(*slot);
    while ((word.resident() ? word.page()->level : word.descriptor()->ref.level) > 1) {
        if (!word.resident()) {
            Result<ChildWord> loaded = tree.load_upper(parent, *slot, word);
            if (!loaded) return loaded.error();
            if (loaded->page() == nullptr) return false;  // The parent was replaced: again.
            word = *loaded;
            continue;
        }
        parent = static_cast<Inner*>(word.page());
        index = parent->search(key);
        slot = &parent->child(index);
        word = load_child(*slot);
    }
    if (word.resident() && word.page()->level == 0) {
        Result<bool> done = emit_root_leaf(tree, static_cast<Leaf*>(word.page()), entries);
        more = !done || !*done;
        return done;
    }
    std::string low = parent == nullptr ? std::string() : parent->child_low(index);
    bool has_high = parent != nullptr && parent->child_has_high(index);
    std::string high = has_high ? parent->child_high(index) : std::string();
    Result<bool> done = false;
    if (!word.resident()) {
        done = visit_unloaded(tree, parent, *slot, word, std::move(low), entries);
    } else {
        Inner* page = static_cast<Inner*>(word.page());
        has_high = page->has_high();
        high = std::string(page->high());
        done = emit_inner(tree, page, entries);
    }
    if (!done) return done;
    if (*done) {
        more = has_high;
        key = std::move(high);
    }
    return done;
}

/// A lowest inner page, or a root leaf, that nobody touched since its image was written: it serves
/// again. Pages above are always loaded by the walk: their images are replaced by each checkpoint
/// that finds a change, so nothing in memory may go on naming them.
Result<bool> Checkpointer::visit_unloaded(Tree& tree, Inner* parent, ChildSlot& slot,
                                          ChildWord word, std::string low, Entries& entries) {
    Descriptor* descriptor = word.descriptor();
    if (moving_ != nullptr) {
        Result<bool> moved = move_unloaded(tree, parent, slot, word);
        if (!moved) return moved.error();
        if (*moved) return false;
    }
    {
        LatchGuard guard(parent == nullptr ? tree.root_latch() : parent->latch);
        const bool stale =
            parent != nullptr && parent->replaced.load(std::memory_order_relaxed) != 0;
        if (stale || load_child(slot) != word) return false;
        descriptor->emitted = attempt_;
    }
    entries.push_back({std::move(low), descriptor->ref});
    return true;
}

Result<bool> Checkpointer::emit_root_leaf(Tree& tree, Leaf* leaf, Entries& entries) {
    const MovingPause pause(moving_, copied_in_vain_ >= kVisitsInVainMax);
    const auto emit = [&] {
        leaf->emitted = attempt_;
        entries.push_back({{}, leaf->disk->ref});
    };
    {
        LatchGuard guard(tree.root_latch());
        if (load_child(tree.root()) != ChildWord(leaf)) return false;
        if (!changed(*leaf) && !moves(leaf->disk) && !moves_values_of(*leaf)) {
            emit_early_image(tree, *leaf->disk, leaf->carried);
            emit();
            return true;
        }
    }
    Result<ImagedLeaf> imaged = image_leaf(leaf, 0);
    if (!imaged) return imaged.error();
    LatchGuard guard(tree.root_latch());
    if (load_child(tree.root()) != ChildWord(leaf)) {
        abandon(*imaged);
        if (visit_copied_ != 0) ++copied_in_vain_;
        return false;
    }
    adopt_image(tree, *imaged);
    if (copied_enough()) return false;
    emit();
    return true;
}

Result<bool> Checkpointer::emit_inner(Tree& tree, Inner* page, Entries& entries) {
    if (join_small(tree, page)) return false;
    const MovingPause pause(moving_, copied_in_vain_ >= kVisitsInVainMax);
    std::vector<ImagedLeaf> imaged;
    if (moving_ != nullptr) load_to_move(tree, page);
    if (!list_images(*page, imaged)) return false;
    if (Result<void> made = make_images(imaged); !made) return made.error();
    Result<void> moved = make_moves(imaged);
    LatchGuard guard(page->latch);
    if (!moved || page->replaced.load(std::memory_order_relaxed) != 0) {
        for (const ImagedLeaf& image : imaged) abandon(image);
        abandon_moves();
        if (!moved) return moved.error();
        if (visit_copied_ != 0) ++copied_in_vain_;
        return false;
    }
    if (moves(page->disk)) tree.outdate_image(*page);
    Entries children;
    Result<void> done = emit_children(tree, *page, imaged, children);
    abandon_moves();
    if (!done) return done.error();
    if (copied_enough()) {  // There may be more of it.
        copied_in_vain_ = visit_moved_ != 0 ? 0 : copied_in_vain_ + 1;
        return false;
    }
    if (page->disk == nullptr) {
        Result<PageRef> ref = write_inner(1, children, page->high(), page->has_high());
        if (!ref) return ref.error();
        release_images(tree, page);
        page->disk = tree.make_descriptor(*ref, attempt_);
        page->disk->ticket = writer_.ticket();
    }
    page->emitted = attempt_;
    entries.push_back({std::string(page->low()), page->disk->ref});
    return true;
}

/// Children that need a new image, or a copy of the one they have.
/// @return false: the page was replaced.
bool Checkpointer::list_images(Inner& page, std::vector<ImagedLeaf>& imaged) {
    LatchGuard guard(page.latch);
    if (page.replaced.load(std::memory_order_relaxed) != 0) return false;
    for (std::size_t i = 0; i < page.children(); ++i) {
        const ChildWord word = load_child(page.child(i));
        if (!word.resident()) continue;
        ImagedLeaf child;
        child.index = i;
        child.leaf = static_cast<Leaf*>(word.page());
        child.for_values = !changed(*child.leaf);
        if (!child.for_values || moves_values_of(*child.leaf)) imaged.push_back(std::move(child));
    }
    list_moves(page);
    return true;
}

/// Makes the listed images. Latches nothing. On failure none is left.
Result<void> Checkpointer::make_images(std::vector<ImagedLeaf>& imaged) {
    std::size_t made = 0;
    Result<void> done;
    for (std::size_t i = 0; i < imaged.size() && done; ++i) {
        // Only to name where its values have gone; these stay for the next visit.
        const bool for_values = imaged[i].for_values;
        if (for_values && copied_enough()) continue;
        Result<ImagedLeaf> image = image_leaf(imaged[i].leaf, imaged[i].index);
        if (!image) {
            done = image.error();
            break;
        }
        if (for_values && image->moved.empty()) {
            abandon(*image);
        } else {
            imaged[made++] = std::move(*image);
        }
        os::yield_point("leaf imaged");
        // Large values are written on their way out: not more of them than one flush takes.
        if (writer_.wants_flush()) done = flush();
    }
    imaged.resize(made);
    if (done && moving_ != nullptr) done = flush();  // As in the walk.
    if (done) return done;
    for (const ImagedLeaf& image : imaged) abandon(image);
    imaged.clear();
    return done;
}

/// Joins nearly empty leaves of a page that this checkpoint has not emitted yet.
/// @return whether there were some: then the page was replaced.
bool Checkpointer::join_small(Tree& tree, Inner* page) {
    if (!job_->as_writer || !tree.has_small_neighbours(page)) return false;
    tree.load_small_children(page);
    std::size_t saved = 0;
    job_->as_writer([&] { saved = tree.join_leaves(page); });
    return saved != 0;
}

/// Under the page's latch: adopts the images that still fit, makes the missing ones, and collects
/// where all children lie.
Result<void> Checkpointer::emit_children(Tree& tree, Inner& page, std::vector<ImagedLeaf>& imaged,
                                         Entries& children) {
    const auto is_fresh = [](const ImagedLeaf& image) {
        return std::any_of(image.large.begin(), image.large.end(), [](const LargeValue* value) {
            return !value->emitted.load(std::memory_order_relaxed);
        });
    };
    std::size_t next = 0;
    Result<void> result;
    for (std::size_t i = 0; i < page.children() && result; ++i) {
        ImagedLeaf* made =
            next < imaged.size() && imaged[next].index == i ? &imaged[next++] : nullptr;
        const ChildWord word = load_child(page.child(i));
        if (made != nullptr && word != ChildWord(made->leaf)) {
            abandon(*made);
            made = nullptr;
        }
        if (!word.resident()) {
            emit_early_image(tree, *word.descriptor(), word.descriptor()->next);
            if (adopt_move_of(tree, page.child(i), i)) tree.outdate_image(page);
            children.push_back({page.child_low(i), load_child(page.child(i)).descriptor()->ref});
            continue;
        }
        Leaf* leaf = static_cast<Leaf*>(word.page());
        // This visit will be repeated. What names a value for the first time waits for the last
        // one: only then is the page passed, and a value that counts as emitted is one of a record
        // that the checkpoint does not replay.
        if (copied_enough() && (made != nullptr ? is_fresh(*made) : changed(*leaf))) {
            if (made != nullptr) abandon(*made);
            continue;
        }
        ImagedLeaf late;
        if (made == nullptr && changed(*leaf)) {
            // Nothing is moved under a latch: that would be input and output.
            const MovingPause pause(moving_, true);
            Result<ImagedLeaf> image = image_leaf(leaf, i);
            if (!image) {
                result = image.error();
                break;
            }
            late = std::move(*image);
            made = &late;
        }
        if (made != nullptr) {
            tree.outdate_image(page);  // Even if we do not get to the end.
            adopt_image(tree, *made);
        } else {
            emit_early_image(tree, *leaf->disk, leaf->carried);
            if (adopt_move_of(tree, page.child(i), i)) tree.outdate_image(page);
        }
        children.push_back({page.child_low(i), leaf->disk->ref});
    }
    for (; next < imaged.size(); ++next) abandon(imaged[next]);
    return result;
}

// ---- images -------------------------------------------------------------------------------------

/// Makes an image of the leaf as it is now and gives it a place. Latches nothing.
Result<Checkpointer::ImagedLeaf> Checkpointer::image_leaf(Leaf* leaf, std::size_t index) {
    ImagedLeaf result;
    result.index = index;
    result.leaf = leaf;
    result.count = leaf->count.load(std::memory_order_acquire);
    const Sequence horizon = context_.versions.horizon();  // Before the snapshots: versions.h.
    context_.versions.snapshots(snapshots_);
    merge_.collect(*leaf, result.count, {horizon, snapshots_}, true);
    buffer_.resize(merge_.image_bytes(*leaf));
    Leaf* image = merge_.build_image(*leaf, buffer_.data());
    const std::size_t n = image->count.load(std::memory_order_relaxed);
    bool fresh = false;  // Names a value that no image has named yet: see emit_children.
    for (std::size_t i = 0; i < n && merge_.has_large(); ++i) {
        if (!image->record(i).large()) continue;
        LargeValue* value = large_value_of(image->record(i));
        if (Result<void> placed = place_large(*value); !placed) return placed.error();
        fresh = fresh || !value->emitted.load(std::memory_order_relaxed);
    }
    for (std::size_t i = 0; i < n && merge_.has_large(); ++i) {
        const Record record = image->record(i);
        if (!record.large()) continue;
        LargeReference reference = record.large_reference();
        auto* value = reinterpret_cast<LargeValue*>(reference.memory);
        Result<std::uint64_t> sector = fresh ? value->sector.load(std::memory_order_acquire)
                                             : move_value(*value, result.moved);
        if (!sector) {
            abandon_values(result);
            return sector.error();
        }
        reference.sector = *sector;
        reference.memory = 0;
        std::memcpy(const_cast<char*>(record.value().data()), &reference, sizeof(reference));
        result.large.push_back(value);
    }
    PageRef& ref = result.ref;
    const Bytes stored = compressor_.pack({buffer_.data(), buffer_.size()}, ref);
    Result<std::uint64_t> sector = add_image(stored);
    if (!sector) {
        abandon_values(result);
        return sector.error();
    }
    ref.sector = *sector;
    ref.flags = merge_.has_large() ? PageRef::kHasLarge : std::uint8_t{0};
    ref.checkpoint = number_;
    ref.newest = to_number(merge_.newest());
    ref.count = static_cast<std::uint32_t>(n);
    result.ticket = writer_.ticket();
    return result;
}

/// Gives a large value its place on the disk, once.
Result<void> Checkpointer::place_large(LargeValue& value) {
    if (value.sector.load(std::memory_order_acquire) != 0) return {};
    Result<std::uint64_t> sector = writer_.add({value.bytes.load(), value.length});
    if (!sector) return sector.error();
    context_.space.note_unemitted({*sector, value.sectors()});
    value.ticket.store(writer_.ticket(), std::memory_order_relaxed);
    std::uint64_t none = 0;
    if (!value.sector.compare_exchange_strong(none, *sector, std::memory_order_acq_rel)) {
        // Dropped meanwhile, with its leaf: this image will be abandoned, and nobody else knows of
        // the place.
        release({*sector, value.sectors()});
    }
    return {};
}

/// Under the parent's latch: the image becomes the leaf's, and what it supersedes is let go.
void Checkpointer::adopt_image(Tree& tree, const ImagedLeaf& imaged) {
    release_images(tree, imaged.leaf);
    imaged.leaf->disk = tree.make_descriptor(imaged.ref, attempt_);
    imaged.leaf->disk->ticket = imaged.ticket;
    imaged.leaf->imaged_count = static_cast<std::uint16_t>(imaged.count);
    for (LargeValue* value : imaged.large) {
        if (value->emitted.exchange(true, std::memory_order_relaxed)) continue;
        context_.space.note_emitted(
            {value->sector.load(std::memory_order_relaxed), value->sectors()});
    }
    adopt_moved_values(imaged.moved);
}

/// Under the parent's latch: a checkpoint refers to the image from now on, and what it superseded
/// is let go.
void Checkpointer::emit_early_image(Tree& tree, Descriptor& image, Descriptor*& superseded) {
    if (image.unemitted && !FULGUR_PLANTED("early_image_not_emitted")) {
        context_.space.note_emitted({image.ref.sector, image.ref.sectors()});
        image.unemitted = false;
    }
    if (FULGUR_PLANTED("superseded_image_forgotten")) return;
    release_chain(tree, superseded);
}

void Checkpointer::release_images(Tree& tree, PageHeader* page) {
    if (page->disk != nullptr) {
        page->disk->next = page->carried;
        page->carried = page->disk;
        page->disk = nullptr;
    }
    release_chain(tree, page->carried);
}

void Checkpointer::release_chain(Tree& tree, Descriptor*& first) {
    while (first != nullptr) {
        Descriptor* gone = first;
        first = gone->next;
        release({gone->ref.sector, gone->ref.sectors()});
        tree.retire_descriptor(gone);
    }
}

void Checkpointer::abandon(const ImagedLeaf& imaged) {
    writer_.abandon(imaged.ref.sector, imaged.ref.length);
    abandon_values(imaged);
}

/// The copies were written already, and nothing refers to them.
void Checkpointer::abandon_values(const ImagedLeaf& imaged) {
    for (const MovedValue& move : imaged.moved) {
        context_.space.give_back({move.to, move.value->sectors()});
    }
}

// ---- inner levels -------------------------------------------------------------------------------

Result<PageRef> Checkpointer::write_inner(std::uint8_t level, std::span<const Entry> entries,
                                          Bytes high, bool has_high) {
    std::vector<InnerImageEntry> children;
    children.reserve(entries.size());
    std::uint64_t newest = 0;
    for (const Entry& entry : entries) {
        children.push_back({entry.low, entry.ref});
        newest = std::max(newest, entry.ref.newest);
    }
    const Bytes low = entries.front().low;
    const std::size_t size = inner_image_bytes(children, low, high);
    if (size > kImageBytesMax) {  // Inner::fits sees to it; a superblock must never name one.
        return Error(ErrorCode::kLimit, "an inner page's image would be too long to be read back");
    }
    buffer_.assign(size, 0);
    build_inner_image(level, children, low, high, has_high, buffer_.data());
    const Bytes bytes(buffer_.data(), buffer_.size());
    Result<std::uint64_t> sector = add_image(bytes);
    if (!sector) return sector.error();
    PageRef ref;
    ref.sector = *sector;
    ref.length = ref.memory_length = static_cast<std::uint32_t>(bytes.size());
    ref.level = level;
    ref.checksum = hash64(bytes);
    ref.checkpoint = number_;
    ref.newest = newest;
    ref.count = static_cast<std::uint32_t>(entries.size());
    return ref;
}

/// Builds the levels above the lowest inner pages, and lets the former ones go.
Result<void> Checkpointer::write_upper(KeyspaceMeta& meta, Entries entries) {
    std::vector<Extent> upper;
    std::uint8_t level = entries.front().ref.level;
    while (entries.size() > 1) {
        ++level;
        Entries parents;
        for (std::size_t begin = 0; begin < entries.size();) {
            std::size_t end = begin, bytes = 0;
            while (end < entries.size() && (end < begin + 2 || bytes < kInnerImageBytes)) {
                bytes += PageRef::kEncodedSize + entries[end].low.size() + 2;
                ++end;
            }
            const bool has_high = end < entries.size();
            const std::span<const Entry> part(entries.data() + begin, end - begin);
            Result<PageRef> ref =
                write_inner(level, part, has_high ? Bytes(entries[end].low) : Bytes(), has_high);
            if (!ref) {
                for (const Extent& extent : upper) writer_.abandon(extent.sector, extent.bytes());
                return ref.error();
            }
            upper.push_back({ref->sector, ref->sectors()});
            parents.push_back({entries[begin].low, *ref});
            begin = end;
        }
        entries = std::move(parents);
    }
    for (const Extent& extent : meta.upper) release(extent);
    meta.upper = std::move(upper);
    meta.root = entries.front().ref;
    meta.height = level + 1u;
    return {};
}

// ---- dropped trees ------------------------------------------------------------------------------

/// A damaged page hides what lies below it: that space stays without an owner, which verify
/// reports. The alternative would be that no checkpoint ever succeeds again. A page that only
/// cannot be read now may be readable at the next attempt: then nothing is let go.
Result<void> Checkpointer::list_subtree(const PageRef& ref, std::vector<Extent>& extents) {
    if (ref.level <= 1) extents.push_back({ref.sector, ref.sectors()});  // `upper` has the others.
    if (ref.level == 0 && (ref.flags & PageRef::kHasLarge) == 0) return {};
    Result<std::vector<char>> image = read_image(context_.data, ref);
    if (!image) {
        if (image.error().code() == ErrorCode::kCorruption) return {};
        return image.error();
    }
    if (ref.level == 0) {
        const auto* leaf = reinterpret_cast<const Leaf*>(image->data());
        for (std::size_t i = 0; i < leaf->count.load(std::memory_order_relaxed); ++i) {
            if (!leaf->record(i).large()) continue;
            const LargeReference reference = leaf->record(i).large_reference();
            extents.push_back({reference.sector, sectors_of(reference.length)});
        }
        return {};
    }
    for (const auto& entry : decode_inner_image({image->data(), image->size()}).entries) {
        if (Result<void> done = list_subtree(entry.ref, extents); !done) return done;
    }
    return {};
}

Result<void> Checkpointer::list_resident(PageHeader* page, std::vector<Extent>& extents) {
    const auto add = [&](const Descriptor* descriptor) {
        extents.push_back({descriptor->ref.sector, descriptor->ref.sectors()});
    };
    if (page->disk != nullptr) add(page->disk);
    for (const Descriptor* carried = page->carried; carried != nullptr; carried = carried->next) {
        add(carried);
    }
    if (page->kind == PageKind::kLeaf) {
        const auto* leaf = static_cast<const Leaf*>(page);
        for (std::size_t i = 0; i < leaf->count.load(std::memory_order_acquire); ++i) {
            if (!leaf->record(i).large()) continue;
            const LargeValue* value = large_value_of(leaf->record(i));
            const std::uint64_t sector = value->sector.load(std::memory_order_acquire);
            if (sector != 0 && sector != LargeValue::kDropped) {
                extents.push_back({sector, value->sectors()});
            }
        }
        return {};
    }
    Inner* inner = static_cast<Inner*>(page);
    for (std::size_t i = 0; i < inner->children(); ++i) {
        const ChildWord word = load_child(inner->child(i));
        if (word.resident()) {
            if (Result<void> done = list_resident(word.page(), extents); !done) return done;
            continue;
        }
        Result<void> done = list_subtree(word.descriptor()->ref, extents);
        if (!done) return done;
        for (const Descriptor* next = word.descriptor()->next; next != nullptr; next = next->next) {
            add(next);
        }
    }
    return {};
}

}  // namespace fulgur::storage
