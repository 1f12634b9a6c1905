// A child that is this same executable, started anew with other arguments, so that it has none of
// the parent's threads; it tells the parent what it did by numbers in a pipe, until it is killed.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

extern char** environ;

namespace fulgur::system_test {

/// The child's end of the pipe.
inline constexpr int kReportDescriptor = 3;

/// In the child. Ends it when the parent is gone.
inline void report(std::uint64_t word) {
    if (::write(kReportDescriptor, &word, sizeof(word)) != sizeof(word)) ::_exit(9);
}

class ChildProcess {
public:
    explicit ChildProcess(std::vector<std::string> arguments) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
        std::string self = "/proc/self/exe";
        arguments.insert(arguments.begin(), self);
        std::vector<char*> pointers;
        for (std::string& argument : arguments) pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, ends[1], kReportDescriptor);
        const int failed =
            ::posix_spawn(&process_, self.c_str(), &actions, nullptr, pointers.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        reports_ = ends[0];
        if (failed != 0) std::abort();
    }
    ~ChildProcess() {
        if (process_ != 0) kill();
        ::close(reports_);
    }
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    /// Reads reports until the given one came, or the child has ended.
    bool wait_for(std::uint64_t word) {
        while (read_one()) {
            if (received_.back() == word) return true;
        }
        return false;
    }

    /// Reads reports for so long.
    void read_for(std::chrono::microseconds time) {
        const auto end = std::chrono::steady_clock::now() + time;
        for (;;) {
            const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
                end - std::chrono::steady_clock::now());
            if (left.count() <= 0) return;
            const timespec wait{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
            pollfd waiting{reports_, POLLIN, 0};
            if (::ppoll(&waiting, 1, &wait, nullptr) == 1 && !read_one()) return;
        }
    }

    /// SIGKILL; then reads what was still reported.
    /// @return whether it had lived until then.
    bool kill() {
        ::kill(process_, SIGKILL);
        int status = 0;
        ::waitpid(process_, &status, 0);
        process_ = 0;
        while (read_one()) {
        }
        status_ = status;
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }

    int status() const { return status_; }
    const std::vector<std::uint64_t>& received() const { return received_; }

private:
    bool read_one() {
        std::uint64_t word = 0;
        if (::read(reports_, &word, sizeof(word)) != sizeof(word)) return false;
        received_.push_back(word);
        return true;
    }

    pid_t process_ = 0;
    int reports_ = -1;
    int status_ = 0;
    std::vector<std::uint64_t> received_;
};

}  // namespace fulgur::system_test
