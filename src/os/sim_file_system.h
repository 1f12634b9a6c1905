#pragma once

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "os/file.h"

// A machine whose power fails, in memory: how files behave on it is in os/sim_file.h; here are the
// names, the faults, and the counting.
//
// Names: a creation, removal or rename is atomic, and durable only once its directory was synced.
// A power cut keeps of the others either the first few, or any that do not build on a lost one; a
// name whose directory did not last is lost with it. Syncing a file does not make its name durable.
//
// Sites: each I/O belongs to one, the operation and the class of the file: its name up to the first
// dot or digit. "write log" counts writes to log.0, log.1, ... I/Os are: create, open, read, write,
// sync, resize, remove, rename, lock, list, make directory, sync directory. Asking for a size, or
// whether something exists, is none.

namespace fulgur::os {

/// A file system with faults. Everything follows from the seeds and the order of calls. Any thread
/// may call anything; files and locks may outlive it.
///
///     SimFileSystem disk(seed);
///     disk.crash_at(17);
///     ... run; everything fails with kIo "simulated crash" from the 17th I/O on ...
///     auto after = disk.recover(seed);  // What a power cut left; try others with other seeds.
class SimFileSystem final : public FileSystem {
public:
    static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

    explicit SimFileSystem(std::uint64_t seed = 1);
    ~SimFileSystem() override;

    Result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override;
    Result<bool> exists(const std::string& path) override;
    Result<bool> is_directory(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& path) override;
    Result<void> make_directory(const std::string& path) override;
    Result<void> remove(const std::string& path) override;
    /// Of files only.
    Result<void> rename(const std::string& from, const std::string& to) override;
    Result<void> sync_directory(const std::string& path) override;
    /// Locks hold within this file system only.
    Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override;

    // ---- Faults

    /// The power fails during the k-th I/O from now (1 is the next), of `site` alone when named:
    /// it may have taken effect, or in part, or not. One such order at a time; 0 takes it back.
    void crash_at(std::uint64_t k, const std::string& site = "");
    /// The power fails now.
    void crash();
    bool crashed() const;

    /// The k-th I/O from now, of `site` alone when named, fails with `os_error`, and so do those
    /// that follow it, `times` in all. A write may leave a part; a failed sync loses some of what
    /// it should have written, for good, although it can be read until the power fails.
    void fail_at(std::uint64_t k, int os_error = EIO, const std::string& site = "",
                 std::uint64_t times = 1);
    void clear_faults();

    /// The disk's size. A write that needs a new block (4 KiB) beyond it leaves what fits, and is
    /// kNoSpace. Overwriting needs none; extending by `resize` makes a hole and needs none either.
    void set_capacity(std::uint64_t bytes);
    std::uint64_t used_bytes() const;

    /// Flips the bits of `mask` in one byte, on the disk and in memory. kInvalid: no such byte.
    Result<void> corrupt(const std::string& path, std::uint64_t offset, std::uint8_t mask);

    // ---- Afterwards

    /// The machine starts again after a power cut: a file system with what lasted, without faults,
    /// that counts on from this one's counts. This one is crashed, if it was not; it is not changed
    /// further, so that one crash can be recovered from with many seeds.
    std::unique_ptr<SimFileSystem> recover(std::uint64_t seed);
    /// The same when only the process died: everything written is there, unsynced as it was.
    std::unique_ptr<SimFileSystem> recover_after_kill(std::uint64_t seed);

    // ---- Looking

    struct SiteCount {
        std::uint64_t calls = 0;
        std::uint64_t failures = 0;  ///< Injected ones.
        std::uint64_t crashes = 0;
    };
    std::map<std::string, SiteCount> site_counts() const;
    /// I/Os so far; those after a crash do not count.
    std::uint64_t io_count() const;
    /// Sectors whose content a power cut may lose.
    std::uint64_t unsynced_sectors() const;
    /// The bytes of a file as programs read them. No I/O.
    Result<std::string> contents(const std::string& path) const;

private:
    struct State;
    explicit SimFileSystem(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;  ///< Shared with files and locks.
};

}  // namespace fulgur::os
