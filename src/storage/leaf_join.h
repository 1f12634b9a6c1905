// Joining nearly empty neighbours into one fresh leaf, the pure part: it touches no latch, epoch or
// file. The fresh leaf covers what they covered, so its prefix may be shorter than theirs.
//
// Thread safety: an object is one thread's scratch memory; nobody may append to the leaves
// meanwhile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "storage/leaf.h"
#include "storage/leaf_merge.h"

namespace fulgur::storage {

class LeafJoin {
public:
    void clear();
    /// Adds a leaf's kept records: of the right neighbour of the leaf added before.
    /// @param merge  has collected that leaf.
    void add(const Leaf& leaf, const LeafMerge& merge);
    std::size_t leaves() const { return leaves_.size(); }

    /// Bytes that the records take in the joined leaf, and its fences.
    std::size_t bytes() const;
    /// The smallest frame of which a quarter stays free; none when there is no such frame.
    std::optional<std::size_t> frame_bytes() const;
    /// Writes the leaf into a frame of that size.
    Leaf* build(char* frame, std::size_t size) const;

private:
    struct Entry {
        std::string key;
        Record record;
    };
    std::size_t prefix_size() const;

    std::vector<const Leaf*> leaves_;
    std::vector<Entry> entries_;
    Sequence newest_{};
    bool has_large_ = false;
};

}  // namespace fulgur::storage
