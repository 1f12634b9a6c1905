#pragma once

/// A window on an input stream that decoders read records from: it holds what was read and not yet
/// consumed, and nothing else, so memory is bounded by the longest record a decoder waits for.
///
/// Lifecycle: look at `unread()`, call `fill()` for more behind it, `consume()` from its front.
/// Views of `unread()` end with the next `fill()`. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "os/stream.h"

namespace fulgur::cli {

class InputBuffer {
public:
    explicit InputBuffer(os::InputStream& input) : input_(input) {}

    Bytes unread() const noexcept { return {bytes_.data() + begin_, end_ - begin_}; }

    /// Reads more behind `unread()`.
    /// @return false at the end of the stream.
    Result<bool> fill();

    void consume(std::size_t count) noexcept {
        begin_ += count;
        consumed_ += count;
    }

    /// Consumes up to and with the next newline, or to the end, without keeping what it skips. It
    /// may read for ever, from a device: call it only when what follows is wanted.
    Result<void> skip_line();

    /// Bytes consumed since the beginning.
    std::uint64_t consumed() const noexcept { return consumed_; }

private:
    static constexpr std::size_t kReadBytes = 256 << 10;

    os::InputStream& input_;
    std::vector<char> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t consumed_ = 0;
};

}  // namespace fulgur::cli
