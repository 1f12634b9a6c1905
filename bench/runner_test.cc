#include "bench/runner.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>

#include "bench/peers/peers.h"
#include "os/machine.h"

namespace fulgur::bench {
namespace {

/// In memory where there is a place for files: these tests are not about disks.
class Directory {
public:
    Directory() {
        static int number = 0;
        const bool memory = std::filesystem::is_directory("/dev/shm");
        path_ = memory ? "/dev/shm" : std::filesystem::temp_directory_path().string();
        path_ += fmt::format("/fulgur_bench_test_{}_{}", os::process_id(), ++number);
        std::filesystem::create_directories(path_);
    }
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

Plan small_plan(const std::string& directory) {
    Plan plan;
    plan.directory = directory;
    plan.parameters.rows = 3000;
    plan.parameters.memory_bytes = 256_MiB;
    plan.seconds = 0.01;
    plan.rounds = 1;
    plan.slice_ms = 1;
    return plan;
}

std::vector<Result> run(Plan plan) {
    std::vector<Result> results;
    double done = 0;
    Runner runner(
        std::move(plan), os::real_clock(),
        [&](const Runner::Progress& at) {
            EXPECT_GE(at.done + 1e-9, done);
            done = at.done;
        },
        [&](const Result& result) { results.push_back(result); });
    runner.run();
    EXPECT_NEAR(done, 1, 0.01);
    return results;
}

void expect_figures(const Result& result) {
    EXPECT_EQ(result.note, "") << result.workload << " " << result.side;
    EXPECT_FALSE(result.slices_ns.empty()) << result.workload << " " << result.side;
    for (const double ns : result.slices_ns) EXPECT_GT(ns, 0);
    EXPECT_GT(result.operations, 0u);
    EXPECT_NE(result.version, "");
    EXPECT_NE(result.settings, "");
    EXPECT_GT(result.counters.at("disk_bytes"), 0);
}

/// Every workload on our side, and on all sides those that between them use all of a side.
TEST(RunnerTest, WorkloadsReadWhatWasWritten) {
    const Directory directory;
    Plan ours = small_plan(directory.path()), all = ours;
    for (const Workload& workload : workloads()) {
        if (!workload.sync) ours.workloads.push_back(&workload);
    }
    ours.sides = {&sides().front()};
    for (const char* name : {"fillbatch", "deleterandom", "readrandom", "readmissing",
                             "multireadrandom", "readseq", "scan100", "ycsb-a", "ycsb-e"}) {
        all.workloads.push_back(find_workload(name));
    }
    for (const Side& side : sides()) {
        if (side.open != nullptr && side.name != "fulgur") all.sides.push_back(&side);
    }
    std::vector<Result> results = run(ours);
    if (!all.sides.empty()) {
        for (Result& result : run(all)) results.push_back(std::move(result));
    }
    ASSERT_EQ(results.size(), ours.workloads.size() + all.workloads.size() * all.sides.size());
    const std::set<std::string> writes_only = {"fillseq",      "fillrandom", "fillbatch",
                                               "fillseqbatch", "deleteseq",  "deleterandom",
                                               "overwrite"};
    for (const Result& result : results) {
        expect_figures(result);
        EXPECT_EQ(result.verified == 0, writes_only.contains(result.workload)) << result.workload;
    }
}

TEST(RunnerTest, ThreadsAndSyncedCommitsAreMeasuredToo) {
    const Directory directory;
    Plan plan = small_plan(directory.path());
    plan.parameters.rows = 200;
    plan.parameters.threads = 3;
    for (const char* name : {"fillsync", "readrandom", "ycsb-a", "readwhilewriting"}) {
        plan.workloads.push_back(find_workload(name));
    }
    plan.sides = {&sides().front()};
    for (const Result& result : run(plan)) {
        expect_figures(result);
        EXPECT_EQ(result.parameters.at("threads"), "3");
        EXPECT_EQ(result.durability, result.workload == "fillsync" ? "sync" : "buffered");
    }
}

TEST(RunnerTest, OpenLoopCountsEachOperationFromItsIntendedStart) {
    const Directory directory;
    Plan plan = small_plan(directory.path());
    plan.seconds = 0.2;
    plan.open_loop = {.rate = 5000, .pattern = OpenLoop::Pattern::kSpike};
    plan.workloads = {find_workload("ycsb-b")};
    plan.sides = {&sides().front()};
    const std::vector<Result> results = run(plan);
    ASSERT_EQ(results.size(), 1u);
    expect_figures(results[0]);
    EXPECT_EQ(results[0].latency_ns.count(), results[0].operations);
    EXPECT_EQ(results[0].operations, Schedule(plan.open_loop, plan.seconds).operations());
}

/// A side that loses or changes rows, or shows them out of order.
class Liar final : public Store {
public:
    enum class Lie : std::uint8_t { kNone, kLoses, kChanges, kForgetsOne, kBackwards };
    explicit Liar(Lie lie) : lie_(lie) {}

    class LyingSession final : public Session {
    public:
        explicit LyingSession(Liar& of) : of_(of) {}
        void renew() override {}
        std::optional<Bytes> get(Bytes key) override {
            const auto it = of_.rows_.find(std::string(key));
            if (it == of_.rows_.end() || of_.lie_ == Lie::kLoses) return std::nullopt;
            shown_ = it->second;
            if (of_.lie_ == Lie::kChanges) shown_[shown_.size() / 8 * 8 - 3] ^= 1;
            return shown_;
        }
        void get_many(std::span<const Bytes> keys, std::span<std::optional<Bytes>> views) override {
            many_.resize(keys.size());
            for (std::size_t i = 0; i < keys.size(); ++i) {
                views[i] = get(keys[i]);
                if (!views[i]) continue;
                many_[i] = *views[i];
                views[i] = many_[i];
            }
        }
        void write(std::span<const Write> writes) override {
            for (const Write& write : writes) of_.rows_[std::string(write.key)] = write.value;
        }
        std::size_t scan(Bytes from, std::size_t rows, RowVisitor& visitor) override {
            std::size_t n = 0;
            auto it = of_.rows_.lower_bound(std::string(from));
            if (of_.lie_ == Lie::kForgetsOne && from.empty()) ++it;
            for (; n < rows && it != of_.rows_.end(); ++it, ++n) {
                visitor.row(it->first, it->second);
                if (of_.lie_ == Lie::kBackwards) visitor.row(it->first, it->second);
            }
            return n;
        }

