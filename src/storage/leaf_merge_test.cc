#include "storage/leaf_merge.h"

#include <list>
#include <set>

#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kSeeds = 80;

std::size_t count_of(const Leaf& leaf) { return leaf.count.load(std::memory_order_relaxed); }

/// A horizon and snapshots, as they could be when `last` was the newest sequence.
struct Moments {
    std::vector<Sequence> snapshots;
    Retention retention;

    Moments(os::Random& random, std::uint64_t last) {
        std::set<std::uint64_t> chosen;
        for (std::uint64_t i = random.below(5); i > 0; --i) chosen.insert(random.below(last + 1));
        for (const std::uint64_t s : chosen) snapshots.push_back(Sequence{s});
        retention = {Sequence{random.below(last + 2)}, snapshots};
    }
    bool allowed(std::uint64_t moment) const {
        return Sequence{moment} >= retention.horizon ||
               std::binary_search(snapshots.begin(), snapshots.end(), Sequence{moment});
    }
};

/// Sequences of one key that must stay, newest first: the rule, written down once more.
std::vector<std::uint64_t> expected_kept(const std::map<std::uint64_t, TestVersion>& versions,
                                         const Retention& retention, bool keep_large) {
    const std::uint64_t horizon = to_number(retention.horizon);
    std::set<std::uint64_t, std::greater<>> kept;
    const auto keep_newest_at = [&](std::uint64_t moment) {
        const auto after = versions.upper_bound(moment);
        if (after != versions.begin()) kept.insert(std::prev(after)->first);
    };
    keep_newest_at(horizon);
    for (const Sequence s : retention.snapshots) keep_newest_at(to_number(s));
    for (const auto& [sequence, version] : versions) {
        if (sequence > horizon || (keep_large && (version.flags & kLarge) != 0))
            kept.insert(sequence);
    }
    std::vector<std::uint64_t> result(kept.begin(), kept.end());
    while (!result.empty() && result.back() <= horizon && versions.at(result.back()).tombstone()) {
        result.pop_back();
    }
    return result;
}

using Kept = std::vector<std::pair<std::string, std::uint64_t>>;

Kept kept_of(const Leaf& leaf, std::span<const Record> records) {
    Kept result;
    for (const Record& record : records) {
        result.emplace_back(key_of(leaf, record), to_number(record.sequence()));
    }
    return result;
}

TEST(LeafMergeTest, KeepsExactlyWhatTheMomentsNeedInOrder) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestLeaf test;
        test.fill(random, 1 + random.below(60), random.one_in(2), 20);
        const Moments moments(random, test.last);
        const bool keep_large = random.one_in(2);
        Kept expected;
        std::multiset<std::pair<std::string, std::uint64_t>> dropped;
        std::size_t superseded = 0;
        for (const auto& [key, versions] : test.history) {
            const auto kept = expected_kept(versions, moments.retention, keep_large);
            for (const std::uint64_t sequence : kept) expected.emplace_back(key, sequence);
            if (!kept.empty()) superseded += kept.size() - 1;
            for (const auto& [sequence, version] : versions) {
                const bool stays = std::find(kept.begin(), kept.end(), sequence) != kept.end();
                if (!stays && (version.flags & kLarge) != 0) dropped.emplace(key, sequence);
            }
        }
        LeafMerge merge;
        merge.collect(*test.leaf, count_of(*test.leaf), moments.retention, keep_large);
        ASSERT_TRUE(kept_of(*test.leaf, merge.kept()) == expected);
        const Kept large = kept_of(*test.leaf, merge.dropped_large());
        ASSERT_EQ(
            (std::multiset<std::pair<std::string, std::uint64_t>>(large.begin(), large.end())),
            dropped);
        ASSERT_EQ(merge.superseded_kept(), superseded);
        ASSERT_EQ(merge.has_large(),
                  std::any_of(merge.kept().begin(), merge.kept().end(),
                              [](const Record& record) { return record.large(); }));
        ASSERT_TRUE(!keep_large || merge.dropped_large().empty());
    }
}

