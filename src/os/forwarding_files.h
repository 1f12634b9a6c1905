// A file and a file system that pass every call on to another one: the base of those in tests that
// count, hold or spoil some of the calls.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/file.h"

namespace fulgur::os {

/// As thread-safe as what it passes on to.
class ForwardingFile : public File {
public:
    explicit ForwardingFile(std::unique_ptr<File> base) : base_(std::move(base)) {}

    Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
        return base_->read_at(position, into);
    }
    void will_read(std::uint64_t position, std::uint64_t bytes) override {
        base_->will_read(position, bytes);
    }
    Result<void> write_at(std::uint64_t position, std::string_view from) override {
        return base_->write_at(position, from);
    }
    Result<void> sync() override { return base_->sync(); }
    Result<std::uint64_t> size() override { return base_->size(); }
    Result<void> resize(std::uint64_t size) override { return base_->resize(size); }
    const std::string& name() const override { return base_->name(); }

private:
    const std::unique_ptr<File> base_;
};

/// The base must outlive it, and it the files that it opened. As thread-safe as the base.
class ForwardingFileSystem : public FileSystem {
public:
    explicit ForwardingFileSystem(FileSystem& base) : base_(base) {}

    Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
        return base_.open(path, mode);
    }
    Result<bool> exists(const std::string& path) override { return base_.exists(path); }
    Result<bool> is_directory(const std::string& path) override { return base_.is_directory(path); }
    Result<std::vector<std::string>> list(const std::string& path) override {
        return base_.list(path);
    }
    Result<void> make_directory(const std::string& path) override {
        return base_.make_directory(path);
    }
    Result<void> remove(const std::string& path) override { return base_.remove(path); }
    Result<void> rename(const std::string& from, const std::string& to) override {
        return base_.rename(from, to);
    }
    Result<void> sync_directory(const std::string& path) override {
        return base_.sync_directory(path);
    }
    Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
        return base_.lock(path);
    }

private:
    FileSystem& base_;
};

}  // namespace fulgur::os
