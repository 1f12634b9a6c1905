// The protocol between writers, checkpoint walker and crash, as a model so small that every
// interleaving of its steps can be tried: three leaves of one key each, two writers with three
// commits of two leaves each, a leaf that may be consolidated, a flusher, a walker that checkpoints
// twice, and a crash after every step with every outcome that the disk may choose.
//
// What must hold in every state reached (the rules: docs/durability.md, storage/checkpoint.h):
//   readers   who reads at `visible` sees of each key what the commits up to it wrote last
//   crash     recovery finds no gap in the log and no end before N, and yields exactly the commits
//   up
//             to some sequence, none missing that could have been acknowledged
// The model's rules are written down here once more, on purpose without the engine's code. Each
// rule that is broken on purpose must be seen: else the model would prove nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <vector>

namespace fulgur {
namespace {

using Number = std::uint8_t;  // a sequence, a count, a position in a program

constexpr std::size_t kLeaves = 3;
constexpr std::size_t kWriters = 2;
constexpr std::array<std::size_t, kWriters> kCommitsOf{2, 1};
constexpr std::size_t kCommits = 3;

enum class Broken : std::uint8_t {
    kNothing,
    kReplayFromTheWalksEnd,     // R is `visible` after the walk instead of before it
    kLogNotSyncedToNewest,      // the superblock may be newer than the log
    kPagesNotSynced,            // the superblock may be older than what it points to
    kRecycledBeforeSuperblock,  // the log is cut before the superblock is on the disk
    kRecycledForOneSuperblock,  // ... although the other superblock may be needed
    kImagedCountReadLate,       // "unchanged" is decided by the count at adoption: a dirty flag
    kSwappedLeafAdopted,        // the image of a replaced leaf becomes its successor's
    kVisibleBeforeOlder,        // a commit is visible while an older one is not applied
};

/// Leaves of each writer's commits.
constexpr std::array<std::array<std::array<Number, 2>, 2>, kWriters> kWrites{
    {{{{0, 1}, {1, 2}}}, {{{1, 2}, {}}}}};

struct Leaf {
    Number frame = 0;                           // changes when the leaf is replaced
    Number count = 0;                           // records published
    std::array<Number, kCommits> records{};     // sequences in order of arrival
    Number imaged_frame = 0, imaged_count = 0;  // what `image` was made from
    Number image = 0;                           // newest sequence in the newest image
    Number newest(Number n) const {
        Number result = 0;
        for (Number i = 0; i < n; ++i) result = std::max(result, records[i]);
        return result;
    }
};

struct Superblock {
    Number replay = 0, newest = 0, exists = 1, pages_synced = 1;
    std::array<Number, kLeaves> images{};
};

struct Writer {
    Number commit = 0, step = 0, sequence = 0;
};

struct State {
    std::array<Leaf, kLeaves> leaves{};
    std::array<Writer, kWriters> writers{};
    std::array<Number, kCommits + 1> writer_of{}, commit_of{}, applied{};  // by sequence
    Number last = 0, visible = 0, synced = 0, log_begin = 1;
    // The walker: position in its program, which checkpoint, and what it holds.
    Number step = 0, checkpoint = 0, replay = 0;
    Number image = 0, image_frame = 0, image_count = 0, consolidated = 0, pages_synced = 1;
    Superblock older, newer, writing;  // `writing`: written, not synced
};
static_assert(std::has_unique_object_representations_v<State>, "states are compared as bytes");

class Model {
public:
    explicit Model(Broken broken) : broken_(broken) {}

    /// Explores everything that can happen. @return the first violation; empty: there is none.
    std::string explore() {
        State first;
        first.writing.exists = 0;
        reach(first);
        while (!open_.empty() && violation_.empty()) {
            const State state = open_.back();
            open_.pop_back();
            for (std::size_t w = 0; w < kWriters; ++w) writer_step(state, w);
            flush_step(state);
            consolidate_step(state);
            walker_step(state);
        }
        return violation_;
    }
    std::size_t states() const { return seen_.size(); }

private:
    void reach(const State& state) {
        const auto* bytes = reinterpret_cast<const char*>(&state);
        if (!violation_.empty() || !seen_.emplace(bytes, sizeof(state)).second) return;
        check_readers(state);
        check_crashes(state);
        open_.push_back(state);
    }

    // ---- steps

