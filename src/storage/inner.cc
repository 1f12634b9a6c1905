#include "storage/inner.h"

#include <algorithm>
#include <cassert>
#include <new>

#include "base/planted.h"
#include "storage/frame_pool.h"

namespace fulgur::storage {

namespace {

std::size_t separator_bytes(std::size_t suffix) { return round_up(2 + suffix, 2); }

Bytes common_of(std::span<const Inner::Entry> entries) {
    if (entries.size() < 2) return {};
    // Sorted, so the first and the last separator bound the prefix of all.
    const Bytes first = entries[1].separator;
    return first.substr(0, common_prefix(first, entries.back().separator));
}

}  // namespace

std::size_t inner_frame_bytes(std::size_t needed) {
    if (FULGUR_PLANTED("inner_page_of_any_size")) return frame_bytes_for(needed + needed / 8);
    return frame_bytes_for(std::max(needed, std::min(needed + needed / 8, kFrameBytesMax)));
}

std::size_t Inner::bytes_needed(std::span<const Entry> entries, Bytes low, Bytes high) {
    const Bytes common = common_of(entries);
    std::size_t bytes = sizeof(PageHeader) + array_bytes(round_up(entries.size(), kLineEntries)) +
                        fence_bytes(low.size(), high.size()) + round_up(common.size(), 8);
    for (std::size_t i = 1; i < entries.size(); ++i) {
        bytes += separator_bytes(entries[i].separator.size() - common.size());
    }
    return bytes;
}

bool Inner::fits(std::span<const Entry> entries, Bytes low, Bytes high) {
    // Two children: both fences, a separator that is its own common prefix, arrays of one line.
    constexpr std::size_t kLongest = round_up(kKeyBytesMax, 8);
    static_assert(sizeof(PageHeader) + 3 * kLongest + 2 + 1_KiB <= kFrameBytesMax);
    static_assert(sizeof(PageHeader) + 3 * kLongest + 8 + 1_KiB <= kImageBytesMax);
    std::size_t image = sizeof(PageHeader) + entries.size() * PageRef::kEncodedSize +
                        fence_bytes(low.size(), high.size()) + 8;
    for (std::size_t i = 1; i < entries.size(); ++i) image += 2 + entries[i].separator.size();
    return image <= kImageBytesMax && bytes_needed(entries, low, high) <= kFrameBytesMax;
}

Inner* Inner::format(char* frame, std::size_t size, std::uint8_t level, std::size_t capacity,
                     Bytes low, Bytes high, bool has_high, Bytes common) {
    Inner* page = new (frame) Inner;
    page->kind = PageKind::kInner;
    page->level = level;
    page->flags = has_high ? kHasHigh : std::uint16_t{0};
    page->size = static_cast<std::uint32_t>(size);
    page->sorted_count = 0;
    page->capacity = static_cast<std::uint16_t>(capacity);
    page->prefix_size = static_cast<std::uint16_t>(common.size());
    page->low_size = static_cast<std::uint16_t>(low.size());
    page->high_size = static_cast<std::uint16_t>(high.size());
    page->set_heap_bytes(fence_bytes(low.size(), high.size()) + round_up(common.size(), 8));
    page->imaged_count = 0;
    page->disk = nullptr;
    page->carried = nullptr;
    page->emitted = 0;
    page->newest.store(0, std::memory_order_relaxed);
    page->latch.store(0, std::memory_order_relaxed);
    page->replaced.store(0, std::memory_order_relaxed);
    page->marks.store(0, std::memory_order_relaxed);
    page->count.store(0, std::memory_order_relaxed);
    std::memset(frame + size - page->heap_bytes, 0, page->heap_bytes);
    std::memset(page->samples(), 0xff, sample_bytes(capacity) + capacity * sizeof(std::uint64_t));
    std::copy(low.begin(), low.end(), const_cast<char*>(page->low().data()));
    std::copy(high.begin(), high.end(), const_cast<char*>(page->high().data()));
    std::copy(common.begin(), common.end(), const_cast<char*>(page->common().data()));
    return page;
}

void Inner::add_separator(std::size_t index, Bytes suffix) {
    set_heap_bytes(heap_bytes + separator_bytes(suffix.size()));
    char* at = base() + size - heap_bytes;
    store_le<std::uint16_t>(at, static_cast<std::uint16_t>(suffix.size()));
    std::copy(suffix.begin(), suffix.end(), at + 2);
    if (suffix.size() % 2 != 0) at[2 + suffix.size()] = 0;
    slots()[index] = heap_bytes;
    heads()[index] = load_be64_prefix(suffix);
}

void Inner::take_samples() {
    for (std::size_t i = kLineEntries; i < children(); i += kLineEntries) {
        samples()[i / kLineEntries - 1] = heads()[i];
    }
}

Inner* Inner::build(char* frame, std::size_t size, std::uint8_t level,
                    std::span<const Entry> entries, Bytes low, Bytes high, bool has_high) {
    assert(!entries.empty() && bytes_needed(entries, low, high) <= size);
    // What is left beyond the need is shared between the arrays and the heap: as many more
    // children as fit with separators of the average size.
    const std::size_t needed = bytes_needed(entries, low, high);
    const std::size_t n = entries.size();
    const std::size_t per_child = (needed - sizeof(PageHeader)) / n + 1;
    const std::size_t spare = size - needed - std::min(size - needed, kSampleGroupBytes);
    const std::size_t capacity =
        std::min<std::size_t>(round_down(n + spare / per_child, kLineEntries), 65528);
    const Bytes common = common_of(entries);
    Inner* page = format(frame, size, level, std::max(capacity, round_up(n, kLineEntries)), low,
                         high, has_high, common);
    for (std::size_t i = 0; i < n; ++i) {
        new (&page->child(i)) ChildSlot(entries[i].child.bits());
        if (i == 0) {
            page->heads()[0] = 0;
            page->slots()[0] = 0;
        } else {
            page->add_separator(i, Bytes(entries[i].separator).substr(common.size()));
        }
    }
    page->count.store(static_cast<std::uint16_t>(n), std::memory_order_release);
    page->take_samples();
    return page;
}

Inner* Inner::copy_with_split(char* frame, const Inner& source, std::size_t index, ChildWord left,
                              Bytes separator, ChildWord right) {
    const std::size_t n = source.children();
    const Bytes common = source.common();
    if (n < 3 || n + 1 > source.capacity || !separator.starts_with(common) ||
        separator_bytes(separator.size() - common.size()) > source.free_bytes() ||
        source.image_bytes_with(separator_bytes(separator.size() - common.size())) >
            kImageBytesMax) {
        return nullptr;
    }
    Inner* page = format(frame, source.size, source.level, source.capacity, source.low(),
                         source.high(), source.has_high(), common);
    const std::size_t at = index + 1;
    const std::size_t moved = n - at;
    std::memcpy(page->heads(), source.heads(), at * 8);
    std::memcpy(page->heads() + at + 1, source.heads() + at, moved * 8);
    std::memcpy(page->slots(), source.slots(), at * sizeof(std::uint32_t));
    std::memcpy(page->slots() + at + 1, source.slots() + at, moved * sizeof(std::uint32_t));
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t word = source.child(i).load(std::memory_order_relaxed);
        new (&page->child(i < at ? i : i + 1)) ChildSlot(word);
    }
    new (&page->child(index)) ChildSlot(left.bits());
    new (&page->child(at)) ChildSlot(right.bits());
    const std::size_t heap_size = source.heap_bytes;
    std::memcpy(frame + page->size - heap_size, source.end() - heap_size, heap_size);
    page->set_heap_bytes(heap_size);
    page->add_separator(at, separator.substr(common.size()));
    page->count.store(static_cast<std::uint16_t>(n + 1), std::memory_order_release);
    page->take_samples();
    return page;
}

/// Heads from index + 1 on equal `head`: the whole key decides.
std::size_t Inner::search_ties(Bytes suffix, std::uint64_t head, std::size_t index) const {
    const std::size_t n = children();
    std::size_t low = index, high = index + 1;
    while (high < n && heads()[high] == head) ++high;
    while (high - low > 1) {
        const std::size_t middle = (low + high) / 2;
        (separator_suffix(middle) <= suffix ? low : high) = middle;
    }
    return low;
}

std::string Inner::child_low(std::size_t index) const {
    if (index == 0) return std::string(low());
    return std::string(common()) + std::string(separator_suffix(index));
}

std::string Inner::child_high(std::size_t index) const {
    return index + 1 < children() ? child_low(index + 1) : std::string(high());
}

std::vector<Inner::Entry> Inner::entries() const {
    std::vector<Entry> result(children());
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (i != 0) result[i].separator = child_low(i);
        result[i].child = ChildWord::from_bits(child(i).load(std::memory_order_relaxed));
    }
    return result;
}

}  // namespace fulgur::storage
