#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include <fulgur/result.h>

#include "storage/extent.h"

namespace fulgur::storage {

/// What a checkpoint moves besides writing what changed: images and large values that lie in `from`
/// go to free space in `to`, as long as there is some. For the walker's thread only.
struct Relocation {
    Extent from;
    /// Behind `from`: it reaches beyond the end of the file, and the file may grow. Or from before
    /// `from` on: then each thing goes below where it is, even if that is in `from` too, so that
    /// what finds no place before `from` does not keep the file long.
    Extent to;
    /// Told of what was copied, while no latch is held; false: move no more. May be empty.
    std::function<bool(std::uint64_t bytes)> go_on;

    std::uint64_t copied_bytes = 0;  ///< also of copies that came too late, and were let go
    std::uint64_t told_bytes = 0;
    std::uint64_t moved_bytes = 0;  ///< what memory was told of
    bool stopped = false;
    std::optional<Error> full;  ///< stopped, since the disk had no room for a copy

    bool concerns(std::uint64_t sector) const {
        return !stopped && sector >= from.sector && sector < from.end();
    }
    /// Where something may go that lies at `sector`.
    Extent place_for(std::uint64_t sector) const {
        if (to.sector >= from.sector) return to;
        return {to.sector, std::min(to.end(), sector) - to.sector};
    }
    void tell() {
        const std::uint64_t bytes = copied_bytes - std::exchange(told_bytes, copied_bytes);
        if (bytes != 0 && go_on && !go_on(bytes)) stopped = true;
    }
    void stop_full(const Error& error) {
        full = error;
        stopped = true;
    }
};

}  // namespace fulgur::storage
