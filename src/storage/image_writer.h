// Packs images into runs of free blocks and writes each run with one large sequential write.
//
// `add` only copies into memory, so it may be called under a latch; `flush` does the I/O and is
// called outside of them. What was added stays added: when a flush fails for want of space its runs
// are kept and written by the next flush, because memory already refers to their places.
// An image that turned out stale is given back after its run is written, never before: otherwise
// somebody else could be given the place, and the late write would destroy what they put there.
//
// One thread at a time (the walker's).
#pragma once

#include <cstdint>
#include <vector>

#include <fulgur/result.h>

#include "storage/data_file.h"
#include "storage/space.h"

namespace fulgur::storage {

class ImageWriter {
public:
    /// @param emission  kLater: a checkpoint may be published before it refers to these images.
    ImageWriter(DataFile& data, SpaceManager& space,
                SpaceManager::Emission emission = SpaceManager::Emission::kNow)
        : data_(data), space_(space), emission_(emission) {}

    /// Takes a place for `image` and remembers to write it there.
    /// @return its first sector; kNoSpace when the file may not grow.
    Result<std::uint64_t> add(Bytes image) { return add(image, nullptr); }
    /// The same inside a window of the file, low addresses first.
    /// @return kNoSpace when there is no place for it; a smaller one may find one.
    Result<std::uint64_t> add_within(Extent window, Bytes image) { return add(image, &window); }
    /// Takes back a place that `add` gave: nothing refers to it.
    void abandon(std::uint64_t sector, std::size_t bytes);
    /// Writes what was added. Not synced.
    Result<void> flush();
    /// After a failed flush, for whose images nothing refers to yet: gives every place back.
    void discard();
    /// Whether the image at this place is not written yet.
    bool waits(std::uint64_t sector) const;
    bool wants_flush() const { return buffered_ >= kFlushBytes; }
    std::uint64_t images() const { return images_; }
    /// Of the image that was added last; it is written when a flush has succeeded since.
    std::uint64_t ticket() const { return images_; }

private:
    static constexpr std::size_t kRunBytes = 1_MiB;
    /// What is not filled of a run is nobody's before the flush: little, where room is scarce.
    static constexpr std::size_t kWindowRunBytes = 128_KiB;
    static constexpr std::size_t kFlushBytes = 1_MiB;

    struct Run {
        Extent extent;
        std::vector<char> bytes;  ///< from the extent's beginning
        bool in_window = false;
    };

    Result<std::uint64_t> add(Bytes image, const Extent* window);
    Result<Run*> run_for(std::size_t sectors, const Extent* window);

    DataFile& data_;
    SpaceManager& space_;
    const SpaceManager::Emission emission_;  ///< outside windows
    std::vector<Run> runs_;                  ///< each is filled further by what fits
    std::vector<Extent> abandoned_;
    std::size_t buffered_ = 0;
    std::uint64_t images_ = 0;
};

}  // namespace fulgur::storage
