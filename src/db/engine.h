// The engine: keyspaces over one log and one data file. The public classes are handles on it.
//
// A commit (engine_commit.cc): (0) reduce the batch to one operation a key, sorted; (1) check
// limits, make the leaves resident, reserve memory and log space: the only step that may refuse;
// (2) take the next sequence and append to the log; (3) apply; (4) publish the sequence as visible;
// (5) outside the commit mutex, wait for the durability level. Steps 1-4 run under `commit_mutex_`:
// one writer at a time. After step 2 only I/O can fail, and that poisons the handle.
//
// Locks, in the order in which they are taken:
//
// - gate_ (base/operation_gate.h): shared by every operation that writes; close waits for them.
// - checkpoint_mutex_: one checkpoint (or verification) at a time; held during I/O.
// - commit_mutex_: the writer's; guards the map of keyspaces too; held during no sync.
// - state_mutex_: poison and background wake-ups; nothing is locked under it.
//
// Page latches are taken under commit_mutex_, by the walker, and by readers that install a page;
// nobody who holds a latch takes a mutex of the engine.
//
// Readers take none of these: see storage/versions.h and storage/tree.h. They look a keyspace up by
// the pointer in its handle, which lives as long as the engine.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "base/operation_gate.h"
#include "base/thread_annotations.h"
#include "db/commit_record.h"
#include "db/engine_options.h"
#include "db/metrics.h"
#include "os/arena.h"
#include "os/mutex.h"
#include "os/thread.h"
#include "storage/checkpoint.h"
#include "storage/evict.h"
#include "storage/image_codec.h"
#include "storage/log_follower.h"
#include "storage/log_reader.h"
#include "storage/log_writer.h"
#include "storage/space.h"
#include "storage/tree.h"
#include "storage/tree_cursor.h"
#include "storage/versions.h"

namespace fulgur::db {

/// A keyspace's record; lives as long as the engine. `tree` and the id never change; what the
/// walker needs is guarded by the checkpoint mutex.
struct KeyspaceState {
    std::uint32_t id = 0;
    std::string name;
    std::unique_ptr<storage::Tree> tree;
    /// The least of `dropped_at` and, once the database is closed, 0: what a get asks instead of
    /// two things, and in the line where it finds the tree.
    std::atomic<std::uint64_t> readable_below{~std::uint64_t{0}};
    /// Sequence of the drop, or the greatest number. Stored before the drop is visible.
    std::atomic<std::uint64_t> dropped_at{~std::uint64_t{0}};
    storage::KeyspaceMeta meta;
    std::uint64_t signature = 0;
    bool released = false;

