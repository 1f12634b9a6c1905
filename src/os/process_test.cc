#include "os/process.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace fulgur::os {
namespace {

ProcessOutcome shell(const std::string& script, ProcessRequest request = {}) {
    request.arguments = {"sh", "-c", script};
    Result<ProcessOutcome> outcome = run_process(request);
    EXPECT_TRUE(outcome.ok()) << outcome.error().message();
    return outcome.ok() ? std::move(*outcome) : ProcessOutcome{};
}

TEST(ProcessTest, TellsTheExitCodeAndWhatWasPrintedOnBothStreams) {
    const ProcessOutcome outcome = shell("echo out; echo err >&2; exit 7");
    EXPECT_EQ(outcome.exit_code, 7);
    EXPECT_EQ(outcome.output, "out\nerr\n");
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_FALSE(outcome.succeeded());
    EXPECT_GT(outcome.wall_ns, 0u);
    EXPECT_GT(outcome.memory_bytes_max, 0u);
    EXPECT_TRUE(shell("true").succeeded());
}

TEST(ProcessTest, ASignalIsAnExitCodeAbove128) {
    EXPECT_EQ(shell("kill -9 $$").exit_code, 128 + 9);
}

TEST(ProcessTest, AProgramThatIsNotThereIsInvalid) {
    const Result<ProcessOutcome> outcome = run_process({.arguments = {"/no/such/program"}});
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code(), ErrorCode::kInvalid);
    EXPECT_EQ(outcome.error().os_error(), ENOENT);
    EXPECT_FALSE(run_process({}).ok());
}

TEST(ProcessTest, TheEnvironmentIsTheGivenOneOrOurs) {
    EXPECT_EQ(shell("echo ${A:-none}", {.environment = {"A=one", "PATH=/usr/bin:/bin"}}).output,
              "one\n");
    EXPECT_EQ(shell("echo $PATH").output, environment_variable("PATH") + "\n");
    EXPECT_EQ(environment_variable("FULGUR_SURELY_NOT_SET"), "");
}

TEST(ProcessTest, StandardInputIsEmpty) { EXPECT_EQ(shell("cat; echo end").output, "end\n"); }

TEST(ProcessTest, OnlyTheEndOfALongOutputIsKept) {
    const ProcessOutcome outcome =
        shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo last",
              {.output_bytes_max = 100});
    EXPECT_EQ(outcome.output.size(), 100u);
    EXPECT_TRUE(outcome.output.ends_with("0123456789\nlast\n"));
}

TEST(ProcessTest, AtItsLimitItIsKilledWithWhatItStarted) {
    ProcessOutcome outcome;
    // On a busy machine the first limits may pass before the shell has printed anything.
    for (std::uint64_t limit_ms = 50; outcome.output.empty(); limit_ms *= 2) {
        outcome = shell("sleep 1000 & echo $!; sleep 1000", {.limit_ms = limit_ms});
        EXPECT_TRUE(outcome.timed_out);
        EXPECT_EQ(outcome.exit_code, 128 + 9);
        EXPECT_FALSE(outcome.succeeded());
    }
    outcome.output.pop_back();
    // Gone, or about to be: nobody waits for it but init. It would sleep on for minutes otherwise.
    EXPECT_TRUE(shell("while grep -q '^State:.[^ZX]' /proc/" + outcome.output +
                          "/status 2>/dev/null; do :; done",
                      {.limit_ms = 60'000})
                    .succeeded());
}

TEST(ProcessTest, WhatItLeftRunningDoesNotKeepItsEndFromBeingSeen) {
    // The left-over holds the pipe for longer than the limit of this test's own run.
    const ProcessOutcome outcome = shell("sleep 600 & echo done", {.limit_ms = 60'000});
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.output, "done\n");
}

TEST(ProcessTest, ProcessorTimeIsThatOfTheProgram) {
    const ProcessOutcome busy = shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
    const ProcessOutcome idle = shell("sleep 0.05");
    EXPECT_GT(busy.user_ns, idle.user_ns);
    EXPECT_GE(idle.wall_ns, 50'000'000u);
}

TEST(ProcessTest, OurOwnFileIsThere) {
    EXPECT_TRUE(own_executable().ends_with("os_test")) << own_executable();
}

}  // namespace
}  // namespace fulgur::os
