#include "bench/command_arm.h"

#include <gtest/gtest.h>

#include "os/process.h"

namespace fulgur::bench {
namespace {

std::string complaint(const CommandLine& command, std::uint64_t limit_ms = 60'000) {
    try {
        CommandArm(command, CommandArm::Measure::kWall, limit_ms).run(1);
    } catch (const BenchError& error) {
        EXPECT_EQ(error.exit(), Exit::kError);
        return error.what();
    }
    return "";
}

TEST(CommandArmTest, MeasuresWhatTheCommandTook) {
    CommandArm wall({"sleep", "0.02"}, CommandArm::Measure::kWall, 60'000);
    EXPECT_GE(wall.run(1), 20e6);
    EXPECT_GE(wall.run(2), 40e6);
    CommandArm processor({"sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"},
                         CommandArm::Measure::kProcessor, 60'000);
    EXPECT_GT(processor.run(1), 1e6);
}

TEST(CommandArmTest, ACommandThatFailsIsAnErrorWithItsWords) {
    EXPECT_EQ(complaint({"true"}), "");
    EXPECT_EQ(complaint({"sh", "-c", "echo no disk >&2; exit 3"}),
              "`sh -c 'echo no disk >&2; exit 3'` failed with exit code 3: no disk");
    EXPECT_NE(complaint({"/no/such/program"}).find("No such file"), std::string::npos);
    EXPECT_NE(complaint({"sleep", "600"}, 20).find("limit of 0.02 s"), std::string::npos);
}

TEST(CommandArmTest, WordsThatAShellWouldSplitAreQuotedForPeople) {
    EXPECT_EQ(show({"a", "b c", "", "$d"}), "a 'b c' '' '$d'");
}

class CountsTest : public testing::Test {
protected:
    void SetUp() override {
        const auto outcome =
            os::run_process({.arguments = {"valgrind", "--version"}, .limit_ms = 60'000});
        if (!outcome.ok() || !outcome->succeeded()) GTEST_SKIP() << "valgrind is not installed";
    }
};

TEST_F(CountsTest, TheSameCommandCountsTheSame) {
    const PairedOutcome outcome = compare_counts("true", {"true"}, {"true"}, {});
    EXPECT_GT(outcome.comparison.before, 10'000);
    EXPECT_NEAR(outcome.comparison.log_ratio, 0, 0.0005);
    EXPECT_TRUE(outcome.comparison.counted);
    EXPECT_EQ(outcome.comparison.p, 1);
}

TEST_F(CountsTest, MoreWorkCountsAsMore) {
    const auto loop = [](const std::string& rounds) {
        return CommandLine{"sh", "-c", "i=0; while [ $i -lt " + rounds + " ]; do i=$((i+1)); done"};
    };
    const PairedOutcome outcome = compare_counts("loop", loop("3000"), loop("4000"), {});
    EXPECT_GT(outcome.comparison.log_ratio, 0.02);
    EXPECT_EQ(outcome.comparison.p, 0);
    EXPECT_NEAR(outcome.same.log_ratio, 0, 0.0005);
}

TEST_F(CountsTest, AMarkerThatIsNeverReachedIsAnError) {
    CountPlan plan;
    plan.marker = "surely_no_function_of_this_name";
    EXPECT_THROW(count_instructions({"true"}, plan), BenchError);
    EXPECT_THROW(count_instructions({"false"}, {}), BenchError);
}

}  // namespace
}  // namespace fulgur::bench
