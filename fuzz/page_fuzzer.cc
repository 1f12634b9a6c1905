// Page images: the input is one image, taken as whatever kind its first byte says. The reference
// that a parent would have is made from the input's own header, so that the checks behind it are
// reached. What is accepted must bear everything that is done with a page, and come back byte for
// byte.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/hash.h"
#include "storage/inner.h"
#include "storage/leaf_merge.h"
#include "storage/page_image.h"

namespace {

using namespace fulgur;
using namespace fulgur::storage;

struct Free {
    void operator()(char* bytes) const { ::operator delete (bytes, std::align_val_t{64}); }
};
using Frame = std::unique_ptr<char, Free>;
Frame frame_of(std::size_t size) {
    return Frame(static_cast<char*>(::operator new (size, std::align_val_t{64})));
}

void require(bool condition) {
    if (!condition) std::abort();
}

void use_leaf(Bytes image) {
    const std::size_t size = leaf_frame_bytes(image);
    const Frame frame = frame_of(size);
    const Leaf* leaf = load_leaf(image, frame.get(), size);
    const std::size_t n = leaf->count.load();
    const bool prints_right = check_leaf_prints(image).ok();
    bool sequenced = true;  // Nothing real has sequence 0, which no horizon is below.
    std::string key(leaf->prefix());
    for (std::size_t i = 0; i < n; ++i) {
        const Record record = leaf->record(i);
        sequenced = sequenced && record.sequence() != Sequence{0};
        key.resize(leaf->prefix_size);
        key += record.suffix();
        const auto found = leaf->find(record.suffix(), print_of(hash64(key)), record.sequence());
        require(!prints_right || (found && found->bytes() == record.bytes()));
    }
    LeafMerge merge;
    merge.collect(*leaf, n, Retention{}, true);
    if (sequenced) {  // Everything stays, and there is one form only.
        require(merge.image_bytes(*leaf) == image.size());
        const Frame again = frame_of(image.size());
        merge.build_image(*leaf, again.get());
        require(std::memcmp(again.get(), image.data(), image.size()) == 0);
    }
    std::vector<Record> seen;
    merge.visible(*leaf, n, Sequence{leaf->newest.load() / 2}, seen);
    merge.collect(*leaf, n, Retention{Sequence{leaf->newest.load() / 2}, {}}, false);
    if (!merge.plan(*leaf, key, 100)) return;
    for (const LeafPlan& plan : merge.plans()) {
        const Frame fresh = frame_of(plan.size);
        merge.build(*leaf, plan, fresh.get());
    }
}

void use_inner(Bytes image) {
    const InnerImage decoded = decode_inner_image(image);
    std::vector<InnerImageEntry> again;
    std::vector<Inner::Entry> entries;
    for (const auto& entry : decoded.entries) {
        again.push_back({entry.separator, entry.ref});
        entries.push_back({entry.separator, {}});
    }
    require(inner_image_bytes(again, decoded.low, decoded.high) == image.size());
    const Frame built = frame_of(image.size());
    build_inner_image(decoded.level, again, decoded.low, decoded.high, decoded.has_high,
                      built.get());
    require(std::memcmp(built.get(), image.data(), image.size()) == 0);

    const std::size_t size = round_up(Inner::bytes_needed(entries, decoded.low, decoded.high), 8);
    const Frame frame = frame_of(size);
    const Inner* page = Inner::build(frame.get(), size, decoded.level, entries, decoded.low,
                                     decoded.high, decoded.has_high);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        require(page->search(page->child_low(i)) == i);
        require(i == 0 || page->child_low(i) == entries[i].separator);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of exactly that size, so that the sanitizer sees every byte read beyond it.
    const Frame copy = frame_of(size);
    if (size != 0) std::memcpy(copy.get(), data, size);
    const Bytes image(copy.get(), size);
    PageRef ref;
    ref.length = ref.memory_length = static_cast<std::uint32_t>(size);
    if (size >= PageHeader::kStoredBytes) {
        ref.level = static_cast<std::uint8_t>(image[1]);
        ref.count = load_le<std::uint16_t>(image.data() + 8);
        ref.newest = load_le<std::uint64_t>(image.data() + 24);
    }
    if (check_leaf_image(image, ref).ok()) use_leaf(image);
    if (check_inner_image(image, ref).ok()) use_inner(image);
    return 0;
}
