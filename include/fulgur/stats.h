#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fulgur/bytes.h>

namespace fulgur {

/// One moment of a database's life. All counters are since open; bytes unless said.
struct Stats {
    std::string path;
    std::uint64_t format_version = 0;

    Sequence visible{};       ///< Newest commit that readers see.
    Sequence durable{};       ///< Newest commit known to be on the disk.
    Sequence checkpointed{};  ///< Replay after a crash would begin after this one.
    bool poisoned = false;    ///< A write failed; commits return kPoisoned until re-opened.

    std::uint64_t commits = 0;
    std::uint64_t log_bytes_live = 0;  ///< Log that replay may still need.
    std::uint64_t log_bytes_written = 0;
    std::uint64_t log_syncs = 0;
    std::uint64_t log_segments = 0;

    std::uint64_t memory_budget = 0;
    std::uint64_t memory_used = 0;     ///< Frames, retired ones and loaded large values included.
    std::uint64_t memory_retired = 0;  ///< Waiting for readers to end.

    std::uint64_t data_file_bytes = 0;
    std::uint64_t data_used_bytes = 0;
    std::uint64_t data_free_bytes = 0;
    std::uint64_t data_pending_bytes = 0;  ///< Free once both superblocks have moved on.

    std::uint64_t checkpoints = 0;
    std::uint64_t checkpoint_failures = 0;  ///< Abandoned, for example on a full disk.
    std::uint64_t pages_written = 0;
    std::uint64_t pages_read = 0;
    std::uint64_t consolidations = 0;
    std::uint64_t splits = 0;

    std::uint64_t readers = 0;
    std::uint64_t snapshots = 0;
    Sequence oldest_reader{};  ///< Versions above it are kept; equals visible when none.

    struct OfKeyspace {
        std::string name;
        std::uint32_t id = 0;
        std::uint32_t height = 0;  ///< Levels, the leaves included.
    };
    std::vector<OfKeyspace> keyspaces;
};

}  // namespace fulgur
