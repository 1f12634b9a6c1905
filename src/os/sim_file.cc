#include "os/sim_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace fulgur::os {

SimFile::SimFile(std::string content) : live_(std::move(content)), durable_(live_) {
    take_blocks(0, live_.size());
}

std::size_t SimFile::read(std::uint64_t position, std::span<char> into) const {
    if (position >= live_.size()) return 0;
    const std::size_t n = std::min<std::size_t>(into.size(), live_.size() - position);
    std::memcpy(into.data(), live_.data() + position, n);
    return n;
}

void SimFile::write(std::uint64_t position, std::string_view from) {
    if (from.empty()) return;
    ++stamp_;
    const std::uint64_t end = position + from.size();
    if (end > live_.size()) {
        live_.resize(end);
        sizes_.push_back({stamp_, end});
    }
    std::memcpy(live_.data() + position, from.data(), from.size());
    take_blocks(position, from.size());
    for (std::uint64_t sector = position / kSector; sector * kSector < end; ++sector) {
        add_version(sector);
    }
}

void SimFile::resize(std::uint64_t size) {
    if (size == live_.size()) return;
    ++stamp_;
    const bool cut = size < live_.size();
    live_.resize(size);
    sizes_.push_back({stamp_, size});
    if (!cut) return;
    cuts_.push_back({sizes_.size() - 1, stamp_, size});
    drop_blocks_from(size);
    if (size % kSector != 0) add_version(size / kSector);  // The kernel zeroes the rest of it.
}

void SimFile::sync() {
    settle_sizes();
    for (const auto& [sector, versions] : dirty_) {
        put_sector(durable_, sector, versions.back().bytes);
    }
    dirty_.clear();
}

void SimFile::fail_sync(Random& random) {
    if (random.one_in(2)) settle_sizes();
    for (auto entry = dirty_.begin(); entry != dirty_.end();) {
        const auto& [sector, versions] = *entry;
        const std::uint64_t outcome = random.below(3);
        // A sector beyond the durable end waits for the size to be settled.
        const bool reachable = sector * kSector < durable_.size() && sizes_.empty();
        if (outcome == 0 || (outcome == 1 && !reachable)) {
            ++entry;  // Stays dirty.
            continue;
        }
        if (outcome == 1) put_sector(durable_, sector, versions.back().bytes);
        entry = dirty_.erase(entry);  // Written, or forgotten.
    }
}

/// Makes all size changes durable.
void SimFile::settle_sizes() {
    for (auto entry = dirty_.begin(); entry != dirty_.end();) {
        const Window open = window(entry->first, sizes_.size());
        std::erase_if(entry->second, [&](const Version& v) { return v.stamp < open.stamp_min; });
        entry = entry->second.empty() ? dirty_.erase(entry) : std::next(entry);
    }
    for (const SizeChange& change : sizes_) durable_.resize(change.size);
    sizes_.clear();
    cuts_.clear();
}

/// When the first `lasting` size changes lasted: versions from before the last of them that removed
/// the sector are gone, and so are those from after the first other one that did.
SimFile::Window SimFile::window(std::uint64_t sector, std::size_t lasting) const {
    Window window;
    for (const Cut& cut : cuts_) {
        if (!cut.removed(sector)) continue;
        if (cut.change < lasting) {
            window.stamp_min = cut.stamp;
        } else {
            window.stamp_end = std::min(window.stamp_end, cut.stamp);
        }
    }
    return window;
}

SimFile::Fortune SimFile::draw_fortune(Random& random, std::uint64_t stamp) {
    constexpr std::uint64_t kNever = ~std::uint64_t{0};
    switch (random.below(8)) {
        case 0:
            return {stamp, 0, kNever};  // Nothing unsynced lasted.
        case 1:
            return {stamp, 8, kNever};  // All of it.
        case 2:
            return {random.below(stamp + 1), 8, 64};  // All up to a moment.
        default:
            return {stamp, random.between(1, 7), 16};
    }
}

