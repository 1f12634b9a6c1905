// Moving what lies in one part of the data file to another: a part of the checkpoint's walk, so
// that everything is as crash-safe as any checkpoint. What is moved is copied to free space; memory
// is told under the latch under which it would be told of a new image; the old place is released
// like that of a superseded image, and is free when two checkpoints were published and every reader
// who knew it has ended.
//
// An unchanged leaf's stored bytes are copied as they are, whether the leaf is in memory or not. A
// large value is copied when the image that refers to it is made: the image names the new place,
// and the value itself is told when the image is adopted. Both happen under the latch of the leaf's
// parent, as the value's end does (Tree::release_dropped), so that its place is released once.
//
// What cannot be read stays where it is: finding damage is not a checkpoint's business.
#include <algorithm>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "storage/checkpoint.h"
#include "storage/page_image.h"

namespace fulgur::storage {

/// Takes a place for an image: where things are being moved to, if there is room.
Result<std::uint64_t> Checkpointer::add_image(Bytes image) {
    if (moving_ != nullptr) {
        Result<std::uint64_t> sector = writer_.add_within(moving_->to, image);
        if (sector || sector.error().code() != ErrorCode::kNoSpace) return sector;
    }
    return writer_.add(image);
}

bool Checkpointer::moves(const Descriptor* descriptor) const {
    return moving_ != nullptr && descriptor != nullptr && moving_->concerns(descriptor->ref.sector);
}

/// Whether a leaf in memory refers to a large value that is to be moved.
bool Checkpointer::moves_values_of(const Leaf& leaf) const {
    if (moving_ == nullptr || leaf.disk == nullptr) return false;
    if ((leaf.disk->ref.flags & PageRef::kHasLarge) == 0) return false;
    const std::size_t n = leaf.count.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < n; ++i) {
        if (!leaf.record(i).large()) continue;
        const LargeValue* value = large_value_of(leaf.record(i));
        if (moving_->concerns(value->sector.load(std::memory_order_acquire))) return true;
    }
    return false;
}

/// Copies stored bytes to where they should be. Latches nothing.
/// @return the reference to the copy; none: it stays where it is.
std::optional<PageRef> Checkpointer::copy_image(const PageRef& ref) {
    std::vector<char> stored(ref.length);
    if (!context_.data.read(ref.sector, stored)) return std::nullopt;
    const Bytes bytes(stored.data(), stored.size());
    if (hash64(bytes) != ref.checksum) return std::nullopt;
    const Result<std::uint64_t> sector = writer_.add_within(moving_->to, bytes);
    if (!sector) return std::nullopt;
    PageRef copy = ref;
    copy.sector = *sector;
    copy.checkpoint = number_;
    moving_->moved_bytes += bytes.size();
    return copy;
}

/// Leaves that are not in memory and may refer to large values are loaded: only then can these be
/// moved. Those for which there is no memory keep their values where they are.
void Checkpointer::load_to_move(Tree& tree, Inner* page) {
    for (std::size_t i = 0; i < page->children(); ++i) {
        const ChildWord word = load_child(page->child(i));
        const bool wanted =
            !word.resident() && (word.descriptor()->ref.flags & PageRef::kHasLarge) != 0;
        if (wanted) static_cast<void>(tree.child_leaf(page, i).ok());
    }
}

/// Under the page's latch: children whose images are to be moved.
void Checkpointer::list_moves(Inner& page) {
    moves_.clear();
    if (moving_ == nullptr) return;
    for (std::size_t i = 0; i < page.children(); ++i) {
        const ChildWord word = load_child(page.child(i));
        const Descriptor* descriptor = word.resident() ? word.page()->disk : word.descriptor();
        if (moves(descriptor)) moves_.push_back({i, descriptor, {}});
    }
}

/// Copies what was listed, but for leaves of which a new image was made, and writes the copies.
/// Latches nothing.
Result<void> Checkpointer::make_moves(std::span<const ImagedLeaf> imaged) {
    std::size_t made = 0;
    for (MovedImage& move : moves_) {
        const bool has_image = std::any_of(imaged.begin(), imaged.end(), [&](const ImagedLeaf& i) {
            return i.index == move.index;
        });
        if (has_image || !moves(move.from)) continue;
        std::optional<PageRef> copy = copy_image(move.from->ref);
        if (!copy) continue;
        move.to = *copy;
        moves_[made++] = move;
        moving_->tell();
        if (!writer_.wants_flush()) continue;
        if (Result<void> flushed = flush(); !flushed) {
            moves_.resize(made);
            return flushed;
        }
    }
    moves_.resize(made);
    if (made == 0) return {};
    // Before anybody can be told of the copies: who is told may read them.
    Result<void> flushed = flush();
    return flushed;
}

/// Those that were not adopted: their leaves have changed.
void Checkpointer::abandon_moves() {
    for (const MovedImage& move : moves_) writer_.abandon(move.to.sector, move.to.length);
    moves_.clear();
}

