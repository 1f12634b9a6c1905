#include "storage/leaf.h"

#include <algorithm>
#include <cassert>
#include <new>

#include "base/simd.h"

namespace fulgur::storage {

Leaf* Leaf::format(char* frame, std::size_t size, std::size_t capacity, Bytes low, Bytes high,
                   bool has_high) {
    assert(capacity % 8 == 0 && capacity <= 65528);
    assert(overhead(capacity, low.size(), high.size()) <= size);
    Leaf* leaf = new (frame) Leaf;
    leaf->kind = PageKind::kLeaf;
    leaf->level = 0;
    leaf->flags = has_high ? kHasHigh : std::uint16_t{0};
    leaf->size = static_cast<std::uint32_t>(size);
    leaf->sorted_count = 0;
    leaf->capacity = static_cast<std::uint16_t>(capacity);
    leaf->prefix_size = static_cast<std::uint16_t>(has_high ? common_prefix(low, high) : 0);
    leaf->low_size = static_cast<std::uint16_t>(low.size());
    leaf->high_size = static_cast<std::uint16_t>(high.size());
    leaf->set_heap_bytes(fence_bytes(low.size(), high.size()));
    leaf->holds_large = 0;
    leaf->superseded = 0;
    leaf->imaged_count = 0;
    leaf->disk = nullptr;
    leaf->carried = nullptr;
    leaf->emitted = 0;
    leaf->newest.store(0, std::memory_order_relaxed);
    leaf->latch.store(0, std::memory_order_relaxed);
    leaf->replaced.store(0, std::memory_order_relaxed);
    leaf->marks.store(0, std::memory_order_relaxed);
    std::memset(frame + size - leaf->heap_bytes, 0, leaf->heap_bytes);
    if (!low.empty()) std::memcpy(const_cast<char*>(leaf->low().data()), low.data(), low.size());
    if (!high.empty())
        std::memcpy(const_cast<char*>(leaf->high().data()), high.data(), high.size());
    leaf->count.store(0, std::memory_order_relaxed);
    return leaf;
}

std::size_t leaf_capacity(std::size_t frame_bytes, std::size_t count, std::size_t record_bytes) {
    constexpr std::size_t kTypicalRecordBytes = 128;  // Assumed for an empty leaf.
    constexpr std::size_t kCapacityMax = 65536 - 64;  // A 16-bit field.
    const std::size_t average = count == 0 ? kTypicalRecordBytes : record_bytes / count;
    const std::size_t wanted = std::max(count + 1, frame_bytes / (average + 3));
    return std::min<std::size_t>(round_up(wanted, 64), kCapacityMax);
}

void encode_record(char* to, const RecordParts& parts) {
    const std::size_t expiry_bytes = (parts.flags & kExpires) != 0 ? 8 : 0;
    const std::size_t used =
        Record::kHeaderBytes + expiry_bytes + parts.suffix.size() + parts.value.size();
    // Zero the padding first, with one store: the record is at least 16 bytes long.
    store_le<std::uint64_t>(to + round_up(used, 8) - 8, 0);
    store_le<std::uint16_t>(to, static_cast<std::uint16_t>(parts.suffix.size()));
    store_le<std::uint16_t>(to + 2, static_cast<std::uint16_t>(parts.value.size()));
    store_le<std::uint64_t>(to + 4, (to_number(parts.sequence) << 16) | parts.flags);
    char* at = to + Record::kHeaderBytes;
    if (expiry_bytes != 0) {
        store_le<std::uint64_t>(at, parts.expiry);
        at += 8;
    }
    if (!parts.suffix.empty()) std::memcpy(at, parts.suffix.data(), parts.suffix.size());
    if (!parts.value.empty()) {
        std::memcpy(at + parts.suffix.size(), parts.value.data(), parts.value.size());
    }
}

void Leaf::note_superseded(const RecordParts& parts) {
    const std::optional<Record> older = find(parts.suffix, parts.print, Sequence{kSequenceMax});
    if (!older || !older->large()) return;
    const std::uint64_t units =
        round_up(older->large_reference().length, kSupersededUnit) / kSupersededUnit;
    set_superseded(std::min<std::uint64_t>(superseded + units, kSupersededMax));
}

bool Leaf::wastes_a_quarter() const {
    // In the largest frame there may be no room for another layout, and it fills up soon enough.
    if (size >= kFrameBytesMax) return false;
    if (superseded == kSupersededMax) return true;
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < count.load(std::memory_order_relaxed); ++i) {
        if (record(i).large()) all += record(i).large_reference().length;
    }
    const std::uint64_t waste = std::uint64_t{superseded} * kSupersededUnit;
    return waste * 5 >= all;
}

