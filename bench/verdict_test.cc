#include "bench/verdict.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fulgur::bench {
namespace {

Comparison row(double change, double half_width, double p) {
    Comparison made;
    made.name = "readrandom";
    made.unit = "ns per get";
    made.before = 100;
    made.after = 100 * (1 + change);
    made.log_ratio = std::log1p(change);
    made.interval = {made.log_ratio - half_width, made.log_ratio + half_width, 0.95};
    made.p = p;
    made.pairs = 100;
    return made;
}

Report judged(std::vector<Comparison> rows, std::vector<Comparison> same = {}) {
    Report report;
    report.mode = "fine";
    report.threshold = 0.02;
    report.rows = std::move(rows);
    report.same = std::move(same);
    judge(report);
    return report;
}

Verdict verdict_of(const Comparison& one) { return judged({one}).rows[0].verdict; }

TEST(VerdictTest, EachVerdictHasItsReason) {
    EXPECT_EQ(verdict_of(row(0.05, 0.01, 0.001)), Verdict::kRegression);
    EXPECT_EQ(verdict_of(row(-0.05, 0.01, 0.001)), Verdict::kImprovement);
    EXPECT_EQ(verdict_of(row(0.003, 0.01, 0.6)), Verdict::kEquivalent);
    // Sure, and too small to matter.
    EXPECT_EQ(verdict_of(row(0.01, 0.002, 1e-9)), Verdict::kEquivalent);
    // Great, and not sure.
    EXPECT_EQ(verdict_of(row(0.05, 0.08, 0.2)), Verdict::kInconclusive);
    // Nothing seen, by eyes too weak.
    EXPECT_EQ(verdict_of(row(0, 0.05, 0.9)), Verdict::kInconclusive);
    // Sure, but it may be on either side of the threshold.
    EXPECT_EQ(verdict_of(row(0.015, 0.01, 1e-4)), Verdict::kInconclusive);
}

TEST(VerdictTest, TheThresholdItselfIsARegression) {
    EXPECT_EQ(verdict_of(row(0.02, 0.001, 1e-9)), Verdict::kRegression);
    EXPECT_NE(verdict_of(row(0.0199, 0.001, 1e-9)), Verdict::kRegression);
}

TEST(VerdictTest, AnIntervalThatCoversTooLittleProvesNoEquivalence) {
    Comparison few = row(0, 0.001, 1);
    few.interval.confidence = 0.75;
    EXPECT_EQ(verdict_of(few), Verdict::kInconclusive);
}

TEST(VerdictTest, ASuiteAsksForMore) {
    const Comparison weak = row(0.05, 0.03, 0.02);
    EXPECT_EQ(verdict_of(weak), Verdict::kRegression);
    const Report suite = judged({weak, row(0, 0.001, 0.5), row(0, 0.001, 0.6)});
    EXPECT_DOUBLE_EQ(suite.rows[0].p_adjusted, 0.06);
    EXPECT_EQ(suite.rows[0].verdict, Verdict::kInconclusive);
}

TEST(VerdictTest, WhenTheSameCodeDiffersNoTimeIsBelieved) {
    Comparison counted = row(0.05, 0, 0);
    counted.counted = true;
    const Report report = judged({row(0.05, 0.01, 1e-9), counted}, {row(0.04, 0.01, 1e-9)});
    EXPECT_TRUE(report.deceived);
    EXPECT_EQ(report.rows[0].verdict, Verdict::kInconclusive);
    EXPECT_EQ(report.rows[1].verdict, Verdict::kRegression);
    EXPECT_NE(to_text(report).find("differs from itself by +4.00 %"), std::string::npos);
    EXPECT_EQ(to_json(report)["trusted"], false);
    EXPECT_FALSE(judged({row(0, 0.01, 1)}, {row(0.001, 0.01, 1e-9)}).deceived);
}

TEST(VerdictTest, ExitCodes) {
    const Comparison worse = row(0.05, 0.01, 1e-9);
    const Comparison equal = row(0, 0.001, 0.5);
    const Comparison unclear = row(0, 0.1, 0.5);
    EXPECT_EQ(exit_of(judged({equal})), Exit::kOk);
    EXPECT_EQ(exit_of(judged({row(-0.05, 0.01, 1e-9)})), Exit::kOk);
    EXPECT_EQ(exit_of(judged({unclear, worse, equal})), Exit::kRegression);
    EXPECT_EQ(exit_of(judged({unclear, equal})), Exit::kInconclusive);
    EXPECT_EQ(exit_of(judged({})), Exit::kInconclusive);
    Comparison stored = worse;
    stored.gates = false;
    EXPECT_EQ(exit_of(judged({stored})), Exit::kOk);
}

TEST(VerdictTest, TheReportTellsEveryFigureToPeopleAndPrograms) {
    const Report report = judged({row(0, 0.001, 0.5), row(0.05, 0.01, 1e-9)}, {row(0, 0.001, 0.9)});
    const std::string text = to_text(report);
    EXPECT_LT(text.find("A/A"), text.find("regression    readrandom")) << text;
    EXPECT_LT(text.find("regression    readrandom"), text.find("equivalent    readrandom"));
    EXPECT_NE(text.find("100 -> 105 ns per get: +5.00 % [+3.96 %, +6.06 %] at 95 %"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("1 regression, 0 improvement, 0 inconclusive, 1 equivalent"),
              std::string::npos);
    const Json object = to_json(report);
    EXPECT_EQ(object["exit_code"], 1);
    EXPECT_EQ(object["rows"][1]["verdict"], "regression");
    EXPECT_NEAR(object["rows"][1]["change"].get<double>(), 0.05, 1e-12);
    EXPECT_GT(object["rows"][1]["smallest_visible_change"].get<double>(), 0.01);
    EXPECT_EQ(object["same"].size(), 1u);
}

TEST(VerdictTest, WhatHasNoIntervalHasNoVisibleEffectInJson) {
    Comparison none;
    none.name = "x";
    none.note = "not measured";
    const Report report = judged({none});
    EXPECT_TRUE(to_json(report)["rows"][0]["smallest_visible_change"].is_null());
    EXPECT_NE(to_text(report).find("not measured"), std::string::npos);
}

}  // namespace
}  // namespace fulgur::bench
