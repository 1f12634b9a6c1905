// How many rows a range has, about, without walking it and without reading leaves.
//
// The lowest inner pages are visited one after the other; of each, a few leaves that are in memory
// are counted, and leaves that are not are known by the counts in their references. Lowest inner
// pages that are not in memory themselves are taken for average ones, except those at the range's
// ends, which are read. So a range within a few leaves in memory is exact, and a large one costs a
// few counted leaves for some hundred in it.
//
// Concurrency: the caller is pinned.
#include <algorithm>

#include "storage/leaf_merge.h"
#include "storage/tree.h"

namespace fulgur::storage {

namespace {

/// Leaves counted of one lowest inner page: enough for a few per cent, together.
constexpr std::size_t kSamples = 8;
/// When so many pages were seen the average is known well enough.
constexpr std::size_t kPagesSampledWell = 32;
constexpr std::size_t kSamplesLater = 2;

class Estimator {
public:
    Estimator(Bytes begin, std::optional<Bytes> end, Sequence snapshot)
        : begin_(begin), end_(end), snapshot_(snapshot) {}

    /// What a leaf in memory has in the range, counted.
    RangeEstimate count(const Leaf& leaf) {
        RangeEstimate size;
        merge_.visible(leaf, leaf.count.load(std::memory_order_acquire), snapshot_, records_);
        const bool inside =
            begin_ <= leaf.low() && (!end_ || (leaf.has_high() && leaf.high() <= *end_));
        std::string key;
        for (const Record& record : records_) {
            if (!inside) {
                key.assign(leaf.prefix());
                key.append(record.suffix());
                if (key < begin_ || (end_ && key >= *end_)) continue;
            }
            size.rows += 1;
            size.bytes += static_cast<double>(leaf.prefix_size + record.suffix_size());
            size.bytes += static_cast<double>(record.large() ? large_value_of(record)->length
                                                             : record.value_size());
        }
        return size;
    }

    /// What a leaf that is not in memory has, by its reference.
    static RangeEstimate guess(const PageRef& ref) {
        constexpr double kBesidesPerRecord = 1 + 2 + Record::kHeaderBytes;
        const double rows = ref.count;
        const double image = ref.memory_length;
        const double bytes = image - double{sizeof(PageHeader)} - rows * kBesidesPerRecord;
        return {rows, std::max(bytes, 0.0)};
    }

    /// Children [first, last] of one page; those at the ends may be partly outside the range.
    void add_children(const Inner& page, std::size_t first, std::size_t last) {
        const std::size_t n = last - first + 1;
        const std::size_t wanted = ++pages_ <= kPagesSampledWell ? kSamples : kSamplesLater;
        const std::size_t step = n <= wanted ? 1 : n / wanted;
        RangeEstimate sampled;
        std::size_t samples = 0, inner = 0;
        for (std::size_t i = first; i <= last; ++i) {
            const bool at_end = i == first || i == last;
            inner += at_end ? 0 : 1;
            if (!at_end && (i - first) % step != 0) continue;
            const ChildWord word = load_child(page.child(i));
            RangeEstimate leaf = word.resident() ? count(*static_cast<Leaf*>(word.page()))
                                                 : guess(word.descriptor()->ref);
            if (at_end) {
                if (!word.resident() && partly(page, i)) leaf = leaf.times(0.5);
                total.add(leaf);
                continue;
            }
            sampled.add(leaf);
            ++samples;
        }
        if (samples != 0) {
            total.add(sampled.times(static_cast<double>(inner) / static_cast<double>(samples)));
        }
        leaves_ += static_cast<double>(n);
    }

    /// Leaves of which nothing is known.
    void add_unknown(double leaves) { unknown_ += leaves; }

    RangeEstimate result() const {
        if (leaves_ == 0) return total;
        return total.times((leaves_ + unknown_) / leaves_);
    }

    bool is_end_in(const std::optional<std::string>& high) const {
        return end_ && (!high || *end_ < Bytes(*high));
    }

    RangeEstimate total;

private:
    bool partly(const Inner& page, std::size_t index) const {
        if (begin_ > Bytes(page.child_low(index))) return true;
        return end_ && (!page.child_has_high(index) || *end_ < Bytes(page.child_high(index)));
    }

    const Bytes begin_;
    const std::optional<Bytes> end_;
    const Sequence snapshot_;
    LeafMerge merge_;
    std::vector<Record> records_;
    std::size_t pages_ = 0;
    double leaves_ = 0;   ///< seen, at least in a reference
    double unknown_ = 0;  ///< in pages that are not in memory
};

}  // namespace

/// The lowest inner page that covers `key`; or, where it is not in memory, its reference. With
/// `read` it is read.
Result<Tree::Lowest> Tree::lowest_inner(Bytes key, bool read) {
    for (;;) {
        Lowest found;
        Inner* parent = nullptr;
        ChildSlot* slot = &root_;
        for (;;) {
            const ChildWord word = load_child(*slot);
            if (!word.resident()) {
                const PageRef& ref = word.descriptor()->ref;
                if (ref.level == 0 || (ref.level == 1 && !read)) {
                    found.cold = ref;
                    return found;
                }
                Result<ChildWord> loaded = load_resident(parent, *slot, word, Budget::kMakeRoom);
                if (!loaded) return loaded.error();
                if (loaded->page() == nullptr) break;  // The parent was replaced: again.
                continue;
            }
            if (word.page()->level == 0) {
                found.leaf = static_cast<Leaf*>(word.page());
                return found;
            }
            Inner* const inner = static_cast<Inner*>(word.page());
            if (inner->level == 1) {
                found.page = inner;
                found.high.reset();
                if (inner->has_high()) found.high = inner->high();
                return found;
            }
            parent = inner;
            const std::size_t index = inner->search(key);
            slot = &inner->child(index);
            found.high.reset();
            if (inner->child_has_high(index)) found.high = inner->child_high(index);
        }
    }
}

Result<RangeEstimate> Tree::estimate(Bytes begin, std::optional<Bytes> end, Sequence snapshot) {
    if (end && *end <= begin) return RangeEstimate{};
    Estimator estimator(begin, end, snapshot);
    std::string at(begin);
    for (bool first = true;; first = false) {
        Result<Lowest> found = lowest_inner(at, first);
        if (found && found->page == nullptr && estimator.is_end_in(found->high)) {
            found = lowest_inner(at, true);
        }
        if (!found) return found.error();
        if (found->leaf != nullptr) {
            estimator.total.add(estimator.count(*found->leaf));
        } else if (found->page != nullptr) {
            const Inner& page = *found->page;
            const bool ends_here = estimator.is_end_in(found->high);
            std::size_t last = ends_here ? page.search(*end) : page.children() - 1;
            const std::size_t low = page.search(at);
            // The end itself is not in the range.
            if (ends_here && last > low && page.child_low(last) == *end) --last;
            estimator.add_children(page, low, last);
        } else if (found->cold->level == 0) {
            const bool whole = begin.empty() && !end;
            estimator.total.add(Estimator::guess(*found->cold).times(whole ? 1 : 0.5));
        } else {
            estimator.add_unknown(found->cold->count);
        }
        if (!found->high || (end && Bytes(*found->high) >= *end)) return estimator.result();
        at = *std::move(found->high);
    }
}

}  // namespace fulgur::storage
