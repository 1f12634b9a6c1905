#include "storage/leaf_merge.h"
#include "base/planted.h"

#include <algorithm>
#include <cassert>

namespace fulgur::storage {

namespace {

/// A leaf should hold about this many records before it splits; big records get bigger frames.
constexpr std::size_t kRecordsPerLeafMin = 16;
constexpr std::size_t kBaseFrameBytesMax = 64_KiB;

std::size_t frame_class(std::size_t bytes) {
    std::size_t size = kFrameBytesMin;
    while (size < bytes) size *= 2;
    return size;
}

}  // namespace

Bytes shortest_separator(Bytes a, Bytes b) { return b.substr(0, common_prefix(a, b) + 1); }

void LeafMerge::order(const Leaf& leaf, std::size_t n) {
    const std::size_t sorted = leaf.sorted_count;
    tail_.clear();
    for (std::size_t i = sorted; i < n; ++i) {
        tail_.push_back({load_be64_prefix(leaf.record(i).suffix()), static_cast<std::uint32_t>(i)});
    }
    const auto before = [&](const Entry& a, const Entry& b) {
        if (a.head != b.head) return a.head < b.head;
        const Record left = leaf.record(a.index), right = leaf.record(b.index);
        if (const int c = left.suffix().compare(right.suffix()); c != 0) return c < 0;
        return left.sequence() > right.sequence();
    };
    ascending_ = std::is_sorted(tail_.begin(), tail_.end(), before);
    if (!ascending_) std::sort(tail_.begin(), tail_.end(), before);

    ordered_.clear();
    ordered_prints_.clear();
    ordered_.reserve(n);
    std::size_t i = 0;
    for (const Entry& entry : tail_) {
        const Record record = leaf.record(entry.index);
        for (; i < sorted; ++i) {
            const Record other = leaf.record(i);
            const int c = other.suffix().compare(record.suffix());
            if (c > 0 || (c == 0 && other.sequence() < record.sequence())) break;
            ordered_.push_back(other);
            ordered_prints_.push_back(leaf.print(i));
        }
        ascending_ = ascending_ && i == sorted;
        ordered_.push_back(record);
        ordered_prints_.push_back(leaf.print(entry.index));
    }
    for (; i < sorted; ++i) {
        ordered_.push_back(leaf.record(i));
        ordered_prints_.push_back(leaf.print(i));
    }
}

void LeafMerge::retain_key(std::size_t begin, std::size_t end, const Retention& retention,
                           bool keep_large) {
    const std::size_t kept_before = kept_.size();
    // `bound` is the next moment that still needs a version: the horizon, then older snapshots.
    std::size_t snapshot = retention.snapshots.size();
    Sequence bound = retention.horizon;
    bool bound_open = true;
    for (std::size_t i = begin; i < end; ++i) {
        const Sequence sequence = ordered_[i].sequence();
        bool keep = sequence > retention.horizon;
        if (!keep && bound_open && sequence <= bound) {
            keep = true;
            while (snapshot > 0 && retention.snapshots[snapshot - 1] >= sequence) --snapshot;
            bound_open = snapshot > 0;
            if (bound_open) bound = retention.snapshots[snapshot - 1];
        }
        if (keep || (keep_large && ordered_[i].large())) {
            kept_.push_back(ordered_[i]);
            prints_.push_back(ordered_prints_[i]);
        } else if (ordered_[i].large()) {
            dropped_large_.push_back(ordered_[i]);
        }
    }
    while (kept_.size() > kept_before && kept_.back().tombstone() &&
           (kept_.back().sequence() <= retention.horizon ||
            FULGUR_PLANTED("tombstone_dropped_early"))) {
        kept_.pop_back();
        prints_.pop_back();
    }
    if (kept_.size() > kept_before) superseded_kept_ += kept_.size() - kept_before - 1;
}

void LeafMerge::retain(const Retention& retention, bool keep_large) {
    kept_.clear();
    prints_.clear();
    dropped_large_.clear();
    superseded_kept_ = 0;
    for (std::size_t i = 0; i < ordered_.size();) {
        std::size_t end = i + 1;
        while (end < ordered_.size() && ordered_prints_[end] == ordered_prints_[i] &&
               ordered_[end].suffix() == ordered_[i].suffix()) {
            ++end;
        }
        retain_key(i, end, retention, keep_large);
        i = end;
    }
}

void LeafMerge::collect(const Leaf& leaf, std::size_t n, const Retention& retention,
                        bool keep_large) {
    order(leaf, n);
    retain(retention, keep_large);
    // After the records: a writer may have gone on, and a greater number does no harm.
    newest_ = Sequence{leaf.newest.load(std::memory_order_relaxed)};
    has_large_ = std::any_of(kept_.begin(), kept_.end(), [](const Record& r) { return r.large(); });
}

void LeafMerge::visible(const Leaf& leaf, std::size_t n, Sequence snapshot,
                        std::vector<Record>& into) {
    into.clear();
    for (std::size_t i = 0; i < n; ++i) __builtin_prefetch(leaf.record(i).bytes());
    order(leaf, n);
    bool decided = false;  // The key at hand has shown its version.
    for (std::size_t i = 0; i < n; ++i) {
        const bool same_key = i != 0 && ordered_prints_[i] == ordered_prints_[i - 1] &&
                              ordered_[i].suffix() == ordered_[i - 1].suffix();
        if (!same_key) decided = false;
        if (decided || ordered_[i].sequence() > snapshot) continue;
        decided = true;
        if (!ordered_[i].tombstone()) into.push_back(ordered_[i]);
    }
}

/// @param cut  leading bytes that the suffixes lose.
std::size_t LeafMerge::bytes_of(std::size_t begin, std::size_t end, std::size_t cut) const {
    std::size_t bytes = 0;
    for (std::size_t i = begin; i < end; ++i) {
        const Record& record = kept_[i];
        bytes += Record::size_of(record.suffix_size() - cut, record.value_size(), record.expires());
    }
    return bytes;
}

std::string LeafMerge::key_of(std::size_t index) const {
    return prefix_ + std::string(kept_[index].suffix());
}

std::size_t LeafMerge::largest_key_bytes() const {
    std::size_t largest = 0, bytes = 0;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
        if (i == 0 || kept_[i].suffix() != kept_[i - 1].suffix()) bytes = 0;
        bytes += kept_[i].size();
        largest = std::max(largest, bytes);
    }
    return largest;
}

