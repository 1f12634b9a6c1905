#include "storage/page_image.h"

#include <functional>

#include "storage/inner.h"
#include "storage/leaf_merge.h"
#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

const Retention kKeepAll{};

PageRef ref_of(Bytes image) {
    PageRef ref;
    ref.sector = 16;
    ref.length = ref.memory_length = static_cast<std::uint32_t>(image.size());
    ref.level = static_cast<std::uint8_t>(image[1]);
    ref.count = load_le<std::uint16_t>(image.data() + 8);
    ref.newest = load_le<std::uint64_t>(image.data() + 24);
    return ref;
}

std::string image_of(const Leaf& leaf) {
    LeafMerge merge;
    merge.collect(leaf, leaf.count.load(), kKeepAll, true);
    const TestFrame frame(merge.image_bytes(leaf));
    merge.build_image(leaf, frame.data());
    return {frame.data(), frame.size()};
}

struct Loaded {
    TestFrame frame;
    Leaf* leaf;
    explicit Loaded(Bytes image)
        : frame(leaf_frame_bytes(image)), leaf(load_leaf(image, frame.data(), frame.size())) {}
};

std::string text_of(const Result<void>& result) {
    return result ? "" : std::string(result.error().what());
}

TEST(PageImageTest, LoadsALeafThatShowsWhatTheImagedOneShowed) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        const bool fences = random.one_in(3);
        TestLeaf test(random.one_in(4) ? 256_KiB : 16_KiB, 64 * (1 + random.below(8)),
                      fences ? "p0" : "", fences ? "p999" : "", fences);
        test.fill(random, 1 + random.below(100), random.one_in(2), random.one_in(3) ? 2048 : 40);
        const std::string image = image_of(*test.leaf);
        ASSERT_EQ(text_of(check_leaf_image(image, ref_of(image))), "");
        ASSERT_TRUE(check_leaf_prints(image).ok());
        const Loaded loaded(image);
        ASSERT_EQ(loaded.leaf->capacity % 64, 0);
        ASSERT_EQ(loaded.leaf->newest.load(), test.leaf->newest.load());
        ASSERT_TRUE(image_of(*loaded.leaf) == image);
        for (int i = 0; i < 200; ++i) {
            const std::string& key = test.keys[random.below(test.keys.size())];
            const std::uint64_t snapshot = random.below(test.last + 2);
            ASSERT_TRUE(find_in(*loaded.leaf, key, snapshot) == find_in(*test.leaf, key, snapshot));
        }
    }
}

TEST(PageImageTest, LoadsALeafThatTakesMore) {
    TestLeaf test;
    ASSERT_TRUE(test.append("b", 5, {"1", 0, 0}));
    const Loaded loaded(image_of(*test.leaf));
    EXPECT_EQ(loaded.frame.size(), kFrameBytesMin);
    const TestVersion version{"2", 0, 0};
    const RecordParts parts = parts_of(*loaded.leaf, "a", 6, version);
    ASSERT_TRUE(loaded.leaf->has_room(parts.size()));
    loaded.leaf->append(parts);
    EXPECT_EQ(find_in(*loaded.leaf, "a", 6)->value, "2");
    EXPECT_EQ(find_in(*loaded.leaf, "b", 6)->value, "1");
}

TEST(PageImageTest, TakesAnEmptyLeafAndTheLargest) {
    TestLeaf empty(8_KiB, 64, "a", "b", true);
    const std::string image = image_of(*empty.leaf);
    EXPECT_EQ(text_of(check_leaf_image(image, ref_of(image))), "");
    EXPECT_EQ(Loaded(image).leaf->count.load(), 0);

    TestLeaf full(kFrameBytesMax, 27584);
    for (std::uint64_t i = 1; full.append("k", i, {}); ++i) {
    }
    const std::string large = image_of(*full.leaf);
    EXPECT_EQ(text_of(check_leaf_image(large, ref_of(large))), "");
    EXPECT_EQ(leaf_frame_bytes(large), kFrameBytesMax);
    EXPECT_TRUE(image_of(*Loaded(large).leaf) == large);
}

