#include "storage/leaf_join.h"

#include <algorithm>
#include <cassert>

#include "base/hash.h"

namespace fulgur::storage {

void LeafJoin::clear() {
    leaves_.clear();
    entries_.clear();
    newest_ = Sequence{};
    has_large_ = false;
}

void LeafJoin::add(const Leaf& leaf, const LeafMerge& merge) {
    assert(leaves_.empty() || leaves_.back()->high() == leaf.low());
    leaves_.push_back(&leaf);
    for (const Record& record : merge.kept()) {
        entries_.push_back({std::string(leaf.prefix()).append(record.suffix()), record});
    }
    newest_ = std::max(newest_, merge.newest());
    has_large_ = has_large_ || merge.has_large();
}

std::size_t LeafJoin::prefix_size() const {
    const Leaf& last = *leaves_.back();
    return last.has_high() ? common_prefix(leaves_.front()->low(), last.high()) : 0;
}

std::size_t LeafJoin::bytes() const {
    std::size_t bytes =
        PageHeader::fence_bytes(leaves_.front()->low_size, leaves_.back()->high_size);
    for (const Entry& entry : entries_) {
        bytes += Record::size_of(entry.key.size() - prefix_size(), entry.record.value_size(),
                                 entry.record.expires());
    }
    return bytes;
}

std::optional<std::size_t> LeafJoin::frame_bytes() const {
    const std::size_t fences =
        PageHeader::fence_bytes(leaves_.front()->low_size, leaves_.back()->high_size);
    const std::size_t records = bytes() - fences;
    for (std::size_t size = kFrameBytesMin; size <= kFrameBytesMax; size *= 2) {
        const std::size_t capacity = leaf_capacity(size, entries_.size(), records);
        const std::size_t used = Leaf::overhead(capacity, 0, 0) + fences + records;
        if (entries_.size() < capacity && used <= size - size / 4) return size;
    }
    return std::nullopt;
}

Leaf* LeafJoin::build(char* frame, std::size_t size) const {
    const Leaf& first = *leaves_.front();
    const Leaf& last = *leaves_.back();
    const std::size_t fences = PageHeader::fence_bytes(first.low_size, last.high_size);
    Leaf* leaf = Leaf::format(frame, size, leaf_capacity(size, entries_.size(), bytes() - fences),
                              first.low(), last.high(), last.has_high());
    std::size_t n = 0;
    for (const Entry& entry : entries_) {
        const Record& record = entry.record;
        const std::uint8_t print = print_of(hash64(entry.key));
        const RecordParts parts{Bytes(entry.key).substr(leaf->prefix_size),
                                record.value(),
                                record.sequence(),
                                record.expiry(),
                                record.flags(),
                                print};
        leaf->set_heap_bytes(leaf->heap_bytes + parts.size());
        encode_record(leaf->base() + leaf->size - leaf->heap_bytes, parts);
        leaf->slots()[n] = static_cast<std::uint16_t>(leaf->heap_bytes / 8);
        leaf->set_print(n++, print);
    }
    leaf->newest.store(to_number(newest_), std::memory_order_relaxed);
    leaf->holds_large = has_large_ ? 1 : 0;
    leaf->sorted_count = static_cast<std::uint16_t>(n);
    leaf->count.store(static_cast<std::uint16_t>(n), std::memory_order_release);
    return leaf;
}

}  // namespace fulgur::storage
