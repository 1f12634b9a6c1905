#include "cli/input_buffer.h"

#include <algorithm>
#include <cstring>

namespace fulgur::cli {

Result<bool> InputBuffer::fill() {
    if (begin_ == end_) begin_ = end_ = 0;
    if (bytes_.size() - end_ < kReadBytes / 4) {
        if (begin_ >= bytes_.size() / 2 && begin_ > 0) {
            // At most half is moved each time half was consumed: linear in the stream.
            std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        } else {
            bytes_.resize(std::max(kReadBytes, bytes_.size() * 2));
        }
    }
    const auto count = input_.read({bytes_.data() + end_, bytes_.size() - end_});
    if (!count.ok()) return count.error();
    end_ += *count;
    return *count > 0;
}

Result<void> InputBuffer::skip_line() {
    for (;;) {
        const std::size_t newline = unread().find('\n');
        if (newline != Bytes::npos) {
            consume(newline + 1);
            return {};
        }
        consume(unread().size());
        const auto more = fill();
        if (!more.ok()) return more.error();
        if (!*more) return {};
    }
}

}  // namespace fulgur::cli
