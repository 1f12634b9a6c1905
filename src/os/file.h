#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fulgur/result.h>

namespace fulgur::os {

/// One open file. Positions and sizes are in bytes. Thread-safe: calls carry their own position.
/// Errors name the file and the byte; ENOSPC and EDQUOT are kNoSpace, all else is kIo
/// (os/file_error.h).
class File {
public:
    virtual ~File() = default;

    /// Reads up to `into.size()` bytes; fewer only at the end of the file.
    virtual Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) = 0;
    /// Tells that these bytes will be read soon: the disk may begin. Never waits, never fails.
    virtual void will_read(std::uint64_t /*position*/, std::uint64_t /*bytes*/) {}
    /// Writes all of `from`, growing the file when needed. Not durable before `sync`.
    virtual Result<void> write_at(std::uint64_t position, std::string_view from) = 0;
    /// Everything written before is on the disk when it returns (fdatasync).
    virtual Result<void> sync() = 0;
    virtual Result<std::uint64_t> size() = 0;
    /// Cuts or extends (with zeros) the file.
    virtual Result<void> resize(std::uint64_t size) = 0;
    /// For messages.
    virtual const std::string& name() const = 0;
};

/// Holds a directory for one process; ends with the object.
class DirectoryLock {
public:
    virtual ~DirectoryLock() = default;
};

/// The file system as a port: the real one (`real_file_system()`), one in memory, and the simulated
/// one with faults. Thread-safe. Errors name the path: a wrong one (missing, or a directory where a
/// file belongs) is kInvalid, missing rights and a read-only file system are kIo (os/file_error.h).
class FileSystem {
public:
    /// kCreate: kReadWrite, and the file is made when it is absent.
    enum class Mode : std::uint8_t { kRead, kReadWrite, kCreate };

    virtual ~FileSystem() = default;
    virtual Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) = 0;
    virtual Result<bool> exists(const std::string& path) = 0;
    virtual Result<bool> is_directory(const std::string& path) = 0;
    /// Names (not paths) in a directory, sorted, "." and ".." left out.
    virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
    /// Succeeds when the directory is there already.
    virtual Result<void> make_directory(const std::string& path) = 0;
    /// A file, or an empty directory.
    virtual Result<void> remove(const std::string& path) = 0;
    /// Of a file; it replaces another one.
    virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
    /// Makes creations, removals and renames in the directory durable.
    virtual Result<void> sync_directory(const std::string& path) = 0;
    /// Takes the lock file at `path` without waiting, and writes this process's id into it.
    /// @return kBusy naming the process that holds it.
    virtual Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
};

/// The machine's own file system.
FileSystem& real_file_system();

}  // namespace fulgur::os
