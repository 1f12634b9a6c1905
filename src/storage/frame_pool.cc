#include "storage/frame_pool.h"

#include <fulgur/result.h>

#include "storage/page_format.h"

namespace fulgur::storage {

char* FramePool::allocate(std::size_t bytes) {
    char* memory = arena_.allocate(bytes);
    if (memory == nullptr) [[unlikely]] {
        detail::value_of_error(Error(ErrorCode::kLimit, "the system has no memory left"));
    }
    used_.fetch_add(bytes, std::memory_order_relaxed);
    return memory;
}

std::size_t frame_bytes_for(std::size_t bytes) {
    if (bytes > kFrameBytesMax) return round_up(bytes, 4_KiB);
    std::size_t size = kFrameBytesMin;
    while (size < bytes) size *= 2;
    return size;
}

}  // namespace fulgur::storage
