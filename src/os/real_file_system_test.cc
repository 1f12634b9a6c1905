// What only the machine's own file system can show: rights, other processes, pipes, read-only
// mounts, limits. What all file systems share is in file_system_test.cc.

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"

namespace fulgur::os {
namespace {

using Mode = FileSystem::Mode;

class RealFileSystemTest : public testing::Test {
protected:
    void SetUp() override {
        char path[] = "/tmp/fulgur-os-test-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        directory_ = path;
    }
    void TearDown() override {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }

    std::string at(const std::string& name) const { return directory_ + "/" + name; }

    /// Runs `check` in a child, which is an ordinary user when we are root. Checks say what is
    /// wrong on the standard error and return false.
    template <typename Check>
    static void expect_in_child(Check check) {
        const pid_t child = fork();
        ASSERT_NE(child, -1);
        if (child == 0) {
            constexpr uid_t kNobody = 65534;
            if (getuid() == 0 && setresuid(kNobody, kNobody, kNobody) != 0) _exit(2);
            _exit(check() ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    }

    static bool says(const Error& error, ErrorCode code, std::string_view words,
                     std::string_view where) {
        if (error.code() == code && error.what().find(words) != std::string_view::npos &&
            error.where().find(where) != std::string_view::npos) {
            return true;
        }
        ADD_FAILURE() << error.message();
        return false;
    }

    FileSystem& files_ = real_file_system();
    std::string directory_;
};

TEST_F(RealFileSystemTest, MissingRightsAreNamed) {
    files_.open(at("secret"), Mode::kCreate).value()->write_at(0, "x").value();
    ASSERT_EQ(chmod(at("secret").c_str(), 0), 0);
    files_.open(at("readable"), Mode::kCreate).value()->write_at(0, "x").value();
    ASSERT_EQ(chmod(at("readable").c_str(), 0444), 0);
    ASSERT_EQ(chmod(directory_.c_str(), 0555), 0);
    expect_in_child([&] {
        const auto secret = files_.open(at("secret"), Mode::kRead);
        const auto readable = files_.open(at("readable"), Mode::kReadWrite);
        const auto created = files_.open(at("new"), Mode::kCreate);
        const auto made = files_.make_directory(at("new"));
        const auto locked = files_.lock(at("lock"));
        const auto removed = files_.remove(at("readable"));
        return !secret && says(secret.error(), ErrorCode::kIo, "no rights", "secret") &&
               !readable && says(readable.error(), ErrorCode::kIo, "no rights", "readable") &&
               !created && says(created.error(), ErrorCode::kIo, "no rights", "new") && !made &&
               says(made.error(), ErrorCode::kIo, "no rights", "new") && !locked &&
               says(locked.error(), ErrorCode::kIo, "no rights", "lock") && !removed &&
               says(removed.error(), ErrorCode::kIo, "no rights", "readable") &&
               files_.open(at("readable"), Mode::kRead).ok();
    });
    ASSERT_EQ(chmod(directory_.c_str(), 0700), 0);
}

TEST_F(RealFileSystemTest, SecondLockHolderIsToldWhoHoldsIt) {
    ASSERT_EQ(chmod(directory_.c_str(), 0777), 0);
    const pid_t parent = getpid();
    {
        const auto held = files_.lock(at("lock")).value();
        ASSERT_EQ(chmod(at("lock").c_str(), 0666), 0);
        expect_in_child([&] {
            const auto second = files_.lock(at("lock"));
            return !second && says(second.error(), ErrorCode::kBusy, "another process",
                                   "held by process " + std::to_string(parent));
        });
    }
    expect_in_child([&] { return files_.lock(at("lock")).ok(); });
}

TEST_F(RealFileSystemTest, LockEndsWithAKilledProcess) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        const auto held = files_.lock(at("lock"));
        const char byte = held.ok() ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    const auto second = files_.lock(at("lock"));
    ASSERT_FALSE(second.ok());
    EXPECT_TRUE(says(second.error(), ErrorCode::kBusy, "another process",
                     "held by process " + std::to_string(child)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(files_.lock(at("lock")).ok());
    close(ready[0]);
    close(ready[1]);
}

TEST_F(RealFileSystemTest, ReadOnlyFileSystemIsNamed) {
    // A mount that only a child sees.
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    constexpr int kNotAllowed = 77;
    if (child == 0) {
        const char* const path = directory_.c_str();
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, "") != 0 ||
            mount("fulgur-test", path, "tmpfs", MS_RDONLY, "") != 0) {
            _exit(kNotAllowed);
        }
        const auto made = files_.make_directory(at("new"));
        const auto file = files_.open(at("data"), Mode::kCreate);
        const auto locked = files_.lock(at("lock"));
        const bool right = !made && says(made.error(), ErrorCode::kIo, "read-only", "new") &&
                           !file && says(file.error(), ErrorCode::kIo, "read-only", "data") &&
                           !locked && says(locked.error(), ErrorCode::kIo, "read-only", "lock");
        _exit(right ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == kNotAllowed) {
        GTEST_SKIP() << "may not mount here; FileErrorTest covers the words";
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(RealFileSystemTest, PipesAndDevicesAreRefusedWithoutWaiting) {
    ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
    for (const Mode mode : {Mode::kRead, Mode::kReadWrite, Mode::kCreate}) {
        const auto pipe = files_.open(at("pipe"), mode);
        ASSERT_FALSE(pipe.ok());
        EXPECT_TRUE(says(pipe.error(), ErrorCode::kInvalid, "not a regular file", "pipe"));
    }
    EXPECT_FALSE(files_.open("/dev/null", Mode::kRead).ok());
}

TEST_F(RealFileSystemTest, LongPathsAndLoopsAreInvalid) {
    const auto longest = files_.open(at(std::string(300, 'n')), Mode::kCreate);
    ASSERT_FALSE(longest.ok());
    EXPECT_TRUE(says(longest.error(), ErrorCode::kInvalid, "too long", "nnn"));
    ASSERT_EQ(symlink(at("loop").c_str(), at("loop").c_str()), 0);
    const auto loop = files_.open(at("loop"), Mode::kRead);
    ASSERT_FALSE(loop.ok());
    EXPECT_TRUE(says(loop.error(), ErrorCode::kInvalid, "symbolic links", "loop"));
}

TEST_F(RealFileSystemTest, TooManyOpenFilesIsALimit) {
    const std::string path = at("data");
    files_.open(path, Mode::kCreate).value()->sync().value();
    expect_in_child([&] {
        rlimit limit{0, 0};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
        const auto file = files_.open("/etc/passwd", Mode::kRead);
        return !file && says(file.error(), ErrorCode::kLimit, "ulimit -n", "passwd");
    });
}

TEST_F(RealFileSystemTest, AFileOverItsSizeLimitFailsAtItsByte) {
    ASSERT_EQ(chmod(directory_.c_str(), 0777), 0);
    expect_in_child([&] {
        signal(SIGXFSZ, SIG_IGN);
        rlimit limit{5000, 5000};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
        const auto file = files_.open(at("limited"), Mode::kCreate).value();
        // A short write comes first, then the refusal: both are met.
        const auto written = file->write_at(1000, std::string(6000, 'x'));
        return !written && says(written.error(), ErrorCode::kIo, "writing failed", "limited") &&
               written.error().offset() == 5000 && file->size().value() == 5000;
    });
}

TEST_F(RealFileSystemTest, SignalsInterruptNothing) {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // Without SA_RESTART: system calls return EINTR.
    struct sigaction before {};
    ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
    itimerval often{};
    often.it_interval.tv_usec = often.it_value.tv_usec = 200;
    ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
    const auto file = files_.open(at("data"), Mode::kCreate).value();
    const std::string bytes(1 << 20, 'x');
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(file->write_at(static_cast<std::uint64_t>(i) << 20, bytes).ok());
        EXPECT_TRUE(file->sync().ok());
        std::string into(bytes.size(), '?');
        EXPECT_EQ(file->read_at(static_cast<std::uint64_t>(i) << 20, into).value(), into.size());
        EXPECT_TRUE(into == bytes);
    }
    often = {};
    setitimer(ITIMER_REAL, &often, nullptr);
    sigaction(SIGALRM, &before, nullptr);
}

TEST_F(RealFileSystemTest, DescriptorsAreNotInherited) {
    const auto file = files_.open(at("data"), Mode::kCreate).value();
    const auto held = files_.lock(at("lock")).value();
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
        if (error || !target.starts_with(directory_)) continue;
        const int descriptor = std::stoi(entry.path().filename().string());
        EXPECT_NE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0) << target;
    }
}

}  // namespace
}  // namespace fulgur::os
