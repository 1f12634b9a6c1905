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

/// Takes a place for an image: where things are being moved to, if there is room. The file does not
/// grow for that: memory will refer to the image, so that on a full disk no checkpoint could be
/// published before it is written, whatever free space there is elsewhere.
Result<std::uint64_t> Checkpointer::add_image(Bytes image) {
    if (moving_ != nullptr) {
        const std::uint64_t begin = moving_->to.sector;
        const std::uint64_t end = std::min(moving_->to.end(), context_.space.file_sectors());
        if (begin < end) {
            Result<std::uint64_t> sector = writer_.add_within({begin, end - begin}, image);
            if (sector || sector.error().code() != ErrorCode::kNoSpace) return sector;
        }
        give_reserve_back();
    }
    return writer_.add(image);
}

/// Behind the end of the file, where nothing is to stay; on a full disk inside it. Written: the
/// disk has it.
Result<void> Checkpointer::take_reserve() {
    if (moving_ == nullptr || moving_->stopped || reserve_.sectors != 0) return {};
    SpaceManager& space = context_.space;
    const std::uint64_t sectors =
        round_up(sectors_of(kReserveBytes) + 4 * catalog_.sectors, kBlockSectors);
    const std::string zeros(sectors * kSectorBytes, '\0');
    const std::uint64_t end = space.file_sectors();
    const std::uint64_t begin = std::min(moving_->from.sector, end);
    for (const Extent window : {Extent{end, kSectorsMax - end}, Extent{begin, end - begin},
                                Extent{kFirstDataSector, end - kFirstDataSector}}) {
        const Result<Extent> place = space.allocate_blocks_within(window, sectors, sectors);
        if (!place) continue;
        reserve_ = *place;
        Result<void> done = written(context_.data.write(reserve_.sector, zeros));
        if (done) return {};
        give_reserve_back();
        space.cut_tail();
        if (done.error().code() != ErrorCode::kNoSpace) return done;
    }
    moving_->stop_full(
        Error(ErrorCode::kNoSpace, "no room is left to move anything").at(context_.data.name()));
    return {};
}

void Checkpointer::give_reserve_back() {
    if (reserve_.sectors == 0) return;
    context_.space.give_back(reserve_);
    reserve_ = {};
}

bool Checkpointer::moves(const Descriptor* descriptor) const {
    // What this checkpoint wrote was moved as far as it could be.
    return moving_ != nullptr && descriptor != nullptr && descriptor->ref.checkpoint != number_ &&
           moving_->concerns(descriptor->ref.sector);
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
    if (reserve_.sectors == 0) return std::nullopt;
    std::vector<char> stored(ref.length);
    if (!context_.data.read(ref.sector, stored)) return std::nullopt;
    const Bytes bytes(stored.data(), stored.size());
    if (hash64(bytes) != ref.checksum) return std::nullopt;
    const Result<std::uint64_t> sector = mover_.add_within(moving_->place_for(ref.sector), bytes);
    if (!sector) return std::nullopt;
    PageRef copy = ref;
    copy.sector = *sector;
    copy.checkpoint = number_;
    moving_->copied_bytes += bytes.size();
    visit_copied_ += bytes.size();
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
    const std::vector<MovedImage> listed = std::exchange(moves_, {});
    for (const MovedImage& move : listed) {
        const bool has_image = std::any_of(imaged.begin(), imaged.end(), [&](const ImagedLeaf& i) {
            return i.index == move.index;
        });
        if (has_image || !moves(move.from) || copied_enough()) continue;
        const std::optional<PageRef> copy = copy_image(move.from->ref);
        if (!copy) continue;
        moves_.push_back({move.index, move.from, *copy});
        moving_->tell();
        if (!mover_.wants_flush()) continue;
        if (Result<void> flushed = flush_moves(); !flushed) return flushed;
    }
    // Before anybody can be told of the copies: who is told may read them.
    if (FULGUR_PLANTED("moved_images_told_unwritten")) return {};
    return moves_.empty() ? Result<void>() : flush_moves();
}

/// Writes the copies and forgets those that could not be written: nothing refers to them. A full
/// disk ends the moving, not the checkpoint.
Result<void> Checkpointer::flush_moves() {
    Result<void> flushed = written(mover_.flush());
    if (!flushed) {
        std::erase_if(moves_, [&](const MovedImage& m) { return mover_.waits(m.to.sector); });
        mover_.discard();
        if (flushed.error().code() == ErrorCode::kNoSpace) {
            moving_->stop_full(flushed.error());
            flushed = {};
        }
    }
    // What the file grew by and is not used may not exist on the disk: nobody shall be given it
    // while there is free space below.
    context_.space.cut_tail();
    return flushed;
}

/// Those that were not adopted: their leaves have changed. They are written, so that nobody's late
/// write can fall on their places: free at once.
void Checkpointer::abandon_moves() {
    for (const MovedImage& move : moves_) {
        context_.space.give_back({move.to.sector, move.to.sectors()});
    }
    moves_.clear();
}