/// Under the parent's latch: the child's image is where its copy is, if it is still the same image.
/// @return whether it is.
bool Checkpointer::adopt_move(Tree& tree, ChildSlot& slot, const MovedImage& move) {
    const ChildWord word = load_child(slot);
    Descriptor* now = word.resident() ? word.page()->disk : word.descriptor();
    if (now != move.from) {
        writer_.abandon(move.to.sector, move.to.length);
        return false;
    }
    Descriptor* copy = tree.make_descriptor(move.to, attempt_);
    if (word.resident()) {
        release_images(tree, word.page());
        word.page()->disk = copy;
        return true;
    }
    slot.store(ChildWord(copy).bits(), std::memory_order_release);
    release_chain(tree, now);
    return true;
}

/// Under the page's latch: adopts the copy of child `index`, if there is one.
bool Checkpointer::adopt_move_of(Tree& tree, Inner& page, std::size_t index) {
    const auto found = std::find_if(moves_.begin(), moves_.end(),
                                    [&](const MovedImage& m) { return m.index == index; });
    if (found == moves_.end()) return false;
    const MovedImage move = *found;
    moves_.erase(found);
    return adopt_move(tree, page.child(index), move);
}

/// A page that is not in memory: a root leaf is moved here; a lowest inner page is loaded when it,
/// or something below it, is to be moved.
/// @return true: it is not what it was, look again.
Result<bool> Checkpointer::move_unloaded(Tree& tree, Inner* parent, ChildSlot& slot,
                                         ChildWord word) {
    const Descriptor* descriptor = word.descriptor();
    const PageRef& ref = descriptor->ref;
    if (ref.level == 0) {
        if ((ref.flags & PageRef::kHasLarge) != 0 && tree.leaf_for({}).ok()) return true;
        if (!moves(descriptor)) return false;
        const std::optional<PageRef> copy = copy_image(ref);
        if (!copy) return false;
        if (Result<void> flushed = flush(); !flushed) return flushed.error();
        LatchGuard guard(tree.root_latch());
        return adopt_move(tree, slot, {0, descriptor, *copy}) || load_child(slot) != word;
    }
    bool wanted = moves(descriptor);
    if (!wanted) {
        Result<std::vector<char>> image = read_image(context_.data, ref);
        if (!image) return false;
        for (const auto& entry : decode_inner_image({image->data(), image->size()}).entries) {
            wanted = wanted || moving_->concerns(entry.ref.sector) ||
                     (entry.ref.flags & PageRef::kHasLarge) != 0;
        }
    }
    if (!wanted) return false;
    const Result<ChildWord> loaded = tree.load_upper(parent, slot, word);
    return loaded.ok();
}

/// Copies a large value, a part at a time, to where it should be.
/// @return where the image shall say it is: there, or where it was.
Result<std::uint64_t> Checkpointer::move_value(LargeValue& value, std::vector<MovedValue>& moved) {
    constexpr std::uint64_t kPartBytes = 1_MiB;
    const std::uint64_t from = value.sector.load(std::memory_order_acquire);
    // One that only the log names stays: its records say where it is.
    if (moving_ == nullptr || !moving_->concerns(from) ||
        !value.emitted.load(std::memory_order_relaxed) ||
        !context_.clock.is_written(value.ticket.load(std::memory_order_relaxed))) {
        return from;
    }
    const std::uint64_t sectors = value.sectors();
    const Result<Extent> place =
        context_.space.allocate_blocks_within(moving_->to, sectors, sectors);
    if (!place) return from;
    const Extent rest{place->sector + sectors, place->sectors - sectors};
    context_.space.give_back(rest);
    const Extent to{place->sector, sectors};
    Hash64Stream hash;
    std::vector<char> part;
    for (std::uint64_t at = 0; at < value.length; at += part.size()) {
        part.resize(std::min(kPartBytes, value.length - at));
        const Bytes bytes(part.data(), part.size());
        if (!context_.data.read(from, at, part)) {
            context_.space.give_back(to);
            return from;
        }
        hash.add(bytes);
        const std::uint64_t sector = to.sector + at / kSectorBytes;
        if (Result<void> done = written(context_.data.write(sector, bytes)); !done) {
            context_.space.give_back(to);
            return done.error();
        }
    }
    if (hash.result() != value.checksum) {
        context_.space.give_back(to);
        return from;
    }
    moved.push_back({&value, from, to.sector});
    moving_->moved_bytes += value.length;
    return to.sector;
}

/// Under the parent's latch, with the image that refers to them.
void Checkpointer::adopt_moved_values(const std::vector<MovedValue>& moved) {
    for (const MovedValue& move : moved) {
        std::uint64_t from = move.from;
        const bool there =
            move.value->sector.compare_exchange_strong(from, move.to, std::memory_order_acq_rel);
        assert(there);  // Who ends a value holds this latch, and has replaced the leaf.
        if (there && !FULGUR_PLANTED("moved_value_not_released"))
            release({move.from, move.value->sectors()});
    }
}

}  // namespace fulgur::storage
