#include "os/stream.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fulgur::os {

namespace {

Error refusal(const char* what, const std::string& name, int number) {
    const bool full = number == ENOSPC || number == EDQUOT;
    return Error(full ? ErrorCode::kNoSpace : ErrorCode::kIo, what).at(name).os(number);
}

/// Owns a descriptor, unless it is one of the three standard ones.
class Descriptor {
public:
    explicit Descriptor(int number) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor() {
        if (number_ > STDERR_FILENO) ::close(number_);
    }
    int number() const noexcept { return number_; }
    /// Closes now, since some file systems report a failed write only then.
    int close() noexcept { return ::close(std::exchange(number_, -1)); }

private:
    int number_;
};

class DescriptorInput final : public InputStream {
public:
    DescriptorInput(Descriptor descriptor, std::string name)
        : descriptor_(std::move(descriptor)), name_(std::move(name)) {
        struct stat status {};
        if (::fstat(descriptor_.number(), &status) == 0 && S_ISREG(status.st_mode)) {
            size_ = static_cast<std::uint64_t>(status.st_size);
        }
    }

    Result<std::size_t> read(std::span<char> into) override {
        for (;;) {
            const ssize_t count = ::read(descriptor_.number(), into.data(), into.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) return refusal("cannot read", name_, errno);
        }
    }
    std::optional<std::uint64_t> size() const override { return size_; }
    const std::string& name() const override { return name_; }

private:
    Descriptor descriptor_;
    std::string name_;
    std::optional<std::uint64_t> size_;
};

/// Writes to a descriptor; with a final path it is a file that `finish` renames there.
class DescriptorOutput final : public OutputStream {
public:
    DescriptorOutput(Descriptor descriptor, std::string name, std::string partial_path = {})
        : descriptor_(std::move(descriptor)),
          name_(std::move(name)),
          partial_path_(std::move(partial_path)) {}
    ~DescriptorOutput() override {
        if (!partial_path_.empty()) ::unlink(partial_path_.c_str());
    }

    Result<void> write(std::string_view from) override {
        while (!from.empty()) {
            const ssize_t count = ::write(descriptor_.number(), from.data(), from.size());
            if (count >= 0) {
                from.remove_prefix(static_cast<std::size_t>(count));
            } else if (errno != EINTR) {
                return refusal("cannot write", name_, errno);
            }
        }
        return {};
    }

    Result<void> finish() override {
        if (partial_path_.empty()) return {};
        if (::fdatasync(descriptor_.number()) != 0 || descriptor_.close() != 0) {
            return refusal("cannot write", name_, errno);
        }
        if (::rename(partial_path_.c_str(), name_.c_str()) != 0) {
            return refusal("cannot rename the finished file", name_, errno);
        }
        partial_path_.clear();
        return {};
    }

    bool is_terminal() const override { return ::isatty(descriptor_.number()) == 1; }
    const std::string& name() const override { return name_; }

private:
    Descriptor descriptor_;
    std::string name_;
    std::string partial_path_;  ///< Empty when the output is written in place.
};

}  // namespace

void prepare_standard_streams() {
    std::signal(SIGPIPE, SIG_IGN);
    for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(number, F_GETFD) == -1 && errno == EBADF) {
            // The lowest free number is this one. It is opened the wrong way round: reading a
            // closed input and writing to a closed output stay errors.
            const int filler = ::open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            static_cast<void>(filler);  // Without /dev/null there is nothing better to do.
        }
    }
}

std::unique_ptr<InputStream> standard_input() {
    return std::make_unique<DescriptorInput>(Descriptor(STDIN_FILENO), "standard input");
}

std::unique_ptr<OutputStream> standard_output() {
    return std::make_unique<DescriptorOutput>(Descriptor(STDOUT_FILENO), "standard output");
}

std::unique_ptr<OutputStream> standard_error() {
    return std::make_unique<DescriptorOutput>(Descriptor(STDERR_FILENO), "standard error");
}

Result<std::unique_ptr<InputStream>> open_input(const std::string& path) {
    Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (descriptor.number() < 0) return refusal("cannot open", path, errno);
    struct stat status {};
    if (::fstat(descriptor.number(), &status) == 0 && S_ISDIR(status.st_mode)) {
        return refusal("cannot read", path, EISDIR);
    }
    return std::unique_ptr<InputStream>(
        std::make_unique<DescriptorInput>(std::move(descriptor), path));
}

Result<std::unique_ptr<OutputStream>> create_output(const std::string& path) {
    struct stat status {};
    const bool exists = ::lstat(path.c_str(), &status) == 0;
    // A link keeps pointing where it points, and a device or pipe is no file to replace.
    const bool in_place = exists && !S_ISREG(status.st_mode);
    const std::string target = in_place ? path : path + ".partial";
    Descriptor descriptor(::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (descriptor.number() < 0) return refusal("cannot create", target, errno);
    return std::unique_ptr<OutputStream>(std::make_unique<DescriptorOutput>(
        std::move(descriptor), path, in_place ? std::string() : target));
}

bool is_broken_pipe(const Error& error) noexcept { return error.os_error() == EPIPE; }

}  // namespace fulgur::os
