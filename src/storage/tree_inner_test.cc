// The pages above the leaves under separators of up to 64 KiB: however the keys come, every page
// fits a frame and an image, and every key is found.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "base/hash.h"
#include "os/memory_file_system.h"
#include "os/random.h"
#include "storage/data_file.h"
#include "storage/image_codec.h"
#include "storage/page_image.h"
#include "storage/space.h"
#include "storage/tree.h"

namespace fulgur::storage {
namespace {

/// A tree without an engine, and what it should hold.
class TreeInnerTest : public ::testing::Test {
protected:
    TreeInnerTest() {
        data_ = std::make_unique<DataFile>(
            std::move(files_.open("data", os::FileSystem::Mode::kCreate)).value());
        context_.reset(new TreeContext{frames_, descriptors_, versions_, *data_, space_, clock_,
                                       counters_, codec_});
        tree_ = std::make_unique<Tree>(*context_);
        tree_->make_empty();
        slot_ = versions_.take_slot();
    }
    ~TreeInnerTest() override {
        versions_.give_slot(slot_);
        tree_.reset();
        versions_.reclaim_all();
    }

    /// Inline, whatever its size: a large record is a split that is cheap to get.
    void put(const std::string& key, std::size_t value_bytes) {
        const std::string value(value_bytes, 'v');
        TreeOperation operation;
        operation.key = key;
        operation.value = value;
        versions_.pin(*slot_);
        std::uint64_t bytes = 0;
        const Result<void> prepared = tree_->prepare({&operation, 1}, bytes);
        ASSERT_TRUE(prepared.ok()) << prepared.error().message();
        tree_->apply({&operation, 1}, Sequence{++sequence_});
        versions_.set_visible(Sequence{sequence_});
        versions_.unpin(*slot_);
        model_[key] = value_bytes;
    }

    void expect_all() {
        versions_.pin(*slot_);
        for (const auto& [key, size] : model_) {
            const auto found = tree_->find(key, hash64(key), Sequence{sequence_});
            ASSERT_TRUE(found.ok() && *found) << key.substr(0, 30) << ", " << key.size();
            ASSERT_EQ((*found)->value().size(), size);
        }
        inner_pages_ = 0;
        const ChildWord root = load_child(tree_->root());
        ASSERT_NO_FATAL_FAILURE(expect_sound(*root.page(), {}, {}, false));
        versions_.unpin(*slot_);
    }

    void expect_sound(const PageHeader& page, Bytes low, Bytes high, bool has_high) {
        ASSERT_EQ(page.low(), low);
        ASSERT_EQ(page.has_high(), has_high);
        ASSERT_EQ(page.high(), high);
        if (page.kind == PageKind::kLeaf) return;
        ++inner_pages_;
        const auto& inner = static_cast<const Inner&>(page);
        ASSERT_LE(inner.size, kFrameBytesMax);
        ASSERT_TRUE(Inner::fits(inner.entries(), low, high));
        for (std::size_t i = 0; i < inner.children(); ++i) {
            const PageHeader& child = *load_child(inner.child(i)).page();
            ASSERT_EQ(child.level + 1, inner.level);
            ASSERT_NO_FATAL_FAILURE(expect_sound(child, inner.child_low(i), inner.child_high(i),
                                                 inner.child_has_high(i)));
        }
    }

    Inner* first_lowest_inner() {
        PageHeader* page = load_child(tree_->root()).page();
        while (page->level > 1) page = load_child(static_cast<Inner*>(page)->child(0)).page();
        return static_cast<Inner*>(page);
    }

