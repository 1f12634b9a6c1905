#include "os/process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

// How it ends: a descriptor for the child wakes the poll at once when the child is gone, whoever
// still holds its pipe. Where the kernel has none, the child is asked for every millisecond.

namespace fulgur::os {

namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;

std::uint64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t to_ns(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_usec) * 1'000;
}

/// Pointers for exec, null at the end. They live as long as `texts`.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor() { close(); }
    int number() const { return number_; }
    void close() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

private:
    int number_;
};

/// The last bytes of what a child prints.
class Tail {
public:
    explicit Tail(std::size_t bytes_max) : bytes_max_(bytes_max) {}

    /// Takes what is there. @return false when there will be no more.
    bool take(int descriptor) {
        char buffer[16 << 10];
        for (;;) {
            const ssize_t count = ::read(descriptor, buffer, sizeof(buffer));
            if (count == 0) return false;
            if (count < 0) return errno == EAGAIN || errno == EINTR;
            text_.append(buffer, static_cast<std::size_t>(count));
            if (text_.size() > 2 * bytes_max_ + sizeof(buffer)) cut();
        }
    }
    std::string text() {
        cut();
        return std::move(text_);
    }

private:
    void cut() {
        if (text_.size() > bytes_max_) text_.erase(0, text_.size() - bytes_max_);
    }

    std::size_t bytes_max_;
    std::string text_;
};

int spawn(const ProcessRequest& request, int output, ::pid_t& child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    // A group of its own, so that all of it can be killed; and the signals as a shell gives them.
    sigset_t defaults;
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGPIPE);
    ::sigaddset(&defaults, SIGINT);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    const std::vector<char*> arguments = pointers_to(request.arguments);
    const std::vector<char*> environment = pointers_to(request.environment);
    const int refused = ::posix_spawnp(&child, request.arguments.front().c_str(), &actions,
                                       &attributes, arguments.data(),
                                       request.environment.empty() ? environ : environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    return refused;
}

/// Whether `child` has ended; it stays to be waited for, so that its number is nobody else's.
bool has_ended(::pid_t child) {
    siginfo_t info{};
    const int done =
        ::waitid(P_PID, static_cast<::id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
    return done == 0 && info.si_pid == child;
}

/// Waits until `child` has ended, or kills it and all of its group at the limit. @return whether it
/// came to that.
bool wait_until_end(::pid_t child, int output, std::uint64_t limit_at_ns, Tail& tail) {
    const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    bool open = true;
    bool killed = false;
    while (!has_ended(child)) {
        const std::uint64_t now = now_ns();
        if (now >= limit_at_ns && !killed) {
            killed = true;
            ::kill(-child, SIGKILL);
        }
        const std::uint64_t left_ms = killed ? 1'000 : (limit_at_ns - now) / kNsPerMs + 1;
        const std::uint64_t wait_ms =
            ended.number() < 0 ? 1 : std::min<std::uint64_t>(left_ms, 1'000);
        pollfd events[2] = {{open ? output : -1, POLLIN, 0}, {ended.number(), POLLIN, 0}};
        if (::poll(events, 2, static_cast<int>(wait_ms)) > 0 && events[0].revents != 0) {
            open = tail.take(output);
        }
    }
    return killed;
}

}  // namespace

Result<ProcessOutcome> run_process(const ProcessRequest& request) {
    if (request.arguments.empty()) return Error(ErrorCode::kInvalid, "no program to run");
    const std::string& program = request.arguments.front();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return Error(ErrorCode::kLimit, "cannot make a pipe").at(program).os(errno);
    }
    Descriptor output(ends[0]);
    Descriptor child_output(ends[1]);
    ::fcntl(output.number(), F_SETFL, O_NONBLOCK);

    ProcessOutcome outcome;
    Tail tail(request.output_bytes_max);
    ::pid_t child = 0;
    const std::uint64_t begin = now_ns();
    if (const int refused = spawn(request, child_output.number(), child); refused != 0) {
        const bool limit = refused == EAGAIN || refused == ENOMEM;
        return Error(limit ? ErrorCode::kLimit : ErrorCode::kInvalid, "cannot run")
            .at(program)
            .os(refused);
    }
    child_output.close();
    outcome.timed_out =
        wait_until_end(child, output.number(), begin + request.limit_ms * kNsPerMs, tail);
    outcome.wall_ns = now_ns() - begin;
    ::kill(-child, SIGKILL);  // What it left behind in its group; mostly there is nothing.
    int status = 0;
    rusage usage{};
    if (::wait4(child, &status, 0, &usage) != child) {
        return Error(ErrorCode::kIo, "lost").at(program).os(errno);
    }
    outcome.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    outcome.user_ns = to_ns(usage.ru_utime);
    outcome.system_ns = to_ns(usage.ru_stime);
    outcome.memory_bytes_max = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    static_cast<void>(tail.take(output.number()));
    outcome.output = tail.text();
    return outcome;
}

std::string own_executable() {
    std::string path(4096, '\0');
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    path.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return path;
}

std::string environment_variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

}  // namespace fulgur::os
