#include "storage/leaf.h"

#include <atomic>

#include "os/thread.h"
#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kSeeds = 60;

TEST(LeafTest, FindsTheNewestVersionThatASnapshotMaySee) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        const bool in_order = random.one_in(2);
        TestLeaf test(random.one_in(4) ? 256_KiB : 16_KiB, 64 * (1 + random.below(8)));
        test.fill(random, 1 + random.below(200), in_order,
                  random.one_in(4) ? kInlineValueBytesMax : 60);
        EXPECT_TRUE(!in_order || (test.leaf->marks.load() & PageHeader::kOutOfOrder) == 0);
        test.keys.emplace_back("a key that is not there");
        for (int i = 0; i < 600; ++i) {
            const std::string& key = test.keys[random.below(test.keys.size())];
            const std::uint64_t snapshot = random.below(test.last + 2);
            const TestVersion* expected = test.history.at(key, snapshot);
            const auto found = find_in(*test.leaf, key, snapshot);
            ASSERT_EQ(found.has_value(), expected != nullptr);
            if (found) {
                ASSERT_EQ(*found, *expected);
            }
        }
    }
}

TEST(LeafTest, CutsThePrefixThatItsFencesShare) {
    TestLeaf test(8_KiB, 64, "user:100", "user:199", true);
    EXPECT_EQ(test.leaf->prefix(), "user:1");
    EXPECT_EQ(test.leaf->low(), "user:100");
    EXPECT_EQ(test.leaf->high(), "user:199");
    EXPECT_TRUE(test.leaf->covers("user:100"));
    EXPECT_FALSE(test.leaf->covers("user:199"));
    EXPECT_FALSE(test.leaf->covers("user:0"));
    ASSERT_TRUE(test.append("user:150", 7, {"x", 0, 0}));
    EXPECT_EQ(test.leaf->record(0).suffix(), "50");
    EXPECT_EQ(find_in(*test.leaf, "user:150", 7)->value, "x");
    EXPECT_FALSE(find_in(*test.leaf, "user:150", 6));
    EXPECT_FALSE(find_in(*test.leaf, "user:151", 7));
}

TEST(LeafTest, CutsNothingWithoutAnUpperFence) {
    TestLeaf test(8_KiB, 64, "user:100");
    EXPECT_EQ(test.leaf->prefix_size, 0);
    EXPECT_TRUE(test.leaf->covers("zebra"));
    EXPECT_FALSE(test.leaf->covers("user:1"));
}

TEST(LeafTest, HoldsTheEmptyKeyAndTheLongest) {
    TestLeaf test(256_KiB, 64);
    const std::string longest(kKeyBytesMax, 'k');
    std::string other = longest;
    other.back() = 'l';
    ASSERT_TRUE(test.append("", 1, {"empty", 0, 0}));
    ASSERT_TRUE(test.append(longest, 2, {std::string(kInlineValueBytesMax, 'v'), 0, 0}));
    ASSERT_TRUE(test.append(other, 3, {"", 0, 0}));
    EXPECT_EQ(find_in(*test.leaf, "", 9)->value, "empty");
    EXPECT_EQ(find_in(*test.leaf, longest, 9)->value.size(), kInlineValueBytesMax);
    EXPECT_EQ(find_in(*test.leaf, other, 9)->value, "");
    EXPECT_FALSE(find_in(*test.leaf, Bytes(longest).substr(1), 9));
}

TEST(LeafTest, HoldsTheGreatestSequence) {
    TestLeaf test;
    ASSERT_TRUE(test.append("k", kSequenceMax, {"v", kExpires, ~std::uint64_t{0}}));
    EXPECT_EQ(to_number(test.leaf->record(0).sequence()), kSequenceMax);
    EXPECT_EQ(test.leaf->record(0).flags(), kExpires);
    EXPECT_EQ(test.leaf->record(0).expiry(), ~std::uint64_t{0});
    EXPECT_FALSE(find_in(*test.leaf, "k", kSequenceMax - 1));
}

TEST(LeafTest, RefusesExactlyWhatDoesNotFit) {
    TestLeaf bytes(8_KiB, 64);
    const std::size_t free = bytes.leaf->free_bytes();
    EXPECT_EQ(free, 8_KiB - 64 - 3 * 64);
    EXPECT_TRUE(bytes.leaf->has_room(free));
    EXPECT_FALSE(bytes.leaf->has_room(free + 8));
    ASSERT_TRUE(bytes.append("k", 1, {std::string(free - 13, 'v'), 0, 0}));
    EXPECT_EQ(bytes.leaf->free_bytes(), 0U);
    EXPECT_EQ(find_in(*bytes.leaf, "k", 1)->value.size(), free - 13);

    TestLeaf slots(8_KiB, 64);
    for (std::uint64_t i = 1; i <= 64; ++i) ASSERT_TRUE(slots.append("k", i, {}));
    EXPECT_FALSE(slots.append("k", 65, {}));
    for (std::uint64_t i = 1; i <= 64; ++i) EXPECT_TRUE(find_in(*slots.leaf, "k", i));
}

