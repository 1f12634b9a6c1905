#pragma once

#include <memory>

#include "os/file.h"

namespace fulgur::os {

/// A file system in memory, empty at first, for databases that are never written anywhere. Nothing
/// fails and nothing outlives it; sync does nothing. Files that are open keep their bytes, even
/// removed, and may outlive the file system. Thread-safe.
class MemoryFileSystem final : public FileSystem {
public:
    MemoryFileSystem();
    ~MemoryFileSystem() override;

    Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override;
    Result<bool> exists(const std::string& path) override;
    Result<bool> is_directory(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& path) override;
    Result<void> make_directory(const std::string& path) override;
    Result<void> remove(const std::string& path) override;
    Result<void> rename(const std::string& from, const std::string& to) override;
    Result<void> sync_directory(const std::string& path) override;
    Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override;

private:
    struct State;
    std::shared_ptr<State> state_;  ///< Shared with locks.
};

}  // namespace fulgur::os