std::string sample_leaf() {
    TestLeaf test(8_KiB, 64, "k0", "k5", true);
    test.append("k1", 3, {"value", 0, 0});
    test.append("k1", 7, {"newer", kExpires, 99});
    test.append("k2", 4, {"", kTombstone, 0});
    test.append("k3", 5, {large_reference(4096, 24), kLarge, 0});
    test.append("k4x", 6, {"v", 0, 0});
    return image_of(*test.leaf);
}

/// Byte of the image at which record `index` begins.
std::size_t record_at(const std::string& image, std::size_t index) {
    const std::size_t capacity = load_le<std::uint16_t>(image.data() + 12);
    return image.size() -
           std::size_t{8} * load_le<std::uint16_t>(image.data() + 64 + capacity + 2 * index);
}

TEST(PageImageTest, NamesWhatIsWrongWithALeaf) {
    const std::string good = sample_leaf();
    ASSERT_EQ(text_of(check_leaf_image(good, ref_of(good))), "");
    using Change = std::function<void(std::string&, PageRef&)>;
    const auto set16 = [](std::size_t at, std::uint16_t value) {
        return [=](std::string& image, PageRef&) { store_le(image.data() + at, value); };
    };
    const auto in_record = [](std::size_t index, std::size_t at, char value) {
        return [=](std::string& image, PageRef&) { image[record_at(image, index) + at] = value; };
    };
    const std::vector<std::pair<const char*, Change>> cases{
        {"page: bad length", [](std::string& i, PageRef&) { i.resize(63); }},
        {"page: bad length", [](std::string& i, PageRef&) { i += "1"; }},
        {"page: wrong kind", [](std::string& i, PageRef&) { i[0] = 2; }},
        {"page: wrong level", [](std::string&, PageRef& r) { r.level = 1; }},
        {"page: wrong size", [](std::string& i, PageRef&) { i += std::string(8, '\0'); }},
        {"page: wrong size", [](std::string&, PageRef& r) { r.memory_length += 8; }},
        {"page: unknown flags", [](std::string& i, PageRef&) { i[2] = 3; }},
        {"page: wrong count", [](std::string&, PageRef& r) { ++r.count; }},
        {"page: not the newest sequence it should have",
         [](std::string&, PageRef& r) { ++r.newest; }},
        {"page: reserved bytes of the header are not zero",
         [](std::string& i, PageRef&) { i[40] = 1; }},
        {"page: an upper fence that is not there", [](std::string& i, PageRef&) { i[2] = 0; }},
        {"page: fences out of bounds", set16(16, 60000)},
        {"page: padding of fences is not zero", [](std::string& i, PageRef&) { i.back() = 1; }},
        {"page: fences out of order", [](std::string& i, PageRef&) { i[i.size() - 8] = 'z'; }},
        {"leaf: not sorted", set16(10, 4)},
        {"leaf: wrong capacity", set16(12, 16)},
        {"leaf: wrong prefix", set16(14, 0)},
        {"leaf: heap out of bounds",
         [](std::string& i, PageRef&) { i[20] = static_cast<char>(i[20] + 8); }},
        {"leaf: unused slots are not zero", set16(64 + 8 + 2 * 7, 1)},
        {"leaf: unused slots are not zero", [](std::string& i, PageRef&) { i[64 + 7] = 1; }},
        {"leaf: a slot out of bounds", set16(64 + 8, 60000)},
        {"leaf: a slot out of bounds", set16(64 + 8 + 2, 0)},
        {"leaf: a record of the wrong size", in_record(1, 0, 120)},
        {"leaf: unknown flags of a record", in_record(0, 4, 12)},
        {"leaf: unknown flags of a record", in_record(0, 5, 1)},
        {"leaf: a tombstone with a value", in_record(1, 4, kTombstone)},
        {"leaf: a large value's reference of the wrong size", in_record(1, 4, kLarge)},
        {"leaf: a large value's reference with an address", in_record(3, 13 + 24, 1)},
        {"leaf: a large value out of bounds", in_record(3, 13 + 1, 0)},
        {"leaf: a large value out of bounds", in_record(3, 13 + 16, 0)},
        {"leaf: keys out of order", in_record(2, 12, '0')},
        {"leaf: versions out of order", in_record(1, 6, 7)},
        {"leaf: a record newer than the page", in_record(2, 6, 8)},
        {"leaf: a key above the upper fence", in_record(4, 12, '5')},
        {"leaf: padding of a record is not zero", in_record(2, 15, 1)},
    };
    for (const auto& [text, change] : cases) {
        std::string image = good;
        PageRef ref = ref_of(good);
        change(image, ref);
        EXPECT_EQ(text_of(check_leaf_image(image, ref)), text);
    }
    std::string print = good;
    ++print[64];
    EXPECT_TRUE(check_leaf_image(print, ref_of(print)).ok());
    EXPECT_EQ(text_of(check_leaf_prints(print)), "leaf: a wrong fingerprint");
}