TEST(LeafTest, ForgetsOrderWhenAnOlderRecordArrives) {
    TestLeaf test;
    ASSERT_TRUE(test.append("a", 5, {"new", 0, 0}));
    ASSERT_TRUE(test.append("b", 5, {"same", 0, 0}));
    EXPECT_EQ(test.leaf->marks.load() & PageHeader::kOutOfOrder, 0);
    ASSERT_TRUE(test.append("a", 3, {"old", 0, 0}));
    EXPECT_EQ(test.leaf->marks.load() & PageHeader::kOutOfOrder, 1);
    EXPECT_EQ(test.leaf->newest.load(), 5U);
    EXPECT_EQ(find_in(*test.leaf, "a", 9)->value, "new");
    EXPECT_EQ(find_in(*test.leaf, "a", 4)->value, "old");
}

TEST(LeafTest, WritesRecordsAsTheFormatSays) {
    std::string bytes(Record::size_of(3, 2, true), '\xee');
    ASSERT_EQ(bytes.size(), 32U);
    encode_record(bytes.data(),
                  {"key", "vv", Sequence{0x665544332211}, 0x0102030405060708, kExpires, 0});
    EXPECT_EQ(bytes, Bytes("\3\0\2\0\4\0\x11\x22\x33\x44\x55\x66"
                           "\x08\x07\x06\x05\x04\x03\x02\x01"
                           "keyvv\0\0\0\0\0\0\0",
                           32));
    EXPECT_EQ(Record::size_of(0, 0, false), 16U);
    EXPECT_EQ(Record::size_of(4, 0, false), 16U);
    EXPECT_EQ(Record::size_of(4, 1, false), 24U);
}

TEST(LeafTest, HasSlotsForRecordsOfTheAverageSizeInWholeLines) {
    for (std::size_t size = kFrameBytesMin; size <= kFrameBytesMax; size *= 2) {
        for (const std::size_t count : {0, 1, 63, 64, 65, 1000}) {
            for (const std::size_t bytes : {16, 24, 128, 2048}) {
                const std::size_t capacity = leaf_capacity(size, count, count * bytes);
                EXPECT_EQ(capacity % 64, 0U);
                EXPECT_GT(capacity, count);
                EXPECT_LE(capacity, 65535U);
                const std::size_t average = count == 0 ? 128 : bytes;
                EXPECT_GE(capacity, std::min<std::size_t>(size / (average + 3), 65472));
            }
        }
    }
}

/// One thread appends while others read: what a reader once saw stays, and every key is whole.
TEST(LeafTest, ShowsWholeRecordsToReadersWhileOneAppends) {
    constexpr std::size_t kKeys = 50;
    const auto key = [](std::uint64_t i) { return "key" + std::to_string(i % kKeys); };
    const auto value = [](std::uint64_t i) { return std::string(i % 90, static_cast<char>(i)); };
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        TestFrame frame(64_KiB);
        Leaf* leaf = Leaf::format(frame.data(), frame.size(), 1024, {}, {}, false);
        std::atomic<std::uint64_t> appended{0};
        std::atomic<bool> done{false};
        std::atomic<std::uint64_t> faults{0};
        const auto read = [&](std::uint64_t reader) {
            os::Random random(seed * 10 + reader);
            bool last_round = false;
            while (!last_round) {
                last_round = done.load(std::memory_order_acquire);
                // Only what is published before is promised; more may be there.
                const std::uint64_t floor = appended.load(std::memory_order_acquire);
                if (floor < kKeys) continue;
                const std::uint64_t snapshot =
                    floor - random.below(std::min<std::uint64_t>(floor, 20));
                const std::uint64_t wanted =
                    snapshot - random.below(std::min<std::uint64_t>(snapshot, kKeys));
                const auto found =
                    leaf->find(key(wanted), print_of_key(key(wanted)), Sequence{snapshot});
                // The newest sequence of this key at or below the snapshot.
                const std::uint64_t expected = snapshot - (snapshot - wanted) % kKeys;
                if (!found || to_number(found->sequence()) != expected ||
                    found->value() != value(expected)) {
                    faults.fetch_add(1);
                }
            }
        };
        {
            os::Thread first("reader", [&] { read(1); });
            os::Thread second("reader", [&] { read(2); });
            for (std::uint64_t i = 1;; ++i) {
                const std::string k = key(i), v = value(i);
                const RecordParts parts{k, v, Sequence{i}, 0, 0, print_of_key(k)};
                if (!leaf->has_room(parts.size())) break;
                leaf->append(parts);
                appended.store(i, std::memory_order_release);
            }
            done.store(true, std::memory_order_release);
        }
        EXPECT_EQ(faults.load(), 0U);
        EXPECT_GT(appended.load(), 500U);
    }
}

}  // namespace
}  // namespace fulgur::storage
