#include "os/sim_file_system.h"

#include <optional>
#include <set>
#include <utility>

#include "os/machine.h"
#include "os/mutex.h"
#include "os/sim_names.h"

namespace fulgur::os {
namespace {

/// "log" for "db/log.3".
std::string class_of(const std::string& path) {
    const std::string name = path.substr(path.rfind('/') + 1);
    return name.substr(0, name.find_first_of(".0123456789"));
}

Error crash_error(const std::string& name) {
    return Error(ErrorCode::kIo, "simulated crash").at(name);
}

}  // namespace

struct SimFileSystem::State {
    /// What becomes of one I/O.
    struct Fate {
        bool takes_effect = true;
        std::optional<int> failure;  ///< The injected error number.
        std::optional<Error> error;  ///< What the caller gets.
    };
    struct CrashOrder {
        std::uint64_t countdown = 0;  ///< 0: none.
        std::string site;
    };
    struct FailOrder {
        std::uint64_t countdown;  ///< 1: the next one fails.
        std::uint64_t times;
        std::string site;
        int os_error;
    };

    explicit State(std::uint64_t seed) : random(seed) {}

    mutable Mutex mutex;
    SimNames names GUARDED_BY(mutex);
    Random random GUARDED_BY(mutex);
    std::set<std::string> locked GUARDED_BY(mutex);
    bool dead GUARDED_BY(mutex) = false;
    CrashOrder crash_order GUARDED_BY(mutex);
    std::vector<FailOrder> fail_orders GUARDED_BY(mutex);
    std::uint64_t capacity GUARDED_BY(mutex) = kUnlimited;
    std::uint64_t io_count GUARDED_BY(mutex) = 0;
    std::map<std::string, SiteCount> sites GUARDED_BY(mutex);

    /// Counts one I/O and draws its fate. A crash lets it take effect: its writes are unsynced, so
    /// the power cut decides what is left; a sync is told apart by its caller.
    Fate begin(FileOperation operation, const std::string& verb, const std::string& path)
        REQUIRES(mutex) {
        if (dead) return {false, std::nullopt, crash_error(path)};
        const std::string site =
            verb.find(' ') == std::string::npos ? verb + " " + class_of(path) : verb;
        SiteCount& count = sites[site];
        ++count.calls;
        ++io_count;
        if (crash_order.countdown != 0 && is_of(crash_order.site, site) &&
            --crash_order.countdown == 0) {
            ++count.crashes;
            dead = true;
            return {true, std::nullopt, crash_error(path)};
        }
        for (FailOrder& order : fail_orders) {
            if (!is_of(order.site, site)) continue;
            if (order.countdown > 1) {
                --order.countdown;
            } else if (order.times != 0) {
                if (order.times != kUnlimited) --order.times;
                ++count.failures;
                return {false, order.os_error, file_error(order.os_error, operation, path)};
            }
        }
        return {};
    }

    static bool is_of(const std::string& wanted, const std::string& site) {
        return wanted.empty() || wanted == site;
    }

    std::uint64_t blocks_used() const REQUIRES(mutex) {
        std::uint64_t blocks = 0;
        for (const auto& [path, node] : names.live().entries()) {
            if (node != nullptr) blocks += node->blocks();
        }
        return blocks;
    }

    std::uint64_t blocks_free() const REQUIRES(mutex) {
        const std::uint64_t all = capacity / SimFile::kBlock;
        const std::uint64_t used = blocks_used();
        return used < all ? all - used : 0;
    }

    Result<SimNames::Node> open(const std::string& path, Mode mode, FileOperation operation,
                                const std::string& verb) REQUIRES(mutex) {
        const bool creates = mode == Mode::kCreate && !names.live().exists(path);
        const Fate fate = begin(operation, creates && verb == "open" ? "create" : verb, path);
        if (fate.takes_effect && creates) {
            const Result<void> created = names.create(path, std::make_shared<SimFile>());
            if (!created) return created.error();
        }
        if (fate.error) return *fate.error;
        return names.live().find(path, operation);
    }

    class OpenFile;
    class Lock;
};

class SimFileSystem::State::OpenFile final : public File {
public:
    OpenFile(std::shared_ptr<State> state, SimNames::Node node, std::string name, bool writable)
        : state_(std::move(state)),
          node_(std::move(node)),
          name_(std::move(name)),
          writable_(writable) {}

    Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
        MutexLock lock(state_->mutex);
        const Fate fate = state_->begin(FileOperation::kRead, "read", name_);
        if (fate.error) return at(*fate.error, position);
        return node_->read(position, into);
    }

