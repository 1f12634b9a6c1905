#include "storage/inner.h"

#include <set>

#include "storage/page_test_model.h"

namespace fulgur::storage {
namespace {

/// Child words are opaque to a page: any even number will do.
ChildWord word(std::uint64_t number) { return ChildWord::from_bits(number * 2); }

std::uint64_t child_of(const Inner& page, std::size_t index) {
    return load_child(page.child(index)).bits() / 2;
}

struct TestInner {
    std::vector<Inner::Entry> entries;
    std::string low, high;
    bool has_high = false;
    std::unique_ptr<TestFrame> frame;
    Inner* page = nullptr;

    void build(std::size_t size) {
        ASSERT_GE(size, Inner::bytes_needed(entries, low, high));
        frame = std::make_unique<TestFrame>(size);
        page = Inner::build(frame->data(), size, 1, entries, low, high, has_high);
    }
    void build_tight() { build(round_up(Inner::bytes_needed(entries, low, high), 8)); }

    std::size_t expected(const std::string& key) const {
        const auto after = std::upper_bound(
            entries.begin() + 1, entries.end(), key,
            [](const std::string& k, const Inner::Entry& entry) { return k < entry.separator; });
        return static_cast<std::size_t>(after - entries.begin()) - 1;
    }
};

TestInner random_inner(os::Random& random, std::size_t children_max) {
    TestKeys keys(random);
    std::set<std::string> separators;
    const std::size_t wanted = random.below(children_max);
    for (std::size_t i = 0; i < 3 * wanted && separators.size() < wanted; ++i) {
        std::string key = keys.next();
        if (!key.empty()) separators.insert(std::move(key));
    }
    TestInner test;
    test.entries.push_back({{}, word(1)});
    for (const std::string& s : separators) {
        test.entries.push_back({s, word(test.entries.size() + 1)});
    }
    if (separators.empty() || separators.rbegin()->size() < kKeyBytesMax) {
        test.has_high = random.one_in(2);
    }
    if (test.has_high) {
        test.high = separators.empty() ? "z" : *separators.rbegin() + '\0';
    }
    return test;
}

/// The separators, and what lies just around them.
std::vector<std::string> probes(const TestInner& test) {
    std::vector<std::string> result{"", std::string(1, '\0'), std::string(9, '\xff')};
    for (const Inner::Entry& entry : test.entries) {
        const std::string& s = entry.separator;
        result.push_back(s);
        result.push_back(s + '\0');
        result.push_back(s + '\xff');
        if (s.empty()) continue;
        result.push_back(s.substr(0, s.size() - 1));
        result.push_back(s);
        --result.back().back();
        result.push_back(s);
        ++result.back().back();
    }
    return result;
}

void expect_same_children(const TestInner& test, const Inner& page) {
    ASSERT_EQ(page.children(), test.entries.size());
    ASSERT_TRUE(page.low() == test.low);
    ASSERT_TRUE(page.high() == test.high);
    ASSERT_EQ(page.has_high(), test.has_high);
    const std::size_t n = test.entries.size();
    for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(child_of(page, i), test.entries[i].child.bits() / 2);
        // Not by ASSERT_EQ, which would print keys of 64 KiB.
        ASSERT_TRUE(page.child_low(i) == (i == 0 ? test.low : test.entries[i].separator));
        ASSERT_EQ(page.child_has_high(i), i + 1 < n || test.has_high);
        if (page.child_has_high(i)) {
            ASSERT_TRUE(page.child_high(i) ==
                        (i + 1 < n ? test.entries[i + 1].separator : test.high));
        }
    }
    for (const std::string& key : probes(test)) ASSERT_EQ(page.search(key), test.expected(key));
    const auto entries = page.entries();
    for (std::size_t i = 0; i < n; ++i) {
        ASSERT_TRUE(entries[i].separator == test.entries[i].separator);
        ASSERT_EQ(entries[i].child, test.entries[i].child);
    }
}

TEST(InnerTest, FindsTheChildThatCoversAKey) {
    for (std::uint64_t seed = 1; seed <= 120; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestInner test = random_inner(random, seed % 3 == 0 ? 6 : 150);
        if (random.one_in(2)) {
            test.build_tight();
        } else {
            test.build(round_up(Inner::bytes_needed(test.entries, test.low, test.high), 8) + 8_KiB);
        }
        expect_same_children(test, *test.page);
        if (HasFatalFailure()) return;
    }
}

TEST(InnerTest, TellsKeysApartWhoseHeadsAreEqual) {
    TestInner test;
    test.entries.push_back({{}, word(1)});
    // Zeros, or nothing, behind the same bytes; and long keys that differ late.
    std::set<std::string> separators;
    for (std::size_t zeros = 0; zeros < 12; ++zeros) {
        separators.insert("a" + std::string(zeros, '\0'));
        separators.insert("b1234567" + std::string(zeros, '\0'));
        separators.insert("b1234567" + std::string(zeros, 'x'));
    }
    for (const std::string& s : separators) {
        test.entries.push_back({s, word(test.entries.size() + 1)});
    }
    test.build_tight();
    expect_same_children(test, *test.page);
}

TEST(InnerTest, TakesItsPrefixFromTheSeparators) {
    TestInner test;
    test.entries = {
        {{}, word(1)}, {"user:100", word(2)}, {"user:150", word(3)}, {"user:199", word(4)}};
    test.build(8_KiB);
    EXPECT_EQ(test.page->common(), "user:1");
    expect_same_children(test, *test.page);
}

TEST(InnerTest, HoldsOneChild) {
    TestInner test;
    test.entries = {{{}, word(1)}};
    test.low = "a";
    test.high = "b";
    test.has_high = true;
    test.build_tight();
    EXPECT_EQ(test.page->search("a"), 0U);
    EXPECT_EQ(test.page->search("azz"), 0U);
    expect_same_children(test, *test.page);
}

TEST(InnerTest, HoldsSeparatorsOfTheGreatestLength) {
    TestInner test;
    test.entries.push_back({{}, word(1)});
    test.low = std::string(kKeyBytesMax, 'A');
    for (char c = 'B'; c < 'K'; ++c) {
        test.entries.push_back({std::string(kKeyBytesMax, c), word(test.entries.size() + 1)});
    }
    test.high = std::string(kKeyBytesMax, 'K');
    test.has_high = true;
    test.build_tight();
    EXPECT_GT(test.page->size, 512_KiB);
    expect_same_children(test, *test.page);
}

TEST(InnerTest, CopiesWithASplitAsARebuildWould) {
    std::size_t copied = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        os::Random random(seed);
        TestInner test = random_inner(random, 60);
        test.build(round_up(Inner::bytes_needed(test.entries, test.low, test.high), 8) +
                   random.below(100) * 64);
        TestKeys keys(random);
        for (int step = 0; step < 20; ++step) {
            // A new separator inside some child's range.
            const std::string separator =
                random.one_in(2) ? keys.next()
                                 : test.entries[random.below(test.entries.size())].separator + "m";
            const std::size_t index = test.page->search(separator);
            if (separator.empty() || separator.size() > kKeyBytesMax ||
                separator == test.entries[index].separator ||
                (test.has_high && separator >= test.high)) {
                continue;
            }
            const TestFrame frame(test.page->size);
            Inner* copy = Inner::copy_with_split(frame.data(), *test.page, index, word(1000 + step),
                                                 separator, word(2000 + step));
            TestInner after;
            after.entries = test.entries;
            after.low = test.low;
            after.high = test.high;
            after.has_high = test.has_high;
            after.entries[index].child = word(1000 + step);
            after.entries.insert(after.entries.begin() + static_cast<std::ptrdiff_t>(index) + 1,
                                 {separator, word(2000 + step)});
            if (copy != nullptr) {
                ++copied;
                expect_same_children(after, *copy);
                if (HasFatalFailure()) return;
                test.entries = after.entries;
                after.frame = std::make_unique<TestFrame>(frame.size());
                std::copy_n(frame.data(), frame.size(), after.frame->data());
                test.frame = std::move(after.frame);
                test.page = reinterpret_cast<Inner*>(test.frame->data());
            } else {
                after.build(round_up(Inner::bytes_needed(after.entries, after.low, after.high), 8) +
                            random.below(100) * 64);
                expect_same_children(after, *after.page);
                if (HasFatalFailure()) return;
                test = std::move(after);
            }
        }
    }
    EXPECT_GT(copied, 200U);
}

TEST(InnerTest, DoesNotCopyWhatDoesNotFitOrBreaksThePrefix) {
    TestInner test;
    test.entries = {{{}, word(1)}, {"ab1", word(2)}, {"ab3", word(3)}};
    test.build(8_KiB);
    const TestFrame frame(8_KiB);
    const auto copy = [&](Bytes separator, std::size_t index) {
        return Inner::copy_with_split(frame.data(), *test.page, index, word(8), separator, word(9));
    };
    EXPECT_EQ(copy("b", 2), nullptr);
    EXPECT_EQ(copy("ab2" + std::string(8_KiB, 'x'), 1), nullptr);
    EXPECT_NE(copy("ab2", 1), nullptr);
}

}  // namespace
}  // namespace fulgur::storage
