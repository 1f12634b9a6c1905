#pragma once

#include <cstdint>
#include <string_view>

#include <fulgur/result.h>

namespace fulgur::os {

/// What was being done to a file when the system refused.
enum class FileOperation : std::uint8_t {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kSize,
    kResize,
    kList,
    kMakeDirectory,
    kRemove,
    kRename,
    kSyncDirectory,
    kLock,
    kStatus,
};

/// Turns the system's error number into an error that says what to do about it. All file systems,
/// the simulated ones too, make their errors here, so that they cannot be told apart by them.
///
/// kNoSpace: ENOSPC, EDQUOT. kInvalid: a wrong path (missing, too long, a directory instead of a
/// file or the reverse, not empty). kLimit: too many open files. kUnsupported: the file system
/// cannot do it. All else is kIo.
Error file_error(int os_error, FileOperation operation, std::string_view name,
                 std::uint64_t offset = Error::kNoOffset);

/// Somebody holds the lock file `path`. @param process_id  who; 0 when unknown.
Error lock_held_error(std::string_view path, std::uint64_t process_id);

}  // namespace fulgur::os
