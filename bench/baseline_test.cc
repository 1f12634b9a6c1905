#include "bench/baseline.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "bench/bench_error.h"
#include "bench/result_file.h"
#include "bench/test_folder.h"

namespace fulgur::bench {
namespace {

bench::Run sample(const std::string& commit, const std::string& started) {
    bench::Run run;
    run.environment.machine = "aaaa";
    run.environment.commit = commit;
    run.environment.started = started;
    Result result;
    result.workload = "readrandom";
    result.side = "fulgur";
    result.slices_ns = {1, 2};
    run.results = {result};
    return run;
}

class BaselineTest : public testing::Test {
protected:
    Baseline save(const bench::Run& run, const std::string& name = "", bool replace = false) {
        write_run(folder_.path("run"), run);
        return save_baseline(folder_.path("run"), folder_.path("kept"), name, replace);
    }
    std::string complaint(const bench::Run& run, const std::string& name = "") {
        try {
            save(run, name);
        } catch (const BenchError& error) {
            return error.what();
        }
        return "";
    }

    TestFolder folder_;
};

TEST_F(BaselineTest, AreKeptByMachineAndListedNewestFirst) {
    EXPECT_TRUE(list_baselines(folder_.path("kept")).empty());
    save(sample("one", "2026-01-01T00:00:00Z"));
    save(sample("two+changes", "2026-01-03T00:00:00Z"));
    save(sample("three", "2026-01-02T00:00:00Z"), "named");
    bench::Run elsewhere = sample("four", "2026-01-09T00:00:00Z");
    elsewhere.environment.machine = "bbbb";
    EXPECT_EQ(save(elsewhere).path, folder_.path("kept") + "/bbbb/four.jsonl");
    const std::vector<Baseline> kept = list_baselines(folder_.path("kept"));
    ASSERT_EQ(kept.size(), 4u);
    EXPECT_EQ(kept[0].name, "two-changes");
    EXPECT_EQ(kept[1].name, "named");
    EXPECT_EQ(kept[2].name, "one");
    EXPECT_EQ(kept[3].machine, "bbbb");
    EXPECT_EQ(kept[0].results, 1u);
    EXPECT_EQ(newest_baseline(folder_.path("kept"), "aaaa")->name, "two-changes");
    EXPECT_FALSE(newest_baseline(folder_.path("kept"), "cccc"));
}

TEST_F(BaselineTest, WhatWouldMisleadForMonthsIsRefused) {
    bench::Run run = sample("one", "");
    run.quick = true;
    EXPECT_NE(complaint(run).find("quick run"), std::string::npos);
    run.quick = false;
    run.interrupted = true;
    EXPECT_NE(complaint(run).find("interrupted run"), std::string::npos);
    run.interrupted = false;
    run.results.clear();
    EXPECT_NE(complaint(run).find("without results"), std::string::npos);
    EXPECT_THROW(save_baseline(folder_.path("none"), folder_.path("kept"), "", false), BenchError);
}

TEST_F(BaselineTest, NamesStayInsideTheirFolder) {
    const bench::Run run = sample("one", "");
    for (const char* name : {"../x", "a/b", ".hidden", "a b", "\n"}) {
        EXPECT_NE(complaint(run, name).find("no name for a baseline"), std::string::npos) << name;
    }
    EXPECT_NE(complaint(run, std::string(101, 'a')), "");
    EXPECT_EQ(complaint(run, std::string(100, 'a')), "");
    bench::Run foreign = sample("one", "");
    foreign.environment.machine = "../../x";
    EXPECT_NE(complaint(foreign).find("names no machine"), std::string::npos);
}

TEST_F(BaselineTest, ATakenNameIsNotOverwrittenUnasked) {
    save(sample("one", "2026-01-01T00:00:00Z"));
    EXPECT_NE(complaint(sample("one", "2026-01-02T00:00:00Z")).find("is there already"),
              std::string::npos);
    EXPECT_EQ(save(sample("one", "2026-01-02T00:00:00Z"), "", true).started,
              "2026-01-02T00:00:00Z");
}

TEST_F(BaselineTest, ADamagedOneIsListedWithItsFaultAndNotUsed) {
    save(sample("one", "2026-01-01T00:00:00Z"));
    std::filesystem::create_directories(folder_.path("kept/aaaa"));
    folder_.write("kept/aaaa/bad.jsonl", "{}\n");
    const std::vector<Baseline> kept = list_baselines(folder_.path("kept"));
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_EQ(newest_baseline(folder_.path("kept"), "aaaa")->name, "one");
    EXPECT_NE((kept[0].name == "bad" ? kept[0] : kept[1]).fault, "");
}

}  // namespace
}  // namespace fulgur::bench
