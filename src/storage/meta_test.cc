#include "storage/meta.h"

#include <gtest/gtest.h>

#include <fulgur/options.h>

#include "base/coding.h"
#include "os/random.h"

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kFileSectors = 4096;

PageRef root_at(std::uint64_t sector) {
    PageRef ref;
    ref.sector = sector;
    ref.length = 5000;
    ref.level = 2;
    ref.flags = PageRef::kHasLarge;
    ref.checksum = 0x0102030405060708;
    ref.checkpoint = 9;
    ref.newest = 77;
    ref.count = 3;
    ref.memory_length = 8192;
    ref.delta_sector = sector + 10;
    ref.delta_length = 100;
    ref.delta_count = 2;
    ref.delta_checksum = 0xF1;
    ref.delta_newest = 78;
    return ref;
}

Meta sample() {
    Meta meta;
    meta.next_keyspace_id = 8;
    meta.keyspaces.push_back({0, 0, "users", root_at(16), 3, {{16, 10}, {40, 8}}});
    meta.keyspaces.push_back({7, 0, std::string(kKeyspaceNameBytesMax, 'n'), {}, 0, {}});
    meta.keyspaces.push_back({5, KeyspaceMeta::kDropped, "users", root_at(64), 1, {}});
    meta.free = {{200, 1}, {208, 30}, {4000, 96}};
    meta.pending = {{300, 8, 4}, {308, 2, 5}};
    return meta;
}

std::string bytes_of(const PageRef& ref) {
    std::string bytes(PageRef::kEncodedSize, '\xee');
    ref.encode(bytes.data());
    return bytes;
}

void expect_equal(const Meta& a, const Meta& b) {
    EXPECT_EQ(a.next_keyspace_id, b.next_keyspace_id);
    ASSERT_EQ(a.keyspaces.size(), b.keyspaces.size());
    for (std::size_t i = 0; i < a.keyspaces.size(); ++i) {
        EXPECT_EQ(a.keyspaces[i].id, b.keyspaces[i].id);
        EXPECT_EQ(a.keyspaces[i].flags, b.keyspaces[i].flags);
        EXPECT_EQ(a.keyspaces[i].name, b.keyspaces[i].name);
        EXPECT_EQ(a.keyspaces[i].height, b.keyspaces[i].height);
        EXPECT_EQ(a.keyspaces[i].upper, b.keyspaces[i].upper);
        EXPECT_EQ(bytes_of(a.keyspaces[i].root), bytes_of(b.keyspaces[i].root));
    }
    EXPECT_EQ(a.free, b.free);
    EXPECT_EQ(a.pending, b.pending);
}

bool refused(const Meta& meta) {
    const Result<Meta> decoded = Meta::decode(meta.encode(), kFileSectors);
    return !decoded.ok() && decoded.error().code() == ErrorCode::kCorruption;
}

/// The sample after `change`.
template <typename Change>
Meta changed(Change change) {
    Meta meta = sample();
    change(meta);
    return meta;
}

TEST(MetaTest, ComesBackAsItWasWritten) {
    const std::string bytes = sample().encode();
    EXPECT_EQ(bytes.size(), sample().encoded_size());
    expect_equal(Meta::decode(bytes, kFileSectors).value(), sample());
    expect_equal(Meta::decode(Meta().encode(), kFileSectors).value(), Meta());
}

TEST(MetaTest, IsPaddedWithZerosToFillItsExtent) {
    std::string bytes = sample().encode(8192);
    ASSERT_EQ(bytes.size(), 8192U);
    expect_equal(Meta::decode(bytes, kFileSectors).value(), sample());
    bytes.back() = 1;
    EXPECT_FALSE(Meta::decode(bytes, kFileSectors).ok());
}

TEST(MetaTest, HasTheBytesOfTheFormat) {
    Meta meta;
    meta.next_keyspace_id = 2;
    meta.keyspaces.push_back({1, 0, "k", {}, 0, {{16, 3}}});
    meta.free = {{24, 5}};
    meta.pending = {{32, 6, 7}};
    const std::string bytes = meta.encode();
    ASSERT_EQ(bytes.size(), 24U + 96 + 1 + 16 + 16 + 24);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[0]), 2U);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[4]), 1U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[8]), 1U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[16]), 1U);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[24]), 1U);
    EXPECT_EQ(bytes[24 + 9], 1);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[24 + 12]), 1U);
    EXPECT_EQ(bytes[24 + 96], 'k');
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[121]), 16U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[137]), 24U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[153 + 16]), 7U);
}

