#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/random.h"

// One file of the simulated file system, as the kernel and the disk have it.
//
// Theory. LIVE is what programs read: the page cache. DURABLE is what a power cut leaves for
// certain: it changes only by a sync. Between them lie, for each sector written since (512 bytes,
// the unit that a disk writes), every content that it had in the meantime, because the kernel may
// have written any of them out, in any order; and the changes of the file's size, which the file
// system's journal keeps in order. A power cut draws:
//   - how many of the size changes lasted;
//   - for each unsynced sector, on its own: the durable content, or one of the later ones, or, now
//     and then, a torn one: the start of a content and the rest of an older one, or rubbish where
//     they differ.
// Sectors that a lasting cut removed are zeros; what was written after a cut that did not last is
// gone. So later writes may survive earlier ones, a write may survive in part, and what was synced
// is never lost.
//
// A failed sync, by the kernel's custom, writes some sectors, keeps some for later, and forgets the
// rest: these are clean although the disk does not have them, so that no later sync writes them.

namespace fulgur::os {

/// Not thread-safe: the file system's mutex guards it. A value; a copy is a copy of the disk.
class SimFile {
public:
    static constexpr std::size_t kSector = 512;
    static constexpr std::size_t kBlock = 4096;  ///< The unit in which disk space is taken.

    SimFile() = default;
    /// A file with nothing unsynced.
    explicit SimFile(std::string content);

    std::size_t read(std::uint64_t position, std::span<char> into) const;
    void write(std::uint64_t position, std::string_view from);
    void resize(std::uint64_t size);
    void sync();
    void fail_sync(Random& random);

    /// The file after a power cut.
    SimFile after_power_cut(Random& random) const;

    /// Flips bits on the disk and in what programs read.
    void corrupt(std::uint64_t position, std::uint8_t mask);

    const std::string& live() const { return live_; }
    std::uint64_t unsynced_sectors() const { return dirty_.size(); }
    /// Space taken: blocks that were ever written; holes take none.
    std::uint64_t blocks() const { return blocks_taken_; }
    /// How much of a write fits when `free_blocks` are left.
    std::size_t fitting(std::uint64_t position, std::size_t size, std::uint64_t free_blocks) const;

private:
    using Sector = std::array<char, kSector>;
    struct Version {
        std::uint64_t stamp;  ///< Orders it among all changes of this file.
        Sector bytes;
    };
    struct SizeChange {
        std::uint64_t stamp;
        std::uint64_t size;
    };
    /// A size change that removed bytes.
    struct Cut {
        std::size_t change;  ///< Its index in sizes_.
        std::uint64_t stamp;
        std::uint64_t size;

        bool removed(std::uint64_t sector) const { return sector * kSector >= size; }
    };
    /// What of a sector's versions can still be met after some of the size changes.
    struct Window {
        std::uint64_t stamp_min = 0;
        std::uint64_t stamp_end = ~std::uint64_t{0};
    };
    /// How many unsynced things a power cut keeps; drawn once for each cut and file, because one
    /// mixture would hardly ever leave nearly all or nearly nothing.
    struct Fortune {
        std::uint64_t stamp_max;  ///< Nothing newer lasted.
        std::uint64_t kept_of_8;  ///< Chance that an unsynced sector lasted at all.
        std::uint64_t torn_one_in;
    };
    static Fortune draw_fortune(Random& random, std::uint64_t stamp);

    static Sector sector_of(const std::string& image, std::uint64_t sector);
    static void put_sector(std::string& image, std::uint64_t sector, const Sector& bytes);
    static Sector tear(const Sector& newer, const Sector& older, Random& random);

    void add_version(std::uint64_t sector);
    void take_blocks(std::uint64_t position, std::size_t size);
    void drop_blocks_from(std::uint64_t size);
    Window window(std::uint64_t sector, std::size_t lasting) const;
    void settle_sizes();

    std::string live_;
    std::string durable_;
    std::map<std::uint64_t, std::vector<Version>> dirty_;
    std::vector<SizeChange> sizes_;  ///< Unsynced ones.
    std::vector<Cut> cuts_;
    std::vector<bool> block_taken_;
    std::uint64_t blocks_taken_ = 0;
    std::uint64_t stamp_ = 0;
};

}  // namespace fulgur::os
