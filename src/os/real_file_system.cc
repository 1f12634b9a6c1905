#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "os/file_error.h"
#include "os/machine.h"
#include "os/thread.h"

// The machine's own file system. Every call may be cut short by a signal or return after a part of
// the bytes; both are met here, so that callers never see them.

namespace fulgur::os {
namespace {

constexpr mode_t kFileRights = 0644;
constexpr mode_t kDirectoryRights = 0755;

/// Calls `function` again as long as a signal interrupts it.
template <typename Function>
auto retry(Function function) {
    for (;;) {
        const auto result = function();
        if (result != -1 || errno != EINTR) return result;
    }
}

/// Owns a file descriptor. Closing is never tried twice, and its error is of no use: what must
/// last was synced.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ != -1) close(number_);
    }
    int get() const { return number_; }

private:
    int number_ = -1;
};

Result<Descriptor> open_descriptor(const std::string& path, int flags, FileOperation operation) {
    const int number = retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileRights); });
    if (number == -1) return file_error(errno, operation, path);
    return Descriptor(number);
}

/// Opens a regular file. Without O_NONBLOCK a pipe in its place would hang us; regular files
/// ignore the flag.
Result<Descriptor> open_regular(const std::string& path, int flags, FileOperation operation) {
    Result<Descriptor> descriptor = open_descriptor(path, flags | O_NONBLOCK, operation);
    if (!descriptor) return descriptor.error();
    struct stat status {};
    if (fstat(descriptor->get(), &status) != 0) return file_error(errno, operation, path);
    if (S_ISDIR(status.st_mode)) return file_error(EISDIR, operation, path);
    if (!S_ISREG(status.st_mode)) {
        return Error(ErrorCode::kInvalid, "not a regular file: check the path").at(path);
    }
    return descriptor;
}

class RealFile final : public File {
public:
    RealFile(Descriptor descriptor, std::string name)
        : descriptor_(std::move(descriptor)), name_(std::move(name)) {}

    Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
        std::size_t done = 0;
        while (done < into.size()) {
            const ssize_t n = retry([&] {
                return pread(descriptor_.get(), into.data() + done, into.size() - done,
                             static_cast<off_t>(position + done));
            });
            if (n == -1) return file_error(errno, FileOperation::kRead, name_, position + done);
            if (n == 0) break;  // The end of the file.
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    void will_read(std::uint64_t position, std::uint64_t bytes) override {
        static_cast<void>(posix_fadvise(descriptor_.get(), static_cast<off_t>(position),
                                        static_cast<off_t>(bytes), POSIX_FADV_WILLNEED));
    }

    Result<void> write_at(std::uint64_t position, std::string_view from) override {
        std::size_t done = 0;
        while (done < from.size()) {
            const ssize_t n = retry([&] {
                return pwrite(descriptor_.get(), from.data() + done, from.size() - done,
                              static_cast<off_t>(position + done));
            });
            if (n == -1) return file_error(errno, FileOperation::kWrite, name_, position + done);
            // Never seen, and without it the loop would not end.
            if (n == 0) return file_error(EIO, FileOperation::kWrite, name_, position + done);
            done += static_cast<std::size_t>(n);
        }
        return {};
    }

    Result<void> sync() override {
        // An interrupted sync has reported no failure yet, so the next call still would; any other
        // error must not be tried again: the kernel may have dropped the pages.
        if (retry([&] { return fdatasync(descriptor_.get()); }) != 0) {
            return file_error(errno, FileOperation::kSync, name_);
        }
        return {};
    }

    Result<std::uint64_t> size() override {
        struct stat status {};
        if (fstat(descriptor_.get(), &status) != 0) {
            return file_error(errno, FileOperation::kSize, name_);
        }
        return static_cast<std::uint64_t>(status.st_size);
    }

    Result<void> resize(std::uint64_t size) override {
        const auto wanted = static_cast<off_t>(size);
        if (retry([&] { return ftruncate(descriptor_.get(), wanted); }) != 0) {
            return file_error(errno, FileOperation::kResize, name_, size);
        }
        return {};
    }

    const std::string& name() const override { return name_; }

private:
    const Descriptor descriptor_;
    const std::string name_;
};

/// The lock is the kernel's and ends with the process, however it ends; the id in the file is for
/// messages only.
class RealLock final : public DirectoryLock {
public:
    explicit RealLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
    ~RealLock() override {
        // So that nobody is told about a process that let it go.
        [[maybe_unused]] const int ignored = ftruncate(descriptor_.get(), 0);
    }

private:
    Descriptor descriptor_;
};

/// The process id in a lock file; 0 when there is none.
std::uint64_t read_holder(int descriptor) {
    char text[32] = {};
    const ssize_t n = retry([&] { return pread(descriptor, text, sizeof text, 0); });
    std::uint64_t id = 0;
    if (n > 0) std::from_chars(text, text + n, id);
    return id;
}

/// The holder writes its id just after it takes the lock: an empty file is worth a few looks.
std::uint64_t wait_for_holder(int descriptor) {
    for (int look = 0; look < 20; ++look) {
        if (const std::uint64_t id = read_holder(descriptor); id != 0) return id;
        sleep_us(500);
    }
    return 0;
}

class RealFileSystem final : public FileSystem {
public:
    Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
        const int flags = mode == Mode::kRead        ? O_RDONLY
                          : mode == Mode::kReadWrite ? O_RDWR
                                                     : O_RDWR | O_CREAT;
        Result<Descriptor> descriptor = open_regular(path, flags, FileOperation::kOpen);
        if (!descriptor) return descriptor.error();
        return std::make_unique<RealFile>(*std::move(descriptor), path);
    }