TEST(PageRefTest, KeepsItsFieldsInDeclarationOrder) {
    const std::string bytes = bytes_of(root_at(16));
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[0]), 16U);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[8]), 5000U);
    EXPECT_EQ(bytes[13], 2);
    EXPECT_EQ(bytes[14], 1);
    EXPECT_EQ(bytes[15], 0);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[16]), 0x0102030405060708U);
    EXPECT_EQ(load_le<std::uint32_t>(&bytes[44]), 8192U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[48]), 26U);
    EXPECT_EQ(load_le<std::uint64_t>(&bytes[72]), 78U);
    EXPECT_EQ(bytes_of(PageRef::decode(bytes.data())), bytes);
}

TEST(MetaTest, NoticesEveryTruncation) {
    const std::string bytes = sample().encode();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const Result<Meta> decoded = Meta::decode(Bytes(bytes).substr(0, size), kFileSectors);
        ASSERT_FALSE(decoded.ok()) << size;
        ASSERT_EQ(decoded.error().code(), ErrorCode::kCorruption);
        ASSERT_EQ(decoded.error().where(), "catalog");
    }
}

TEST(MetaTest, BelievesNoCount) {
    const std::string good = sample().encode();
    for (const std::size_t at : {4, 8, 16, 24 + 12}) {
        for (const std::uint32_t count : {4U, 1000U, 0xFFFFFFFFU}) {
            std::string bad = good;
            store_le(bad.data() + at + (at == 4 || at == 36 ? 0 : 4), count);
            EXPECT_FALSE(Meta::decode(bad, kFileSectors).ok()) << at << " " << count;
        }
    }
}

TEST(MetaTest, RefusesTwoKeyspacesOfOneIdOrName) {
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[1].id = 0; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[1].name = "users"; })));
    EXPECT_FALSE(refused(changed([](Meta& m) { m.keyspaces[0].flags = 1; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.next_keyspace_id = 7; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[1].flags = 2; })));
}

TEST(MetaTest, RefusesASectorWithTwoOwners) {
    EXPECT_TRUE(refused(changed([](Meta& m) { m.free = {{200, 9}, {208, 1}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.free = {{208, 1}, {200, 1}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.pending = {{300, 9, 4}, {308, 2, 4}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.pending = {{237, 4, 4}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[2].upper = {{47, 1}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[0].upper = {{230, 1}}; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[2].root = root_at(306); })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[2].root = root_at(298); })));  // delta
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[2].root = root_at(16); })));
}

TEST(MetaTest, RefusesExtentsOutsideTheFile) {
    for (const Extent bad : {Extent{8, 8}, Extent{4090, 7}, Extent{50, 0},
                             Extent{~std::uint64_t{0} - 3, 8}, Extent{50, ~std::uint64_t{0}}}) {
        EXPECT_TRUE(refused(changed([bad](Meta& m) { m.free = {bad}; })));
        EXPECT_TRUE(refused(changed([bad](Meta& m) {
            m.pending = {{bad.sector, bad.sectors, 1}};
        })));
        EXPECT_TRUE(refused(changed([bad](Meta& m) { m.keyspaces[0].upper = {bad}; })));
    }
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[0].root.sector = 4095; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[0].root.length = 0; })));
    EXPECT_TRUE(refused(changed([](Meta& m) { m.keyspaces[0].root.delta_sector = 15; })));
}

TEST(MetaTest, SurvivesRandomDamage) {
    const std::uint64_t seed = 20'251'121;
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    os::Random random(seed);
    const std::string good = sample().encode(1024);
    for (int round = 0; round < 20'000; ++round) {
        std::string bad = good;
        for (std::uint64_t i = random.between(1, 4); i != 0; --i) {
            bad[random.below(bad.size())] = static_cast<char>(random.next());
        }
        const Result<Meta> decoded = Meta::decode(bad, kFileSectors);
        if (decoded.ok()) {
            EXPECT_LE(decoded->encoded_size(), bad.size());
        }
    }
}

}  // namespace
}  // namespace fulgur::storage
