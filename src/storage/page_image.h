// Images of pages, as the disk has them: checking them, and building frames from them.
//
// A leaf's image is laid out like its frame (page_format.h), with room for its records only; the
// fields that live in memory are zero. An inner page's image lists whole PageRefs:
//
//   header (64) | n x PageRef (80) | separators 1..n-1: u16 size, bytes | zeros to 8 | fences
//
// The checksum in the parent is the guard against damage; these checks guard the process against an
// image whose checksum is right and whose content is not (a bug, or a hostile file): whatever
// passes them may be used without a crash. They also leave each image one form only: what is
// accepted, loaded and imaged again has the same bytes. What they do not see is a wrong
// fingerprint, which hides a key and harms nothing else: check_leaf_prints is for whoever verifies
// a whole database.
//
// Pure: no files, latches or epochs. Any thread. docs/format.md section 5 is the authority.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <fulgur/result.h>

#include "storage/leaf.h"
#include "storage/tree_node.h"

namespace fulgur::storage {

/// @return kCorruption with a text that says what is wrong; the caller adds file and byte.
Result<void> check_leaf_image(Bytes image, const PageRef& ref);

/// That each fingerprint is its key's, in a checked leaf image: kCorruption if not. O(bytes).
Result<void> check_leaf_prints(Bytes image);

/// The smallest frame class that holds a checked leaf image. It need not leave room for more: most
/// leaves that are read in are not written, and those that are get a new frame with the first
/// record that does not fit.
std::size_t leaf_frame_bytes(Bytes image);
/// Builds the leaf of a checked image in a frame of leaf_frame_bytes(image) bytes.
Leaf* load_leaf(Bytes image, char* frame, std::size_t frame_bytes);

struct InnerImageEntry {
    Bytes separator;  ///< lower bound of the child; unused in entry 0
    PageRef ref;
};

std::size_t inner_image_bytes(std::span<const InnerImageEntry> entries, Bytes low, Bytes high);
/// Writes inner_image_bytes(...) bytes at `to`.
void build_inner_image(std::uint8_t level, std::span<const InnerImageEntry> entries, Bytes low,
                       Bytes high, bool has_high, char* to);
Result<void> check_inner_image(Bytes image, const PageRef& ref);

struct InnerImage {
    struct Entry {
        std::string separator;
        PageRef ref;
    };
    std::uint8_t level = 0;
    std::string low;
    std::string high;
    bool has_high = false;
    std::vector<Entry> entries;
};
/// Precondition: check_inner_image accepted it.
InnerImage decode_inner_image(Bytes image);

}  // namespace fulgur::storage