    Result<void> write_at(std::uint64_t position, std::string_view from) override {
        constexpr FileOperation kOperation = FileOperation::kWrite;
        MutexLock lock(state_->mutex);
        if (!writable_) return file_error(EBADF, kOperation, name_, position);
        const Fate fate = state_->begin(kOperation, "write", name_);
        std::size_t part = 0;
        if (fate.failure) {
            part = state_->random.below(from.size() + 1);
        } else if (fate.takes_effect) {
            part = node_->fitting(position, from.size(), state_->blocks_free());
        }
        node_->write(position, from.substr(0, part));
        if (fate.error) return at(*fate.error, position + part);
        if (part < from.size()) return file_error(ENOSPC, kOperation, name_, position + part);
        return {};
    }

    Result<void> sync() override {
        MutexLock lock(state_->mutex);
        const Fate fate = state_->begin(FileOperation::kSync, "sync", name_);
        if (fate.failure) node_->fail_sync(state_->random);
        if (fate.error) return *fate.error;  // A crash: the power cut decides what it wrote.
        node_->sync();
        return {};
    }

    Result<std::uint64_t> size() override {
        MutexLock lock(state_->mutex);
        if (state_->dead) return crash_error(name_);
        return node_->live().size();
    }

    Result<void> resize(std::uint64_t size) override {
        constexpr FileOperation kOperation = FileOperation::kResize;
        MutexLock lock(state_->mutex);
        if (!writable_) return file_error(EINVAL, kOperation, name_, size);
        const Fate fate = state_->begin(kOperation, "resize", name_);
        if (fate.takes_effect) node_->resize(size);
        if (fate.error) return at(*fate.error, size);
        return {};
    }

    const std::string& name() const override { return name_; }

private:
    Error at(Error error, std::uint64_t offset) const { return error.at(name_, offset); }

    const std::shared_ptr<State> state_;
    const SimNames::Node node_;  ///< Guarded by the state's mutex.
    const std::string name_;
    const bool writable_;
};

/// Holds the name of a lock file in `locked`.
class SimFileSystem::State::Lock final : public DirectoryLock {
public:
    Lock(std::shared_ptr<State> state, std::string path)
        : state_(std::move(state)), path_(std::move(path)) {}
    ~Lock() override {
        MutexLock lock(state_->mutex);
        state_->locked.erase(path_);
    }

private:
    const std::shared_ptr<State> state_;
    const std::string path_;
};

SimFileSystem::SimFileSystem(std::uint64_t seed) : state_(std::make_shared<State>(seed)) {}
SimFileSystem::SimFileSystem(std::shared_ptr<State> state) : state_(std::move(state)) {}
SimFileSystem::~SimFileSystem() = default;

Result<std::unique_ptr<File>> SimFileSystem::open(const std::string& path, Mode mode) {
    MutexLock lock(state_->mutex);
    Result<SimNames::Node> node = state_->open(path, mode, FileOperation::kOpen, "open");
    if (!node) return node.error();
    const bool writable = mode != Mode::kRead;
    return std::make_unique<State::OpenFile>(state_, *std::move(node), path, writable);
}

Result<bool> SimFileSystem::exists(const std::string& path) {
    MutexLock lock(state_->mutex);
    if (state_->dead) return crash_error(path);
    return state_->names.live().exists(path);
}

Result<bool> SimFileSystem::is_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    if (state_->dead) return crash_error(path);
    return state_->names.live().is_directory(path);
}

Result<std::vector<std::string>> SimFileSystem::list(const std::string& path) {
    MutexLock lock(state_->mutex);
    const State::Fate fate = state_->begin(FileOperation::kList, "list directory", path);
    if (fate.error) return *fate.error;
    return state_->names.live().list(path);
}

Result<void> SimFileSystem::make_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    const State::Fate fate = state_->begin(FileOperation::kMakeDirectory, "make directory", path);
    Result<void> done;
    if (fate.takes_effect) done = state_->names.make_directory(path);
    return fate.error ? *fate.error : done;
}

Result<void> SimFileSystem::remove(const std::string& path) {
    MutexLock lock(state_->mutex);
    const State::Fate fate = state_->begin(FileOperation::kRemove, "remove", path);
    Result<void> done;
    if (fate.takes_effect) done = state_->names.remove(path);
    return fate.error ? *fate.error : done;
}