void Leaf::append(const RecordParts& parts) {
    const std::size_t bytes = parts.size();
    assert(has_room(bytes));
    const std::size_t index = count.load(std::memory_order_relaxed);
    set_heap_bytes(heap_bytes + bytes);
    encode_record(base() + size - heap_bytes, parts);
    if ((parts.flags & kLarge) != 0) holds_large = 1;
    slots()[index] = static_cast<std::uint16_t>(heap_bytes / 8);
    set_print(index, parts.print);
    const std::uint64_t sequence = to_number(parts.sequence);
    if (sequence >= newest.load(std::memory_order_relaxed)) {
        newest.store(sequence, std::memory_order_relaxed);
    } else {
        marks.fetch_or(kOutOfOrder, std::memory_order_relaxed);
    }
    mark_referenced();
    count.store(static_cast<std::uint16_t>(index + 1), std::memory_order_release);
}

std::optional<Record> Leaf::find_in_blocks(Bytes suffix, std::uint8_t print,
                                           Sequence snapshot) const {
    const std::size_t n = count.load(std::memory_order_acquire);
    if ((marks.load(std::memory_order_relaxed) & kOutOfOrder) != 0) [[unlikely]] {
        return find_out_of_order(suffix, print, snapshot, n);
    }
    const std::size_t sorted = sorted_count;
    // The tail, newest first: the first match is the newest.
    for (std::size_t block = n == 0 ? 0 : (n - 1) / 64 + 1; block-- > sorted / 64;) {
        std::uint64_t mask = match_bytes64(prints() + block * 64, print);
        if (n - block * 64 < 64) mask &= (std::uint64_t{1} << (n - block * 64)) - 1;
        if (sorted > block * 64) mask &= ~((std::uint64_t{1} << (sorted - block * 64)) - 1);
        while (mask != 0) {
            const std::size_t bit = 63 - static_cast<std::size_t>(std::countl_zero(mask));
            mask &= ~(std::uint64_t{1} << bit);
            const Record candidate = record(block * 64 + bit);
            candidate.prefetch_rest();
            if (is_match(candidate, suffix, snapshot)) return candidate;
        }
    }
    // The sorted part holds versions of a key newest first.
    for (std::size_t block = 0; block * 64 < sorted; ++block) {
        std::uint64_t mask = match_bytes64(prints() + block * 64, print);
        if (sorted - block * 64 < 64) mask &= (std::uint64_t{1} << (sorted - block * 64)) - 1;
        for (; mask != 0; mask &= mask - 1) {
            const Record candidate =
                record(block * 64 + static_cast<std::size_t>(std::countr_zero(mask)));
            candidate.prefetch_rest();
            if (is_match(candidate, suffix, snapshot)) return candidate;
        }
    }
    return std::nullopt;
}

std::optional<Record> Leaf::find_out_of_order(Bytes suffix, std::uint8_t print, Sequence snapshot,
                                              std::size_t n) const {
    std::optional<Record> best;
    for (std::size_t block = 0; block * 64 < n; ++block) {
        std::uint64_t mask = match_bytes64(prints() + block * 64, print);
        if (n - block * 64 < 64) mask &= (std::uint64_t{1} << (n - block * 64)) - 1;
        for (; mask != 0; mask &= mask - 1) {
            const Record candidate =
                record(block * 64 + static_cast<std::size_t>(std::countr_zero(mask)));
            if (candidate.suffix() != suffix || candidate.sequence() > snapshot) continue;
            if (!best || best->sequence() <= candidate.sequence()) best = candidate;
        }
    }
    return best;
}

}  // namespace fulgur::storage
