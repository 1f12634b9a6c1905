// A file system that calls the test before each write to a data file: what happens in the middle of
// a checkpoint can be chosen, without threads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "os/file.h"

namespace fulgur::system_test {

/// Passes everything on to another file system, which must outlive it.
class HookedFileSystem final : public os::FileSystem {
public:
    explicit HookedFileSystem(os::FileSystem& base) : base_(base) {}

    /// Called before the next write to a file named "data", once.
    void before_data_write(std::function<void()> hook) { hook_ = std::move(hook); }

    Result<std::unique_ptr<os::File>> open(const std::string& path, Mode mode) override {
        Result<std::unique_ptr<os::File>> opened = base_.open(path, mode);
        if (!opened || !path.ends_with("/data")) return opened;
        return std::unique_ptr<os::File>(new HookedFile(*this, *std::move(opened)));
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
    Result<std::unique_ptr<os::DirectoryLock>> lock(const std::string& path) override {
        return base_.lock(path);
    }

private:
    class HookedFile final : public os::File {
    public:
        HookedFile(HookedFileSystem& files, std::unique_ptr<os::File> file)
            : files_(files), file_(std::move(file)) {}
        Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) override {
            return file_->read_at(position, into);
        }
        Result<void> write_at(std::uint64_t position, std::string_view from) override {
            // Taken first: the hook may write, too.
            if (const auto hook = std::exchange(files_.hook_, nullptr)) hook();
            return file_->write_at(position, from);
        }
        Result<void> sync() override { return file_->sync(); }
        Result<std::uint64_t> size() override { return file_->size(); }
        Result<void> resize(std::uint64_t size) override { return file_->resize(size); }
        const std::string& name() const override { return file_->name(); }

    private:
        HookedFileSystem& files_;
        const std::unique_ptr<os::File> file_;
    };

    os::FileSystem& base_;
    std::function<void()> hook_;
};

}  // namespace fulgur::system_test
