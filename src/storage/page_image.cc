#include "storage/page_image.h"

#include <algorithm>
#include <cstring>

#include "storage/leaf_merge.h"

namespace fulgur::storage {

namespace {

constexpr std::uint8_t kKnownFlags = kTombstone | kLarge | kExpires;

/// A header's stored fields, read without trusting the alignment or the rest of the image.
struct Stored {
    explicit Stored(Bytes image)
        : kind(static_cast<std::uint8_t>(image[0])),
          level(static_cast<std::uint8_t>(image[1])),
          flags(load_le<std::uint16_t>(image.data() + 2)),
          size(load_le<std::uint32_t>(image.data() + 4)),
          count(load_le<std::uint16_t>(image.data() + 8)),
          sorted_count(load_le<std::uint16_t>(image.data() + 10)),
          capacity(load_le<std::uint16_t>(image.data() + 12)),
          prefix_size(load_le<std::uint16_t>(image.data() + 14)),
          low_size(load_le<std::uint16_t>(image.data() + 16)),
          high_size(load_le<std::uint16_t>(image.data() + 18)),
          heap_bytes(load_le<std::uint32_t>(image.data() + 20)),
          newest(load_le<std::uint64_t>(image.data() + 24)) {}

    bool has_high() const { return (flags & PageHeader::kHasHigh) != 0; }
    std::size_t fences() const { return PageHeader::fence_bytes(low_size, high_size); }

    std::uint8_t kind, level;
    std::uint16_t flags;
    std::uint32_t size;
    std::uint16_t count, sorted_count, capacity, prefix_size, low_size, high_size;
    std::uint32_t heap_bytes;
    std::uint64_t newest;
};

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, what); }

Bytes low_of(Bytes image, const Stored& h) {
    return image.substr(image.size() - round_up(h.low_size, 8), h.low_size);
}
Bytes high_of(Bytes image, const Stored& h) {
    return image.substr(image.size() - h.fences(), h.high_size);
}

/// What leaves and inner pages have in common.
Result<void> check_header(Bytes image, const PageRef& ref, PageKind kind) {
    if (image.size() < sizeof(PageHeader) || image.size() % 8 != 0) return damaged("page: bad length");
    const Stored h(image);
    if (h.kind != static_cast<std::uint8_t>(kind)) return damaged("page: wrong kind");
    if (h.level != ref.level) return damaged("page: wrong level");
    if (h.size != image.size() || ref.length != image.size()) return damaged("page: wrong size");
    if ((h.flags & ~PageHeader::kHasHigh) != 0) return damaged("page: unknown flags");
    if (h.count != ref.count) return damaged("page: wrong record count");
    if (h.newest != ref.newest) return damaged("page: wrong newest sequence");
    for (std::size_t i = PageHeader::kStoredBytes; i < sizeof(PageHeader); ++i) {
        if (image[i] != 0) return damaged("page: reserved bytes are not zero");
    }
    if (!h.has_high() && h.high_size != 0) return damaged("page: an upper fence that is not there");
    if (sizeof(PageHeader) + h.fences() > image.size()) return damaged("page: fences out of bounds");
    const Bytes low = low_of(image, h), high = high_of(image, h);
    if (h.has_high() && !(low < high)) return damaged("page: fences out of order");
    return {};
}

Result<void> check_record(Bytes image, const Stored& h, std::size_t heap_begin, std::uint16_t slot) {
    const std::size_t back = std::size_t{slot} * 8;
    if (back > h.heap_bytes || back < h.fences() + 16) return damaged("leaf: slot out of bounds");
    const std::size_t at = image.size() - back;
    if (at < heap_begin) return damaged("leaf: slot out of bounds");
    const Record record(image.data() + at);
    if ((record.flags() & ~kKnownFlags) != 0) return damaged("leaf: unknown record flags");
    if (record.size() > back - h.fences()) return damaged("leaf: record out of bounds");
    if (record.large() &&
        (record.value_size() != sizeof(LargeReference) || record.large_reference().memory != 0)) {
        return damaged("leaf: bad reference to a large value");
    }
    if (record.tombstone() && record.value_size() != 0) return damaged("leaf: a tombstone with a value");
    return {};
}

}  // namespace

