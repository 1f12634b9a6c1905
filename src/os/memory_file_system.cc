#include "os/memory_file_system.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "os/machine.h"
#include "os/mutex.h"
#include "os/name_tree.h"

namespace fulgur::os {
namespace {

/// The bytes of one file, in chunks, so that growing copies nothing and holes cost nothing.
/// Invariant: bytes of a chunk past the end of the file are zero.
class Content {
public:
    std::size_t read(std::uint64_t position, std::span<char> into) const EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        if (position >= size_) return 0;
        const std::size_t n = std::min<std::uint64_t>(into.size(), size_ - position);
        for (std::size_t done = 0; done < n;) {
            const Place at = place(position + done, n - done);
            const char* chunk = chunks_[at.chunk].get();
            if (chunk == nullptr) {
                std::memset(into.data() + done, 0, at.size);
            } else {
                std::memcpy(into.data() + done, chunk + at.offset, at.size);
            }
            done += at.size;
        }
        return n;
    }

    void write(std::uint64_t position, std::string_view from) EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        if (position + from.size() > size_) set_size(position + from.size());
        for (std::size_t done = 0; done < from.size();) {
            const Place at = place(position + done, from.size() - done);
            std::unique_ptr<char[]>& chunk = chunks_[at.chunk];
            if (chunk == nullptr) chunk = std::make_unique<char[]>(kChunk);  // Zeros.
            std::memcpy(chunk.get() + at.offset, from.data() + done, at.size);
            done += at.size;
        }
    }

    std::uint64_t size() const EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        return size_;
    }

    void resize(std::uint64_t size) EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        set_size(size);
    }

private:
    static constexpr std::size_t kChunk = std::size_t{256} << 10;

    struct Place {
        std::size_t chunk;
        std::size_t offset;
        std::size_t size;
    };
    static Place place(std::uint64_t position, std::size_t size) {
        const std::size_t offset = position % kChunk;
        return {position / kChunk, offset, std::min(size, kChunk - offset)};
    }

    void set_size(std::uint64_t size) REQUIRES(mutex_) {
        chunks_.resize((size + kChunk - 1) / kChunk);
        if (size < size_ && size % kChunk != 0 && chunks_.back() != nullptr) {
            std::memset(chunks_.back().get() + size % kChunk, 0, kChunk - size % kChunk);
        }
        size_ = size;
    }

    mutable Mutex mutex_;
    std::vector<std::unique_ptr<char[]>> chunks_ GUARDED_BY(mutex_);  ///< Null: zeros.
    std::uint64_t size_ GUARDED_BY(mutex_) = 0;
};

class MemoryFile final : public File {
public:
    MemoryFile(std::shared_ptr<Content> content, std::string name, bool writable)
        : content_(std::move(content)), name_(std::move(name)), writable_(writable) {}

    Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
        return content_->read(position, into);
    }
    Result<void> write_at(std::uint64_t position, std::string_view from) override {
        if (!writable_) return file_error(EBADF, FileOperation::kWrite, name_, position);
        content_->write(position, from);
        return {};
    }
    Result<void> sync() override { return {}; }
    Result<std::uint64_t> size() override { return content_->size(); }
    Result<void> resize(std::uint64_t size) override {
        if (!writable_) return file_error(EINVAL, FileOperation::kResize, name_, size);
        content_->resize(size);
        return {};
    }
    const std::string& name() const override { return name_; }

private:
    const std::shared_ptr<Content> content_;
    const std::string name_;
    const bool writable_;
};

}  // namespace

struct MemoryFileSystem::State {
    Mutex mutex;
    NameTree<Content> tree GUARDED_BY(mutex);
    std::set<std::string> locked GUARDED_BY(mutex);

    /// Holds the name of a lock file in `locked`.
    class Lock final : public DirectoryLock {
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

    Result<std::shared_ptr<Content>> open(const std::string& path, Mode mode) REQUIRES(mutex) {
        if (mode == Mode::kCreate && !tree.exists(path)) {
            auto content = std::make_shared<Content>();
            const Result<void> created = tree.create(path, content);
            if (!created) return created.error();
            return content;
        }
        return tree.find(path, FileOperation::kOpen);
    }
};

MemoryFileSystem::MemoryFileSystem() : state_(std::make_shared<State>()) {}
MemoryFileSystem::~MemoryFileSystem() = default;

Result<std::unique_ptr<File>> MemoryFileSystem::open(const std::string& path, Mode mode) {
    MutexLock lock(state_->mutex);
    Result<std::shared_ptr<Content>> content = state_->open(path, mode);
    if (!content) return content.error();
    return std::make_unique<MemoryFile>(*std::move(content), path, mode != Mode::kRead);
}

Result<bool> MemoryFileSystem::exists(const std::string& path) {
    MutexLock lock(state_->mutex);
    return state_->tree.exists(path);
}

Result<bool> MemoryFileSystem::is_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    return state_->tree.is_directory(path);
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& path) {
    MutexLock lock(state_->mutex);
    return state_->tree.list(path);
}

Result<void> MemoryFileSystem::make_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    return state_->tree.make_directory(path);
}

Result<void> MemoryFileSystem::remove(const std::string& path) {
    MutexLock lock(state_->mutex);
    return state_->tree.remove(path);
}

Result<void> MemoryFileSystem::rename(const std::string& from, const std::string& to) {
    MutexLock lock(state_->mutex);
    return state_->tree.rename(from, to);
}

Result<void> MemoryFileSystem::sync_directory(const std::string& path) {
    MutexLock lock(state_->mutex);
    if (state_->tree.is_directory(path)) return {};
    return file_error(state_->tree.exists(path) ? ENOTDIR : ENOENT, FileOperation::kSyncDirectory,
                      path);
}

Result<std::unique_ptr<DirectoryLock>> MemoryFileSystem::lock(const std::string& path) {
    MutexLock lock(state_->mutex);
    Result<std::shared_ptr<Content>> content = state_->open(path, Mode::kCreate);
    if (!content) return content.error();
    const std::string name = normalized_path(path);
    if (!state_->locked.insert(name).second) return lock_held_error(path, process_id());
    content.value()->resize(0);
    content.value()->write(0, std::to_string(process_id()) + "\n");
    return std::make_unique<State::Lock>(state_, name);
}

}  // namespace fulgur::os
