#include "storage/page_image.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/hash.h"
#include "base/planted.h"
#include "storage/image_codec.h"

namespace fulgur::storage {

namespace {

constexpr std::uint8_t kKnownFlags = kTombstone | kLarge | kExpires;
constexpr std::uint64_t kSectorsMax = (std::uint64_t{1} << 63) / kSectorBytes;  // 63-bit positions
constexpr std::size_t kRecordBytesMin = 16;

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
    return image.substr(image.size() - PageHeader::fence_bytes(h.low_size, 0), h.low_size);
}
Bytes high_of(Bytes image, const Stored& h) {
    return image.substr(image.size() - h.fences(), h.high_size);
}

bool all_zero(Bytes bytes) { return bytes.find_first_not_of('\0') == Bytes::npos; }

bool fits_file(std::uint64_t sector, std::uint64_t bytes) {
    return sector != 0 && sector <= kSectorsMax && bytes <= (kSectorsMax - sector) * kSectorBytes;
}

/// What leaves and inner pages have in common. Every length it accepts may be believed.
Result<void> check_header(Bytes image, const PageRef& ref, PageKind kind) {
    if (image.size() < sizeof(PageHeader) || image.size() > kImageBytesMax ||
        image.size() % 8 != 0) {
        return damaged("page: bad length");
    }
    const Stored h(image);
    if (h.kind != static_cast<std::uint8_t>(kind)) return damaged("page: wrong kind");
    if (h.level != ref.level) return damaged("page: wrong level");
    if (h.size != image.size() || ref.memory_length != image.size()) {
        return damaged("page: wrong size");
    }
    if ((h.flags & ~PageHeader::kHasHigh) != 0) return damaged("page: unknown flags");
    if (h.count != ref.count) return damaged("page: wrong count");
    if (h.newest != ref.newest) return damaged("page: not the newest sequence it should have");
    if (h.newest > kSequenceMax) return damaged("page: newest sequence out of bounds");
    if (!all_zero(image.substr(PageHeader::kStoredBytes,
                               sizeof(PageHeader) - PageHeader::kStoredBytes))) {
        return damaged("page: reserved bytes of the header are not zero");
    }
    if (!h.has_high() && h.high_size != 0) return damaged("page: an upper fence that is not there");
    if (sizeof(PageHeader) + h.fences() > image.size())
        return damaged("page: fences out of bounds");
    const std::size_t low_at = image.size() - PageHeader::fence_bytes(h.low_size, 0);
    const std::size_t high_at = image.size() - h.fences();
    if (!all_zero(image.substr(low_at + h.low_size)) ||
        !all_zero(image.substr(high_at + h.high_size, low_at - high_at - h.high_size))) {
        return damaged("page: padding of fences is not zero");
    }
    if (h.has_high() && !(low_of(image, h) < high_of(image, h))) {
        return damaged("page: fences out of order");
    }
    return {};
}

/// Slots, prints and counts of a leaf. Afterwards the arrays may be believed, but no slot's value.
Result<void> check_arrays(Bytes image, const Stored& h) {
    if (h.level != 0) return damaged("leaf: wrong level");
    if (h.sorted_count != h.count) return damaged("leaf: not sorted");
    if (h.capacity != round_up<std::size_t>(h.count, 8)) return damaged("leaf: wrong capacity");
    const std::size_t arrays = sizeof(PageHeader) + 3 * std::size_t{h.capacity};
    if (h.heap_bytes < h.fences() || arrays + h.heap_bytes != image.size()) {
        return damaged("leaf: heap out of bounds");
    }
    const std::size_t unused = h.capacity - std::size_t{h.count};
    const std::size_t slots = sizeof(PageHeader) + h.capacity;
    if (!all_zero(image.substr(slots - unused, unused)) ||
        !all_zero(image.substr(arrays - 2 * unused, 2 * unused))) {
        return damaged("leaf: unused slots are not zero");
    }
    if (h.prefix_size != (h.has_high() ? common_prefix(low_of(image, h), high_of(image, h)) : 0)) {
        return damaged("leaf: wrong prefix");
    }
    return {};
}

std::size_t distance_of(Bytes image, const Stored& h, std::size_t index) {
    return std::size_t{8} *
           load_le<std::uint16_t>(image.data() + sizeof(PageHeader) + h.capacity + 2 * index);
}

/// The record that must take exactly `bytes` at `at`.
Result<void> check_record(const char* at, std::size_t bytes, std::size_t prefix_size) {
    const Record record(at);
    if (record.size() != bytes && !FULGUR_PLANTED("page_record_size")) {
        return damaged("leaf: a record of the wrong size");
    }
    if ((record.flags() & ~kKnownFlags) != 0 || at[5] != 0) {
        return damaged("leaf: unknown flags of a record");
    }
    if (prefix_size + record.suffix_size() > kKeyBytesMax) return damaged("leaf: a key too long");
    const char* end = record.value().data() + record.value_size();
    if (record.size() == bytes &&
        !all_zero(Bytes(end, static_cast<std::size_t>(at + bytes - end)))) {
        return damaged("leaf: padding of a record is not zero");
    }
    if (record.tombstone() && record.value_size() != 0) {
        return damaged("leaf: a tombstone with a value");
    }
    if (!record.large()) return {};
    if (record.value_size() != sizeof(LargeReference)) {
        return damaged("leaf: a large value's reference of the wrong size");
    }
    const LargeReference large = record.large_reference();
    if (large.memory != 0) return damaged("leaf: a large value's reference with an address");
    if (large.length == 0 || large.length > kValueBytesMax ||
        !fits_file(large.sector, large.length)) {
        return damaged("leaf: a large value out of bounds");
    }
    return {};
}

/// Slots that a frame needs at least: whole lines of prints.
std::size_t capacity_min(std::size_t count) {
    return round_up<std::size_t>(std::max<std::size_t>(count, 1), 64);
}

std::size_t frame_bytes_min(const Stored& h) {
    const std::size_t needed = sizeof(PageHeader) + 3 * capacity_min(h.count) + h.heap_bytes;
    std::size_t size = kFrameBytesMin;
    while (size < needed) size *= 2;
    return size;
}

}  // namespace