/// Chooses frame size and capacity for a planned leaf.
/// @param tight  fill the frame; otherwise leave a quarter of it free.
bool LeafMerge::fit(LeafPlan& plan, std::size_t base_size, std::size_t incoming_bytes,
                    bool tight) const {
    const std::size_t n = plan.end - plan.begin;
    const std::size_t prefix_size = plan.has_high ? common_prefix(plan.low, plan.high) : 0;
    const std::size_t bytes = bytes_of(plan.begin, plan.end, prefix_size - prefix_.size());
    for (std::size_t size = base_size; size <= kFrameBytesMax; size *= 2) {
        const std::size_t capacity = leaf_capacity(size, n, bytes);
        const std::size_t used =
            Leaf::overhead(capacity, plan.low.size(), plan.high.size()) + bytes;
        const bool roomy = used + incoming_bytes <= size && used <= size - size / 4;
        if (n < capacity && (tight ? used <= size : roomy)) {
            plan.size = size;
            plan.capacity = capacity;
            return true;
        }
    }
    return false;
}

/// First record of the right half: the key boundary nearest to half the bytes; 0 when there is one
/// key only.
std::size_t LeafMerge::split_point() const {
    const std::size_t total = bytes_of(0, kept_.size());
    std::size_t bytes = 0, best = 0;
    for (std::size_t i = 0; i + 1 < kept_.size(); ++i) {
        bytes += kept_[i].size();
        if (kept_[i].suffix() == kept_[i + 1].suffix()) continue;
        best = i + 1;
        if (bytes * 2 >= total) break;
    }
    return best;
}

