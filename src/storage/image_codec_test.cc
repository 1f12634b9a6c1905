#include "storage/image_codec.h"

#include "storage/leaf_merge.h"
#include "storage/page_image.h"
#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

constexpr Compression kWays[] = {Compression::kNone, Compression::kLz4, Compression::kZstd,
                                 Compression::kAutomatic};

std::string image_of(const Leaf& leaf) {
    LeafMerge merge;
    merge.collect(leaf, leaf.count.load(), Retention{}, true);
    const TestFrame frame(merge.image_bytes(leaf));
    merge.build_image(leaf, frame.data());
    return {frame.data(), frame.size()};
}

PageRef ref_of(Bytes image) {
    PageRef ref;
    ref.sector = 16;
    ref.count = load_le<std::uint16_t>(image.data() + 8);
    ref.newest = load_le<std::uint64_t>(image.data() + 24);
    return ref;
}

/// Rows whose values say little, or nothing twice.
std::string leaf_image(os::Random& random, bool compressible) {
    TestLeaf test(16_KiB, 128);
    for (std::uint64_t i = 1;; ++i) {
        std::string value(compressible ? 100 : 1000, 'v');
        if (!compressible) {
            for (char& byte : value) byte = static_cast<char>(random.next());
        }
        if (!test.append("key" + std::to_string(1000 + i), i, {value, 0, 0})) break;
    }
    return image_of(*test.leaf);
}

std::vector<char> copy_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

struct Packed {
    PageRef ref;
    std::vector<char> stored;
};

Packed pack(Compression way, Bytes image) {
    ImageCodec codec(way);
    ImageCompressor compressor(codec);
    Packed packed{ref_of(image), {}};
    packed.stored = copy_of(compressor.pack(image, packed.ref));
    return packed;
}

std::string text_of(const Result<std::vector<char>>& result) {
    return result ? "" : std::string(result.error().what());
}

/// What a reader and the next checkpoint do with an image that was accepted.
void use(const PageRef& ref, Bytes image) {
    const TestFrame frame(leaf_frame_bytes(image));
    const Leaf* leaf = load_leaf(image, frame.data(), frame.size());
    const std::size_t n = leaf->count.load();
    EXPECT_EQ(n, ref.count);
    std::string key(leaf->prefix());
    bool sequenced = true;  // Nothing real has sequence 0, which no horizon is below.
    for (std::size_t i = 0; i < n; ++i) {
        const Record record = leaf->record(i);
        EXPECT_LE(record.sequence(), Sequence{ref.newest});
        sequenced = sequenced && record.sequence() != Sequence{0};
        key.resize(leaf->prefix_size);
        key += record.suffix();
        const auto found = leaf->find(record.suffix(), print_of(hash64(key)), record.sequence());
        EXPECT_TRUE(!check_leaf_prints(image) || (found && found->bytes() == record.bytes()));
    }
    if (sequenced) {
        EXPECT_TRUE(image_of(*leaf) == image);
    }
}

TEST(ImageCodecTest, GivesBackWhatItPacked) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestLeaf test(random.one_in(4) ? 256_KiB : 16_KiB, 64 * (1 + random.below(8)));
        test.fill(random, 1 + random.below(100), random.one_in(2), random.one_in(3) ? 2048 : 40);
        const std::string image = image_of(*test.leaf);
        for (const Compression way : kWays) {
            const Packed packed = pack(way, image);
            EXPECT_EQ(packed.ref.length, packed.stored.size());
            const Result<std::vector<char>> back = unpack_image(packed.stored, packed.ref);
            ASSERT_TRUE(back.ok()) << back.error().message();
            ASSERT_TRUE(*back == copy_of(image));
        }
    }
}

TEST(ImageCodecTest, ShrinksWhatSaysLittleAndLeavesTheRestAlone) {
    os::Random random(1);
    const std::string little = leaf_image(random, true);
    const std::string much = leaf_image(random, false);
    for (const Compression way : kWays) {
        const Packed shrunk = pack(way, little);
        EXPECT_EQ(shrunk.ref.codec == kCodecNone, way == Compression::kNone);
        if (way != Compression::kNone) {
            EXPECT_LT(shrunk.stored.size(), little.size() / 2);
        }
        const Packed plain = pack(way, much);
        EXPECT_EQ(plain.ref.codec, kCodecNone);
        EXPECT_TRUE(plain.stored == copy_of(much));
    }
    EXPECT_EQ(pack(Compression::kZstd, little).ref.codec, kCodecZstd);
    EXPECT_EQ(pack(Compression::kLz4, little).ref.codec, kCodecLz4);
}

