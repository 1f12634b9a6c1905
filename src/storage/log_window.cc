#include "storage/log_window.h"

namespace fulgur::storage {

Result<Bytes> SegmentWindow::view(std::uint32_t offset, std::uint32_t size) {
    offset = std::min(offset, size_);
    size = std::min({size, kWindowBytes, size_ - offset});
    if (offset < begin_ || offset + size > begin_ + held_) {
        buffer_.resize(std::min(kWindowBytes, size_));
        const std::size_t wanted = std::min<std::size_t>(buffer_.size(), size_ - offset);
        held_ = 0;  // Should the read fail.
        Result<std::size_t> n = file_->read_at(offset, std::span<char>(buffer_.data(), wanted));
        if (!n) return n.error();
        begin_ = offset;
        held_ = static_cast<std::uint32_t>(*n);
        size = std::min(size, held_);  // The file may have become shorter.
    }
    return Bytes(buffer_.data() + (offset - begin_), size);
}

Result<std::optional<SegmentWindow::Fragment>> SegmentWindow::fragment_at(LogPosition position,
                                                                          std::uint32_t key) {
    using Found = std::optional<Fragment>;
    const std::uint32_t offset = offset_of(position);
    Result<Bytes> bytes = view(offset, FragmentHeader::kEncodedBytes);
    if (!bytes) return bytes.error();
    if (bytes->size() < FragmentHeader::kEncodedBytes) return Found();
    const std::optional<FragmentHeader> header =
        FragmentHeader::decode(bytes->data(), key, position);
    if (!header) return Found();

    bytes = view(offset, header->stored_bytes());
    if (!bytes) return bytes.error();
    if (bytes->size() < header->stored_bytes()) {
        return Found();
    }
    const Bytes body(bytes->data() + FragmentHeader::kEncodedBytes, header->length);
    if (crc32c(body) != header->body_crc) return Found();
    return Found(Fragment{*header, body});
}

}  // namespace fulgur::storage
