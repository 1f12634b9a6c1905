#include "bench/validate.h"
#include "bench/workload.h"

#include <gtest/gtest.h>

#include "bench/test_folder.h"

namespace fulgur::bench {
namespace {

Result result(const std::string& workload, const std::string& side, double ns) {
    Result made;
    made.workload = workload;
    made.side = side;
    made.unit = "get";
    made.durability = "buffered";
    made.parameters = {{"threads", "1"}};
    made.slices_ns = {ns, ns, ns};
    made.operations = 990;
    return made;
}

bench::Run sample() {
    bench::Run run;
    run.results = {result("readrandom", "fulgur", 500), result("readrandom", "lmdb", 1000),
                   result("fillseq", "fulgur", 100)};
    for (std::uint64_t i = 1; i <= 1000; ++i) run.results[0].latency_ns.record(i);
    run.results[0].counters = {{"disk_bytes", 4096}, {"errors", 10}};
    return run;
}

/// One target; @return what its outcomes say, as + and -.
std::string signs(const std::string& target) {
    std::string text;
    for (const TargetOutcome& outcome : validate(
             sample(),
             parse_targets(R"({"format":"bench-targets/1","targets":[)" + target + "]}", "t"))) {
        text += outcome.met ? "+" : "-";
        EXPECT_TRUE(outcome.measured || !outcome.note.empty()) << outcome.what;
    }
    return text;
}

std::string complaint(const std::string& text) {
    try {
        parse_targets(text, "t.json");
    } catch (const BenchError& error) {
        return error.what();
    }
    return "";
}

TEST(ValidateTest, EachKindIsMetAtItsLimitAndMissedBeyond) {
    const std::string read = R"({"workload":"readrandom","side":"fulgur",)";
    EXPECT_EQ(signs(read + R"("throughput_min":2e6})"), "+");
    EXPECT_EQ(signs(read + R"("throughput_min":2000001})"), "-");
    EXPECT_EQ(signs(read + R"("percentile":99,"latency_ns_max":990})"), "+");
    EXPECT_EQ(signs(read + R"("percentile":99,"latency_ns_max":989})"), "-");
    EXPECT_EQ(signs(read + R"("counter":"disk_bytes","max":4096})"), "+");
    EXPECT_EQ(signs(read + R"("counter":"disk_bytes","max":4095})"), "-");
    EXPECT_EQ(signs(read + R"("counter":"disk_bytes","min":4097})"), "-");
    EXPECT_EQ(signs(read + R"("ratio_to":"lmdb","ratio_min":1.99})"), "+");
    EXPECT_EQ(signs(read + R"("ratio_to":"lmdb","ratio_min":2.01})"), "-");
    EXPECT_EQ(signs(read + R"("error_rate_max":0.01})"), "+");
    EXPECT_EQ(signs(read + R"("error_rate_max":0.0099})"), "-");
}

TEST(ValidateTest, WithoutNamesATargetIsForAllOfThem) {
    EXPECT_EQ(signs(R"({"throughput_min":1500000})"), "+-+");
    EXPECT_EQ(signs(R"({"side":"fulgur","throughput_min":1})"), "++");
    EXPECT_EQ(signs(R"({"parameters":{"threads":"1"},"throughput_min":1})"), "+++");
}

TEST(ValidateTest, WhatNothingAnswersIsMissed) {
    EXPECT_EQ(signs(R"({"workload":"renamed","throughput_min":1})"), "-");
    EXPECT_EQ(signs(R"({"parameters":{"threads":"2"},"throughput_min":1})"), "-");
    EXPECT_EQ(signs(R"({"workload":"fillseq","percentile":50,"latency_ns_max":1e9})"), "-");
    EXPECT_EQ(signs(R"({"workload":"fillseq","counter":"disk_bytes","max":1})"), "-");
    EXPECT_EQ(signs(R"({"workload":"fillseq","ratio_to":"lmdb","ratio_min":0})"), "-");
}

TEST(ValidateTest, UnequalDurabilityIsNoRatio) {
    bench::Run run = sample();
    run.results[1].durability = "sync";
    const std::vector<TargetOutcome> outcomes = validate(
        run, parse_targets(R"({"format":"bench-targets/1","targets":[{"workload":"readrandom",
                               "side":"fulgur","ratio_to":"lmdb","ratio_min":0}]})",
                           "t"));
    ASSERT_EQ(outcomes.size(), 1u);
    EXPECT_FALSE(outcomes[0].met);
}

TEST(ValidateTest, AResultWithoutFiguresMissesItsTargets) {
    bench::Run run = sample();
    run.results[2].slices_ns.clear();
    run.results[2].note = "refused: no space";
    const std::vector<TargetOutcome> outcomes =
        validate(run, parse_targets(R"({"format":"bench-targets/1","targets":[{"workload":"fillseq",
                               "error_rate_max":0}]})",
                                    "t"));
    EXPECT_FALSE(all_met(outcomes));
    EXPECT_NE(to_text(outcomes).find("MISSED fillseq fulgur"), std::string::npos);
    EXPECT_NE(to_text(outcomes).find("refused: no space"), std::string::npos);
    EXPECT_EQ(to_json(outcomes)["met"], false);
}

TEST(ValidateTest, TheEnginesOwnTargetsAreOfWorkloadsThatThereAre) {
    EXPECT_GT(engine_targets().size(), 20u);
    for (const Target& target : engine_targets()) {
        if (target.workload.empty()) continue;
        EXPECT_NE(find_workload(target.workload), nullptr) << target.workload;
    }
}

TEST(ValidateTest, TargetsThatSayNothingOrTooMuchAreRefused) {
    const auto with = [](const std::string& target) {
        return R"({"format":"bench-targets/1","targets":[)" + target + "]}";
    };
    EXPECT_EQ(complaint(with(R"({"throughput_min":1,"why":"the README promises it"})")), "");
    EXPECT_NE(complaint("{").find("not JSON"), std::string::npos);
    EXPECT_NE(complaint(R"({"format":"bench-targets/2","targets":[]})").find("bench-targets/2"),
              std::string::npos);
    EXPECT_NE(complaint(R"({"format":"bench-targets/1","targets":[]})").find("no list of targets"),
              std::string::npos);
    EXPECT_NE(complaint(with("{}")).find("t.json: target 1: a target has one of"),
              std::string::npos);
    EXPECT_NE(complaint(with(R"({"throughput_min":1,"error_rate_max":0})")).find("one of"),
              std::string::npos);
    EXPECT_NE(complaint(with(R"({"troughput_min":1})")).find("no \"troughput_min\""),
              std::string::npos);
    EXPECT_NE(complaint(with(R"({"percentile":99})")).find("\"latency_ns_max\" is missing"),
              std::string::npos);
    EXPECT_NE(complaint(with(R"({"percentile":101,"latency_ns_max":1})")).find("0 and 100"),
              std::string::npos);
    EXPECT_NE(complaint(with(R"({"counter":"x"})")).find("\"min\" or \"max\""), std::string::npos);
    EXPECT_NE(complaint(with(R"({"throughput_min":"1"})")).find("no number"), std::string::npos);
    const TestFolder folder;
    EXPECT_THROW(read_targets(folder.path("none")), BenchError);
}

}  // namespace
}  // namespace fulgur::bench