Result<void> SimFileSystem::rename(const std::string& from, const std::string& to) {
    MutexLock lock(state_->mutex);
    const State::Fate fate = state_->begin(FileOperation::kRename, "rename", from);
    Result<void> done;
    if (fate.takes_effect) done = state_->names.rename(from, to);
    return fate.error ? *fate.error : done;
}

Result<void> SimFileSystem::sync_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    const State::Fate fate = state_->begin(FileOperation::kSyncDirectory, "sync directory", path);
    if (fate.error) return *fate.error;  // A crash: the power cut decides what it wrote.
    return state_->names.sync(path);
}

Result<std::unique_ptr<DirectoryLock>> SimFileSystem::lock(const std::string& path) {
    MutexLock lock(state_->mutex);
    Result<SimNames::Node> node = state_->open(path, Mode::kCreate, FileOperation::kLock, "lock");
    if (!node) return node.error();
    const std::string name = normalized_path(path);
    if (!state_->locked.insert(name).second) return lock_held_error(path, process_id());
    node.value()->resize(0);
    node.value()->write(0, std::to_string(process_id()) + "\n");
    return std::make_unique<State::Lock>(state_, name);
}

void SimFileSystem::crash_at(std::uint64_t k, const std::string& site) {
    MutexLock lock(state_->mutex);
    state_->crash_order = {k, site};
}

void SimFileSystem::crash() {
    MutexLock lock(state_->mutex);
    state_->dead = true;
}

bool SimFileSystem::crashed() const {
    MutexLock lock(state_->mutex);
    return state_->dead;
}

void SimFileSystem::fail_at(std::uint64_t k, int os_error, const std::string& site,
                            std::uint64_t times) {
    MutexLock lock(state_->mutex);
    state_->fail_orders.push_back({k, times, site, os_error});
}

void SimFileSystem::clear_faults() {
    MutexLock lock(state_->mutex);
    state_->crash_order = {};
    state_->fail_orders.clear();
    state_->capacity = kUnlimited;
}

void SimFileSystem::set_capacity(std::uint64_t bytes) {
    MutexLock lock(state_->mutex);
    state_->capacity = bytes;
}

std::uint64_t SimFileSystem::used_bytes() const {
    MutexLock lock(state_->mutex);
    return state_->blocks_used() * SimFile::kBlock;
}

Result<void> SimFileSystem::corrupt(const std::string& path, std::uint64_t offset,
                                    std::uint8_t mask) {
    MutexLock lock(state_->mutex);
    Result<SimNames::Node> node = state_->names.live().find(path, FileOperation::kOpen);
    if (!node) return node.error();
    if (offset >= node.value()->live().size()) {
        return Error(ErrorCode::kInvalid, "the file has no such byte").at(path, offset);
    }
    node.value()->corrupt(offset, mask);
    return {};
}

std::unique_ptr<SimFileSystem> SimFileSystem::recover(std::uint64_t seed) {
    Random random(seed);
    auto after = std::make_shared<State>(random.next());
    MutexLock lock(state_->mutex);
    state_->dead = true;
    MutexLock after_lock(after->mutex);
    after->names = state_->names.after_power_cut(random);
    after->sites = state_->sites;
    after->io_count = state_->io_count;
    return std::unique_ptr<SimFileSystem>(new SimFileSystem(after));
}

std::unique_ptr<SimFileSystem> SimFileSystem::recover_after_kill(std::uint64_t seed) {
    auto after = std::make_shared<State>(seed);
    MutexLock lock(state_->mutex);
    state_->dead = true;
    MutexLock after_lock(after->mutex);
    after->names = state_->names.copy();
    after->sites = state_->sites;
    after->io_count = state_->io_count;
    return std::unique_ptr<SimFileSystem>(new SimFileSystem(after));
}

std::map<std::string, SimFileSystem::SiteCount> SimFileSystem::site_counts() const {
    MutexLock lock(state_->mutex);
    return state_->sites;
}

std::uint64_t SimFileSystem::io_count() const {
    MutexLock lock(state_->mutex);
    return state_->io_count;
}

std::uint64_t SimFileSystem::unsynced_sectors() const {
    MutexLock lock(state_->mutex);
    std::uint64_t sectors = 0;
    for (const auto& [path, node] : state_->names.live().entries()) {
        if (node != nullptr) sectors += node->unsynced_sectors();
    }
    return sectors;
}

Result<std::string> SimFileSystem::contents(const std::string& path) const {
    MutexLock lock(state_->mutex);
    Result<SimNames::Node> node = state_->names.live().find(path, FileOperation::kOpen);
    if (!node) return node.error();
    return node.value()->live();
}

}  // namespace fulgur::os