TEST(LeafMergeTest, LooksAtTheFirstRecordsOnly) {
    TestLeaf test;
    ASSERT_TRUE(test.append("a", 1, {"1", 0, 0}));
    ASSERT_TRUE(test.append("a", 2, {"2", 0, 0}));
    LeafMerge merge;
    merge.collect(*test.leaf, 1, {Sequence{9}, {}}, false);
    EXPECT_EQ(kept_of(*test.leaf, merge.kept()), (Kept{{"a", 1}}));
}

TEST(LeafMergeTest, DropsATombstoneOnlyWhenNothingLiesBelowIt) {
    TestLeaf test;
    ASSERT_TRUE(test.append("a", 1, {"old", 0, 0}));
    ASSERT_TRUE(test.append("a", 5, {"", kTombstone, 0}));
    LeafMerge merge;
    const std::vector<Sequence> snapshots{Sequence{3}};
    merge.collect(*test.leaf, 2, {Sequence{7}, snapshots}, false);
    EXPECT_EQ(kept_of(*test.leaf, merge.kept()), (Kept{{"a", 5}, {"a", 1}}));
    merge.collect(*test.leaf, 2, {Sequence{4}, {}}, false);
    EXPECT_EQ(kept_of(*test.leaf, merge.kept()), (Kept{{"a", 5}, {"a", 1}}));
    merge.collect(*test.leaf, 2, {Sequence{5}, {}}, false);
    EXPECT_TRUE(merge.kept().empty());
}

TEST(LeafMergeTest, KeepsATombstoneAboveALargeValueThatStays) {
    TestLeaf test;
    ASSERT_TRUE(test.append("a", 1, {large_reference(5000, 16), kLarge, 0}));
    ASSERT_TRUE(test.append("a", 5, {"", kTombstone, 0}));
    LeafMerge merge;
    merge.collect(*test.leaf, 2, {Sequence{9}, {}}, true);
    EXPECT_EQ(kept_of(*test.leaf, merge.kept()), (Kept{{"a", 5}, {"a", 1}}));
    merge.collect(*test.leaf, 2, {Sequence{9}, {}}, false);
    EXPECT_TRUE(merge.kept().empty());
    EXPECT_EQ(merge.dropped_large().size(), 1U);
}

TEST(LeafMergeTest, RemembersTheSequenceOfADroppedTombstone) {
    TestLeaf test;
    ASSERT_TRUE(test.append("a", 1, {"old", 0, 0}));
    ASSERT_TRUE(test.append("b", 2, {"stays", 0, 0}));
    ASSERT_TRUE(test.append("a", 5, {"", kTombstone, 0}));
    LeafMerge merge;
    merge.collect(*test.leaf, 3, {Sequence{9}, {}}, false);
    EXPECT_EQ(kept_of(*test.leaf, merge.kept()), (Kept{{"b", 2}}));
    EXPECT_EQ(merge.newest(), Sequence{5});
    ASSERT_TRUE(merge.plan(*test.leaf, "c", 100));
    const TestFrame frame(merge.plans()[0].size);
    EXPECT_EQ(merge.build(*test.leaf, merge.plans()[0], frame.data())->newest.load(), 5U);
    const TestFrame image(merge.image_bytes(*test.leaf));
    EXPECT_EQ(merge.build_image(*test.leaf, image.data())->newest.load(), 5U);
}

TEST(LeafMergeTest, ShowsWhatASnapshotSees) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestLeaf test;
        test.fill(random, 1 + random.below(60), random.one_in(2), 20);
        LeafMerge merge;
        std::vector<Record> seen;
        for (int i = 0; i < 5; ++i) {
            const std::uint64_t snapshot = random.below(test.last + 2);
            merge.visible(*test.leaf, count_of(*test.leaf), Sequence{snapshot}, seen);
            std::size_t next = 0;
            for (const auto& [key, versions] : test.history) {
                const TestVersion* expected = test.history.visible(key, snapshot);
                if (expected == nullptr) continue;
                ASSERT_LT(next, seen.size());
                ASSERT_TRUE(key_of(*test.leaf, seen[next]) == key);
                ASSERT_EQ(version_of(seen[next]), *expected);
                ++next;
            }
            ASSERT_EQ(next, seen.size());
        }
    }
}

