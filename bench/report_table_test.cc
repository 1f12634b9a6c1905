#include "bench/report_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "os/random.h"

namespace fulgur::bench {
namespace {

Result result(const std::string& workload, const std::string& side, double ns,
              std::size_t slices = 20) {
    Result made;
    made.workload = workload;
    made.side = side;
    made.unit = "get";
    made.durability = "buffered";
    made.parameters = {{"rows", "1000"}};
    os::Random random(41);
    for (std::size_t i = 0; i < slices; ++i) {
        made.slices_ns.push_back(ns * (1 + static_cast<double>(random.below(100)) / 10'000));
    }
    return made;
}

Run sample() {
    bench::Run run;
    run.environment.build = "release";
    run.environment.commit = "abc";
    run.results = {result("readrandom", "fulgur", 100), result("readrandom", "lmdb", 200),
                   result("fillseq", "fulgur", 300), result("fillseq", "lmdb", 150)};
    return run;
}

TEST(ReportTableTest, WhereWeLoseStandsBeforeTheTable) {
    const std::string text = to_markdown(sample(), "fulgur");
    const std::size_t losses = text.find("## Where fulgur loses");
    ASSERT_NE(losses, std::string::npos) << text;
    EXPECT_LT(losses, text.find("| workload |"));
    EXPECT_NE(text.find("fillseq rows=1000 (buffered): 0.50x [0.50, 0.50] of the speed of lmdb"),
              std::string::npos)
        << text;
    EXPECT_EQ(text.substr(0, text.find("| workload |")).find("readrandom"), std::string::npos);
    EXPECT_NE(text.find("| 2.00x [2.00, 2.00] |"), std::string::npos) << text;
}

TEST(ReportTableTest, ASideThatLosesNowhereIsToldSo) {
    bench::Run run = sample();
    run.results.resize(2);
    EXPECT_NE(to_markdown(run, "fulgur").find("the slower side nowhere"), std::string::npos);
}

TEST(ReportTableTest, QuickAndInterruptedRunsSaySoFirst) {
    bench::Run run = sample();
    run.quick = true;
    EXPECT_EQ(to_markdown(run, "fulgur").find("**QUICK RUN"), 0u);
    run.quick = false;
    run.interrupted = true;
    EXPECT_EQ(to_markdown(run, "fulgur").find("**INTERRUPTED"), 0u);
    run.interrupted = false;
    run.environment.build = "assertions";
    EXPECT_EQ(to_markdown(run, "fulgur").find("**BUILD \"assertions\""), 0u);
}

TEST(ReportTableTest, DurabilityClassesAndUnitsAreNeverCompared) {
    bench::Run run = sample();
    run.results[1].durability = "sync";
    run.results[3].unit = "row";
    EXPECT_TRUE(side_ratios(run, "fulgur").empty());
    EXPECT_EQ(groups_of(run).size(), 4u);
    run = sample();
    run.results[1].parameters["rows"] = "2000";
    EXPECT_EQ(side_ratios(run, "fulgur").size(), 1u);
}

TEST(ReportTableTest, RatiosComeFromPairsWhereSlicesAreNeighbours) {
    // A load that swings tenfold over both sides alike does not hide a ratio of 1.1.
    Result ours = result("readrandom", "fulgur", 1);
    Result theirs = ours;
    theirs.side = "lmdb";
    for (std::size_t i = 0; i < ours.slices_ns.size(); ++i) {
        const double load = std::pow(10.0, static_cast<double>(i % 5) / 4);
        ours.slices_ns[i] *= load;
        theirs.slices_ns[i] *= 1.1 * load;
    }
    const SideRatio paired = side_ratio(ours, theirs);
    EXPECT_TRUE(paired.paired);
    EXPECT_NEAR(paired.ratio, 1.1, 1e-9);
    EXPECT_NEAR(paired.interval.low, 1.1, 1e-9);
    theirs.slices_ns.pop_back();
    const SideRatio unpaired = side_ratio(ours, theirs);
    EXPECT_FALSE(unpaired.paired);
    EXPECT_LT(unpaired.interval.low, 0.9);
    EXPECT_GT(unpaired.interval.high, 1.2);
}

TEST(ReportTableTest, ALossWithinTheNoiseIsCalledThat) {
    bench::Run run;
    run.results = {result("readrandom", "fulgur", 100), result("readrandom", "lmdb", 100)};
    for (std::size_t i = 0; i < run.results[1].slices_ns.size(); ++i) {
        run.results[1].slices_ns[i] *= i % 2 == 0 ? 1.2 : 0.8;
    }
    EXPECT_NE(to_markdown(run, "fulgur").find("(within the noise)"), std::string::npos);
}

TEST(ReportTableTest, WhatWasNotMeasuredSaysWhy) {
    bench::Run run = sample();
    run.results[1].slices_ns.clear();
    run.results[1].note = "refused: no | space";
    EXPECT_NE(to_markdown(run, "fulgur").find("| refused: no \\| space |"), std::string::npos);
    EXPECT_EQ(side_ratios(run, "fulgur").size(), 1u);
}

TEST(ReportTableTest, CsvQuotesWhatWouldEndAField) {
    bench::Run run = sample();
    run.results.resize(1);
    run.results[0].note = "a \"note\", with\nlines";
    run.results[0].latency_ns.record(5);
    const std::string text = to_csv(run);
    EXPECT_NE(text.find("\"a \"\"note\"\", with\nlines\"\r\n"), std::string::npos) << text;
    const auto commas = [](const std::string& line) { return std::ranges::count(line, ','); };
    const std::size_t header = text.find("\r\n");
    EXPECT_EQ(commas(text.substr(0, header)), commas(text.substr(header)) - 1);
    EXPECT_NE(text.find("readrandom,rows=1000,fulgur,,buffered,get,100."), std::string::npos);
}

TEST(ReportTableTest, TheSubjectIsFulgurOrTheFirst) {
    EXPECT_EQ(subject_of(sample()), "fulgur");
    bench::Run run;
    run.results = {result("get", "a", 1), result("get", "b", 1)};
    EXPECT_EQ(subject_of(run), "a");
}

}  // namespace
}  // namespace fulgur::bench