    bool dropped() const { return dropped_at.load(std::memory_order_acquire) != ~std::uint64_t{0}; }
    /// Whether a reader at `sequence` may look.
    bool visible_at(Sequence sequence) const {
        return static_cast<std::uint64_t>(sequence) < dropped_at.load(std::memory_order_acquire);
    }
    /// The same, and the database is open.
    bool readable_at(Sequence sequence) const {
        return static_cast<std::uint64_t>(sequence) <
               readable_below.load(std::memory_order_acquire);
    }
};

/// One operation on its way into a commit.
struct CommitOperation {
    KeyspaceState* keyspace = nullptr;
    Bytes key;
    Bytes value;
    bool erase = false;
    std::uint64_t head = 0;
    std::size_t order = 0;
};

/// What must hold when a commit takes its place in the order: a transaction's reads.
class CommitCheck {
public:
    virtual ~CommitCheck() = default;
    /// Without the commit mutex, once: whatever may take long.
    virtual Result<void> before_commit() = 0;
    /// Under the commit mutex, everything before it applied: what came since. Maybe several times.
    virtual Result<void> at_commit() = 0;
    /// Logged and applied; its durability may not be reached yet.
    virtual void applied() = 0;
};

struct ReaderState;

class Engine {
public:
    static Result<std::shared_ptr<Engine>> open(EngineOptions options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    Result<void> close();
    /// kInvalid after close.
    Result<void> check_open() const;
    static Error closed_error();
    bool is_open() const { return !gate_.closed(); }

    // Keyspaces.
    Result<KeyspaceState*> create_keyspace(std::string_view name);
    KeyspaceState* find_keyspace(std::string_view name);
    std::vector<std::string> keyspace_names();
    Result<void> drop_keyspace(std::string_view name);

    // Commits.
    Result<Sequence> commit(const WriteBatch& batch, Durability durability);
    Result<Sequence> commit_one(KeyspaceState& keyspace, Bytes key, Bytes value, bool erase,
                                Durability durability);
    /// Commits sorted operations, one for each key, if the check passes.
    Result<Sequence> commit_checked(std::vector<CommitOperation>& operations, CommitCheck& check,
                                    Durability durability);
    Result<void> sync();
    /// Returns when all commits up to `sequence`, which is visible, are on the disk.
    Result<void> wait_until_durable(Sequence sequence);

    // Readers.
    storage::Versions& versions() { return versions_; }
    /// The state of that slot's readers; only the slot's owner asks. Made with the first reader.
    ReaderState& reader_state(storage::Versions::Slot& slot);
    bool wants_room() const { return evictor_ != nullptr && evictor_->wants_room(); }
    /// Before a reader pins: what is evicted later cannot be used again before its pin ends.
    void make_ready_to_read() {
        if (wants_room()) [[unlikely]] {
            evict_now();
        }
    }
    ReadMetrics& read_metrics() { return read_metrics_; }
    std::uint64_t now_ns() const { return options_.clock->now_ns(); }
    Result<std::optional<storage::Record>> find(KeyspaceState& keyspace, Bytes key, Sequence at);
    /// The bytes of a found record; a large value is loaded.
    Result<Bytes> value_of(KeyspaceState& keyspace, const storage::Record& record);
    Result<void> check_large(storage::LargeValue& value);
    Result<std::size_t> read_part(const storage::Record& record, std::uint64_t offset,
                                  std::span<char> into);

    // The change feed (engine_changes.cc).
    /// A follower of the log that stands before `from`. It must end before the engine does.
    Result<std::unique_ptr<storage::LogFollower>> follow_log(Sequence from);
    /// The follower's next record, when it is on the disk and visible.
    Result<std::optional<storage::LoggedRecord>> next_logged(storage::LogFollower& follower);
    /// Returns when there is more, or never will be. @return false when `ms` passed.
    bool wait_for_log(const storage::LogFollower& follower, std::uint64_t ms);
    Result<Sequence> oldest_change() const;
    /// Also of dropped ones, unless the drop was forgotten.
    KeyspaceState* find_keyspace(std::uint32_t id);
    /// A value that the log only names. @return none when it was superseded and is gone.
    Result<std::optional<std::string>> load_logged(const std::shared_ptr<Engine>& self,
                                                   std::uint32_t keyspace_id, Bytes key,
                                                   Sequence sequence, const LoggedExtent& place);

    Result<void> checkpoint();
    /// What background threads do, once: the log's ticks, and a checkpoint when one is due.
    void tick();
    Stats stats();
    Result<Database::VerifyReport> verify(
        const std::function<void(std::uint64_t, std::uint64_t)>& progress);
    Result<Database::PageSizes> page_sizes();
    Result<Database::CompactReport> compact(
        const std::function<bool(std::uint64_t, std::uint64_t)>& progress);
    const EngineOptions& options() const { return options_; }
    /// Of this engine alone, in the whole life of the process: an address may be used again.
    std::uint64_t identity() const { return identity_; }

private:
    using SortedOperations = std::vector<CommitOperation>;
    /// A commit's values above the inline limit.
    struct LargeValues {
        std::vector<std::unique_ptr<storage::LargeValue>> values;
        std::vector<char> references;  ///< encoded LargeReferences, 32 bytes each
        std::vector<std::size_t> operations;
    };

    explicit Engine(EngineOptions options);

    // Opening (engine_open.cc).
    Result<void> prepare_directory();
    Result<void> create_data_file();
    Result<void> open_data_file();
    Result<void> load_catalog();
    Result<void> recover();
    Result<void> take_logged_extents(Bytes body);
    Result<void> replay(Sequence sequence, Bytes body);
    Result<void> replay_group(KeyspaceState& keyspace, std::vector<LoggedOperation>& group,
                              Sequence sequence);
    /// Runs a step of the replay, again after others were evicted when it finds no memory; the step
    /// says how much is missing, if it knows.
    template <typename Step>
    Result<void> with_room(const Step& step);
    Result<bool> is_logged_place(const LoggedExtent& logged);
    Result<void> replay_keyspace_operation(const LoggedOperation& operation, Sequence sequence)
        REQUIRES(commit_mutex_);
    void start_background();
    void stop_background();
    std::string file_path(const char* name) const { return options_.path + "/" + name; }
    KeyspaceState* add_keyspace(std::uint32_t id, std::string name) REQUIRES(commit_mutex_);
    /// From `sequence` on nobody finds or reads it.
    void mark_dropped(KeyspaceState& keyspace, Sequence sequence) REQUIRES(commit_mutex_);

    // Committing (engine_commit.cc).
    template <typename Commit>
    Result<Sequence> measured(Durability durability, const Commit& commit);
    Result<Sequence> commit_batch(const WriteBatch& batch, Durability durability);
    Result<Sequence> commit_sorted(SortedOperations& operations, Durability durability,
                                   CommitCheck* check = nullptr);
    Result<storage::LogTicket> log_and_apply(const SortedOperations& operations,
                                             std::vector<storage::TreeOperation>& tree_operations,
                                             Bytes body, const CommitCounts& counts,
                                             CommitCheck* check);
    void apply(const SortedOperations& operations,
               std::vector<storage::TreeOperation>& tree_operations) noexcept
        REQUIRES(commit_mutex_);
    Result<void> make_large(const SortedOperations& operations, LargeValues& large);
    Result<void> keep_logged(storage::LargeValue& value, Bytes bytes);
    Result<std::uint64_t> place_direct(const storage::LargeValue& value, Bytes bytes);
    Result<void> write_direct(storage::LargeValue& value, Bytes bytes);
    void drop_large(LargeValues& large);
    void encode(const SortedOperations& operations, const LargeValues& large,
                std::vector<char>& body) const;
    Result<void> reserve(std::vector<storage::TreeOperation>& tree_operations,
                         const SortedOperations& operations, std::size_t body_bytes,
                         std::uint64_t& bytes) REQUIRES(commit_mutex_);
    Result<storage::LogTicket> append(Bytes body, std::uint32_t crc) REQUIRES(commit_mutex_);
    Result<storage::LogTicket> commit_keyspace_change(LogOperation type, KeyspaceState* dropped,
                                                      std::string_view name)
        REQUIRES(commit_mutex_);
    Result<void> wait_for_log_room();
    Error over_budget();
    bool wait_for_walker(int& waits);
    bool make_room_for_commit(const Error& refusal, std::uint64_t bytes, int tries);

    // Checkpoints (engine_checkpoint.cc).
    Result<void> checkpoint_locked() REQUIRES(checkpoint_mutex_);
    storage::Checkpointer::Job begin_checkpoint() REQUIRES(checkpoint_mutex_);
    void finish_dropped();
    void poison(const Error& cause);
    Result<void> check_writable() const;
    bool checkpoint_due() const;
    void start_evictor();
    void without_writer(const std::function<void()>& work);
    void evict_now();
    bool wants_clean_pages() const;
    void want_checkpoints(unsigned count);
    void note_no_space(const Error& error);
    void run_evictions();
    void run_log_ticks();
    void run_checkpoints();
    void end_reads();
    /// kInvalid inside a progress callback of this engine: see progress_scope.h.
    Result<void> check_outside_progress() const;

    // Compaction (engine_compact.cc).
    struct Compaction;
    Result<void> compact_all(Compaction& work);
    Result<void> move_down(std::uint64_t line, Compaction& work);
    Result<void> relocate(storage::Extent from, storage::Extent to, Compaction& work);
    Result<void> settle(Compaction& work);

    // Verification (verify.cc).
    /// The newest checkpoint's, read from the disk; without keyspaces when there is none.
    Result<storage::Meta> stored_catalog() REQUIRES(checkpoint_mutex_);

    // Statistics (engine_stats.cc).
    void add_reads(Stats& stats) const;
    void add_writes(Stats& stats) const;
    void add_latencies(Stats& stats) const;

    EngineOptions options_;
    static std::uint64_t next_identity();
    const std::uint64_t identity_ = next_identity();
    std::unique_ptr<os::DirectoryLock> lock_;
    os::Arena arena_;
    storage::FramePool frames_;
    storage::SlotPool<storage::Descriptor> descriptors_;
    storage::Versions versions_;
    std::unique_ptr<storage::DataFile> data_;
    storage::SpaceManager space_;
    storage::CheckpointClock clock_;
    storage::TreeCounters counters_;
    storage::ImageCodec codec_{Compression::kNone};
    std::optional<storage::TreeContext> context_;
    storage::Superblock superblock_;    ///< as recovery found it
    std::uint64_t log_bytes_kept_ = 0;  ///< constant once open
    /// Recovery only: places of logged values that were taken out of free space.
    std::map<std::uint64_t, std::uint64_t> taken_;
    std::unique_ptr<storage::Checkpointer> checkpointer_;
    std::unique_ptr<storage::Evictor> evictor_;
    std::unique_ptr<storage::Log> log_;

    os::Mutex checkpoint_mutex_;
    /// What the checkpoint at hand moves, and whether it gives up any free tail: a compaction's.
    storage::Relocation* relocation_ GUARDED_BY(checkpoint_mutex_) = nullptr;
    bool cut_short_ GUARDED_BY(checkpoint_mutex_) = false;
    os::Mutex commit_mutex_;
    std::map<std::uint32_t, std::unique_ptr<KeyspaceState>> keyspaces_ GUARDED_BY(commit_mutex_);
    /// The living ones, by name.
    std::map<std::string, KeyspaceState*, std::less<>> names_ GUARDED_BY(commit_mutex_);
    std::uint32_t next_keyspace_id_ GUARDED_BY(commit_mutex_) = 1;
    Sequence last_ GUARDED_BY(commit_mutex_){};
    storage::Versions::Slot* writer_slot_ = nullptr;
    std::atomic<std::uint64_t> log_bytes_since_checkpoint_{0};
    std::atomic<std::uint64_t> checkpoints_{0};
    std::atomic<std::uint64_t> checkpoint_failures_{0};
    std::atomic<std::uint64_t> checkpointed_{0};
    bool recovering_ = true;      ///< nobody else is here yet
    std::uint64_t replayed_ = 0;  ///< commits; constant once open
    OperationGate gate_;
    CommitMetrics commit_metrics_;
    ReadMetrics read_metrics_;
    storage::SharedHistogram checkpoint_ns_;
    /// By slot; null where no reader has been yet.
    std::unique_ptr<std::atomic<ReaderState*>[]> reader_states_;

    mutable os::Mutex state_mutex_;
    std::optional<Error> poison_ GUARDED_BY(state_mutex_);
    std::optional<Error> checkpoint_error_ GUARDED_BY(state_mutex_);
    std::atomic<bool> poisoned_{false};
    bool stopping_ GUARDED_BY(state_mutex_) = false;
    bool log_woken_ GUARDED_BY(state_mutex_) = false;
    os::ConditionVariable log_wake_;
    os::ConditionVariable checkpoint_wake_;
    os::ConditionVariable checkpoint_done_;
    os::ConditionVariable evict_wake_;
    std::atomic<bool> evict_woken_{false};
    std::atomic<unsigned> checkpoints_wanted_{0};  ///< written under state_mutex_
    os::Thread evict_thread_;
    os::Thread log_thread_;
    os::Thread checkpoint_thread_;
};

}  // namespace fulgur::db
