#pragma once

/// Buffered output that remembers its first failure, so that writers need not check each line.
///
/// Lifecycle: write; stop early when `failed()`; `finish()` once at the end. Not thread-safe.

#include <cstddef>
#include <optional>
#include <string>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "os/stream.h"

namespace fulgur::cli {

class Output {
public:
    explicit Output(os::OutputStream& stream) : stream_(stream) {}

    void write(Bytes bytes) {
        buffer_ += bytes;
        flush_when_full();
    }
    /// To append to directly, for encoders; call `flush_when_full` now and then.
    std::string& buffer() noexcept { return buffer_; }
    void flush_when_full() {
        if (buffer_.size() >= kFlushBytes) flush();
    }
    void flush();

    /// A write failed; what is written from now on is dropped.
    bool failed() const noexcept { return error_.has_value(); }
    bool is_terminal() const { return stream_.is_terminal(); }

    /// Flushes and completes. A reader that went away (`| head`) is no error.
    Result<void> finish();

private:
    static constexpr std::size_t kFlushBytes = 64 << 10;

    os::OutputStream& stream_;
    std::string buffer_;
    std::optional<Error> error_;
};

}  // namespace fulgur::cli