TEST(ImageCodecTest, StoresPlainWhatSavesLessThanAnEighthOfItsSectors) {
    // Noise, and behind it zeros, by which the image shrinks sector by sector.
    os::Random random(7);
    std::string noise(8_KiB, '\0');
    for (std::size_t zeros = 0; zeros <= 4_KiB; zeros += 64) {
        std::string image = noise;
        for (std::size_t i = 0; i < image.size() - zeros; ++i) {
            image[i] = static_cast<char>(random.next());
        }
        const Packed packed = pack(Compression::kLz4, image);
        const std::uint64_t sectors = packed.ref.sectors();
        EXPECT_TRUE(sectors == 16 || sectors <= 14) << zeros;
        EXPECT_EQ(packed.ref.codec == kCodecNone, sectors == 16) << zeros;
        EXPECT_TRUE(zeros < 1536 || packed.ref.codec != kCodecNone) << zeros;
    }
}

TEST(ImageCodecTest, AutomaticTriesFewOfThoseThatDoNotShrinkAndFindsThoseThatDo) {
    os::Random random(1);
    const std::string little = leaf_image(random, true);
    const std::string much = leaf_image(random, false);
    ImageCodec codec(Compression::kAutomatic);
    ImageCompressor compressor(codec);
    PageRef ref;
    for (int i = 0; i < 1600; ++i) compressor.pack(much, ref);
    EXPECT_EQ(codec.counters().compressed, 0u);
    EXPECT_GE(codec.counters().untried, 1480u);
    for (int i = 0; i < 100; ++i) compressor.pack(little, ref);
    EXPECT_GE(codec.counters().compressed, 85u);
    EXPECT_EQ(codec.counters().plain + codec.counters().compressed, 1700u);
    EXPECT_TRUE(codec.used());
}

TEST(ImageCodecTest, BearsEveryFlippedBitOfACompressedImage) {
    os::Random random(3);
    TestLeaf test(8_KiB, 64, "k0", "k5", true);
    for (std::uint64_t i = 1; i < 20; ++i) {
        test.append("k" + std::to_string(random.below(5)), i, {std::string(30, 'v'), 0, 0});
    }
    const std::string image = image_of(*test.leaf);
    for (const Compression way : {Compression::kLz4, Compression::kZstd}) {
        const Packed good = pack(way, image);
        ASSERT_NE(good.ref.codec, kCodecNone);
        for (std::size_t bit = 0; bit < 8 * good.stored.size(); ++bit) {
            std::vector<char> stored = good.stored;
            stored[bit / 8] = static_cast<char>(stored[bit / 8] ^ (1 << bit % 8));
            EXPECT_EQ(text_of(unpack_image(stored, good.ref)), "page checksum mismatch");
            // And when the checksum says nothing: refused, or a page that may be used.
            PageRef ref = good.ref;
            ref.checksum = hash64({stored.data(), stored.size()});
            const Result<std::vector<char>> back = unpack_image(stored, ref);
            if (back) use(ref, {back->data(), back->size()});
        }
        for (std::size_t size = 0; size < good.stored.size(); ++size) {
            PageRef ref = good.ref;
            const std::vector<char> cut(good.stored.begin(),
                                        good.stored.begin() + static_cast<std::ptrdiff_t>(size));
            ref.length = static_cast<std::uint32_t>(size);
            ref.checksum = hash64({cut.data(), cut.size()});
            EXPECT_FALSE(unpack_image(cut, ref).ok()) << size;
        }
    }
}

TEST(ImageCodecTest, SaysWhatIsWrongWithAReference) {
    os::Random random(3);
    const std::string image = leaf_image(random, true);
    const Packed good = pack(Compression::kLz4, image);
    const auto said = [&](auto change) {
        PageRef ref = good.ref;
        change(ref);
        return text_of(unpack_image(good.stored, ref));
    };
    EXPECT_EQ(said([](PageRef&) {}), "");
    EXPECT_EQ(said([](PageRef& r) { r.codec = 3; }), "page: compressed in a way unknown here");
    EXPECT_EQ(said([](PageRef& r) { r.level = 1; }), "page: compressed in a way unknown here");
    EXPECT_EQ(said([](PageRef& r) { r.codec = kCodecNone; }), "page: an impossible length");
    EXPECT_EQ(said([](PageRef& r) { r.memory_length = 1 << 30; }), "page: an impossible length");
    EXPECT_EQ(said([](PageRef& r) { r.memory_length = r.length; }), "page: an impossible length");
    EXPECT_EQ(said([](PageRef& r) { r.length = 0; }), "page: an impossible length");
    EXPECT_EQ(said([](PageRef& r) { r.memory_length += 8; }),
              "page: does not decompress to its length");
    EXPECT_EQ(said([](PageRef& r) { r.memory_length -= 8; }),
              "page: does not decompress to its length");
    EXPECT_EQ(said([](PageRef& r) { r.codec = kCodecZstd; }),
              "page: does not decompress to its length");
    EXPECT_EQ(said([](PageRef& r) { r.delta_sector = 16; }), "page: referred to in a newer form");
    PageRef unknown = good.ref;
    unknown.codec = 200;
    EXPECT_EQ(unpack_image(good.stored, unknown).error().code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace fulgur::storage
