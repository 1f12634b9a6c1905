#include "storage/image_writer.h"

#include <algorithm>

#include "storage/tree_node.h"

namespace fulgur::storage {

Result<ImageWriter::Run*> ImageWriter::run_for(std::size_t sectors) {
    if (!runs_.empty()) {
        Run& last = runs_.back();
        if (last.bytes.size() / kSectorBytes + sectors <= last.extent.sectors) return &last;
    }
    const std::uint64_t most = std::max<std::uint64_t>(sectors, kRunBytes / kSectorBytes);
    Result<Extent> extent = space_.allocate_blocks(sectors, most, emission_);
    if (!extent) return extent.error();
    runs_.push_back({*extent, {}});
    runs_.back().bytes.reserve(extent->sectors * kSectorBytes);
    return &runs_.back();
}

Result<std::uint64_t> ImageWriter::add(Bytes image) {
    const std::size_t sectors = (image.size() + kSectorBytes - 1) / kSectorBytes;
    Result<Run*> run = run_for(sectors);
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

}  // namespace fulgur::storage
