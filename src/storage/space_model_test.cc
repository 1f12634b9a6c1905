// The space manager against an array with one entry for each sector, over random operations,
// checkpoints (some abandoned), pins and crashes; after a crash recovery starts from the newest
// superblock or, as if that were damaged, from the one before.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "os/random.h"
#include "storage/space.h"

namespace fulgur::storage {
namespace {

constexpr std::uint64_t kCapacity = 2048;
constexpr std::uint64_t kNever = ~std::uint64_t{0};

enum class State : std::uint8_t { kOutside, kUsed, kFree, kPending };

/// Something that was allocated: an image, or a large value that the log names.
struct Object {
    Extent extent;
    bool large = false;
    std::uint64_t emitted_at = kNever;  ///< first checkpoint whose images refer to it
    bool released = false;
    std::uint64_t tag = kNever;
    std::uint64_t epoch = 0;

    bool referred_by(std::uint64_t c) const { return emitted_at <= c && tag > c; }
};

struct Checkpoint {
    Meta meta;
    std::uint64_t file_sectors = kFirstDataSector;
    std::vector<Object> refers;  ///< what its trees reach
};

class Model {
public:
    explicit Model(std::uint64_t seed) : random_(seed) { disk_[0] = {}; }

    void run(int steps) {
        for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
            step();
            if (!testing::Test::HasFatalFailure()) compare();
        }
    }

    int crashes = 0;
    int fallbacks = 0;
    int full = 0;

private:
    void step() {
        switch (random_.below(24)) {
            case 0:
                return checkpoint();
            case 1:
                pins_.insert(epoch_);
                return;
            case 2:
                return end_pin();
            case 3:
                if (random_.one_in(4)) crash();
                return;
            case 4:
                cut();
                return;
            default:
                return mutate(published_ + 1);
        }
    }

    /// What goes on at any moment. `tag` is what a release gets: the number of the next checkpoint,
    /// or one more while that one is under way.
    void mutate(std::uint64_t tag) {
        switch (random_.below(7)) {
            case 0:
                return allocate_run();
            case 1:
                return allocate_large();
            case 2:
                return allocate_within();
            default:
                return release_one(tag);
        }
    }

    void allocate_run() {
        const std::uint64_t at_least = random_.between(1, 40);
        const std::uint64_t at_most = at_least + random_.below(100);
        const Result<Extent> run = space_->allocate_blocks(at_least, at_most);
        if (!check_allocation(run.ok() ? *run : Extent{}, run.ok(), at_least)) return;
        std::uint64_t used = 0;
        while (used < run->sectors && !random_.one_in(6)) {  // Images of odd sizes, packed.
            const std::uint64_t size = std::min(random_.between(1, 20), run->sectors - used);
            objects_.push_back({{run->sector + used, size}, false, published_ + 1});
            used += size;
        }
        mark({run->sector, used}, State::kUsed);
        const Extent tail{run->sector + used, run->sectors - used};
        space_->give_back(tail);
        mark(tail, State::kFree);
    }

    void allocate_large() {
        const std::uint64_t sectors = random_.between(1, 60);
        const auto sector = space_->allocate(sectors, SpaceManager::Emission::kLater);
        const Extent blocks{sector.ok() ? *sector : 0, round_up(sectors, kBlockSectors)};
        if (!check_allocation(blocks, sector.ok(), sectors)) return;
        mark(blocks, State::kFree);
        mark({*sector, sectors}, State::kUsed);
        objects_.push_back({{*sector, sectors}, true});
    }

    /// The lowest place inside a window; the file grows only for one that reaches beyond its end.
    void allocate_within() {
        const std::uint64_t blocks = random_.between(1, 12);
        const std::uint64_t begin = kFirstDataSector + random_.below(states_.size() + 40);
        const Extent window{begin, random_.between(1, states_.size() + 80)};
        const std::uint64_t at_most = kBlockSectors * (blocks + random_.below(8));
        const Result<Extent> run =
            space_->allocate_blocks_within(window, blocks * kBlockSectors, at_most);
        const std::optional<std::uint64_t> lowest = lowest_free_run(window, blocks);
        const std::uint64_t file = file_sectors();
        if (!run.ok()) {
            EXPECT_EQ(run.error().code(), ErrorCode::kNoSpace);
            EXPECT_FALSE(lowest.has_value());
            return;
        }
        EXPECT_GE(run->sector, window.sector);
        EXPECT_GE(run->sectors, blocks * kBlockSectors);
        EXPECT_LE(run->sectors, at_most);
        EXPECT_EQ(run->sector % kBlockSectors, 0U);
        if (lowest) {
            EXPECT_EQ(run->sector, *lowest);
            EXPECT_LE(run->end(), std::min(window.end(), file));
        } else {
            EXPECT_TRUE(window.end() > file && window.sector <= file) << "it grew for no window";
            EXPECT_GT(run->end(), file);
            mark({file, run->end() - file}, State::kFree);
        }
        for (std::uint64_t s = run->sector; s < run->end(); ++s) EXPECT_EQ(at(s), State::kFree);
        mark(*run, State::kUsed);
        objects_.push_back({*run, false, published_ + 1});
    }

