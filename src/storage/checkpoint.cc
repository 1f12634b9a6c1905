// Running a checkpoint: the order of things, the catalog, the superblock. checkpoint_walk.cc has
// the walk.
#include "storage/checkpoint.h"

#include <algorithm>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "os/thread.h"

namespace fulgur::storage {

Checkpointer::Checkpointer(TreeContext& context, const Superblock& newest, Sequence other_replay)
    : context_(context),
      writer_(context.data, context.space),
      mover_(context.data, context.space),
      superblock_(newest),
      other_replay_(other_replay),
      catalog_(newest.catalog.length == 0 ? Extent{} : newest.catalog.extent()),
      compressor_(context.codec),
      slot_(context.versions.take_slot()) {
    assert(slot_ != nullptr);  // The engine takes its own slots before any reader can.
    context_.clock.set(superblock_.checkpoint + 1, 0);
}

void Checkpointer::release(Extent extent) {
    context_.space.release(extent, number_, context_.versions.advance_epoch());
}

/// Remembers whether what failed was a write other than for want of space.
Result<void> Checkpointer::written(Result<void> result) {
    if (!result && result.error().code() != ErrorCode::kNoSpace) write_failed_ = true;
    return result;
}

Result<void> Checkpointer::flush() {
    Result<void> done = written(writer_.flush());
    if (done) context_.clock.set_written(writer_.ticket());
    return done;
}

Result<void> Checkpointer::run(const std::function<Job()>& begin) {
    number_ = superblock_.checkpoint + 1;
    if (attempts_ == CheckpointClock::kAttemptsMax) {
        return Error(
            ErrorCode::kLimit,
            "this checkpoint failed 16 million times; close the database and open it again");
    }
    ++attempts_;
    attempt_ = CheckpointClock::attempt_of(number_, attempts_);
    context_.clock.set(number_, attempts_);

    Result<void> result = attempt(begin);
    give_reserve_back();
    job_ = nullptr;
    moving_ = nullptr;
    context_.versions.unpin(*slot_);
    pages_written_.store(writer_.images() + mover_.images(), std::memory_order_relaxed);
    if (!result) {
        // What was let go after the abandoned walk had passed it was said to be needed by this
        // checkpoint; the next attempt will not refer to it.
        context_.space.abandoned(context_.clock, number_);
        return result;
    }
    attempts_ = 0;
    context_.clock.set(number_ + 1, 0);
    context_.space.published(number_, context_.versions.oldest_epoch());
    cut_file();
    return {};
}

/// A tail that is short beside the file will be used again soon.
void Checkpointer::cut_tail(bool however_short) {
    constexpr std::uint64_t kShare = 8;
    const std::uint64_t tail = context_.space.shrinkable_tail();
    if (however_short || tail >= context_.space.file_sectors() / kShare) context_.space.cut_tail();
}

/// Behind what the superblocks refer to and anybody has. A file that stays long does no harm, and
/// the next checkpoint tries again. Commits wait for one step at most.
void Checkpointer::cut_file() {
    constexpr std::uint64_t kStepBytes = 256_MiB;
    std::uint64_t size = 0;
    bool more = true;
    const auto cut = [&](std::uint64_t sectors) -> Result<void> {
        Result<std::uint64_t> now = context_.data.size_bytes();
        if (!now) return now.error();
        const std::uint64_t kept = sectors * kSectorBytes;
        more = *now > kept + kStepBytes;
        size = more ? round_up(*now - kStepBytes, kBlockBytes) : std::min(*now, kept);
        return size < *now ? context_.data.resize(sectors_of(size)) : Result<void>();
    };
    while (more) {
        if (!context_.space.cut_file(cut)) return;
    }
    // What the file was to grow by and did not: see cut_tail.
    context_.space.cut_tail(round_up(sectors_of(size), kBlockSectors));
}

Result<void> Checkpointer::attempt(const std::function<Job()>& begin) {
    // What an abandoned attempt could not write is written first: memory refers to it.
    if (Result<void> flushed = flush(); !flushed) return flushed;
    const Job job = begin();
    job_ = &job;
    moving_ = job.relocation;
    for (const CheckpointTree& target : job.trees) {
        if (Result<void> walked = walk(target); !walked) return walked;
    }
    if (Result<void> flushed = flush(); !flushed) return flushed;
    return publish(job);
}

Result<void> Checkpointer::publish(const Job& job) {
    give_reserve_back();
    Meta meta;
    meta.next_keyspace_id = job.next_keyspace_id;
    std::uint64_t newest = to_number(superblock_.newest);
    for (const CheckpointTree& target : job.trees) {
        meta.keyspaces.push_back(*target.meta);
        newest = std::max(newest, target.meta->root.newest);
    }
    for (const CheckpointTree& target : job.dropped) {
        if (Result<void> done = release_tree(target); !done) return done;
    }
    // The catalog lists free space and takes space itself: it gets its place first, with room for
    // the lists to grow meanwhile, and is padded to fill it.
    context_.space.persist(number_, meta);
    const std::size_t room = meta.encoded_size() + meta.encoded_size() / 8 + 8 * kBlockBytes;
    Result<Extent> place = context_.space.allocate_blocks(sectors_of(room), sectors_of(room));
    if (!place) return place.error();
    if (catalog_.sectors != 0) release(catalog_);
    catalog_ = *place;
    cut_tail(job.cut_short);
    const std::uint64_t file_sectors = context_.space.persist(number_, meta);
    if (meta.encoded_size() > catalog_.bytes()) {
        return Error(ErrorCode::kNoSpace,
                     "the catalog outgrew its place; the next checkpoint retries");
    }
    const std::string bytes = meta.encode(catalog_.bytes());
    if (Result<void> done = written(context_.data.write(catalog_.sector, bytes)); !done)
        return done;

    const auto final = [this](Result<void> result) {
        if (!result) write_failed_ = true;  // Here even a full disk leaves us not knowing.
        return result;
    };
    os::yield_point("before data sync");
    if (!FULGUR_PLANTED("superblock_before_its_pages")) {
        if (Result<void> done = final(context_.data.sync()); !done) return done;
    }
    if (!FULGUR_PLANTED("superblock_before_its_log")) {
        if (Result<void> done = final(job.sync_log()); !done) return done;
    }

    Superblock next = superblock_;
    next.checkpoint = number_;
    next.replay = job.replay;
    if (FULGUR_PLANTED("one_commit_not_replayed")) {
        next.replay = Sequence{to_number(job.replay) + 1};
    }
    next.newest = Sequence{std::max(newest, to_number(job.replay))};
    next.catalog = {catalog_.sector, bytes.size(), hash64(bytes)};
    next.file_sectors = file_sectors;
    next.compression = static_cast<std::uint8_t>(context_.codec.choice());
    next.log_bytes_kept = job.log_bytes_kept;
    if (context_.codec.used() && !FULGUR_PLANTED("compression_not_announced"))
        next.incompatible |= Superblock::kCompressedPages;
    if (Result<void> done = final(write_superblock(context_.data, next)); !done) return done;
    if (Result<void> done = final(context_.data.sync()); !done) return done;
    other_replay_ = superblock_.replay;
    superblock_ = next;
    return {};
}

Result<void> Checkpointer::release_tree(const CheckpointTree& target) {
    if (*target.released) return {};
    std::vector<Extent> extents = target.meta->upper;
    const ChildWord root = load_child(target.tree->root());
    Result<void> listed = root.resident() ? list_resident(root.page(), extents)
                                          : list_subtree(root.descriptor()->ref, extents);
    if (!listed) return listed;
    for (const Extent& extent : extents) release(extent);
    *target.released = true;
    return {};
}

}  // namespace fulgur::storage