Result<void> check_leaf_image(Bytes image, const PageRef& ref) {
    if (Result<void> header = check_header(image, ref, PageKind::kLeaf); !header) return header;
    const Stored h(image);
    if (h.level != 0) return damaged("leaf: wrong level");
    if (h.sorted_count != h.count || h.capacity != round_up(h.count, 8)) {
        return damaged("leaf: counts do not fit");
    }
    const std::size_t arrays = sizeof(PageHeader) + 3 * std::size_t{h.capacity};
    if (h.heap_bytes < h.fences() || arrays + h.heap_bytes != image.size()) {
        return damaged("leaf: heap out of bounds");
    }
    const Bytes low = low_of(image, h), high = high_of(image, h);
    if (h.prefix_size != (h.has_high() ? common_prefix(low, high) : 0)) {
        return damaged("leaf: wrong prefix");
    }
    const Bytes prefix = low.substr(0, h.prefix_size);
    std::uint64_t newest = 0;
    const auto slot_of = [&](std::size_t i) {
        return load_le<std::uint16_t>(image.data() + sizeof(PageHeader) + h.capacity + 2 * i);
    };
    for (std::size_t i = 0; i < h.count; ++i) {
        Result<void> sound = check_record(image, h, arrays, slot_of(i));
        if (!sound) return sound;
        const Record record(image.data() + image.size() - std::size_t{slot_of(i)} * 8);
        newest = std::max(newest, to_number(record.sequence()));
        if (i == 0) continue;
        const Record before(image.data() + image.size() - std::size_t{slot_of(i - 1)} * 8);
        const int c = before.suffix().compare(record.suffix());
        if (c > 0 || (c == 0 && before.sequence() <= record.sequence())) {
            return damaged("leaf: records out of order");
        }
    }
    if (newest != h.newest) return damaged("leaf: wrong newest sequence");
    if (h.count != 0) {
        const Record first(image.data() + image.size() - std::size_t{slot_of(0)} * 8);
        const Record last(image.data() + image.size() - std::size_t{slot_of(h.count - 1u)} * 8);
        if (first.suffix() < low.substr(prefix.size())) return damaged("leaf: a key below the fence");
        if (h.has_high() && last.suffix() >= high.substr(prefix.size())) {
            return damaged("leaf: a key above the fence");
        }
        if (prefix.size() + first.suffix_size() > kKeyBytesMax) return damaged("leaf: key too long");
    }
    return {};
}

std::size_t leaf_frame_bytes(Bytes image) {
    const Stored h(image);
    const std::size_t records = h.heap_bytes - h.fences();
    // A page that was filled by ascending keys stays full; it needs no room to grow.
    std::size_t size = kFrameBytesMin;
    while (leaf_capacity(size, h.count, records) * 3 + sizeof(PageHeader) + h.heap_bytes > size) size *= 2;
    return size;
}

Leaf* load_leaf(Bytes image, char* frame, std::size_t frame_bytes) {
    const Stored h(image);
    const std::size_t records = h.heap_bytes - h.fences();
    const std::size_t capacity = leaf_capacity(frame_bytes, h.count, records);
    Leaf* leaf = Leaf::format(frame, frame_bytes, capacity, low_of(image, h), high_of(image, h),
                              h.has_high());
    // Slots count from the end, so they stay right in a page of another size.
    std::memcpy(frame + frame_bytes - h.heap_bytes, image.data() + image.size() - h.heap_bytes,
                h.heap_bytes);
    leaf->heap_bytes = h.heap_bytes;
    const char* prints = image.data() + sizeof(PageHeader);
    for (std::size_t i = 0; i < h.count; ++i) {
        leaf->set_print(i, static_cast<std::uint8_t>(prints[i]));
    }
    std::memcpy(leaf->slots(), prints + h.capacity, 2 * std::size_t{h.count});
    leaf->sorted_count = h.sorted_count;
    leaf->newest.store(h.newest, std::memory_order_relaxed);
    leaf->count.store(h.count, std::memory_order_release);
    return leaf;
}

std::size_t inner_image_bytes(std::span<const InnerImageEntry> entries, Bytes low, Bytes high) {
    std::size_t bytes = sizeof(PageHeader) + entries.size() * PageRef::kEncodedSize;
    for (std::size_t i = 1; i < entries.size(); ++i) bytes += 2 + entries[i].separator.size();
    return round_up(bytes, 8) + PageHeader::fence_bytes(low.size(), high.size());
}

