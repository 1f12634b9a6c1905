// Against LeafMerge::visible, which leaf_merge_test.cc holds against a history.
#include "storage/leaf_rows.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "os/random.h"
#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

std::size_t count_of_rows_below(const std::vector<Record>& rows, Bytes suffix) {
    std::size_t n = 0;
    while (n < rows.size() && rows[n].suffix() < suffix) ++n;
    return n;
}

/// Walks between two bounds, turning at random, beside an index into what the moment sees.
void expect_walks(const Leaf& leaf, Sequence moment, const std::vector<std::string>& suffixes,
                  os::Random& random) {
    std::vector<Record> seen;
    LeafMerge merge;
    merge.visible(leaf, leaf.count.load(), moment, seen);
    LeafRows rows;
    rows.enter(leaf, leaf.count.load(), moment);
    const std::string& a = suffixes[random.below(suffixes.size())];
    const std::string& b = suffixes[random.below(suffixes.size())];
    const bool open = random.one_in(3);
    const std::size_t first = rows.lower_bound(std::min(a, b));
    const std::size_t limit = open ? rows.end() : rows.lower_bound(std::max(a, b));
    const std::size_t begin = count_of_rows_below(seen, std::min(a, b));
    const std::size_t end = open ? seen.size() : count_of_rows_below(seen, std::max(a, b));

    std::size_t place = first, at = begin;
    ASSERT_EQ(rows.find_from(place, limit), at < end);
    for (int step = 0; step < 200 && at < end; ++step) {
        ASSERT_EQ(rows.row(place).bytes(), seen[at].bytes());
        if (random.one_in(3)) {
            ASSERT_EQ(rows.find_before(place, first), at > begin);
            if (at == begin) break;
            --at;
        } else {
            place = rows.behind(place);
            ++at;
            ASSERT_EQ(rows.find_from(place, limit), at < end);
        }
    }
    place = limit;
    for (at = end; at > begin; --at) {
        ASSERT_TRUE(rows.find_before(place, first));
        ASSERT_EQ(rows.row(place).bytes(), seen[at - 1].bytes());
    }
    ASSERT_FALSE(rows.find_before(place, first));
}

TEST(LeafRowsTest, ShowWhatTheMomentSeesWithAndWithoutATail) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestLeaf test;
        test.fill(random, 1 + random.below(120), random.one_in(2), 20);
        std::vector<std::string> suffixes = test.keys;
        suffixes.emplace_back("");
        suffixes.emplace_back("\xff");
        LeafMerge merge;
        // All versions stay, or those of one moment.
        const Sequence horizon{random.one_in(2) ? 0 : random.below(test.last + 2)};
        merge.collect(*test.leaf, test.leaf->count.load(), {horizon, {}}, false);
        const TestFrame frame(merge.image_bytes(*test.leaf));
        const Leaf* sorted = merge.build_image(*test.leaf, frame.data());
        for (int i = 0; i < 8; ++i) {
            const std::uint64_t oldest = to_number(horizon);
            const Sequence moment{oldest +
                                  random.below(test.last + 2 - std::min(oldest, test.last))};
            ASSERT_NO_FATAL_FAILURE(expect_walks(*test.leaf, moment, suffixes, random));
            ASSERT_NO_FATAL_FAILURE(expect_walks(*sorted, moment, suffixes, random));
        }
    }
}

}  // namespace
}  // namespace fulgur::storage