Result<void> check_leaf_image(Bytes image, const PageRef& ref) {
    if (Result<void> header = check_header(image, ref, PageKind::kLeaf); !header) return header;
    const Stored h(image);
    if (Result<void> arrays = check_arrays(image, h); !arrays) return arrays;
    if (frame_bytes_min(h) > kFrameBytesMax) return damaged("leaf: larger than any frame");

    // Records lie one behind another in their order, so none overlaps anything.
    std::size_t used = h.fences();
    std::uint64_t newest = 0;
    const char* before = nullptr;
    for (std::size_t i = 0; i < h.count; ++i) {
        const std::size_t distance = distance_of(image, h, i);
        if (distance > h.heap_bytes || distance < used + kRecordBytesMin) {
            return damaged("leaf: a slot out of bounds");
        }
        const char* at = image.data() + image.size() - distance;
        Result<void> sound = check_record(at, distance - used, h.prefix_size);
        if (!sound) return sound;
        used = distance;
        const Record record(at);
        newest = std::max(newest, to_number(record.sequence()));
        if (before != nullptr) {
            const int c = Record(before).suffix().compare(record.suffix());
            if (c > 0) return damaged("leaf: keys out of order");
            if (c == 0 && Record(before).sequence() <= record.sequence()) {
                return damaged("leaf: versions out of order");
            }
        }
        before = at;
    }
    if (used != h.heap_bytes) return damaged("leaf: bytes left over");
    if (newest > h.newest) return damaged("leaf: a record newer than the page");
    if (h.count == 0) return {};
    const Record first(image.data() + image.size() - distance_of(image, h, 0));
    if (first.suffix() < low_of(image, h).substr(h.prefix_size)) {
        return damaged("leaf: a key below the lower fence");
    }
    if (h.has_high() && Record(before).suffix() >= high_of(image, h).substr(h.prefix_size)) {
        return damaged("leaf: a key above the upper fence");
    }
    return {};
}