void Checkpointer::count_moved(std::uint64_t bytes) {
    visit_moved_ += bytes;
    job_->relocation->moved_bytes += bytes;
}

/// Under the parent's latch: the child's image is where its copy is, if it is still the same image.
/// @return whether it is.
bool Checkpointer::adopt_move(Tree& tree, ChildSlot& slot, const MovedImage& move) {
    const ChildWord word = load_child(slot);
    Descriptor* now = word.resident() ? word.page()->disk : word.descriptor();
    if (now != move.from) {
        context_.space.give_back({move.to.sector, move.to.sectors()});
        return false;
    }
    Descriptor* copy = tree.make_descriptor(move.to, attempt_);
    count_moved(move.to.length);
    if (word.resident()) {
        if (!FULGUR_PLANTED("moved_image_not_released")) release_images(tree, word.page());
        word.page()->disk = copy;
        return true;
    }
    slot.store(ChildWord(copy).bits(), std::memory_order_release);
    if (!FULGUR_PLANTED("moved_image_not_released")) release_chain(tree, now);
    return true;
}

/// Under the parent's latch: adopts the copy of child `index`, if there is one.
bool Checkpointer::adopt_move_of(Tree& tree, ChildSlot& slot, std::size_t index) {
    const auto found = std::find_if(moves_.begin(), moves_.end(),
                                    [&](const MovedImage& m) { return m.index == index; });
    if (found == moves_.end()) return false;
    const MovedImage move = *found;
    moves_.erase(found);
    return adopt_move(tree, slot, move);
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
        moves_ = {{0, descriptor, *copy}};
        if (Result<void> flushed = flush_moves(); !flushed) return flushed.error();
        LatchGuard guard(tree.root_latch());
        return adopt_move_of(tree, slot, 0) || load_child(slot) != word;
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

/// Copies a large value to where it should be.
/// @return where the image shall say it is: there, or where it was.
Result<std::uint64_t> Checkpointer::move_value(LargeValue& value, std::vector<MovedValue>& moved) {
    const std::uint64_t from = value.sector.load(std::memory_order_acquire);
    // One that only the log names stays: its records say where it is.
    if (moving_ == nullptr || !moving_->concerns(from) || copied_enough() ||
        reserve_.sectors == 0 || !value.emitted.load(std::memory_order_relaxed) ||
        !context_.clock.is_written(value.ticket.load(std::memory_order_relaxed))) {
        return from;
    }
    const std::uint64_t sectors = value.sectors();
    const Result<Extent> place =
        context_.space.allocate_blocks_within(moving_->place_for(from), sectors, sectors);
    if (!place) return from;
    const Extent rest{place->sector + sectors, place->sectors - sectors};
    context_.space.give_back(rest);
    const Extent to{place->sector, sectors};
    Result<bool> copied = copy_value(value, from, to.sector);
    if (copied && *copied) {
        moved.push_back({&value, from, to.sector});
        visit_copied_ += value.length;
        return to.sector;
    }
    context_.space.give_back(to);
    if (copied) return from;
    if (copied.error().code() != ErrorCode::kNoSpace) return copied.error();
    context_.space.cut_tail();  // As after copies of images.
    moving_->stop_full(copied.error());
    return from;
}

/// A part at a time. @return false: it cannot be read as it was, or nothing shall be moved any
/// more.
Result<bool> Checkpointer::copy_value(const LargeValue& value, std::uint64_t from,
                                      std::uint64_t to) {
    constexpr std::uint64_t kPartBytes = 1_MiB;
    Hash64Stream hash;
    std::vector<char> part;
    for (std::uint64_t at = 0; at < value.length; at += part.size()) {
        part.resize(std::min(kPartBytes, value.length - at));
        const Bytes bytes(part.data(), part.size());
        if (!context_.data.read(from, at, part)) return false;
        hash.add(bytes);
        const std::uint64_t sector = to + at / kSectorBytes;
        if (Result<void> done = written(context_.data.write(sector, bytes)); !done) {
            return done.error();
        }
        moving_->copied_bytes += part.size();
        moving_->tell();
        if (moving_->stopped) return false;
    }
    return hash.result() == value.checksum;
}

/// Under the parent's latch, with the image that refers to them.
void Checkpointer::adopt_moved_values(const std::vector<MovedValue>& moved) {
    for (const MovedValue& move : moved) {
        std::uint64_t from = move.from;
        const bool there =
            move.value->sector.compare_exchange_strong(from, move.to, std::memory_order_acq_rel);
        assert(there);  // Who ends a value holds this latch, and has replaced the leaf.
        if (there) count_moved(move.value->length);
        if (there && !FULGUR_PLANTED("moved_value_not_released"))
            release({move.from, move.value->sectors()});
    }
}

}  // namespace fulgur::storage
