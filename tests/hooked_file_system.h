// A file system that calls the test before each write to a data file: what happens in the middle of
// a checkpoint can be chosen, without threads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "os/forwarding_files.h"

namespace fulgur::system_test {

/// Passes everything on to another file system, which must outlive it.
class HookedFileSystem final : public os::ForwardingFileSystem {
public:
    using ForwardingFileSystem::ForwardingFileSystem;

    /// Called before the next write to a file named "data", once.
    void before_data_write(std::function<void()> hook) { hook_ = std::move(hook); }

    Result<std::unique_ptr<os::File>> open(const std::string& path, Mode mode) override {
        Result<std::unique_ptr<os::File>> opened = ForwardingFileSystem::open(path, mode);
        if (!opened || !path.ends_with("/data")) return opened;
        return std::unique_ptr<os::File>(new HookedFile(*this, *std::move(opened)));
    }

private:
    class HookedFile final : public os::ForwardingFile {
    public:
        HookedFile(HookedFileSystem& files, std::unique_ptr<os::File> file)
            : ForwardingFile(std::move(file)), files_(files) {}
        Result<void> write_at(std::uint64_t position, std::string_view from) override {
            // Taken first: the hook may write, too.
            if (const auto hook = std::exchange(files_.hook_, nullptr)) hook();
            return ForwardingFile::write_at(position, from);
        }

    private:
        HookedFileSystem& files_;
    };

    std::function<void()> hook_;
};

}  // namespace fulgur::system_test
