// Statistics: what Engine::stats gathers from where it is counted (metrics.h says who counts).
#include <algorithm>

#include "db/engine.h"
#include "db/reader_state.h"

namespace fulgur::db {

namespace {

using storage::to_number;

Stats::Errors errors_of(const ErrorCounts& counts) {
    Stats::Errors errors;
    errors.io = counts.of(ErrorCode::kIo);
    errors.corruption = counts.of(ErrorCode::kCorruption);
    errors.limit = counts.of(ErrorCode::kLimit);
    errors.busy = counts.of(ErrorCode::kBusy);
    errors.poisoned = counts.of(ErrorCode::kPoisoned);
    errors.no_space = counts.of(ErrorCode::kNoSpace);
    errors.invalid = counts.of(ErrorCode::kInvalid);
    errors.other = counts.of(ErrorCode::kConflict) + counts.of(ErrorCode::kUnsupported) +
                   counts.of(ErrorCode::kTooOld) + counts.of(ErrorCode::kUnknownResult);
    return errors;
}

template <std::size_t n>
Stats::Distribution distribution_of(const storage::Recorded& recorded,
                                    const std::array<std::uint64_t, n>& bounds) {
    const Histogram& values = recorded.values;
    Stats::Distribution result;
    result.count = values.count();
    result.sum = recorded.sum;
    result.p50 = values.percentile(50);
    result.p90 = values.percentile(90);
    result.p99 = values.percentile(99);
    result.p999 = values.percentile(99.9);
    result.max = values.max();
    const std::vector<std::uint64_t>& counts = values.counts();
    std::uint64_t seen = 0;
    std::size_t next = 0;
    for (const std::uint64_t bound : bounds) {
        const std::size_t end = std::min(counts.size(), Histogram::index_of(bound) + 1);
        for (; next < end; ++next) seen += counts[next];
        result.at_most.push_back(seen);
    }
    return result;
}

Stats::Distribution latency_of(const storage::Recorded& recorded) {
    return distribution_of(recorded, Stats::kLatencyBoundsNs);
}

}  // namespace

/// Readers of now, and what all that ever were have counted.
void Engine::add_reads(Stats& stats) const {
    Stats::Reads& reads = stats.reads;
    stats.oldest_reader = versions_.visible();
    for (std::size_t i = 0; i < versions_.slots_max(); ++i) {
        const ReaderState* state = reader_states_[i].load(std::memory_order_acquire);
        if (state == nullptr) continue;
        const ReadCounts& counts = state->counts;
        // What is counted after a get is read before it, so that the gets are never fewer.
        reads.gets_absent += counts.gets_absent.value();
        reads.gets_failed += counts.gets_failed.value();
        reads.gets_cold += counts.gets_cold.value();
        reads.gets += counts.gets.value();
        reads.get_many_absent += counts.get_many_absent.value();
        reads.get_many_calls += counts.get_many_calls.value();
        reads.get_many_keys += counts.get_many_keys.value();
        reads.part_reads += counts.part_reads.value();
        reads.cursors += counts.cursors.value();
        reads.cursor_rows += counts.cursor_rows.value();
        if (state->slot->epoch.load(std::memory_order_acquire) == 0) continue;
        ++stats.readers;
        stats.oldest_reader = std::min(
            stats.oldest_reader, Sequence{state->slot->sequence.load(std::memory_order_acquire)});
    }
    reads.errors = errors_of(read_metrics_.errors);

    stats.snapshots = versions_.snapshot_count();
    stats.oldest_snapshot = versions_.visible();
    if (const auto oldest = versions_.oldest_snapshot()) {
        stats.oldest_snapshot = oldest->sequence;
        const std::uint64_t now = now_ns();
        stats.oldest_snapshot_ms =
            now > oldest->since_ns ? (now - oldest->since_ns) / 1'000'000 : 0;
    }
}

void Engine::add_writes(Stats& stats) const {
    const CommitMetrics& counted = commit_metrics_;
    const auto at = [&](Durability level) {
        return counted.commits[CommitMetrics::level(level)].value();
    };
    Stats::Writes& writes = stats.writes;
    writes.sync_commits = at(Durability::kSync);
    writes.os_commits = at(Durability::kOs);
    writes.buffered_commits = at(Durability::kBuffered);
    stats.commits = writes.sync_commits + writes.os_commits + writes.buffered_commits;
    stats.commits_replayed = replayed_;
    writes.puts = counted.puts.value();
    writes.erases = counted.erases.value();
    writes.bytes = counted.bytes.value();
    writes.large_values = counted.large_values.value();
    writes.large_bytes = counted.large_bytes.value();
    writes.errors = errors_of(counted.errors);
}

void Engine::add_latencies(Stats& stats) const {
    const auto commit = [&](Durability level) {
        return latency_of(commit_metrics_.latency_ns[CommitMetrics::level(level)].read());
    };
    stats.latency.get = latency_of(read_metrics_.get_ns.read());
    stats.latency.get_many = latency_of(read_metrics_.get_many_ns.read());
    stats.latency.sync_commit = commit(Durability::kSync);
    stats.latency.os_commit = commit(Durability::kOs);
    stats.latency.buffered_commit = commit(Durability::kBuffered);
    stats.latency.checkpoint = latency_of(checkpoint_ns_.read());
    stats.latency.log_sync = latency_of(log_->sync_ns());
    stats.log_groups = distribution_of(log_->group_sizes(), Stats::kGroupBounds);
}

Stats Engine::stats() {
    Stats stats;
    stats.path = options_.path;
    stats.format_version = storage::Superblock::kFormatVersion;
    stats.checkpointed = Sequence{checkpointed_.load(std::memory_order_relaxed)};
    stats.durable = log_->durable_sequence();
    stats.visible = versions_.visible();
    stats.poisoned = poisoned_.load(std::memory_order_acquire) || log_->poisoned();
    const storage::LogStats log = log_->stats();
    stats.log_bytes_live = log.live_bytes;
    stats.log_bytes_written = log.bytes_written;
    stats.log_syncs = log.syncs;
    stats.log_segments = log.live_segments;
    stats.log_commits_synced = log.records_synced;
    stats.log_bytes_since_checkpoint = log_bytes_since_checkpoint_.load(std::memory_order_relaxed);
    stats.memory_budget = frames_.budget();
    stats.memory_used = frames_.used();
    stats.memory_retired = versions_.retired_bytes();
    if (evictor_ != nullptr) {
        stats.pages_evicted = evictor_->evicted();
        stats.pages_evicted_dirty = evictor_->written();
    }
    const storage::SpaceManager::Stats space = space_.stats();
    stats.data_file_bytes = space_.file_sectors() * storage::kSectorBytes;
    stats.data_used_bytes = space.used_sectors * storage::kSectorBytes;
    stats.data_free_bytes = space.free_sectors * storage::kSectorBytes;
    stats.data_pending_bytes = space.pending_sectors * storage::kSectorBytes;
    const storage::DataFile::Counters data = data_->counters();
    stats.data_bytes_written = data.bytes_written;
    stats.data_bytes_read = data.bytes_read;
    stats.data_syncs = data.syncs;
    const storage::ImageCodec::Counters images = codec_.counters();
    stats.compression = codec_.choice();
    stats.leaf_bytes_written = images.image_bytes;
    stats.leaf_bytes_stored = images.stored_bytes;
    stats.pages_compressed = images.compressed;
    stats.checkpoints = checkpoints_.load(std::memory_order_relaxed);
    stats.checkpoint_failures = checkpoint_failures_.load(std::memory_order_relaxed);
    stats.pages_written = checkpointer_->pages_written();
    stats.pages_read = counters_.pages_read.load(std::memory_order_relaxed);
    stats.consolidations = counters_.consolidations.load(std::memory_order_relaxed);
    stats.splits = counters_.splits.load(std::memory_order_relaxed);
    stats.joins = counters_.joins.load(std::memory_order_relaxed);
    add_reads(stats);
    add_latencies(stats);
    os::MutexLock lock(commit_mutex_);
    add_writes(stats);
    versions_.pin(*writer_slot_);  // Who holds the mutex is the writer.
    for (auto& [id, state] : keyspaces_) {
        if (!state->dropped()) stats.keyspaces.push_back({state->name, id, state->tree->height()});
    }
    versions_.unpin(*writer_slot_);
    return stats;
}

}  // namespace fulgur::db
