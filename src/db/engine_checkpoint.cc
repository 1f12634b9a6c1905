// Checkpoints, poisoning, background work, closing.
#include <algorithm>

#include "base/planted.h"
#include "db/engine.h"
#include "db/progress_scope.h"

namespace fulgur::db {

using storage::CheckpointTree;
using storage::to_number;

Error Engine::closed_error() { return Error(ErrorCode::kInvalid, "the database is closed"); }

Result<void> Engine::check_open() const {
    if (gate_.closed()) return closed_error();
    return {};
}

Result<void> Engine::check_writable() const {
    if (log_->stopped()) return log_->stop_error();
    if (!poisoned_.load(std::memory_order_acquire)) return {};
    os::MutexLock lock(state_mutex_);
    return *poison_;
}

void Engine::poison(const Error& cause) {
    os::MutexLock lock(state_mutex_);
    if (poison_ || FULGUR_PLANTED("poison_forgotten")) return;
    poison_ = Error(ErrorCode::kPoisoned,
                    "an earlier write failed; close the database and open it again");
    poison_->at(cause.where(), cause.offset()).os(cause.os_error());
    poisoned_.store(true, std::memory_order_release);
}

Result<void> Engine::check_outside_progress() const {
    if (!ProgressScope::inside(*this)) return {};
    return Error(ErrorCode::kInvalid,
                 "called from within a progress callback, which this would wait for");
}

Result<void> Engine::checkpoint() {
    if (Result<void> outside = check_outside_progress(); !outside) return outside;
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    os::MutexLock lock(checkpoint_mutex_);
    return checkpoint_locked();
}

Result<void> Engine::checkpoint_locked() {
    if (Result<void> writable = check_writable(); !writable) return writable;
    const std::uint64_t log_bytes = log_bytes_since_checkpoint_.load(std::memory_order_relaxed);
    const std::uint64_t start_ns = now_ns();
    {
        os::MutexLock lock(state_mutex_);
        const unsigned wanted = checkpoints_wanted_.load();
        checkpoints_wanted_.store(wanted == 0 ? 0 : wanted - 1);
    }
    Result<void> done = checkpointer_->run([this] {
        checkpoint_mutex_.assert_held();
        return begin_checkpoint();
    });
    if (done) {
        checkpoint_ns_.record(now_ns() - start_ns);
        checkpoints_.fetch_add(1, std::memory_order_relaxed);
        checkpointed_.store(to_number(checkpointer_->superblock().replay),
                            std::memory_order_relaxed);
        log_bytes_since_checkpoint_.fetch_sub(log_bytes, std::memory_order_relaxed);
        finish_dropped();
        done = log_->recycle(checkpointer_->recyclable());
    } else {
        checkpoint_failures_.fetch_add(1, std::memory_order_relaxed);
        if (checkpointer_->write_failed()) poison(done.error());
    }
    os::MutexLock state(state_mutex_);
    checkpoint_error_ = done ? std::nullopt : std::optional<Error>(done.error());
    checkpoint_done_.notify_all();
    return done;
}

storage::Checkpointer::Job Engine::begin_checkpoint() {
    storage::Checkpointer::Job job;
    // A drop that every reader is past can be carried out.
    const Sequence horizon = versions_.refresh_horizon();
    std::vector<Sequence> snapshots;
    versions_.snapshots(snapshots);
    const std::uint64_t oldest = snapshots.empty()
                                     ? to_number(horizon)
                                     : std::min(to_number(horizon), to_number(snapshots[0]));
    os::MutexLock lock(commit_mutex_);
    job.replay = versions_.visible();
    job.next_keyspace_id = next_keyspace_id_;
    job.log_bytes_kept = log_bytes_kept_;
    job.sync_log = [this] { return log_->sync_all(); };
    job.as_writer = [this](const std::function<void()>& work) {
        os::MutexLock writer(commit_mutex_);
        work();
    };
    job.relocation = relocation_;
    job.cut_short = cut_short_ || relocation_ != nullptr;
    for (auto& [id, state] : keyspaces_) {
        if (state->tree == nullptr) continue;
        const CheckpointTree target{state->tree.get(), &state->meta, &state->signature,
                                    &state->released};
        const std::uint64_t dropped_at = state->dropped_at.load(std::memory_order_acquire);
        if (state->released || (state->dropped() && dropped_at <= oldest)) {
            job.dropped.push_back(target);
        } else {
            state->meta.flags =
                state->dropped() ? storage::KeyspaceMeta::kDropped : std::uint8_t{0};
            job.trees.push_back(target);
        }
    }
    return job;
}

/// Lets go of the memory of trees that the published checkpoint left out.
void Engine::finish_dropped() {
    os::MutexLock lock(commit_mutex_);
    for (auto& [id, state] : keyspaces_) {
        if (!state->released || state->tree == nullptr) continue;
        versions_.retire(
            state->tree.release(), 0,
            [](void*, void* tree, std::size_t) { delete static_cast<storage::Tree*>(tree); },
            nullptr);
    }
}

/// By what the log has taken; or by what superseded images and large values, which the log need not
/// hold, take on the disk until two more checkpoints are published.
bool Engine::checkpoint_due() const {
    const std::uint64_t target = options_.user.log_bytes_target;
    if (log_bytes_since_checkpoint_.load(std::memory_order_relaxed) >= target / 2) return true;
    if (checkpoints_wanted_.load(std::memory_order_relaxed) != 0) return true;
    const std::uint64_t waiting = space_.waiting_sectors() * storage::kSectorBytes;
    return waiting >= target && waiting >= space_.file_sectors() * storage::kSectorBytes / 4;
}

/// By what the log does not tell: pages must become clean, or space free (two checkpoints do that).
void Engine::want_checkpoints(unsigned count) {
    os::MutexLock lock(state_mutex_);
    checkpoints_wanted_.store(std::max(count, checkpoints_wanted_.load()));
    checkpoint_wake_.notify_one();
}

/// A full disk: what waits for checkpoints to be free may be enough for the next try.
void Engine::note_no_space(const Error& error) {
    if (error.code() == ErrorCode::kNoSpace && space_.waiting_sectors() != 0) want_checkpoints(2);
}

/// At twice its target the log must be cut before it may grow.
Result<void> Engine::wait_for_log_room() {
    const std::uint64_t most = 2 * options_.user.log_bytes_target;
    while (log_bytes_since_checkpoint_.load(std::memory_order_relaxed) >= most) {
        if (Result<void> outside = check_outside_progress(); !outside) return outside;
        if (!options_.background) {
            os::MutexLock lock(checkpoint_mutex_);
            return checkpoint_locked();
        }
        os::MutexLock lock(state_mutex_);
        if (stopping_) return closed_error();
        if (checkpoint_error_) return *checkpoint_error_;
        if (poison_) return *poison_;
        if (log_->stopped()) return log_->stop_error();
        checkpoint_wake_.notify_one();
        checkpoint_done_.wait_for_ms(state_mutex_, 100);
    }
    return {};
}

// ---- eviction -----------------------------------------------------------------------------------

void Engine::start_evictor() {
    if (!options_.evict) return;
    storage::Evictor::Host host;
    host.trees = [this](std::vector<storage::Tree*>& trees) {
        without_writer([&] {
            commit_mutex_.assert_held();
            trees.clear();
            for (const auto& [id, state] : keyspaces_) {
                if (state->tree != nullptr && !state->dropped()) trees.push_back(state->tree.get());
            }
        });
    };
    host.exclude_writer = [this](const auto& unlink) { without_writer(unlink); };
    host.write_failed = [this](const Error& error) { poison(error); };
    host.wake = [this] {
        if (!options_.background || evict_woken_.exchange(true)) return;
        os::MutexLock lock(state_mutex_);
        evict_wake_.notify_one();
    };
    host.refusal = [this] { return over_budget(); };
    evictor_ = std::make_unique<storage::Evictor>(*context_, std::move(host),
                                                  options_.evict_reserve_bytes);
    context_->room = evictor_.get();
}

/// The replay of a record is a commit of its own, which holds the mutex and evicts between its
/// steps.
void Engine::without_writer(const std::function<void()>& work) {
    if (recovering_) return work();
    os::MutexLock lock(commit_mutex_);
    work();
}

/// At moments when nothing is held nor pinned; when our thread does not keep up, or there is none.
/// What fails is told to those who find no room.
void Engine::evict_now() {
    if (evictor_ == nullptr || !evictor_->wants_room()) return;
    if (options_.background && frames_.has_room(frames_.budget() / 16)) return;
    static_cast<void>(evictor_->keep_room().ok());
}

/// Whether memory is full of what only a checkpoint makes clean: leaves with large values.
bool Engine::wants_clean_pages() const {
    return wants_room() &&
           log_bytes_since_checkpoint_.load(std::memory_order_relaxed) >= frames_.budget() / 32;
}

void Engine::run_evictions() {
    constexpr std::uint64_t kPauseUs = 1000;
    constexpr std::uint64_t kStuckPauseUs = 20'000;  // For the checkpoint, or readers, to go on.
    for (;;) {
        {
            os::MutexLock lock(state_mutex_);
            while (!stopping_ && !evict_woken_.load()) evict_wake_.wait_for_ms(state_mutex_, 1000);
            if (stopping_) return;
        }
        evict_woken_.store(false);
        // What fails fails again for who needs the room, and tells them.
        const bool done = evictor_->keep_room().ok() && !evictor_->wants_room();
        if (!done && wants_clean_pages()) {
            want_checkpoints(1);
        }
        os::sleep_us(done ? kPauseUs : kStuckPauseUs);
    }
}

void Engine::tick() {
    log_->tick();
    evict_now();
    if (!checkpoint_due()) return;
    // A failure is kept and shown by stats and, at the log's limit, by commits.
    if (Result<void> done = checkpoint(); !done) return;
}

void Engine::run_log_ticks() {
    for (;;) {
        const std::uint32_t next_ms = log_->tick();
        os::MutexLock lock(state_mutex_);
        if (stopping_) return;
        if (!log_woken_) log_wake_.wait_for_ms(state_mutex_, next_ms);
        log_woken_ = false;
    }
}

void Engine::run_checkpoints() {
    constexpr std::uint64_t kRetryMs = 1000;  // After a full disk.
    for (;;) {
        {
            os::MutexLock lock(state_mutex_);
            if (stopping_) return;
            if (!checkpoint_due() || checkpoint_error_ || poison_ || log_->stopped()) {
                checkpoint_wake_.wait_for_ms(state_mutex_, kRetryMs);
            }
            if (stopping_) return;
            if (!checkpoint_due() || poison_ || log_->stopped()) continue;
        }
        os::MutexLock lock(checkpoint_mutex_);
        if (Result<void> done = checkpoint_locked(); !done) continue;  // Kept in checkpoint_error_.
    }
}

Result<void> Engine::sync() {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    return log_->sync_all();
}

/// From the close on gets find no keyspace readable.
void Engine::end_reads() {
    os::MutexLock lock(commit_mutex_);
    for (auto& [id, state] : keyspaces_) {
        state->readable_below.store(0, std::memory_order_release);
    }
}

Result<void> Engine::close() {
    if (Result<void> outside = check_outside_progress(); !outside) return outside;
    if (!gate_.close()) {
        gate_.wait_until_finished();
        return closed_error();
    }
    log_->end_following();
    stop_background();
    gate_.wait_until_empty();
    end_reads();
    os::MutexLock lock(checkpoint_mutex_);
    Result<void> result = check_writable();
    if (result) result = log_->sync_all();
    // Segments may have gathered that only the older superblock needs: one more checkpoint, of
    // nothing but itself, lets them go.
    constexpr std::uint64_t kSegmentsLeft = 3;
    const storage::Superblock& stored = checkpointer_->superblock();
    const bool behind = versions_.visible() != stored.replay ||
                        log_->segments_not_kept() > kSegmentsLeft ||
                        stored.compression != static_cast<std::uint8_t>(codec_.choice()) ||
                        stored.log_bytes_kept != log_bytes_kept_;
    if (result && options_.user.checkpoint_on_close && behind) {
        // A full disk costs the next open some replay, nothing else.
        Result<void> done = checkpoint_locked();
        if (!done && done.error().code() != ErrorCode::kNoSpace) result = done;
    }
    if (result) result = log_->close();
    data_->close();
    lock_.reset();
    gate_.finish();
    return result;
}

}  // namespace fulgur::db