/// Keys arrive one behind another: the left leaf takes all there is, and the right one what comes.
/// Where the new fence makes the left leaf too large by a little, its last keys go right.
bool LeafMerge::plan_full_left(const LeafPlan& whole, std::size_t base_size,
                               std::size_t left_size_max, Bytes incoming_key,
                               std::size_t incoming_bytes) {
    constexpr int kKeysMovedMax = 4;
    std::size_t end = kept_.size();
    for (int moved = 0; moved <= kKeysMovedMax && end > 0; ++moved) {
        LeafPlan left = whole, right = whole;
        left.end = right.begin = end;
        const std::string next = end == kept_.size() ? std::string(incoming_key) : key_of(end);
        left.high = right.low = shortest_separator(key_of(end - 1), next);
        left.has_high = true;
        if (fit(left, base_size, 0, true) && left.size <= left_size_max &&
            fit(right, base_size, incoming_bytes, false)) {
            plans_.push_back(std::move(left));
            plans_.push_back(std::move(right));
            return true;
        }
        do {
            --end;
        } while (end > 0 && kept_[end - 1].suffix() == kept_[end].suffix());
    }
    return false;
}

bool LeafMerge::plan_halves(const LeafPlan& whole, std::size_t base_size, std::size_t middle,
                            Bytes incoming_key, std::size_t incoming_bytes) {
    LeafPlan left = whole, right = whole;
    left.end = right.begin = middle;
    left.high = right.low = shortest_separator(key_of(middle - 1), key_of(middle));
    left.has_high = true;
    const bool anywhere = incoming_key.empty();
    const bool goes_left = incoming_key < Bytes(left.high);
    const bool fits = fit(left, base_size, anywhere || goes_left ? incoming_bytes : 0, false) &&
                      fit(right, base_size, anywhere || !goes_left ? incoming_bytes : 0, false);
    if (!fits) return false;
    plans_.push_back(std::move(left));
    plans_.push_back(std::move(right));
    return true;
}

bool LeafMerge::plan(const Leaf& leaf, Bytes incoming_key, std::size_t incoming_bytes) {
    plans_.clear();
    prefix_ = leaf.prefix();
    LeafPlan whole{0, kept_.size(), std::string(leaf.low()), std::string(leaf.high()),
                   leaf.has_high()};
    const std::size_t average = kept_.empty() ? 0 : bytes_of(0, kept_.size()) / kept_.size();
    const std::size_t base =
        frame_class(std::min(kBaseFrameBytesMax, kRecordsPerLeafMin * (average + 3)));
    const bool fits = fit(whole, base, incoming_bytes, false);
    if (fits && whole.size == base) {
        plans_.push_back(std::move(whole));
        return true;
    }
    const bool one_behind_another = ascending_ && leaf.sorted_count < ordered_.size() &&
                                    !kept_.empty() && key_of(kept_.size() - 1) < incoming_key;
    if (one_behind_another) {
        const std::size_t left_size_max = kept_.size() < kRecordsPerLeafMin
                                              ? std::size_t{kFrameBytesMax}
                                              : std::max<std::size_t>(base, leaf.size);
        if (plan_full_left(whole, base, left_size_max, incoming_key, incoming_bytes)) return true;
    }
    const std::size_t middle = split_point();
    if (middle != 0 && plan_halves(whole, base, middle, incoming_key, incoming_bytes)) return true;
    if (middle == 0 && fits) {
        plans_.push_back(std::move(whole));
        return true;
    }
    return plan_tightly(whole, incoming_bytes);
}

/// Chooses the smallest frame that holds the records and the next one, and nothing more.
bool LeafMerge::fit_tightly(LeafPlan& plan, std::size_t incoming_bytes) const {
    const std::size_t n = plan.end - plan.begin;
    const std::size_t prefix_size = plan.has_high ? common_prefix(plan.low, plan.high) : 0;
    plan.capacity = std::min<std::size_t>(round_up(n + 1, 64), 65536 - 64);
    const std::size_t used = Leaf::overhead(plan.capacity, plan.low.size(), plan.high.size()) +
                             bytes_of(plan.begin, plan.end, prefix_size - prefix_.size());
    plan.size = frame_class(std::min(used + incoming_bytes, kFrameBytesMax));
    return n < plan.capacity && used + incoming_bytes <= plan.size;
}