void build_inner_image(std::uint8_t level, std::span<const InnerImageEntry> entries, Bytes low,
                       Bytes high, bool has_high, char* to) {
    const std::size_t size = inner_image_bytes(entries, low, high);
    std::memset(to, 0, size);
    std::uint64_t newest = 0;
    for (const InnerImageEntry& entry : entries) newest = std::max(newest, entry.ref.newest);
    to[0] = static_cast<char>(PageKind::kInner);
    to[1] = static_cast<char>(level);
    store_le<std::uint16_t>(to + 2, has_high ? PageHeader::kHasHigh : std::uint16_t{0});
    store_le<std::uint32_t>(to + 4, static_cast<std::uint32_t>(size));
    store_le<std::uint16_t>(to + 8, static_cast<std::uint16_t>(entries.size()));
    store_le<std::uint16_t>(to + 16, static_cast<std::uint16_t>(low.size()));
    store_le<std::uint16_t>(to + 18, static_cast<std::uint16_t>(high.size()));
    store_le<std::uint64_t>(to + 24, newest);
    char* at = to + sizeof(PageHeader);
    for (const InnerImageEntry& entry : entries) {
        entry.ref.encode(at);
        at += PageRef::kEncodedSize;
    }
    for (std::size_t i = 1; i < entries.size(); ++i) {
        const Bytes separator = entries[i].separator;
        store_le<std::uint16_t>(at, static_cast<std::uint16_t>(separator.size()));
        std::copy(separator.begin(), separator.end(), at + 2);
        at += 2 + separator.size();
    }
    std::copy(low.begin(), low.end(), to + size - round_up(low.size(), 8));
    std::copy(high.begin(), high.end(), to + size - PageHeader::fence_bytes(low.size(), high.size()));
}

Result<void> check_inner_image(Bytes image, const PageRef& ref) {
    if (Result<void> header = check_header(image, ref, PageKind::kInner); !header) return header;
    const Stored h(image);
    if (h.level == 0 || h.count == 0) return damaged("inner page: no level or no children");
    if (h.sorted_count != 0 || h.capacity != 0 || h.prefix_size != 0 || h.heap_bytes != 0) {
        return damaged("inner page: reserved bytes are not zero");
    }
    const std::size_t end = image.size() - h.fences();
    std::size_t at = sizeof(PageHeader) + std::size_t{h.count} * PageRef::kEncodedSize;
    if (at > end) return damaged("inner page: children out of bounds");
    std::uint64_t newest = 0;
    for (std::size_t i = 0; i < h.count; ++i) {
        const PageRef child =
            PageRef::decode(image.data() + sizeof(PageHeader) + i * PageRef::kEncodedSize);
        if (child.level + 1 != h.level) return damaged("inner page: a child of the wrong level");
        if (child.sector == 0 || child.length < sizeof(PageHeader)) {
            return damaged("inner page: a child without a place");
        }
        if (child.codec != 0 || child.delta_sector != 0) {
            return Error(ErrorCode::kUnsupported, "inner page: a child in a newer form");
        }
        newest = std::max(newest, child.newest);
    }
    if (newest != h.newest) return damaged("inner page: wrong newest sequence");
    Bytes before = low_of(image, h);
    for (std::size_t i = 1; i < h.count; ++i) {
        if (end - at < 2) return damaged("inner page: separators out of bounds");
        const std::size_t size = load_le<std::uint16_t>(image.data() + at);
        if (end - at - 2 < size) return damaged("inner page: separators out of bounds");
        const Bytes separator = image.substr(at + 2, size);
        if (!(before < separator)) return damaged("inner page: separators out of order");
        before = separator;
        at += 2 + size;
    }
    if (h.has_high() && !(before < high_of(image, h))) {
        return damaged("inner page: a separator above the fence");
    }
    if (round_up(at, 8) != end) return damaged("inner page: bytes left over");
    return {};
}

InnerImage decode_inner_image(Bytes image) {
    const Stored h(image);
    InnerImage result;
    result.level = h.level;
    result.low = low_of(image, h);
    result.high = high_of(image, h);
    result.has_high = h.has_high();
    result.entries.resize(h.count);
    std::size_t at = sizeof(PageHeader) + std::size_t{h.count} * PageRef::kEncodedSize;
    for (std::size_t i = 0; i < h.count; ++i) {
        result.entries[i].ref =
            PageRef::decode(image.data() + sizeof(PageHeader) + i * PageRef::kEncodedSize);
        if (i == 0) continue;
        const std::size_t size = load_le<std::uint16_t>(image.data() + at);
        result.entries[i].separator = image.substr(at + 2, size);
        at += 2 + size;
    }
    return result;
}

}  // namespace fulgur::storage