SimFile SimFile::after_power_cut(Random& random) const {
    const Fortune fortune = draw_fortune(random, stamp_);
    std::string image = durable_;
    std::size_t lasting = fortune.kept_of_8 == 8 ? sizes_.size() : random.below(sizes_.size() + 1);
    while (lasting > 0 && sizes_[lasting - 1].stamp > fortune.stamp_max) --lasting;
    for (std::size_t i = 0; i < lasting; ++i) image.resize(sizes_[i].size);

    for (const auto& [sector, versions] : dirty_) {
        if (sector * kSector >= image.size()) continue;
        const Window open = window(sector, lasting);
        std::vector<Sector> candidates{sector_of(image, sector)};  // Oldest first.
        for (const Version& version : versions) {
            if (version.stamp >= open.stamp_min && version.stamp < open.stamp_end &&
                version.stamp <= fortune.stamp_max) {
                candidates.push_back(version.bytes);
            }
        }
        if (candidates.size() == 1 || random.below(8) >= fortune.kept_of_8) continue;
        // Most often the last content; in between, any that the kernel may have written out.
        const std::size_t newest = candidates.size() - 1;
        const std::size_t chosen =
            fortune.kept_of_8 == 8 || !random.one_in(4) ? newest : random.between(1, newest);
        Sector bytes = candidates[chosen];
        if (random.one_in(fortune.torn_one_in)) {
            bytes = tear(bytes, candidates[random.below(chosen)], random);
        }
        put_sector(image, sector, bytes);
    }
    return SimFile(std::move(image));
}

/// The start of the newer content, the rest of the older one; or of neither, where they differ: a
/// byte that both have is safe, since it may have been synced.
SimFile::Sector SimFile::tear(const Sector& newer, const Sector& older, Random& random) {
    Sector torn = older;
    const std::size_t point = random.below(kSector);
    std::copy_n(newer.begin(), point, torn.begin());
    if (!random.one_in(4)) return torn;
    for (std::size_t i = point; i < kSector; ++i) {
        if (newer[i] != older[i]) torn[i] = static_cast<char>(random.next());
    }
    return torn;
}

void SimFile::corrupt(std::uint64_t position, std::uint8_t mask) {
    const auto flip = [&](std::string& image) {
        if (position < image.size()) image[position] = static_cast<char>(image[position] ^ mask);
    };
    flip(live_);
    flip(durable_);
    const auto entry = dirty_.find(position / kSector);
    if (entry == dirty_.end()) return;
    for (Version& version : entry->second) {
        char& byte = version.bytes[position % kSector];
        byte = static_cast<char>(byte ^ mask);
    }
}

std::size_t SimFile::fitting(std::uint64_t position, std::size_t size,
                             std::uint64_t free_blocks) const {
    const std::uint64_t end = position + size;
    for (std::uint64_t block = position / kBlock; block * kBlock < end; ++block) {
        if (block < block_taken_.size() && block_taken_[block]) continue;
        if (free_blocks == 0) return std::max(position, block * kBlock) - position;
        --free_blocks;
    }
    return size;
}

void SimFile::take_blocks(std::uint64_t position, std::size_t size) {
    const std::uint64_t end = position + size;
    if (block_taken_.size() * kBlock < end) block_taken_.resize((end + kBlock - 1) / kBlock);
    for (std::uint64_t block = position / kBlock; block * kBlock < end; ++block) {
        if (!block_taken_[block]) ++blocks_taken_;
        block_taken_[block] = true;
    }
}

void SimFile::drop_blocks_from(std::uint64_t size) {
    while (block_taken_.size() * kBlock >= size + kBlock) {
        if (block_taken_.back()) --blocks_taken_;
        block_taken_.pop_back();
    }
}

SimFile::Sector SimFile::sector_of(const std::string& image, std::uint64_t sector) {
    Sector bytes{};
    const std::uint64_t begin = sector * kSector;
    if (begin < image.size()) {
        std::memcpy(bytes.data(), image.data() + begin,
                    std::min<std::size_t>(kSector, image.size() - begin));
    }
    return bytes;
}

void SimFile::put_sector(std::string& image, std::uint64_t sector, const Sector& bytes) {
    const std::uint64_t begin = sector * kSector;
    if (begin >= image.size()) return;
    std::memcpy(image.data() + begin, bytes.data(),
                std::min<std::size_t>(kSector, image.size() - begin));
}

void SimFile::add_version(std::uint64_t sector) {
    dirty_[sector].push_back({stamp_, sector_of(live_, sector)});
}

}  // namespace fulgur::os