    void writer_step(State state, std::size_t w) {
        Writer& writer = state.writers[w];
        if (writer.commit == kCommitsOf[w]) return;
        const auto& leaves = kWrites[w][writer.commit];
        if (writer.step == 0) {  // Takes the sequence and appends to the log, under one mutex.
            writer.sequence = ++state.last;
            state.writer_of[writer.sequence] = static_cast<Number>(w);
            state.commit_of[writer.sequence] = writer.commit;
        } else if (writer.step <= 2) {
            Leaf& leaf = state.leaves[leaves[writer.step - 1u]];
            leaf.records[leaf.count++] = writer.sequence;
        } else if (writer.step == 3) {
            state.applied[writer.sequence] = 1;
            advance_visible(state, writer.sequence);
        } else if (state.visible < writer.sequence || state.synced < writer.sequence) {
            return;  // Waits: visible and durable first, then the next commit.
        }
        writer.step = writer.step == 4 ? Number{0} : static_cast<Number>(writer.step + 1);
        if (writer.step == 0) ++writer.commit;
        reach(state);
    }

    void advance_visible(State& state, Number sequence) const {
        if (broken_ == Broken::kVisibleBeforeOlder) {
            state.visible = std::max(state.visible, sequence);
            return;
        }
        while (state.visible < state.last && state.applied[state.visible + 1u] != 0) {
            ++state.visible;
        }
    }

    void flush_step(State state) {
        if (state.synced == state.last) return;
        state.synced = state.last;
        reach(state);
    }

    /// Leaf 1, which everybody writes, is replaced once: its superseded versions go.
    void consolidate_step(State state) {
        Leaf& leaf = state.leaves[1];
        if (state.consolidated == 1 || leaf.count < 2) return;
        ++state.consolidated;
        Leaf fresh = leaf;
        fresh.count = 0;
        fresh.records = {};
        Number kept = 0;  // the newest at or below the horizon
        for (Number i = 0; i < leaf.count; ++i) {
            if (leaf.records[i] <= state.visible) kept = std::max(kept, leaf.records[i]);
        }
        for (Number i = 0; i < leaf.count; ++i) {
            if (leaf.records[i] == kept || leaf.records[i] > state.visible) {
                fresh.records[fresh.count++] = leaf.records[i];
            }
        }
        ++fresh.frame;
        leaf = fresh;
        reach(state);
    }

    static bool changed(const Leaf& leaf) {
        return leaf.imaged_frame != leaf.frame || leaf.imaged_count != leaf.count;
    }

    /// begin; for each leaf: image, adopt; sync pages; sync log; write superblock; sync it;
    /// recycle.
    void walker_step(State state) {
        constexpr Number kSyncPages = 1 + 2 * kLeaves;
        if (state.checkpoint == 2) return;
        const Number step = state.step++;
        if (step == 0) {
            state.replay = state.visible;
        } else if (step < kSyncPages) {
            image_or_adopt(state, (step - 1u) / 2, (step - 1u) % 2 == 0);
        } else if (step == kSyncPages) {
            if (broken_ != Broken::kPagesNotSynced) state.pages_synced = 1;
        } else if (step == kSyncPages + 1) {
            if (broken_ != Broken::kLogNotSyncedToNewest) state.synced = state.last;
        } else if (step == kSyncPages + 2) {
            write_superblock(state);
            if (broken_ == Broken::kRecycledBeforeSuperblock) recycle(state);
        } else if (step == kSyncPages + 3) {
            state.older = state.newer;
            state.newer = state.writing;
            state.writing = {};
            state.writing.exists = 0;
        } else {
            recycle(state);
            state.step = 0;
            ++state.checkpoint;
        }
        reach(state);
    }

    void image_or_adopt(State& state, std::size_t index, bool image) const {
        Leaf& leaf = state.leaves[index];
        if (image) {
            state.image_frame = leaf.frame;
            state.image_count = leaf.count;
            state.image = leaf.newest(leaf.count);
            return;
        }
        if (changed(leaf)) {  // Under the parent's latch, so nobody replaces it meanwhile.
            if (state.image_frame != leaf.frame && broken_ != Broken::kSwappedLeafAdopted) {
                state.image_count = leaf.count;
                state.image = leaf.newest(leaf.count);
            }
            if (broken_ == Broken::kImagedCountReadLate ||
                (state.image_frame != leaf.frame && broken_ == Broken::kSwappedLeafAdopted)) {
                state.image_count = leaf.count;
            }
            leaf.imaged_frame = leaf.frame;
            leaf.imaged_count = state.image_count;
            leaf.image = state.image;
            state.pages_synced = 0;
        }
        state.image = state.image_frame = state.image_count = 0;
    }