/// The leaves that a consolidation gives, with their memory.
struct Built {
    std::list<TestFrame> frames;
    std::vector<Leaf*> leaves;

    Built(const LeafMerge& merge, const Leaf& source) {
        for (const LeafPlan& plan : merge.plans()) {
            frames.emplace_back(plan.size);
            leaves.push_back(merge.build(source, plan, frames.back().data()));
        }
    }
};

void expect_nested(const Built& built, const Leaf& source) {
    const auto& leaves = built.leaves;
    ASSERT_TRUE(leaves.front()->low() == source.low());
    ASSERT_TRUE(leaves.back()->high() == source.high());
    ASSERT_EQ(leaves.back()->has_high(), source.has_high());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        const Leaf& leaf = *leaves[i];
        ASSERT_EQ(leaf.capacity % 64, 0);
        ASSERT_EQ(leaf.sorted_count, count_of(leaf));
        ASSERT_TRUE(!leaf.has_high() || leaf.low() < leaf.high());
        if (i != 0) {
            ASSERT_TRUE(leaves[i - 1]->high() == leaf.low());
            ASSERT_TRUE(leaves[i - 1]->has_high());
        }
        for (std::size_t r = 0; r < count_of(leaf); ++r) {
            const std::string key = key_of(leaf, leaf.record(r));
            ASSERT_TRUE(leaf.covers(key));
            ASSERT_EQ(leaf.print(r), print_of_key(key));
        }
    }
}

TEST(LeafMergeTest, ChangesNothingForReadersAtAllowedMoments) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        const bool fences = random.one_in(3);
        TestLeaf test(16_KiB, 512, fences ? "p0" : "", fences ? "p999" : "", fences);
        test.fill(random, 1 + random.below(150), random.one_in(2), random.one_in(3) ? 600 : 20);
        const Moments moments(random, test.last);
        LeafMerge merge;
        merge.collect(*test.leaf, count_of(*test.leaf), moments.retention, false);
        const std::string incoming = test.keys[random.below(test.keys.size())];
        const std::size_t incoming_bytes = Record::size_of(incoming.size(), 100, false);
        ASSERT_TRUE(merge.plan(*test.leaf, incoming, incoming_bytes));
        const Built built(merge, *test.leaf);
        expect_nested(built, *test.leaf);
        std::size_t kept = 0;
        for (const Leaf* leaf : built.leaves) {
            kept += count_of(*leaf);
            if (leaf->covers(incoming)) {
                ASSERT_TRUE(leaf->has_room(incoming_bytes));
            }
        }
        ASSERT_EQ(kept, merge.kept().size());
        for (std::uint64_t moment = 0; moment <= test.last + 1; ++moment) {
            if (!moments.allowed(moment) || !random.one_in(4)) continue;
            for (const auto& [key, versions] : test.history) {
                const auto leaf = std::find_if(built.leaves.begin(), built.leaves.end(),
                                               [&](const Leaf* l) { return l->covers(key); });
                ASSERT_NE(leaf, built.leaves.end());
                const auto found = find_in(**leaf, key, moment);
                const TestVersion* expected = test.history.visible(key, moment);
                const bool shown = found && !found->tombstone();
                ASSERT_EQ(shown, expected != nullptr) << "moment " << moment;
                if (shown) {
                    ASSERT_EQ(*found, *expected);
                }
            }
        }
    }
}

/// A tree of leaves without inner pages: low fence -> leaf.
class LeafMap {
public:
    LeafMap() {
        auto node = std::make_unique<Node>(kFrameBytesMin);
        node->leaf = Leaf::format(node->frame.data(), kFrameBytesMin, 64, {}, {}, false);
        leaves_.emplace("", std::move(node));
    }