    Result<bool> exists(const std::string& path) override {
        struct stat status {};
        if (stat(path.c_str(), &status) == 0) return true;
        if (errno == ENOENT || errno == ENOTDIR) return false;
        return file_error(errno, FileOperation::kStatus, path);
    }

    Result<bool> is_directory(const std::string& path) override {
        struct stat status {};
        if (stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode);
        if (errno == ENOENT || errno == ENOTDIR) return false;
        return file_error(errno, FileOperation::kStatus, path);
    }

    Result<std::vector<std::string>> list(const std::string& path) override {
        const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), &closedir);
        if (directory == nullptr) return file_error(errno, FileOperation::kList, path);
        std::vector<std::string> names;
        for (;;) {
            errno = 0;  // The end and an error look the same but for it.
            const dirent* entry = readdir(directory.get());
            if (entry == nullptr) break;
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") names.emplace_back(name);
        }
        if (errno != 0) return file_error(errno, FileOperation::kList, path);
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<void> make_directory(const std::string& path) override {
        if (mkdir(path.c_str(), kDirectoryRights) == 0) return {};
        const int error = errno;
        if (error != EEXIST) return file_error(error, FileOperation::kMakeDirectory, path);
        const Result<bool> directory = is_directory(path);
        if (!directory) return directory.error();
        if (!*directory) return file_error(ENOTDIR, FileOperation::kMakeDirectory, path);
        return {};
    }

    Result<void> remove(const std::string& path) override {
        if (::remove(path.c_str()) != 0) return file_error(errno, FileOperation::kRemove, path);
        return {};
    }

    Result<void> rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) != 0) {
            return file_error(errno, FileOperation::kRename, from);
        }
        return {};
    }

    Result<void> sync_directory(const std::string& path) override {
        Result<Descriptor> descriptor =
            open_descriptor(path, O_RDONLY | O_DIRECTORY, FileOperation::kSyncDirectory);
        if (!descriptor) return descriptor.error();
        if (retry([&] { return fsync(descriptor->get()); }) != 0) {
            return file_error(errno, FileOperation::kSyncDirectory, path);
        }
        return {};
    }

    Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
        Result<Descriptor> descriptor = open_regular(path, O_RDWR | O_CREAT, FileOperation::kLock);
        if (!descriptor) return descriptor.error();
        const int file = descriptor->get();
        if (retry([&] { return flock(file, LOCK_EX | LOCK_NB); }) != 0) {
            if (errno != EWOULDBLOCK) return file_error(errno, FileOperation::kLock, path);
            return lock_held_error(path, wait_for_holder(file));
        }
        const std::string id = std::to_string(process_id()) + "\n";
        if (retry([&] { return ftruncate(file, 0); }) != 0) {
            return file_error(errno, FileOperation::kLock, path);
        }
        const ssize_t n = retry([&] { return pwrite(file, id.data(), id.size(), 0); });
        // A full disk is no reason to refuse: the id is only for messages.
        if (n == -1 && errno != ENOSPC && errno != EDQUOT) {
            return file_error(errno, FileOperation::kLock, path);
        }
        return std::make_unique<RealLock>(*std::move(descriptor));
    }
};

}  // namespace

FileSystem& real_file_system() {
    static RealFileSystem file_system;
    return file_system;
}

}  // namespace fulgur::os
