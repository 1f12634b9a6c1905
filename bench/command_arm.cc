#include "bench/command_arm.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "os/process.h"

namespace fulgur::bench {

namespace {

constexpr double kCountSpreadMin = 0.0003;

/// Runs it; what does not succeed is thrown.
os::ProcessOutcome run_well(const os::ProcessRequest& request, const CommandLine& command) {
    Result<os::ProcessOutcome> outcome = os::run_process(request);
    if (!outcome.ok()) throw BenchError(outcome.error().message());
    if (outcome->timed_out) {
        throw BenchError(fmt::format("`{}` did not end within its limit of {} s and was killed",
                                     show(command), static_cast<double>(request.limit_ms) / 1000));
    }
    if (!outcome->succeeded()) {
        constexpr std::size_t kShown = 400;
        std::string tail = outcome->output;
        if (tail.size() > kShown) tail.erase(0, tail.size() - kShown);
        while (tail.ends_with('\n')) tail.pop_back();
        throw BenchError(fmt::format("`{}` failed with exit code {}{}{}", show(command),
                                     outcome->exit_code, tail.empty() ? "" : ": ", tail));
    }
    return std::move(*outcome);
}

bool system_allows_fixed_addresses() {
    const Result<os::ProcessOutcome> outcome =
        os::run_process({.arguments = {"setarch", "-R", "true"}, .limit_ms = 10'000});
    return outcome.ok() && outcome->succeeded();
}

/// The number after the last "Collected : "; -1 when there is none.
double collected(std::string_view output) {
    constexpr std::string_view kBefore = "Collected : ";
    const std::size_t at = output.rfind(kBefore);
    if (at == std::string_view::npos) return -1;
    output.remove_prefix(at + kBefore.size());
    std::uint64_t count = 0;
    const auto end = std::from_chars(output.data(), output.data() + output.size(), count);
    return end.ec == std::errc{} ? static_cast<double>(count) : -1;
}

Comparison counted(const std::string& name, double before, double after, double spread) {
    Comparison row;
    row.name = name;
    row.unit = "instructions";
    row.counted = true;
    row.before = before;
    row.after = after;
    row.log_ratio = std::log(after / before);
    row.interval = {row.log_ratio - spread, row.log_ratio + spread, 0.95};
    row.p = row.interval.contains(0) ? 1 : 0;
    row.pairs = 1;
    return row;
}

}  // namespace

std::string show(const CommandLine& command) {
    std::string text;
    for (const std::string& word : command) {
        const bool plain =
            !word.empty() && word.find_first_of(" \t\n'\"\\$*?<>|&;()") == std::string::npos;
        text += fmt::format("{}{}", text.empty() ? "" : " ", plain ? word : "'" + word + "'");
    }
    return text;
}

double CommandArm::run(std::uint64_t operations) {
    os::ProcessRequest request;
    request.arguments = command_;
    request.limit_ms = limit_ms_;
    double ns = 0;
    for (std::uint64_t i = 0; i < operations; ++i) {
        const os::ProcessOutcome outcome = run_well(request, command_);
        ns += static_cast<double>(measure_ == Measure::kWall ? outcome.wall_ns
                                                             : outcome.user_ns + outcome.system_ns);
    }
    // A program too short for the kernel's accounting counts as its least step.
    return std::max(ns, 1.0);
}

double count_instructions(const CommandLine& command, const CountPlan& plan) {
    static const bool fixed_addresses = system_allows_fixed_addresses();
    os::ProcessRequest request;
    if (fixed_addresses) request.arguments = {"setarch", "-R"};
    for (const char* word : {"valgrind", "--tool=callgrind", "--cache-sim=no", "--branch-sim=no",
                             "--callgrind-out-file=/dev/null"}) {
        request.arguments.emplace_back(word);
    }
    if (!plan.marker.empty()) request.arguments.push_back("--toggle-collect=" + plan.marker);
    request.arguments.insert(request.arguments.end(), command.begin(), command.end());
    // The environment lies on the stack and is searched: the same for all.
    request.environment = {"PATH=" + os::environment_variable("PATH"), "LC_ALL=C", "HOME=/"};
    request.limit_ms = plan.limit_ms;
    const os::ProcessOutcome outcome = run_well(request, command);
    const double count = collected(outcome.output);
    if (count < 0) {
        throw BenchError(fmt::format("callgrind told no count for `{}`", show(command)));
    }
    if (count == 0) {
        throw BenchError(fmt::format("`{}` executed nothing{}", show(command),
                                     plan.marker.empty() ? "" : " inside " + plan.marker));
    }
    return count;
}

PairedOutcome compare_counts(const std::string& name, const CommandLine& before,
                             const CommandLine& after, const CountPlan& plan) {
    std::vector<double> first;
    for (std::size_t i = 0; i < std::max<std::size_t>(2, plan.repeats); ++i) {
        first.push_back(count_instructions(before, plan));
    }
    const double changed = count_instructions(after, plan);
    const auto [least, most] = std::ranges::minmax(first);
    const double spread = std::max(kCountSpreadMin, std::log(most / least));
    return {counted(name, median(first), changed, spread),
            counted(name, first.front(), first.back(), kCountSpreadMin)};
}

}  // namespace fulgur::bench