    private:
        Liar& of_;
        std::string shown_;
        std::vector<std::string> many_;
    };

    std::unique_ptr<Session> session() override { return std::make_unique<LyingSession>(*this); }
    void settle() override {}
    std::string settings() const override { return "none"; }
    std::string version() const override { return "1"; }

private:
    Lie lie_;
    std::map<std::string, std::string> rows_;
};

template <Liar::Lie lie>
std::unique_ptr<Store> open_liar(const StoreOptions&) {
    return std::make_unique<Liar>(lie);
}

TEST(RunnerTest, WrongAnswersEndASideWithoutFigures) {
    using enum Liar::Lie;
    const std::vector<Side> liars = {{"honest", "", "", open_liar<kNone>},
                                     {"loses", "", "", open_liar<kLoses>},
                                     {"changes", "", "", open_liar<kChanges>},
                                     {"forgets one", "", "", open_liar<kForgetsOne>},
                                     {"backwards", "", "", open_liar<kBackwards>}};
    const std::map<std::string, std::set<std::string>> caught_by = {
        {"loses", {"readrandom", "multireadrandom", "ycsb-a"}},
        {"changes", {"readrandom", "multireadrandom", "ycsb-a"}},
        {"forgets one", {"readseq"}},
        {"backwards", {"readseq", "scan100"}}};
    for (const char* name : {"readrandom", "multireadrandom", "readseq", "scan100", "ycsb-a"}) {
        const Directory directory;
        Plan plan = small_plan(directory.path());
        plan.workloads = {find_workload(name)};
        for (const Side& side : liars) plan.sides.push_back(&side);
        for (const Result& result : run(plan)) {
            const auto lies = caught_by.find(result.side);
            const bool caught = lies != caught_by.end() && lies->second.contains(name);
            EXPECT_EQ(result.note != "", caught) << name << " " << result.side << result.note;
            EXPECT_EQ(result.slices_ns.empty(), caught) << name << " " << result.side;
        }
    }
}

TEST(PermutationTest, TakesEachNumberOnce) {
    for (const std::uint64_t count : {1u, 2u, 3u, 100u, 4096u, 10'007u}) {
        const Permutation order(count, 7);
        std::set<std::uint64_t> seen;
        std::uint64_t in_place = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t to = order(i);
            ASSERT_LT(to, count);
            ASSERT_TRUE(seen.insert(to).second);
            in_place += to == i ? 1 : 0;
        }
        if (count > 100) {
            EXPECT_LT(in_place, count / 10);
        }
    }
}

TEST(ScheduleTest, PatternsKeepTheirRates) {
    constexpr double kRate = 1000, kSeconds = 10;
    using Pattern = OpenLoop::Pattern;
    const auto starts_in = [&](Pattern pattern, double from, double to) {
        const Schedule schedule({.rate = kRate, .pattern = pattern}, kSeconds);
        double count = 0, before = 0;
        for (std::uint64_t n = 0; n < schedule.operations(); ++n) {
            const double at = schedule.start_of(n);
            EXPECT_GE(at, before);
            before = at;
            if (at >= from && at < to) ++count;
        }
        return count / (to - from);
    };
    EXPECT_NEAR(starts_in(Pattern::kConstant, 0, 10), kRate, 1);
    EXPECT_NEAR(starts_in(Pattern::kRamp, 0, 2), kRate * 0.1, 2);
    EXPECT_NEAR(starts_in(Pattern::kRamp, 8, 10), kRate * 0.9, 2);
    EXPECT_NEAR(starts_in(Pattern::kSpike, 0, 4), kRate, 1);
    EXPECT_NEAR(starts_in(Pattern::kSpike, 4.6, 5.4), kRate * 5, 5);
    EXPECT_NEAR(starts_in(Pattern::kSpike, 6, 10), kRate, 1);
    EXPECT_NEAR(starts_in(Pattern::kBurst, 3, 3.5), kRate * 2, 5);
    EXPECT_NEAR(starts_in(Pattern::kBurst, 3.5, 4), 0, 3);
}

TEST(ZipfTest, FrequenciesFollowTheLaw) {
    constexpr std::uint64_t kItems = 1000, kDraws = 400'000;
    os::Random random(1);
    const Zipf zipf(kItems);
    std::vector<double> counts(kItems);
    for (std::uint64_t i = 0; i < kDraws; ++i) counts[zipf.next(random)] += 1;
    const double zeta = Zipf::zeta(kItems);
    for (const std::uint64_t item : {0u, 1u}) {  // These two are exact in the method.
        const double expected = double(kDraws) / std::pow(double(item + 1), Zipf::kTheta) / zeta;
        EXPECT_NEAR(counts[item], expected, 5 * std::sqrt(expected)) << item;
    }
    double first_hundred = 0, expected_hundred = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
        first_hundred += counts[i];
        expected_hundred += double(kDraws) / std::pow(double(i + 1), Zipf::kTheta) / zeta;
    }
    EXPECT_NEAR(first_hundred / expected_hundred, 1, 0.02);
}

}  // namespace
}  // namespace fulgur::bench