    void put(const std::string& key, std::uint64_t sequence, const TestVersion& version,
             std::uint64_t horizon) {
        for (int round = 0;; ++round) {
            ASSERT_LT(round, 2) << "a fresh leaf had no room";
            const auto at = std::prev(leaves_.upper_bound(key));
            Leaf& leaf = *at->second->leaf;
            ASSERT_TRUE(leaf.covers(key));
            const RecordParts parts = parts_of(leaf, key, sequence, version);
            if (leaf.has_room(parts.size())) {
                leaf.append(parts);
                return;
            }
            merge_.collect(leaf, count_of(leaf), {Sequence{horizon}, {}}, false);
            ASSERT_TRUE(merge_.plan(leaf, key, parts.size()));
            ++consolidations;
            std::vector<std::unique_ptr<Node>> fresh;
            for (const LeafPlan& plan : merge_.plans()) {
                fresh.push_back(std::make_unique<Node>(plan.size));
                fresh.back()->leaf = merge_.build(leaf, plan, fresh.back()->frame.data());
            }
            leaves_.erase(at);
            for (auto& node : fresh) {
                const std::string low(node->leaf->low());
                ASSERT_TRUE(leaves_.emplace(low, std::move(node)).second);
            }
        }
    }

    std::optional<TestVersion> find(const std::string& key, std::uint64_t snapshot) const {
        return find_in(*std::prev(leaves_.upper_bound(key))->second->leaf, key, snapshot);
    }
    std::vector<const Leaf*> leaves() const {
        std::vector<const Leaf*> result;
        for (const auto& [low, node] : leaves_) result.push_back(node->leaf);
        return result;
    }

    std::size_t consolidations = 0;

private:
    struct Node {
        explicit Node(std::size_t size) : frame(size) {}
        TestFrame frame;
        Leaf* leaf = nullptr;
    };
    std::map<std::string, std::unique_ptr<Node>> leaves_;
    LeafMerge merge_;
};

TEST(LeafMergeTest, MakesRoomForEveryRecordAtOnce) {
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestKeys keys(random);
        LeafMap tree;
        History history;
        const std::size_t value_bytes_max = random.one_in(3) ? kInlineValueBytesMax : 50;
        const std::uint64_t lag = random.below(300);
        for (std::uint64_t sequence = 1; sequence <= 1200; ++sequence) {
            const std::string key = keys.next();
            const TestVersion version = random_version(random, value_bytes_max);
            tree.put(key, sequence, version, sequence > lag ? sequence - lag : 0);
            if (HasFatalFailure()) return;
            history[key].emplace(sequence, version);
        }
        Bytes before;
        for (const Leaf* leaf : tree.leaves()) {
            ASSERT_TRUE(leaf->low() == before);
            before = leaf->high();
        }
        for (const auto& [key, versions] : history) {
            const auto found = tree.find(key, 1200);
            const TestVersion* expected = history.visible(key, 1200);
            ASSERT_EQ(found && !found->tombstone(), expected != nullptr);
            if (expected != nullptr) {
                ASSERT_EQ(*found, *expected);
            }
        }
    }
}

