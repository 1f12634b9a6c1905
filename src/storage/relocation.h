#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "storage/extent.h"

namespace fulgur::storage {

/// What a checkpoint moves besides writing what changed: images and large values that lie in `from`
/// go to free space in `to`, as long as there is some. For the walker's thread only.
struct Relocation {
    Extent from;
    Extent to;  ///< reaches beyond the end of the file: the file may grow
    /// Told of what was moved, while no latch is held; false: move no more. May be empty.
    std::function<bool(std::uint64_t bytes)> go_on;

    std::uint64_t moved_bytes = 0;
    std::uint64_t told_bytes = 0;
    bool stopped = false;

    bool concerns(std::uint64_t sector) const {
        return !stopped && sector >= from.sector && sector < from.end();
    }
    void tell() {
        const std::uint64_t bytes = moved_bytes - std::exchange(told_bytes, moved_bytes);
        if (bytes != 0 && go_on && !go_on(bytes)) stopped = true;
    }
};

}  // namespace fulgur::storage
