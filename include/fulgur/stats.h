#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/options.h>

namespace fulgur {

/// One moment of a database's life, near enough: threads go on counting while it is taken.
/// All counters are since open and never go down; bytes unless said. What a thread did before it
/// was joined is counted exactly.
struct Stats {
    std::string path;
    std::uint64_t format_version = 0;

    Sequence visible{};       ///< Newest commit that readers see.
    Sequence durable{};       ///< Newest commit known to be on the disk.
    Sequence checkpointed{};  ///< Replay after a crash would begin after this one.
    bool poisoned = false;    ///< A write failed; commits return kPoisoned until re-opened.

    std::uint64_t commits = 0;           ///< Of rows, and of keyspaces made and dropped.
    std::uint64_t commits_replayed = 0;  ///< Found in the log by this open, before those.
    std::uint64_t log_bytes_live = 0;    ///< Log that replay may still need, or that is kept.
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

    Compression compression = Compression::kNone;  ///< Of pages that are written now.
    std::uint64_t leaf_bytes_written = 0;          ///< Pages with rows, before compression,
    std::uint64_t leaf_bytes_stored = 0;           ///< and after.
    std::uint64_t pages_compressed = 0;

    std::uint64_t checkpoints = 0;
    std::uint64_t checkpoint_failures = 0;  ///< Abandoned, for example on a full disk.
    std::uint64_t pages_written = 0;
    std::uint64_t pages_read = 0;     ///< Each was a miss of the memory, of a read or of a commit.
    std::uint64_t pages_evicted = 0;  ///< Left memory, to stay within the budget.
    /// Of them written first, before a checkpoint came to them. Included in data_bytes_written.
    std::uint64_t pages_evicted_dirty = 0;
    std::uint64_t consolidations = 0;
    std::uint64_t splits = 0;
    std::uint64_t joins = 0;  ///< Nearly empty pages that went into a neighbour.

    std::uint64_t readers = 0;
    std::uint64_t snapshots = 0;  ///< And the readers made from them, one each.
    Sequence oldest_reader{};     ///< Versions above it are kept; equals visible when none.
    Sequence oldest_snapshot{};   ///< Versions it sees are kept; equals visible when none.
    std::uint64_t oldest_snapshot_ms = 0;  ///< Its age in milliseconds; 0 when there is none.

    /// How often each ErrorCode was returned.
    struct Errors {
        std::uint64_t io = 0;
        std::uint64_t corruption = 0;
        std::uint64_t limit = 0;
        std::uint64_t busy = 0;
        std::uint64_t poisoned = 0;
        std::uint64_t no_space = 0;
        std::uint64_t invalid = 0;  ///< Closed, dropped, another database's: the caller's.
        std::uint64_t other = 0;
    };

    /// Readers, those of snapshots and those inside Keyspace::get included.
    struct Reads {
        std::uint64_t gets = 0;
        std::uint64_t gets_absent = 0;  ///< Without a value.
        std::uint64_t gets_failed = 0;  ///< So gets - gets_absent - gets_failed found a value.
        std::uint64_t gets_cold = 0;    ///< A page had to be read; the others were in memory.
        std::uint64_t get_many_calls = 0;
        std::uint64_t get_many_keys = 0;
        std::uint64_t get_many_absent = 0;  ///< Keys of them without a value.
        std::uint64_t part_reads = 0;       ///< Calls of Reader::read.
        std::uint64_t cursors = 0;
        std::uint64_t cursor_rows = 0;  ///< That cursors stood on, first positions included.
        Errors errors;                  ///< Of every kind of read.
    };
    Reads reads;

    struct Writes {
        std::uint64_t sync_commits = 0;  ///< By the level that was asked for.
        std::uint64_t os_commits = 0;
        std::uint64_t buffered_commits = 0;
        /// Of several operations on one key in one batch the last counts.
        std::uint64_t puts = 0;
        std::uint64_t erases = 0;
        std::uint64_t bytes = 0;         ///< Keys and values of those: what users asked to store.
        std::uint64_t large_values = 0;  ///< Of the puts: values above 2 KiB, kept apart,
        std::uint64_t large_bytes = 0;   ///< and their bytes.
        /// Commits of rows that returned an error: limit, busy and no_space refuse and change
        /// nothing.
        Errors errors;
    };
    Writes writes;

    /// Bytes that went to the disk: (log_bytes_written + data_bytes_written) / writes.bytes is the
    /// write amplification.
    std::uint64_t data_bytes_written = 0;
    std::uint64_t data_bytes_read = 0;
    std::uint64_t data_syncs = 0;

    std::uint64_t log_bytes_since_checkpoint = 0;  ///< What a crash now would have to replay.
    std::uint64_t log_commits_synced = 0;  ///< By log_syncs: log_commits_synced / log_syncs each.

    /// How recorded values lie. Percentiles are to three digits.
    struct Distribution {
        std::uint64_t count = 0;
        std::uint64_t sum = 0;
        std::uint64_t p50 = 0;
        std::uint64_t p90 = 0;
        std::uint64_t p99 = 0;
        std::uint64_t p999 = 0;
        std::uint64_t max = 0;
        /// How many are not above the bound of the same index (three digits again).
        std::vector<std::uint64_t> at_most;
    };
    /// Bounds of latencies, in nanoseconds: 100 ns to 10 s.
    static constexpr std::array<std::uint64_t, 25> kLatencyBoundsNs = {
        100,         200,           500,           1'000,         2'000,
        5'000,       10'000,        20'000,        50'000,        100'000,
        200'000,     500'000,       1'000'000,     2'000'000,     5'000'000,
        10'000'000,  20'000'000,    50'000'000,    100'000'000,   200'000'000,
        500'000'000, 1'000'000'000, 2'000'000'000, 5'000'000'000, 10'000'000'000};
    /// Bounds of the sizes of groups, in commits.
    static constexpr std::array<std::uint64_t, 11> kGroupBounds = {1,  2,   4,   8,   16,  32,
                                                                   64, 128, 256, 512, 1024};

    /// Nanoseconds. Every 1,024th operation of a kind is timed; checkpoints and syncs all are.
    struct Latencies {
        Distribution get;
        Distribution get_many;  ///< The whole call.
        Distribution sync_commit;
        Distribution os_commit;
        Distribution buffered_commit;
        Distribution checkpoint;  ///< Those that succeeded.
        Distribution log_sync;
    };
    Latencies latency;
    Distribution log_groups;  ///< Commits that one turn of syncing the log made durable.

    struct OfKeyspace {
        std::string name;
        std::uint32_t id = 0;
        std::uint32_t height = 0;  ///< Levels, the leaves included.
    };
    std::vector<OfKeyspace> keyspaces;
};

/// `stats` in the OpenMetrics text format, which Prometheus reads (application/openmetrics-text;
/// version=1.0.0; charset=utf-8). Times are in seconds there. docs/operations.md explains each.
std::string metrics_text(const Stats& stats);

}  // namespace fulgur