TEST(LeafMergeTest, LeavesFullPagesBehindAscendingKeys) {
    for (const std::size_t value_bytes : {4, 40, 100, 101, 107, 200, 400}) {
        for (const bool binary : {false, true}) {
            SCOPED_TRACE(std::to_string(value_bytes) + (binary ? " binary" : " digits"));
            LeafMap tree;
            for (std::uint64_t i = 1; i <= 3000; ++i) {
                std::string key = "user:0000000000";
                if (binary) {
                    key.assign(8, '\0');
                    for (std::size_t b = 0; b < 8; ++b)
                        key[b] = static_cast<char>(i >> (56 - 8 * b));
                } else {
                    const std::string digits = std::to_string(i);
                    key.replace(key.size() - digits.size(), digits.size(), digits);
                }
                tree.put(key, i, {std::string(value_bytes, 'v'), 0, 0}, i);
                if (HasFatalFailure()) return;
            }
            const auto leaves = tree.leaves();
            ASSERT_GT(leaves.size(), 4U);
            // The fence that ends a page lets its keys be cut shorter, which shows in small
            // records.
            const std::size_t percent = value_bytes < 100 ? 70 : 85;
            for (std::size_t i = 0; i + 1 < leaves.size(); ++i) {
                ASSERT_EQ(leaves[i]->size, leaves[0]->size);
                const std::size_t used = leaves[i]->size - leaves[i]->free_bytes();
                ASSERT_GE(used * 100, leaves[i]->size * percent)
                    << "leaf " << i << " of " << leaves.size();
            }
        }
    }
}

TEST(LeafMergeTest, SplitsRandomKeysInHalves) {
    os::Random random(7);
    LeafMap tree;
    for (std::uint64_t i = 1; i <= 5000; ++i) {
        std::string key(8, '\0');
        const std::uint64_t word = random.next();
        std::memcpy(key.data(), &word, 8);
        tree.put(key, i, {std::string(100, 'v'), 0, 0}, i);
        if (HasFatalFailure()) return;
    }
    for (const Leaf* leaf : tree.leaves()) {
        EXPECT_EQ(leaf->size, kFrameBytesMin);
        EXPECT_GE((leaf->size - leaf->free_bytes()) * 100, leaf->size * 40);
    }
}

TEST(LeafMergeTest, GrowsFramesForVersionsOfOneKeyAndRefusesPastTheLargest) {
    LeafMerge merge;
    std::uint64_t sequence = 0;
    auto test = std::make_unique<TestLeaf>(8_KiB, 64);
    bool refused = false;
    while (!refused) {
        ++sequence;
        if (test->append("hot", sequence, {std::string(kInlineValueBytesMax, 'v'), 0, 0})) continue;
        merge.collect(*test->leaf, count_of(*test->leaf), {Sequence{1}, {}}, false);
        refused = !merge.plan(*test->leaf, "hot", 2100);
        if (refused) break;
        ASSERT_EQ(merge.plans().size(), 1U);
        auto next = std::make_unique<TestLeaf>(merge.plans()[0].size, 64);
        next->leaf = merge.build(*test->leaf, merge.plans()[0], next->frame.data());
        test = std::move(next);
        ASSERT_TRUE(test->append("hot", sequence, {std::string(kInlineValueBytesMax, 'v'), 0, 0}));
    }
    EXPECT_EQ(test->leaf->size, kFrameBytesMax);
    merge.collect(*test->leaf, count_of(*test->leaf), {Sequence{sequence}, {}}, false);
    EXPECT_TRUE(merge.plan(*test->leaf, "hot", 2100));
    EXPECT_EQ(merge.kept().size(), 1U);
}

TEST(LeafMergeTest, MakesTheShortestSeparator) {
    EXPECT_EQ(shortest_separator("", "a"), "a");
    EXPECT_EQ(shortest_separator("a", "ab"), "ab");
    EXPECT_EQ(shortest_separator("abc", "abx"), "abx");
    EXPECT_EQ(shortest_separator("abc", "bcd"), "b");
    EXPECT_EQ(shortest_separator("a", Bytes("a\0b", 3)), Bytes("a\0", 2));
    os::Random random(3);
    TestKeys keys(random);
    for (int i = 0; i < 2000; ++i) {
        std::string a = keys.next(), b = keys.next();
        if (a == b) continue;
        if (b < a) std::swap(a, b);
        const Bytes separator = shortest_separator(a, b);
        ASSERT_LT(a, separator);
        ASSERT_LE(separator, b);
        // One byte less would not do.
        ASSERT_LE(separator.substr(0, separator.size() - 1), a);
    }
}

}  // namespace
}  // namespace fulgur::storage
