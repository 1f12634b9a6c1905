#pragma once

#include <cstdint>
#include <optional>

namespace fulgur {

/// What a commit promises when it returns.
enum class Durability : std::uint8_t {
    /// On the disk (fdatasync). A power cut loses nothing acknowledged.
    kSync,
    /// Handed to the kernel: a killed process loses nothing acknowledged; synced within a second.
    kOs,
    /// In our buffer: handed to the kernel at the latest 10 ms later or at 1 MiB, synced within a
    /// second. A killed process may lose that much; recovery still yields a prefix of the commits.
    kBuffered,
};

/// How pages are compressed when a checkpoint writes them. Values above 2 KiB, which lie outside of
/// pages, and the log are not compressed.
enum class Compression : std::uint8_t {
    kNone = 0,
    kLz4 = 1,   ///< Fast.
    kZstd = 2,  ///< Smaller; a few times the time of kLz4.
    /// kLz4, but where pages do not shrink only some are tried: costs next to nothing for data that
    /// is compressed or encrypted already.
    kAutomatic = 3,
};

/// The engine's memory, for who does not want to count bytes.
enum class MemoryProfile : std::uint8_t {
    kMinimal,   ///< 4 MiB: a database beside others, or on a small device.
    kBalanced,  ///< 16 MiB.
    kHigh,      ///< 64 MiB.
    kMaximum,   ///< 256 MiB.
    /// A quarter of the memory that this process may use, the machine's or its control group's
    /// limit when that is less; 4 MiB at least. It is looked at when the database opens.
    kAutomatic,
};
/// In bytes. kAutomatic reads a few files of the system. Any thread.
std::uint64_t memory_budget_of(MemoryProfile profile) noexcept;

inline constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
inline constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
inline constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n << 30; }

/// How a database is opened. Every default works.
struct Options {
    /// Bytes of memory the engine may take for data, log buffer and versions; 4 MiB and up.
    /// 0: as `memory` says.
    std::uint64_t memory_budget = 0;
    MemoryProfile memory = MemoryProfile::kAutomatic;

    /// The level of commits that do not name one.
    Durability durability = Durability::kSync;

    /// Create the database when the directory is absent or empty; otherwise that is kInvalid.
    bool create_if_missing = true;

    /// Fail with kInvalid when there is a database already.
    bool error_if_exists = false;

    /// Bytes of log after which a checkpoint begins; commits wait at twice that. 1 MiB and up.
    /// 0 means 256 MiB or a quarter of the memory budget, whichever is less.
    std::uint64_t log_bytes_target = 0;

    /// Bytes of log that stay beyond what recovery needs, so that those who follow the changes
    /// (Database::changes) may come later: the newest segments that together hold no more. A
    /// segment is an eighth of log_bytes_target, 1 to 64 MiB, but each open begins a new one; its
    /// file is 64 KiB at least, and keeps its length when it is used again for less.
    /// The database remembers it. Absent: as the database was last told, 0 for a new one.
    std::optional<std::uint64_t> log_bytes_kept = std::nullopt;

    /// Write a checkpoint when the database closes, so that the next open has nothing to replay.
    bool checkpoint_on_close = true;

    /// Of pages written from now on; a page that does not shrink by an eighth is stored as it is.
    /// The database remembers it. Absent: as the database was last told, kNone for a new one.
    /// Pages in other forms stay readable. Once a page was compressed, a build that does not know
    /// compression refuses the database with kUnsupported.
    std::optional<Compression> compression = std::nullopt;
};

/// Limits, each tested at the maximum and one past it.
inline constexpr std::uint64_t kKeyBytesMax = 64_KiB - 1;
inline constexpr std::uint64_t kValueBytesMax = 4_GiB - 1;
/// The whole batch, keys and values and 16 bytes an operation; and never above a quarter of the
/// memory budget. Applying it must fit the budget too: at worst, many small rows into one page,
/// that takes four times its bytes until it is done.
inline constexpr std::uint64_t kBatchBytesMax = 64_MiB;
inline constexpr std::uint64_t kKeyspaceNameBytesMax = 255;
inline constexpr std::uint64_t kKeyspacesMax = 65'536;
inline constexpr std::uint64_t kMemoryBudgetMin = 4_MiB;

}  // namespace fulgur