/// When no layout leaves room to spare: whole if that is possible, else split where the larger part
/// is smallest. Many kept versions of one key make this necessary.
bool LeafMerge::plan_tightly(const LeafPlan& whole, std::size_t incoming_bytes) {
    plans_.clear();
    LeafPlan one = whole;
    if (fit_tightly(one, incoming_bytes)) {
        plans_.push_back(std::move(one));
        return true;
    }
    const std::size_t total = bytes_of(0, kept_.size());
    std::size_t bytes = 0, best = 0, best_larger = total;
    for (std::size_t i = 0; i + 1 < kept_.size(); ++i) {
        bytes += kept_[i].size();
        const std::size_t larger = std::max(bytes, total - bytes);
        if (larger >= best_larger || kept_[i].suffix() == kept_[i + 1].suffix()) continue;
        best = i + 1;
        best_larger = larger;
    }
    if (best == 0) return false;
    LeafPlan left = whole, right = whole;
    left.end = right.begin = best;
    left.high = right.low = shortest_separator(key_of(best - 1), key_of(best));
    left.has_high = true;
    if (!fit_tightly(left, incoming_bytes) || !fit_tightly(right, incoming_bytes)) return false;
    plans_.push_back(std::move(left));
    plans_.push_back(std::move(right));
    return true;
}

/// Copies kept records [begin, end) to an empty leaf whose prefix may be longer than the source's.
void LeafMerge::fill(Leaf* leaf, const Leaf& source, std::size_t begin, std::size_t end) const {
    assert(leaf->prefix_size >= source.prefix_size);
    const std::size_t cut = leaf->prefix_size - source.prefix_size;
    for (std::size_t i = begin; i < end; ++i) {
        const Record record = kept_[i];
        char* to;
        if (cut == 0) {
            const std::size_t size = record.size();
            leaf->set_heap_bytes(leaf->heap_bytes + size);
            to = leaf->base() + leaf->size - leaf->heap_bytes;
            std::memcpy(to, record.bytes(), size);
        } else {
            const RecordParts parts{record.suffix().substr(cut),
                                    record.value(),
                                    record.sequence(),
                                    record.expiry(),
                                    record.flags(),
                                    0};
            leaf->set_heap_bytes(leaf->heap_bytes + parts.size());
            to = leaf->base() + leaf->size - leaf->heap_bytes;
            encode_record(to, parts);
        }
        leaf->slots()[i - begin] = static_cast<std::uint16_t>(leaf->heap_bytes / 8);
        leaf->set_print(i - begin, prints_[i]);
    }
    leaf->newest.store(to_number(newest_), std::memory_order_relaxed);
    leaf->sorted_count = static_cast<std::uint16_t>(end - begin);
    leaf->count.store(static_cast<std::uint16_t>(end - begin), std::memory_order_release);
}

Leaf* LeafMerge::build(const Leaf& source, const LeafPlan& plan, char* frame) const {
    Leaf* leaf = Leaf::format(frame, plan.size, plan.capacity, plan.low, plan.high, plan.has_high);
    fill(leaf, source, plan.begin, plan.end);
    leaf->holds_large = has_large_ ? 1 : 0;
    return leaf;
}

std::size_t LeafMerge::image_bytes(const Leaf& source) const {
    const std::size_t capacity = round_up(kept_.size(), 8);
    return Leaf::overhead(capacity, source.low_size, source.high_size) + bytes_of(0, kept_.size());
}

Leaf* LeafMerge::build_image(const Leaf& source, char* to) const {
    const std::size_t capacity = round_up(kept_.size(), 8);
    const std::size_t size = image_bytes(source);
    std::memset(to, 0, sizeof(PageHeader) + 3 * capacity);
    Leaf* image = Leaf::format(to, size, capacity, source.low(), source.high(), source.has_high());
    fill(image, source, 0, kept_.size());
    return image;
}

}  // namespace fulgur::storage
