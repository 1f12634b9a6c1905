#pragma once

/// Streams: bytes read or written in order, from and to standard input and output, pipes, terminals
/// and files. A database's own files are not streams: see os/file.h.
///
/// Thread safety: none; one thread at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <fulgur/result.h>

namespace fulgur::os {

class InputStream {
public:
    virtual ~InputStream() = default;
    /// Reads up to `into.size()` bytes, at least one; none only at the end. Waits for a pipe.
    virtual Result<std::size_t> read(std::span<char> into) = 0;
    /// Bytes in all, when that is known before reading (a regular file).
    virtual std::optional<std::uint64_t> size() const = 0;
    /// For messages.
    virtual const std::string& name() const = 0;
};

class OutputStream {
public:
    virtual ~OutputStream() = default;
    /// Writes all of `from`. A reader that went away is kIo with is_broken_pipe().
    virtual Result<void> write(std::string_view from) = 0;
    /// Call once, after the last write: a file appears under its name only now, complete and on
    /// the disk. Without it the destructor removes the unfinished file.
    virtual Result<void> finish() = 0;
    virtual bool is_terminal() const = 0;
    /// For messages.
    virtual const std::string& name() const = 0;
};

/// To be called before any other file is opened, once, by a program that uses streams. A reader
/// that goes away becomes an error instead of the end of the process, and a standard descriptor
/// that was closed at the start is occupied, so that no database file ever gets the number of
/// standard output.
void prepare_standard_streams();

std::unique_ptr<InputStream> standard_input();
std::unique_ptr<OutputStream> standard_output();
std::unique_ptr<OutputStream> standard_error();

/// A file, pipe or device to be read from its beginning.
Result<std::unique_ptr<InputStream>> open_input(const std::string& path);
/// A file to be written. A regular file is written beside (`path`.partial) and renamed by `finish`,
/// so that an unfinished one is never taken for a whole one; a pipe or device is written directly.
Result<std::unique_ptr<OutputStream>> create_output(const std::string& path);

/// Nobody reads the other end of this output any more.
bool is_broken_pipe(const Error& error) noexcept;

}  // namespace fulgur::os