TEST(PageImageTest, RefusesAKeyBelowTheLowerFence) {
    TestLeaf test(8_KiB, 64, "k3", "k5", true);
    ASSERT_TRUE(test.append("k4", 1, {}));
    std::string image = image_of(*test.leaf);
    image[record_at(image, 0) + 12] = '2';
    EXPECT_EQ(text_of(check_leaf_image(image, ref_of(image))), "leaf: a key below the lower fence");
}

/// What an accepted image must bear: everything that is done with a page.
void use_leaf(const std::string& image) {
    const Loaded loaded(image);
    LeafMerge merge;
    std::vector<Record> seen;
    const Leaf& leaf = *loaded.leaf;
    merge.visible(leaf, leaf.count.load(), Sequence{5}, seen);
    for (const Record& record : seen) {
        find_in(leaf, key_of(leaf, record), 5);
    }
    merge.collect(leaf, leaf.count.load(), {Sequence{5}, {}}, false);
    if (!merge.plan(leaf, "k4", 100)) return;
    for (const LeafPlan& plan : merge.plans()) {
        const TestFrame frame(plan.size);
        merge.build(leaf, plan, frame.data());
    }
}

TEST(PageImageTest, BearsEveryFlippedBitOfALeaf) {
    const std::string good = sample_leaf();
    std::size_t accepted = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string image = good;
        image[bit / 8] = static_cast<char>(image[bit / 8] ^ (1 << bit % 8));
        const TestFrame exact(image.size());
        std::copy(image.begin(), image.end(), exact.data());
        for (const PageRef& ref : {ref_of(good), ref_of(image)}) {
            if (!check_leaf_image({exact.data(), exact.size()}, ref).ok()) continue;
            ++accepted;
            use_leaf(image);
        }
    }
    EXPECT_LT(accepted, 8 * good.size());
}

struct InnerSample {
    std::vector<std::string> separators;
    std::vector<InnerImageEntry> entries;
    std::string low, high;
    bool has_high = false;

    std::string build(std::uint8_t level = 2) const {
        const TestFrame frame(inner_image_bytes(entries, low, high));
        build_inner_image(level, entries, low, high, has_high, frame.data());
        return {frame.data(), frame.size()};
    }
};

PageRef child(std::uint64_t number, std::uint8_t level) {
    PageRef ref;
    ref.sector = 16 + number * 8;
    ref.length = ref.memory_length = 4096;
    ref.level = level;
    ref.checksum = number * 77;
    ref.checkpoint = number;
    ref.newest = 100 + number;
    ref.count = 12;
    return ref;
}

TEST(PageImageTest, DecodesAnInnerPageAsItWasBuilt) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestKeys keys(random);
        std::map<std::string, int> chosen;
        for (std::uint64_t i = random.below(50); i > 0; --i) chosen[keys.next()];
        chosen.erase("");
        InnerSample sample;
        for (const auto& [key, unused] : chosen) sample.separators.push_back(key);
        const std::uint8_t level = static_cast<std::uint8_t>(1 + random.below(3));
        const std::uint8_t below = static_cast<std::uint8_t>(level - 1);
        sample.entries.push_back({{}, child(0, below)});
        for (const std::string& key : sample.separators) {
            sample.entries.push_back({key, child(sample.entries.size(), below)});
        }
        if (sample.separators.empty() || sample.separators.back().size() < kKeyBytesMax) {
            sample.has_high = true;
            sample.high = sample.separators.empty() ? "z" : sample.separators.back() + "z";
        }
        const std::string image = sample.build(level);
        ASSERT_EQ(text_of(check_inner_image(image, ref_of(image))), "");
        const InnerImage decoded = decode_inner_image(image);
        ASSERT_EQ(decoded.level, level);
        ASSERT_TRUE(decoded.low == sample.low && decoded.high == sample.high);
        ASSERT_EQ(decoded.has_high, sample.has_high);
        ASSERT_EQ(decoded.entries.size(), sample.entries.size());
        for (std::size_t i = 0; i < decoded.entries.size(); ++i) {
            if (i != 0) {
                ASSERT_TRUE(decoded.entries[i].separator == sample.entries[i].separator);
            }
            char expected[PageRef::kEncodedSize], found[PageRef::kEncodedSize];
            sample.entries[i].ref.encode(expected);
            decoded.entries[i].ref.encode(found);
            ASSERT_EQ(std::memcmp(expected, found, sizeof(expected)), 0);
        }
    }
}