Result<void> check_leaf_prints(Bytes image) {
    const Stored h(image);
    std::string key(low_of(image, h).substr(0, h.prefix_size));
    for (std::size_t i = 0; i < h.count; ++i) {
        const Record record(image.data() + image.size() - distance_of(image, h, i));
        key.resize(h.prefix_size);
        key += record.suffix();
        if (static_cast<std::uint8_t>(image[sizeof(PageHeader) + i]) != print_of(hash64(key))) {
            return damaged("leaf: a wrong fingerprint");
        }
    }
    return {};
}

std::size_t leaf_frame_bytes(Bytes image) { return frame_bytes_min(Stored(image)); }

Leaf* load_leaf(Bytes image, char* frame, std::size_t frame_bytes) {
    const Stored h(image);
    assert(frame_bytes >= frame_bytes_min(h));
    // The capacity that a consolidation would choose, unless the slots would not fit.
    std::size_t capacity = leaf_capacity(frame_bytes, h.count, h.heap_bytes - h.fences());
    if (sizeof(PageHeader) + 3 * capacity + h.heap_bytes > frame_bytes) {
        capacity = capacity_min(h.count);
    }
    Leaf* leaf = Leaf::format(frame, frame_bytes, capacity, low_of(image, h), high_of(image, h),
                              h.has_high());
    // Slots count from the end, so they stay right in a page of another size.
    std::memcpy(frame + frame_bytes - h.heap_bytes, image.data() + image.size() - h.heap_bytes,
                h.heap_bytes);
    leaf->set_heap_bytes(h.heap_bytes);
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
    assert(level > 0 && !entries.empty() && size <= kImageBytesMax);
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
    std::copy(high.begin(), high.end(),
              to + size - PageHeader::fence_bytes(low.size(), high.size()));
}

namespace {

/// A child of an inner page of `level`, as its 80 bytes say.
Result<void> check_child(const char* bytes, std::uint8_t level) {
    const PageRef child = PageRef::decode(bytes);
    if (child.level + 1 != level) return damaged("inner page: a child of the wrong level");
    if (bytes[15] != 0) return Error(ErrorCode::kUnsupported, "page: referred to in a newer form");
    if (Result<void> plausible = check_ref(child); !plausible) return plausible;
    if (!fits_file(child.sector, child.length)) return damaged("inner page: a child out of bounds");
    return {};
}

}  // namespace

Result<void> check_inner_image(Bytes image, const PageRef& ref) {
    if (Result<void> header = check_header(image, ref, PageKind::kInner); !header) return header;
    const Stored h(image);
    if (h.level == 0) return damaged("inner page: no level");
    if (h.count == 0) return damaged("inner page: no children");
    if (h.sorted_count != 0 || h.capacity != 0 || h.prefix_size != 0 || h.heap_bytes != 0) {
        return damaged("inner page: reserved bytes are not zero");
    }
    const std::size_t end = image.size() - h.fences();
    std::size_t at = sizeof(PageHeader) + std::size_t{h.count} * PageRef::kEncodedSize;
    if (at > end) return damaged("inner page: children out of bounds");
    std::uint64_t newest = 0;
    for (std::size_t i = 0; i < h.count; ++i) {
        const char* child = image.data() + sizeof(PageHeader) + i * PageRef::kEncodedSize;
        if (Result<void> sound = check_child(child, h.level); !sound) return sound;
        newest = std::max(newest, PageRef::decode(child).newest);
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
        return damaged("inner page: a separator above the upper fence");
    }
    if (round_up(at, 8) != end) return damaged("inner page: bytes left over");
    if (!all_zero(image.substr(at, end - at))) {
        return damaged("inner page: padding of separators is not zero");
    }
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
