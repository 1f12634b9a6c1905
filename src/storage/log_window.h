#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "os/file.h"
#include "storage/log_format.h"

namespace fulgur::storage {

/// A segment file seen through a buffer of a fixed size. Bytes that it returns are good until the
/// next call. Not thread-safe.
class SegmentWindow {
public:
    struct Fragment {
        FragmentHeader header;
        Bytes body;
    };

    /// @param size  of the file; what lies above kSegmentBytesMax is not looked at.
    SegmentWindow(std::unique_ptr<os::File> file, std::uint64_t size)
        : file_(std::move(file)),
          size_(static_cast<std::uint32_t>(std::min<std::uint64_t>(size, kSegmentBytesMax))) {}

    std::uint32_t size() const { return size_; }

    /// `size` bytes (kWindowBytes at most) from `offset` on; fewer at the end of the file.
    Result<Bytes> view(std::uint32_t offset, std::uint32_t size);

    /// The fragment at `position`, when there is a whole and valid one.
    Result<std::optional<Fragment>> fragment_at(LogPosition position, std::uint32_t key);

    static constexpr std::uint32_t kWindowBytes =
        round_up(FragmentHeader::stored_bytes_of(kFragmentBodyBytesMax), kLogBlockBytes);

private:
    std::unique_ptr<os::File> file_;
    std::uint32_t size_;
    std::uint32_t begin_ = 0;  ///< The buffer holds [begin_, begin_ + held_) of the file.
    std::uint32_t held_ = 0;
    std::vector<char> buffer_;
};

}  // namespace fulgur::storage
