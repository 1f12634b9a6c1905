#include "bench/injection.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "os/process.h"

// Not static and never inlined, under a name that callgrind finds: a chain of multiplications, each
// of which needs the one before, so that time is proportional to rounds.
extern "C" __attribute__((noinline)) std::uint64_t fulgur_bench_counted_kernel(
    std::uint64_t rounds, std::uint64_t state) {
    for (std::uint64_t i = 0; i < rounds; ++i) {
        state = (state ^ (state >> 29)) * 0x9E3779B97F4A7C15;
    }
    return state;
}

namespace fulgur::bench {

namespace {

constexpr std::array<unsigned, 4> kInjected = {0, 1, 3, 5};
constexpr std::uint64_t kRounds = 5'000;           // Of an operation: about 10 us.
constexpr std::uint64_t kCountedRounds = 500'000;  // Of a process under callgrind: a second.
/// What the estimate may be off by. callgrind sees 1 % as 1 %; a clock on a busy machine as nearly.
constexpr double kFineError = 0.005;
constexpr double kCountsError = 0.002;
constexpr double kThreshold = 0.005;
constexpr int kTries = 3;

std::uint64_t rounds_with(std::uint64_t rounds, unsigned percent) {
    return rounds * (100 + percent) / 100;
}

bool right(const Comparison& found, double injected, double error) {
    const Verdict wanted = injected == 0 ? Verdict::kEquivalent : Verdict::kRegression;
    return found.verdict == wanted && std::abs(std::expm1(found.log_ratio) - injected) <= error;
}

Report report_of(const char* mode) {
    Report report;
    report.mode = mode;
    report.threshold = kThreshold;
    return report;
}

/// Judges all injections together, as a suite is, and adds them.
void conclude(Report& report, double error, SelfTest& test) {
    judge(report);
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
        const double injected = kInjected[i] / 100.0;
        test.lines.push_back(
            {report.mode, injected, report.rows[i], right(report.rows[i], injected, error)});
    }
    test.same.insert(test.same.end(), report.same.begin(), report.same.end());
    test.notes.insert(test.notes.end(), report.notes.begin(), report.notes.end());
    test.deceived = test.deceived || report.deceived;
}

Report fine_report(const SelfTestPlan& plan, os::Clock& clock, std::uint64_t seed) {
    Report report = report_of("fine");
    for (const unsigned percent : kInjected) {
        KernelArm before(0, clock);
        KernelArm after(percent, clock);
        KernelArm same(0, clock);
        PairedPlan paired = PairedPlan::fine(kThreshold);
        paired.precision = kThreshold / 4;
        paired.limit_ns = 20'000'000'000;
        paired.seed = seed + percent;
        paired.progress = plan.progress;
        const PairedOutcome outcome =
            compare_paired(fmt::format("{} % more work", percent), "ns per operation", before,
                           after, same, paired, clock);
        report.rows.push_back(outcome.comparison);
        report.same.push_back(outcome.same);
    }
    return report;
}

bool valgrind_is_here() {
    const Result<os::ProcessOutcome> outcome =
        os::run_process({.arguments = {"valgrind", "--version"}, .limit_ms = 60'000});
    return outcome.ok() && outcome->succeeded();
}

Report counts_report(const SelfTestPlan& plan) {
    Report report = report_of("counts");
    CountPlan counts;
    counts.marker = kSelfTestMarker;
    const auto command = [&](unsigned percent) {
        CommandLine line = plan.kernel;
        line.push_back(std::to_string(percent));
        return line;
    };
    for (const unsigned percent : kInjected) {
        const PairedOutcome outcome = compare_counts(fmt::format("{} % more work", percent),
                                                     command(0), command(percent), counts);
        report.rows.push_back(outcome.comparison);
        report.same.push_back(outcome.same);
    }
    return report;
}

}  // namespace

double KernelArm::run(std::uint64_t operations) {
    const std::uint64_t begin = clock_.now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
        result_ = fulgur_bench_counted_kernel(rounds_with(kRounds, percent_), result_ | 1);
    }
    return static_cast<double>(clock_.now_ns() - begin);
}

std::uint64_t run_self_test_kernel(unsigned percent) {
    return fulgur_bench_counted_kernel(rounds_with(kCountedRounds, percent), 1);
}

Exit SelfTest::exit() const {
    if (std::ranges::all_of(lines, &SelfTestLine::passed)) return Exit::kOk;
    return deceived ? Exit::kInconclusive : Exit::kValidationFailed;
}

SelfTest run_self_test(const SelfTestPlan& plan, os::Clock& clock) {
    SelfTest test;
    // A machine that is busy for some seconds may be quiet in the next; the tries are told.
    for (int attempt = 1;; ++attempt) {
        SelfTest tried;
        Report report = fine_report(plan, clock, plan.seed + static_cast<std::uint64_t>(attempt));
        conclude(report, kFineError, tried);
        if (tried.exit() == Exit::kOk || attempt == kTries) {
            if (attempt > 1) {
                tried.notes.push_back(fmt::format("mode fine: attempt {} of {}", attempt, kTries));
            }
            test = std::move(tried);
            break;
        }
    }
    if (plan.kernel.empty()) return test;
    if (!valgrind_is_here()) {
        test.notes.emplace_back("valgrind is not installed: mode counts was not tested");
        return test;
    }
    Report report = counts_report(plan);
    conclude(report, kCountsError, test);
    return test;
}

std::string to_text(const SelfTest& test) {
    std::string text;
    for (const std::string& note : test.notes) text += fmt::format("note: {}\n", note);
    for (const Comparison& same : test.same) {
        text += fmt::format("A/A     {}: {}\n", same.unit, percent_text(same.log_ratio));
    }
    for (const SelfTestLine& line : test.lines) {
        text +=
            fmt::format("{:<7} {:<7} injected {:+.0f} %, found {} [{}, {}]: {}\n",
                        line.passed ? "passed" : "FAILED", line.mode, 100 * line.injected,
                        percent_text(line.found.log_ratio), percent_text(line.found.interval.low),
                        percent_text(line.found.interval.high), to_string(line.found.verdict));
    }
    return text;
}

Json to_json(const SelfTest& test) {
    Json object;
    object["exit_code"] = static_cast<int>(test.exit());
    object["trusted"] = !test.deceived;
    object["notes"] = test.notes;
    object["lines"] = Json::array();
    for (const SelfTestLine& line : test.lines) {
        object["lines"].push_back({{"mode", line.mode},
                                   {"injected", line.injected},
                                   {"found", std::expm1(line.found.log_ratio)},
                                   {"found_low", std::expm1(line.found.interval.low)},
                                   {"found_high", std::expm1(line.found.interval.high)},
                                   {"verdict", to_string(line.found.verdict)},
                                   {"passed", line.passed}});
    }
    return object;
}

}  // namespace fulgur::bench