InnerSample sample_inner() {
    InnerSample sample;
    sample.entries = {{{}, child(1, 1)}, {"bbb", child(2, 1)}, {"c", child(3, 1)}};
    sample.low = "a";
    sample.high = "d";
    sample.has_high = true;
    return sample;
}

TEST(PageImageTest, NamesWhatIsWrongWithAnInnerPage) {
    const std::string good = sample_inner().build();
    ASSERT_EQ(text_of(check_inner_image(good, ref_of(good))), "");
    const std::size_t separators = 64 + 3 * PageRef::kEncodedSize;
    const std::vector<std::tuple<const char*, std::size_t, char>> cases{
        {"page: wrong kind", 0, 1},
        {"page: wrong size", 4, 0},
        {"inner page: no level", 1, 0},
        {"inner page: no children", 8, 0},
        {"inner page: children out of bounds", 8, 30},
        {"inner page: reserved bytes are not zero", 10, 1},
        {"inner page: a child of the wrong level", 64 + 13, 0},
        {"inner page: a child out of bounds", 64, 0},
        {"inner page: a child out of bounds", 64 + 7, 1},
        {"page: an impossible length", 64 + 8, 4},
        {"page: an impossible length", 64 + 11, 1},
        {"page: an impossible length", 64 + 44, 4},
        {"page: compressed in a way unknown here", 64 + 12, 1},
        {"page: compressed in a way unknown here", 64 + 12, 3},
        {"page: referred to in a newer form", 64 + 14, 2},
        {"page: referred to in a newer form", 64 + 15, 1},
        {"page: referred to in a newer form", 64 + 48, 1},
        {"inner page: wrong newest sequence", 64 + 160 + 32, 1},
        {"inner page: separators out of bounds", separators + 1, 1},
        {"inner page: separators out of order", separators + 2, 'a' - 1},
        {"inner page: separators out of order", separators + 2, 'd'},
        {"inner page: a separator above the upper fence", separators + 7, 'd'},
    };
    for (const auto& [text, at, value] : cases) {
        std::string image = good;
        image[at] = value;
        PageRef ref = ref_of(image);
        EXPECT_EQ(text_of(check_inner_image(image, ref)), text) << at;
    }
    std::string newer = good;
    newer[64 + 12] = 1;
    EXPECT_EQ(check_inner_image(newer, ref_of(newer)).error().code(), ErrorCode::kUnsupported);
}

TEST(PageImageTest, BearsEveryFlippedBitOfAnInnerPage) {
    const std::string good = sample_inner().build();
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        std::string image = good;
        image[bit / 8] = static_cast<char>(image[bit / 8] ^ (1 << bit % 8));
        const TestFrame exact(image.size());
        std::copy(image.begin(), image.end(), exact.data());
        const Bytes bytes(exact.data(), exact.size());
        if (!check_inner_image(bytes, ref_of(image)).ok()) continue;
        const InnerImage decoded = decode_inner_image(bytes);
        std::vector<Inner::Entry> entries;
        for (const auto& entry : decoded.entries) entries.push_back({entry.separator, {}});
        const TestFrame frame(round_up(Inner::bytes_needed(entries, decoded.low, decoded.high), 8));
        const Inner* page = Inner::build(frame.data(), frame.size(), decoded.level, entries,
                                         decoded.low, decoded.high, decoded.has_high);
        EXPECT_LT(page->search("bbbb"), entries.size());
    }
}

}  // namespace
}  // namespace fulgur::storage
