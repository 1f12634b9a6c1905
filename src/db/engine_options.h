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
    /// Threads for the log's ticks, checkpoints and touching memory. Without them, simulations call
    /// tick() and checkpoint() themselves, and a commit at the log's limit writes the checkpoint.
    bool background = true;
};

}  // namespace fulgur::db
