#include "os/file_error.h"

#include <cerrno>
#include <string>

#include "os/machine.h"

namespace fulgur::os {
namespace {

struct Meaning {
    ErrorCode code;
    const char* what;
};

Meaning meaning_of_failed(FileOperation operation) {
    switch (operation) {
        case FileOperation::kOpen:
            return {ErrorCode::kIo, "cannot open the file"};
        case FileOperation::kRead:
            return {ErrorCode::kIo, "reading failed: check the disk and the kernel's log (dmesg)"};
        case FileOperation::kWrite:
            return {ErrorCode::kIo, "writing failed: check the disk and the kernel's log (dmesg)"};
        case FileOperation::kSync:
            return {ErrorCode::kIo,
                    "sync failed, what was written may be lost: check the disk and the kernel's "
                    "log (dmesg)"};
        case FileOperation::kSize:
            return {ErrorCode::kIo, "cannot read the file's size"};
        case FileOperation::kResize:
            return {ErrorCode::kIo, "cannot change the file's size"};
        case FileOperation::kList:
            return {ErrorCode::kIo, "cannot list the directory"};
        case FileOperation::kMakeDirectory:
            return {ErrorCode::kIo, "cannot make the directory"};
        case FileOperation::kRemove:
            return {ErrorCode::kIo, "cannot remove the file"};
        case FileOperation::kRename:
            return {ErrorCode::kIo, "cannot rename the file"};
        case FileOperation::kSyncDirectory:
            return {ErrorCode::kIo, "cannot sync the directory"};
        case FileOperation::kLock:
            return {ErrorCode::kIo, "cannot lock the directory"};
        case FileOperation::kStatus:
            return {ErrorCode::kIo, "cannot look at the path"};
    }
    return {ErrorCode::kIo, "file operation failed"};
}

Meaning meaning_of(int os_error, FileOperation operation) {
    switch (os_error) {
        case ENOSPC:
            return {ErrorCode::kNoSpace, "the disk is full: free space and try again"};
        case EDQUOT:
            return {ErrorCode::kNoSpace,
                    "the disk quota is used up: free space or raise the quota"};
        case EROFS:
            return {ErrorCode::kIo,
                    "the file system is read-only: remount it for writing, or choose another path"};
        case EACCES:
        case EPERM:
            return {ErrorCode::kIo,
                    "no rights: give this user read and write access to the file and its "
                    "directory"};
        case ENOENT:
            return {ErrorCode::kInvalid, "no such file or directory: check the path"};
        case ENOTDIR:
            return {ErrorCode::kInvalid, "not a directory: check the path"};
        case EISDIR:
            return {ErrorCode::kInvalid, "a directory, where a file belongs: check the path"};
        case ENOTEMPTY:
            return {ErrorCode::kInvalid, "the directory is not empty"};
        case ENAMETOOLONG:
            return {ErrorCode::kInvalid, "the path is too long"};
        case ELOOP:
            return {ErrorCode::kInvalid, "the path has too many symbolic links"};
        case EMFILE:
        case ENFILE:
            return {ErrorCode::kLimit, "too many open files: raise the limit (ulimit -n)"};
        case EOPNOTSUPP:
        case ENOLCK:
            if (operation == FileOperation::kLock) {
                return {ErrorCode::kUnsupported,
                        "this file system has no file locks: choose a local one"};
            }
            break;
        case EINVAL:
            if (operation == FileOperation::kSyncDirectory) {
                return {ErrorCode::kUnsupported,
                        "this file system cannot make new files durable: choose a local one"};
            }
            break;
        default:
            break;
    }
    return meaning_of_failed(operation);
}

}  // namespace

Error file_error(int os_error, FileOperation operation, std::string_view name,
                 std::uint64_t offset) {
    const Meaning meaning = meaning_of(os_error, operation);
    return Error(meaning.code, meaning.what).os(os_error).at(name, offset);
}

Error lock_held_error(std::string_view path, std::uint64_t holder) {
    const char* what = holder == process_id()
                           ? "this process has it open already: use that handle, or close it first"
                           : "another process has it open: end it, or go through its server";
    // The process comes last, because a long text is cut from the left.
    std::string where(path);
    if (holder != 0) where += ", held by process " + std::to_string(holder);
    return Error(ErrorCode::kBusy, what).at(where);
}

}  // namespace fulgur::os
