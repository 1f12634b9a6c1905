#include "os/file_error.h"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "os/machine.h"

namespace fulgur::os {
namespace {

TEST(FileErrorTest, FullDisksAreNoSpaceWhateverWasDone) {
    for (const int number : {ENOSPC, EDQUOT}) {
        for (const auto operation : {FileOperation::kWrite, FileOperation::kSync,
                                     FileOperation::kOpen, FileOperation::kMakeDirectory}) {
            const Error error = file_error(number, operation, "log.0", 4096);
            EXPECT_EQ(error.code(), ErrorCode::kNoSpace);
            EXPECT_EQ(error.os_error(), number);
            EXPECT_EQ(error.where(), "log.0");
            EXPECT_EQ(error.offset(), 4096U);
        }
    }
}

TEST(FileErrorTest, MessagesSayWhatToDo) {
    const auto message = [](int number, FileOperation operation) {
        return file_error(number, operation, "data", 512).message();
    };
    EXPECT_EQ(message(EROFS, FileOperation::kOpen),
              "I/O error: the file system is read-only: remount it for writing, or choose another "
              "path (data at byte 512): Read-only file system");
    EXPECT_NE(message(EACCES, FileOperation::kOpen).find("give this user"), std::string::npos);
    EXPECT_NE(message(ENOENT, FileOperation::kOpen).find("check the path"), std::string::npos);
    EXPECT_NE(message(EIO, FileOperation::kRead).find("reading failed"), std::string::npos);
    EXPECT_NE(message(EIO, FileOperation::kSync).find("may be lost"), std::string::npos);
    EXPECT_NE(message(EIO, FileOperation::kWrite).find("dmesg"), std::string::npos);
}

TEST(FileErrorTest, CodesSayWhatTheCallerCanDo) {
    EXPECT_EQ(file_error(EIO, FileOperation::kWrite, "x").code(), ErrorCode::kIo);
    EXPECT_EQ(file_error(EMFILE, FileOperation::kOpen, "x").code(), ErrorCode::kLimit);
    EXPECT_EQ(file_error(ENOLCK, FileOperation::kLock, "x").code(), ErrorCode::kUnsupported);
    EXPECT_EQ(file_error(EINVAL, FileOperation::kSyncDirectory, "x").code(),
              ErrorCode::kUnsupported);
    EXPECT_EQ(file_error(EINVAL, FileOperation::kWrite, "x").code(), ErrorCode::kIo);
}

TEST(FileErrorTest, LockNamesItsHolderEvenUnderALongPath) {
    const Error other = lock_held_error("/" + std::string(300, 'p') + "/lock", 4242);
    EXPECT_TRUE(other.where().ends_with("/lock, held by process 4242"));
    EXPECT_NE(other.what().find("another process"), std::string_view::npos);
    EXPECT_NE(lock_held_error("lock", process_id()).what().find("this process"),
              std::string_view::npos);
}

}  // namespace
}  // namespace fulgur::os