    void write_superblock(State& state) const {
        Superblock& next = state.writing;
        next.exists = 1;
        next.replay = broken_ == Broken::kReplayFromTheWalksEnd ? state.visible : state.replay;
        next.newest = next.replay;
        next.pages_synced = state.pages_synced;
        for (std::size_t i = 0; i < kLeaves; ++i) {
            next.images[i] = state.leaves[i].image;
            next.newest = std::max(next.newest, next.images[i]);
        }
    }

    void recycle(State& state) const {
        Number up_to = std::min(state.older.replay, state.newer.replay);
        if (broken_ == Broken::kRecycledForOneSuperblock) up_to = state.newer.replay;
        if (broken_ == Broken::kRecycledBeforeSuperblock) up_to = state.replay;
        state.log_begin = std::max(state.log_begin, static_cast<Number>(up_to + 1));
    }

    // ---- what must hold

    static bool writes(const State& state, Number sequence, std::size_t leaf) {
        const auto& leaves = kWrites[state.writer_of[sequence]][state.commit_of[sequence]];
        return leaves[0] == leaf || leaves[1] == leaf;
    }
    static Number expected(const State& state, std::size_t leaf, Number at) {
        for (Number s = at; s > 0; --s) {
            if (writes(state, s, leaf)) return s;
        }
        return 0;
    }

    void check_readers(const State& state) {
        for (std::size_t i = 0; i < kLeaves; ++i) {
            Number seen = 0;
            for (Number r = 0; r < state.leaves[i].count; ++r) {
                const Number sequence = state.leaves[i].records[r];
                if (sequence <= state.visible) seen = std::max(seen, sequence);
            }
            if (seen != expected(state, i, state.visible))
                violation_ = "a reader saw another state";
        }
    }

    /// The power fails now: the log ends anywhere behind what was synced, a superblock that is
    /// being written is there or not, and the newest one may turn out to be damaged.
    void check_crashes(const State& state) {
        for (Number end = state.synced; end <= state.last; ++end) {
            recover(state, state.newer, end);
            recover(state, state.older, end);
            if (state.writing.exists != 0) recover(state, state.writing, end);
        }
    }

    void recover(const State& state, const Superblock& from, Number end) {
        const bool pages = from.pages_synced != 0;
        if (!pages) violation_ = "a superblock points to pages that are not there";
        if (from.replay + 1 < state.log_begin) violation_ = "the log begins with a gap";
        if (end < from.newest) violation_ = "the log ends before what images hold";
        if (end < std::min(state.synced, state.visible))
            violation_ = "an acknowledged commit is gone";
        for (std::size_t i = 0; i < kLeaves && violation_.empty(); ++i) {
            Number value = from.images[i];
            for (Number s = from.replay + 1; s <= end; ++s) {
                if (writes(state, s, i) && s > value) value = s;
            }
            if (value != expected(state, i, end)) violation_ = "recovery yields another state";
        }
    }

    const Broken broken_;
    std::vector<State> open_;
    std::unordered_set<std::string> seen_;
    std::string violation_;
};

TEST(InterleavingTest, NoInterleavingBreaksReadersOrRecovery) {
    Model model(Broken::kNothing);
    EXPECT_EQ(model.explore(), "");
    std::cout << model.states() << " states\n";
    EXPECT_GT(model.states(), 10'000u);
}

class BrokenRuleTest : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenRuleTest, IsSeen) { EXPECT_NE(Model(GetParam()).explore(), ""); }

INSTANTIATE_TEST_SUITE_P(
    All, BrokenRuleTest,
    ::testing::Values(Broken::kReplayFromTheWalksEnd, Broken::kLogNotSyncedToNewest,
                      Broken::kPagesNotSynced, Broken::kRecycledBeforeSuperblock,
                      Broken::kRecycledForOneSuperblock, Broken::kImagedCountReadLate,
                      Broken::kSwappedLeafAdopted, Broken::kVisibleBeforeOlder));

}  // namespace
}  // namespace fulgur
