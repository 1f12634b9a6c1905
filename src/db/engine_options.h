#pragma once

#include <memory>
#include <string>

#include <fulgur/options.h>

#include "os/clock.h"
#include "os/file.h"
#include "storage/log_segments.h"
#include "storage/space.h"

namespace fulgur::db {

/// Options with everything decided, and what tests replace. Not public: each public option has a
/// reason for its user; these have one for us.
struct EngineOptions {
    Options user;  ///< memory_budget and log_bytes_target are set, not 0
    std::string path;
    os::FileSystem* files = nullptr;
    std::shared_ptr<os::FileSystem> owned_files;  ///< set when nobody else keeps `files` alive
    os::Clock* clock = nullptr;
    storage::LogOptions log;
    std::uint64_t data_sectors_max = storage::SpaceManager::kUnlimited;
    /// Whether pages may leave memory: not where the files are in memory, too.
    bool evict = true;
    /// Of the budget kept free by evicting; 0: what readers need. Tests make it nearly all.
    std::uint64_t evict_reserve_bytes = 0;
    /// Threads for the log's ticks, checkpoints, evicting and touching memory. Without them,
    /// simulations call tick() and checkpoint() themselves, a commit at the log's limit writes the
    /// checkpoint, and each commit evicts what is to be evicted.
    bool background = true;
};

}  // namespace fulgur::db
