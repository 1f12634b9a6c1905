#include "storage/image_writer.h"

#include <algorithm>

#include "storage/tree_node.h"

namespace fulgur::storage {

Result<ImageWriter::Run*> ImageWriter::run_for(std::size_t sectors, const Extent* window) {
    // Windows may be different ones: the first run that fits is the lowest, and what others took
    // and did not fill would not be free before the flush.
    for (Run& run : runs_) {
        if (run.in_window != (window != nullptr)) continue;
        const std::uint64_t end = run.extent.sector + run.bytes.size() / kSectorBytes + sectors;
        const bool inside =
            window == nullptr || (run.extent.sector >= window->sector && end <= window->end());
        if (inside && end <= run.extent.end()) return &run;
    }
    const std::size_t run_bytes = window == nullptr ? kRunBytes : kWindowRunBytes;
    const std::uint64_t most = std::max<std::uint64_t>(sectors, run_bytes / kSectorBytes);
    Result<Extent> extent = window == nullptr
                                ? space_.allocate_blocks(sectors, most, emission_)
                                : space_.allocate_blocks_within(*window, sectors, most);
    if (!extent) return extent.error();
    runs_.push_back({*extent, {}, window != nullptr});
    runs_.back().bytes.reserve(extent->sectors * kSectorBytes);
    return &runs_.back();
}

Result<std::uint64_t> ImageWriter::add(Bytes image, const Extent* window) {
    const std::size_t sectors = (image.size() + kSectorBytes - 1) / kSectorBytes;
    Result<Run*> run = run_for(sectors, window);
    if (!run) return run.error();
    std::vector<char>& bytes = (*run)->bytes;
    const std::uint64_t sector = (*run)->extent.sector + bytes.size() / kSectorBytes;
    bytes.insert(bytes.end(), image.begin(), image.end());
    bytes.resize(round_up(bytes.size(), kSectorBytes));
    buffered_ += sectors * kSectorBytes;
    ++images_;
    return sector;
}

void ImageWriter::abandon(std::uint64_t sector, std::size_t bytes) {
    abandoned_.push_back({sector, (bytes + kSectorBytes - 1) / kSectorBytes});
}

Result<void> ImageWriter::flush() {
    while (!runs_.empty()) {
        Run& run = runs_.front();
        const Bytes bytes(run.bytes.data(), run.bytes.size());
        if (Result<void> written = data_.write(run.extent.sector, bytes); !written) return written;
        buffered_ -= run.bytes.size();
        const std::uint64_t used = run.bytes.size() / kSectorBytes;
        if (used < run.extent.sectors) {
            space_.give_back({run.extent.sector + used, run.extent.sectors - used});
        }
        runs_.erase(runs_.begin());
    }
    for (const Extent& extent : abandoned_) space_.give_back(extent);
    abandoned_.clear();
    return {};
}

bool ImageWriter::waits(std::uint64_t sector) const {
    return std::any_of(runs_.begin(), runs_.end(), [sector](const Run& run) {
        return run.extent.sector <= sector && sector < run.extent.end();
    });
}

void ImageWriter::discard() {
    for (const Run& run : runs_) space_.give_back(run.extent);
    runs_.clear();
    abandoned_.clear();
    buffered_ = 0;
}

}  // namespace fulgur::storage
