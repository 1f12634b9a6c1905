// Consolidation, the pure part: reads one leaf, decides which versions stay, and lays the survivors
// out in one or two fresh leaves, or in an image for the disk. It touches no latch, epoch or file.
//
// Which versions stay (docs/architecture.md, "Versions"): every one above the horizon, the newest
// at or below the horizon, and the newest at or below each registered snapshot. A tombstone at or
// below the horizon with nothing kept below it goes too. An older horizon is always safe: it keeps
// more. What went still counts in `newest`: a page that forgot a tombstone needs the log up to it,
// or recovery could show a state without a key that the log's end still has.
//
// Precondition: the records of one key have distinct sequences (a batch has one operation a key).
//
// Thread safety: an object is one thread's scratch memory; the leaf may be appended to meanwhile,
// because only its first `n` records, with n read once, are looked at.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "storage/leaf.h"

namespace fulgur::storage {

/// What may be dropped.
struct Retention {
    Sequence horizon{};
    std::span<const Sequence> snapshots;  ///< ascending
};

/// One fresh leaf of a consolidation.
struct LeafPlan {
    std::size_t begin = 0;  ///< of the kept records
    std::size_t end = 0;
    std::string low;
    std::string high;
    bool has_high = false;
    std::size_t size = 0;
    std::size_t capacity = 0;
};

class LeafMerge {
public:
    /// Reads records [0, n) of `leaf`.
    /// @param keep_large  keep every record that refers to a large value (images do: checkpoint.h).
    void collect(const Leaf& leaf, std::size_t n, const Retention& retention, bool keep_large);

    /// What a reader at `snapshot` sees of records [0, n), in key order: one version a key, no
    /// tombstones.
    void visible(const Leaf& leaf, std::size_t n, Sequence snapshot, std::vector<Record>& into);

    std::span<const Record> kept() const { return kept_; }
    /// Records dropped by `collect` that referred to large values.
    std::span<const Record> dropped_large() const { return dropped_large_; }
    /// Older versions that the retention made us keep: a newer horizon may free them.
    std::size_t superseded_kept() const { return superseded_kept_; }
    /// Bytes of the kept versions of the key that has most of them. O(kept).
    std::size_t largest_key_bytes() const;
    /// Of all that the leaf has seen, what was dropped included; never below a kept record's.
    Sequence newest() const { return newest_; }
    bool has_large() const { return has_large_; }

    /// Lays the kept records out for a page that must take `incoming_key` with a record of
    /// `incoming_bytes` next: one leaf, or two split at half their bytes, or, when keys arrive in
    /// ascending order, a full one and an (almost) empty one.
    /// @param incoming_key  empty when it is not known: then either leaf takes the record.
    /// @return false when one key's kept versions do not fit the largest frame.
    bool plan(const Leaf& leaf, Bytes incoming_key, std::size_t incoming_bytes);
    std::span<const LeafPlan> plans() const { return plans_; }

    /// Writes one planned leaf into `frame`.
    Leaf* build(const Leaf& source, const LeafPlan& plan, char* frame) const;

    /// Bytes of the image of all kept records, a multiple of 8: a leaf that is full and sorted, its
    /// records one behind another in their order.
    std::size_t image_bytes(const Leaf& source) const;
    /// Writes that image; its LargeReference::memory fields are still set.
    Leaf* build_image(const Leaf& source, char* to) const;

private:
    struct Entry {
        std::uint64_t head;
        std::uint32_t index;
    };
    void order(const Leaf& leaf, std::size_t n);
    void retain(const Retention& retention, bool keep_large);
    void retain_key(std::size_t begin, std::size_t end, const Retention& retention,
                    bool keep_large);
    bool fit(LeafPlan& plan, std::size_t base_size, std::size_t incoming_bytes, bool tight) const;
    bool plan_full_left(const LeafPlan& whole, std::size_t base_size, std::size_t left_size_max,
                        Bytes incoming_key, std::size_t incoming_bytes);
    bool fit_tightly(LeafPlan& plan, std::size_t incoming_bytes) const;
    bool plan_tightly(const LeafPlan& whole, std::size_t incoming_bytes);
    bool plan_halves(const LeafPlan& whole, std::size_t base_size, std::size_t middle,
                     Bytes incoming_key, std::size_t incoming_bytes);
    std::size_t bytes_of(std::size_t begin, std::size_t end, std::size_t cut = 0) const;
    std::size_t split_point() const;
    std::string key_of(std::size_t index) const;
    void fill(Leaf* leaf, const Leaf& source, std::size_t begin, std::size_t end) const;

    std::vector<Entry> tail_;
    std::vector<Record> ordered_;
    std::vector<std::uint8_t> ordered_prints_;
    std::vector<Record> kept_;
    std::vector<std::uint8_t> prints_;
    std::vector<Record> dropped_large_;
    std::vector<LeafPlan> plans_;
    std::string prefix_;  ///< of the leaf that `plan` looks at
    std::size_t superseded_kept_ = 0;
    Sequence newest_{};
    bool has_large_ = false;
    bool ascending_ = false;
};

/// The shortest key k with a < k <= b. Precondition: a < b.
Bytes shortest_separator(Bytes a, Bytes b);

}  // namespace fulgur::storage