    os::MemoryFileSystem files_;
    os::Arena arena_{2048_MiB};
    FramePool frames_{arena_, 1024_MiB};
    SlotPool<Descriptor> descriptors_{frames_};
    ImageCodec codec_{Compression::kNone};
    Versions versions_{8};
    std::unique_ptr<DataFile> data_;
    SpaceManager space_;
    CheckpointClock clock_;
    TreeCounters counters_;
    std::unique_ptr<TreeContext> context_;
    std::unique_ptr<Tree> tree_;
    Versions::Slot* slot_ = nullptr;
    std::uint64_t sequence_ = 0;
    std::map<std::string, std::size_t> model_;
    std::size_t inner_pages_ = 0;
};

/// Always just below the first page's upper fence: each split hands that page its entries back, and
/// the last of them goes.
TEST_F(TreeInnerTest, PageThatGrowsAtItsEndStaysWithinAFrame) {
    for (int i = 0; i < 1700; ++i) {
        ASSERT_NO_FATAL_FAILURE(put("a" + std::to_string(10'000 + i), 2000));
    }
    const std::string far = "b" + std::string(64'000, 'x');
    for (int step = 0; step < 60; ++step) {
        const Inner* page = first_lowest_inner();
        const std::string high(page->high());
        const std::size_t heap = page->heap_bytes, children = page->children();
        const std::size_t arrays = round_up<std::size_t>(page->capacity, 256) + 20 * page->capacity;
        const std::size_t free = page->size - sizeof(PageHeader) - arrays - heap;
        const auto same = [&](std::size_t grown) {
            const Inner* now = first_lowest_inner();
            return now->heap_bytes < heap + grown && now->heap_bytes + std::size_t{3000} >= heap &&
                   now->high() == high && now->children() >= children;
        };
        if (free > 3000 && free < far.size() && high.size() > 1000) {  // Leave it nearly full.
            const std::string family =
                "a9" + std::to_string(1000 + step) + std::string(free - 2006, 'y');
            for (int i = 0; i < 40 && same(free / 2); ++i) {
                const std::string end = i == 0 ? "a" : std::string(i, 'b');
                ASSERT_NO_FATAL_FAILURE(put(family + end, 30'000));
            }
            continue;
        }
        for (int i = 0; i < 60 && same(30'000); ++i) {
            auto at = high.empty() ? model_.end() : model_.lower_bound(high);
            const std::string before = std::prev(at)->first;
            std::string key = far;
            for (const char c : {'m', '5', '!'}) {
                if (before < key && (high.empty() || key < high)) break;
                key = before + c;
            }
            if (key.size() > kKeyBytesMax || (!high.empty() && key >= high)) break;
            ASSERT_NO_FATAL_FAILURE(put(key, 15'000));
        }
    }
    ASSERT_NO_FATAL_FAILURE(expect_all());
}

/// All separators of a page share 60,000 bytes, until one comes that does not.
TEST_F(TreeInnerTest, LostCommonPrefixMakesAsManyPagesAsItTakes) {
    const std::string shared(60'000, 'm');
    for (int i = 0; i < 900; ++i) {
        ASSERT_NO_FATAL_FAILURE(put(shared + std::to_string(10'000 + i), 15'000));
    }
    ASSERT_NO_FATAL_FAILURE(expect_all());
    for (const char c : {'a', 'b', 'z', 'y'}) {
        for (int i = 0; i < 60; ++i) {
            ASSERT_NO_FATAL_FAILURE(put(std::string(1, c) + std::to_string(100 + i), 15'000));
        }
        ASSERT_NO_FATAL_FAILURE(expect_all());
    }
    EXPECT_GT(inner_pages_, 3u);
}

/// Keys of any length up to the limit, in families that share much or nothing.
TEST_F(TreeInnerTest, FindsLongKeysThatCameInAnyOrder) {
    constexpr std::size_t kLengths[] = {1, 20, 700, 9'000, 40'000, 65'000};
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed);
        os::Random random(seed);
        for (int i = 0; i < 700; ++i) {
            std::string key(kLengths[random.below(6)], static_cast<char>('a' + random.below(4)));
            while (random.below(3) != 0 && key.size() < 64'000) {
                key += static_cast<char>('a' + random.below(26));
                key.append(random.below(kKeyBytesMax - 50 - key.size()) / 4, 'q');
            }
            key += std::to_string(random.below(1000));
            ASSERT_NO_FATAL_FAILURE(put(key, random.below(20'000)));
        }
        ASSERT_NO_FATAL_FAILURE(expect_all());
    }
}

}  // namespace
}  // namespace fulgur::storage