    /// First sector of the lowest run of free whole blocks inside the window.
    std::optional<std::uint64_t> lowest_free_run(Extent window, std::uint64_t blocks) {
        const std::uint64_t end = std::min(window.end(), file_sectors());
        std::uint64_t begin = round_up(std::max(window.sector, kFirstDataSector), kBlockSectors);
        for (std::uint64_t s = begin; s < end; ++s) {
            if (at(s) != State::kFree) begin = round_up(s + 1, kBlockSectors);
            if (s + 1 >= begin + blocks * kBlockSectors) return begin;
        }
        return std::nullopt;
    }

    /// Every whole block of the run was free and belongs to nobody who may still read it.
    bool check_allocation(Extent run, bool ok, std::uint64_t at_least) {
        const std::uint64_t blocks = (at_least + kBlockSectors - 1) / kBlockSectors;
        if (!ok) {
            ++full;
            EXPECT_LT(longest_free_run(true), blocks);
            return false;
        }
        EXPECT_EQ(run.sector % kBlockSectors, 0U);
        EXPECT_GE(run.sectors, at_least);
        if (run.end() > file_sectors()) {
            EXPECT_LT(longest_free_run(false), blocks) << "the file grew without need";
            mark({file_sectors(), run.end() - file_sectors()}, State::kFree);
        }
        for (std::uint64_t s = run.sector; s < run.end(); ++s) EXPECT_EQ(at(s), State::kFree);
        for (const std::uint64_t c : {published_, published_ - 1}) {
            if (!disk_.contains(c)) continue;
            for (const Object& object : disk_[c].refers) {
                EXPECT_FALSE(object.extent.overlaps(run)) << "superblock " << c << " refers to it";
            }
        }
        return true;
    }

    void release_one(std::uint64_t tag) {
        if (objects_.empty()) return;
        Object& object = objects_[random_.below(objects_.size())];
        if (object.released) return;
        object.released = true;
        object.tag = tag;
        object.epoch = epoch_++;
        space_->release(object.extent, object.tag, object.epoch);
        mark(object.extent, State::kPending);
    }

    void checkpoint() {
        const std::uint64_t c = published_ + 1;
        for (int i = 0; i < 4; ++i) mutate(c);
        for (Object& object : objects_) {  // The walk meets large values that are alive.
            if (!object.large || object.emitted_at != kNever || object.released) continue;
            if (random_.one_in(3)) continue;  // It was put after the walker had passed.
            object.emitted_at = c;
            space_->note_emitted(object.extent);
        }
        for (int i = 0; i < 4; ++i) mutate(c + 1);
        Checkpoint saved;
        saved.file_sectors = space_->persist(c, saved.meta);
        for (const Object& object : objects_) {
            if (object.referred_by(c)) saved.refers.push_back(object);
        }
        for (int i = 0; i < 4; ++i) mutate(c + 1);
        if (random_.one_in(4)) return abandon(c);
        disk_[c] = std::move(saved);
        disk_.erase(c - 2);
        published_ = c;
        space_->published(c, oldest_pin());
        free_what_is_ready();
    }

    void abandon(std::uint64_t c) {
        CheckpointClock clock;
        space_->abandoned(clock, c);
        for (Object& object : objects_) {
            if (object.tag == c + 1) object.tag = c;
        }
    }

    void end_pin() {
        if (pins_.empty()) return;
        pins_.erase(std::next(pins_.begin(), static_cast<long>(random_.below(pins_.size()))));
        space_->collect(oldest_pin());
        free_what_is_ready();
    }

    void cut() {
        if (!random_.one_in(4)) return;
        std::uint64_t end = file_sectors();
        while (end > kFirstDataSector && at(end - 1) == State::kFree) --end;
        end = std::max(round_up(end, kBlockSectors), kFirstDataSector);
        EXPECT_EQ(space_->shrinkable_tail(), file_sectors() - end);
        EXPECT_EQ(space_->cut_tail(), end);
        states_.resize(end - kFirstDataSector);
    }

    void free_what_is_ready() {
        std::erase_if(objects_, [this](const Object& object) {
            if (!object.released || object.tag >= published_) return false;
            if (object.epoch >= oldest_pin()) return false;
            mark(object.extent, State::kFree);
            return true;
        });
    }

    /// Recovery from the newest superblock, or from the one before.
    void crash() {
        std::uint64_t c = published_;
        ++crashes;
        if (c > 1 && disk_.contains(c - 1) && random_.one_in(2)) {
            disk_.erase(c--);
            ++fallbacks;
        }
        const Checkpoint& found = disk_[c];
        space_ = std::make_unique<SpaceManager>(kCapacity);
        ASSERT_TRUE(space_->load(found.meta, c, found.file_sectors).ok());
        states_.assign(found.file_sectors - kFirstDataSector, State::kUsed);
        for (const Extent extent : found.meta.free) mark(extent, State::kFree);
        for (const auto& pending : found.meta.pending) mark(pending.extent(), State::kPending);
        // What is neither free nor pending is what its trees reach: no more and no less.
        std::vector<bool> reached(found.file_sectors, false);
        for (const Object& object : found.refers) {
            for (std::uint64_t s = object.extent.sector; s < object.extent.end(); ++s) {
                ASSERT_FALSE(reached[s]);
                reached[s] = true;
            }
        }
        for (std::uint64_t s = kFirstDataSector; s < found.file_sectors; ++s) {
            ASSERT_EQ(at(s) == State::kUsed, reached[s]) << "sector " << s << " after " << c;
        }
        replay(c, found);
    }

