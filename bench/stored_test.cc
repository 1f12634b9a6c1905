#include "bench/stored.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/result_file.h"
#include "bench/test_folder.h"
#include "os/random.h"

namespace fulgur::bench {
namespace {

Result result(const std::string& workload, double ns, std::uint64_t seed) {
    Result made;
    made.workload = workload;
    made.side = "fulgur";
    made.unit = "get";
    made.durability = "buffered";
    os::Random random(seed);
    for (int i = 0; i < 30; ++i) {
        made.slices_ns.push_back(ns * (1 + static_cast<double>(random.below(1000)) / 100'000));
    }
    made.counters = {{"disk_bytes", 1000}, {"syncs", 0}};
    return made;
}

bench::Run sample(double ns, std::uint64_t seed) {
    bench::Run run;
    run.environment.machine = "aaaa";
    run.environment.build = "release";
    run.results = {result("readrandom", ns, seed), result("fillseq", 50, seed + 1)};
    return run;
}

const Comparison& row(const Report& report, const std::string& name) {
    const auto found = std::ranges::find_if(
        report.rows, [&](const Comparison& one) { return one.name.starts_with(name); });
    EXPECT_NE(found, report.rows.end()) << name;
    return *found;
}

TEST(StoredTest, FindsARegressionAndNeverFailsABuildForIt) {
    const Report report = compare_stored(sample(100, 1), sample(120, 2), {});
    EXPECT_EQ(row(report, "readrandom").verdict, Verdict::kRegression);
    EXPECT_NEAR(row(report, "readrandom").log_ratio, 0.182, 0.01);
    EXPECT_EQ(row(report, "fillseq").verdict, Verdict::kEquivalent);
    EXPECT_EQ(report.same.size(), 2u);
    EXPECT_EQ(exit_of(report), Exit::kOk);
}

TEST(StoredTest, CountersThatGateFailABuild) {
    bench::Run after = sample(100, 2);
    after.results[0].counters["disk_bytes"] = 1100;
    EXPECT_EQ(exit_of(compare_stored(sample(100, 1), after, {})), Exit::kOk);
    StoredRules rules;
    rules.gates = {"disk_bytes"};
    const Report report = compare_stored(sample(100, 1), after, rules);
    EXPECT_EQ(exit_of(report), Exit::kRegression);
    EXPECT_EQ(row(report, "readrandom fulgur (buffered): disk_bytes").verdict,
              Verdict::kRegression);
    EXPECT_EQ(row(report, "fillseq fulgur (buffered): disk_bytes").verdict, Verdict::kEquivalent);
    rules.gates = {"syncs"};
    after.results[0].counters["syncs"] = 1;  // Out of nothing.
    EXPECT_EQ(exit_of(compare_stored(sample(100, 1), after, rules)), Exit::kRegression);
    rules.gates = {"unheard_of"};
    EXPECT_THROW(compare_stored(sample(100, 1), after, rules), BenchError);
}

TEST(StoredTest, AnotherMachineOrBuildIsRefused) {
    bench::Run elsewhere = sample(100, 2);
    elsewhere.environment.machine = "bbbb";
    try {
        compare_stored(sample(100, 1), elsewhere, {});
        FAIL() << "accepted";
    } catch (const BenchError& error) {
        EXPECT_EQ(error.exit(), Exit::kEnvironmentRefused);
        EXPECT_NE(std::string(error.what()).find("aaaa and bbbb"), std::string::npos);
    }
    StoredRules rules;
    rules.any_machine = true;
    EXPECT_EQ(compare_stored(sample(100, 1), elsewhere, rules).rows.size(), 2u);
    bench::Run debug = sample(100, 2);
    debug.environment.build = "assertions";
    EXPECT_THROW(compare_stored(sample(100, 1), debug, {}), BenchError);
}

TEST(StoredTest, OnlyTheSameIsCompared) {
    bench::Run after = sample(100, 2);
    after.results[0].durability = "sync";
    const Report report = compare_stored(sample(100, 1), after, {});
    EXPECT_EQ(report.rows.size(), 1u);
    const std::string text = to_text(report);
    EXPECT_NE(text.find("only after: readrandom fulgur (sync)"), std::string::npos) << text;
    EXPECT_NE(text.find("only before: readrandom fulgur (buffered)"), std::string::npos) << text;
    after.results.resize(1);
    EXPECT_THROW(compare_stored(sample(100, 1), after, {}), BenchError);
}

TEST(StoredTest, QuickAndInterruptedRunsAreTold) {
    bench::Run after = sample(100, 2);
    after.quick = true;
    after.interrupted = true;
    const std::string text = to_text(compare_stored(sample(100, 1), after, {}));
    EXPECT_NE(text.find("after: a quick run"), std::string::npos) << text;
    EXPECT_NE(text.find("after: an interrupted run"), std::string::npos) << text;
}

TEST(StoredTest, ReadsGoogleBenchmarksRepetitions) {
    const std::string text = R"({
  "context": {"date": "2026-01-31T12:00:00+00:00", "host_name": "box", "num_cpus": 2,
              "library_build_type": "release"},
  "benchmarks": [
    {"name": "BM_Get/8", "run_name": "BM_Get/8", "run_type": "iteration", "repetitions": 2,
     "iterations": 1000, "real_time": 1.5, "cpu_time": 1.4, "time_unit": "us"},
    {"name": "BM_Get/8", "run_name": "BM_Get/8", "run_type": "iteration", "repetitions": 2,
     "iterations": 500, "real_time": 1.7, "cpu_time": 1.4, "time_unit": "us"},
    {"name": "BM_Get/8_mean", "run_name": "BM_Get/8", "run_type": "aggregate",
     "aggregate_name": "mean", "iterations": 2, "real_time": 1.6, "cpu_time": 1.4,
     "time_unit": "us"},
    {"name": "BM_Put", "run_name": "BM_Put", "run_type": "aggregate", "aggregate_name": "median",
     "iterations": 2, "real_time": 3, "cpu_time": 1.4, "time_unit": "ms"},
    {"name": "BM_Bad", "run_name": "BM_Bad", "run_type": "iteration", "error_occurred": true,
     "error_message": "no disk", "iterations": 0, "real_time": 0, "time_unit": "ns"}]})";
    const TestFolder folder;
    const bench::Run run = load_stored(folder.write("google.json", text));
    ASSERT_EQ(run.results.size(), 3u);
    EXPECT_EQ(run.environment.machine, "google-benchmark:box");
    EXPECT_EQ(run.results[0].workload, "BM_Get/8");
    EXPECT_EQ(run.results[0].slices_ns, (std::vector<double>{1500, 1700}));
    EXPECT_EQ(run.results[0].operations, 1500u);
    EXPECT_EQ(run.results[1].slices_ns, std::vector<double>{3e6});
    EXPECT_EQ(run.results[2].note, "no disk");
    EXPECT_THROW(parse_google_benchmark(text.substr(0, 300), "google.json"), BenchError);
    EXPECT_THROW(parse_google_benchmark(R"({"context":{},"benchmarks":[{"name":"a",
        "real_time":1,"time_unit":"years"}]})",
                                        "google.json"),
                 BenchError);
}

TEST(StoredTest, ReadsOurOwnFilesAndRefusesTheRest) {
    const TestFolder folder;
    write_run(folder.path("run"), sample(100, 1));
    EXPECT_EQ(load_stored(folder.path("run")).results.size(), 2u);
    EXPECT_THROW(load_stored(folder.write("other", "{\"a\": 1}\n")), BenchError);
    EXPECT_THROW(load_stored(folder.path("none")), BenchError);
    EXPECT_THROW(load_stored(folder.write("empty", "")), BenchError);
}

}  // namespace
}  // namespace fulgur::bench