    void replay(std::uint64_t c, const Checkpoint& found) {
        const std::vector<Object> before = std::move(objects_);
        objects_ = found.refers;
        for (Object& object : objects_) object.released = false, object.tag = kNever;
        pending_of_the_recovered(c, found.meta);
        pins_.clear();
        published_ = c;
        for (const Object& object : before) {  // The log names these, and no image of `c` does.
            if (!object.large || object.released || object.emitted_at <= c) continue;
            ASSERT_TRUE(space_->take(object.extent)) << "sector " << object.extent.sector;
            ASSERT_FALSE(space_->take(object.extent));
            space_->note_unemitted(object.extent);
            if (object.extent.end() > file_sectors()) {
                const std::uint64_t end = round_up(object.extent.end(), kBlockSectors);
                mark({file_sectors(), end - file_sectors()}, State::kFree);
            }
            mark(object.extent, State::kUsed);
            carve_pending(object.extent);
            objects_.push_back({object.extent, true});
        }
    }

    /// Pending space as objects that nothing refers to any more, sector by sector.
    void pending_of_the_recovered(std::uint64_t c, const Meta& meta) {
        for (const PendingExtent& pending : meta.pending) {
            for (std::uint64_t s = pending.sector; s < pending.extent().end(); ++s) {
                objects_.push_back({{s, 1}, false, 0, true, c, 0});
            }
        }
    }
    void carve_pending(Extent extent) {
        std::erase_if(objects_, [extent](const Object& object) {
            return object.released && object.extent.overlaps(extent);
        });
    }

    void compare() {
        std::vector<State> seen(states_.size(), State::kUsed);
        const auto show = [&seen](Extent extent, State state) {
            for (std::uint64_t s = extent.sector; s < extent.end(); ++s) {
                State& sector = seen.at(s - kFirstDataSector);
                if (sector != State::kUsed) FAIL() << "sector " << s << " is there twice";
                sector = state;
            }
        };
        ASSERT_EQ(space_->file_sectors(), file_sectors());
        space_->for_each_free([&show](Extent extent) { show(extent, State::kFree); });
        space_->for_each_pending([&show](const PendingExtent& pending, std::uint64_t) {
            show(pending.extent(), State::kPending);
        });
        ASSERT_EQ(seen, states_);
        ASSERT_EQ(space_->stats().double_releases, 0U);
        ASSERT_LE(file_sectors(), kCapacity);
    }

    std::uint64_t file_sectors() const { return states_.size() + kFirstDataSector; }
    std::uint64_t oldest_pin() const {
        return pins_.empty() ? SpaceManager::kNoPins : *pins_.begin();
    }
    State at(std::uint64_t sector) const {
        return sector < file_sectors() ? states_[sector - kFirstDataSector] : State::kOutside;
    }
    void mark(Extent extent, State state) {
        if (extent.end() > file_sectors()) states_.resize(extent.end() - kFirstDataSector);
        for (std::uint64_t s = extent.sector; s < extent.end(); ++s) {
            states_[s - kFirstDataSector] = state;
        }
    }
    /// In whole blocks; with what the file may still grow, if asked.
    std::uint64_t longest_free_run(bool with_growth) const {
        std::uint64_t best = 0;
        std::uint64_t run = 0;
        const std::uint64_t end = with_growth ? kCapacity : file_sectors();
        for (std::uint64_t block = kFirstDataSector; block < end; block += kBlockSectors) {
            bool whole = true;
            for (std::uint64_t s = block; s < block + kBlockSectors; ++s) {
                whole = whole && (at(s) == State::kFree || at(s) == State::kOutside);
            }
            run = whole ? run + 1 : 0;
            best = std::max(best, run);
        }
        return best;
    }

    os::Random random_;
    std::unique_ptr<SpaceManager> space_ = std::make_unique<SpaceManager>(kCapacity);
    std::vector<State> states_;
    std::vector<Object> objects_;
    std::map<std::uint64_t, Checkpoint> disk_;  ///< the superblocks that can be read
    std::multiset<std::uint64_t> pins_;
    std::uint64_t epoch_ = 1;
    std::uint64_t published_ = 0;
};

TEST(SpaceModelTest, AgreesWithAnArrayOfSectors) {
    int crashes = 0;
    int fallbacks = 0;
    int full = 0;
    for (std::uint64_t seed = 1; seed <= 8 && !HasFailure(); ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Model model(seed);
        model.run(800);
        crashes += model.crashes;
        fallbacks += model.fallbacks;
        full += model.full;
    }
    EXPECT_GT(crashes, 30);
    EXPECT_GT(fallbacks, 10);
    EXPECT_GT(full, 10);
}

}  // namespace
}  // namespace fulgur::storage
