#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "bench/baseline.h"
#include "bench/command_arm.h"
#include "bench/injection.h"
#include "bench/stored.h"
#include "cli/arguments.h"
#include "cli/bench_fine.h"
#include "cli/bench_judging.h"
#include "cli/command.h"
#include "os/process.h"
#include "os/random.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    std::vector<std::string> what;
    std::string mode;
    std::optional<double> threshold_percent;
    double alpha = 0.05;
    std::optional<std::size_t> pairs;
    double limit_s = 600;
    double total_limit_s = 600;
    std::string measure = "wall";
    std::string marker;
    std::string baselines = bench::kBaselineFolder;
    std::vector<std::string> gates;
    std::optional<std::uint64_t> seed;
    bool any_machine = false;
    bool self_test = false;
    std::optional<unsigned> kernel_percent;
    FineArguments fine;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

/// Of the design: what each mode can see on a shared machine.
double threshold_of(const Arguments& arguments, const std::string& mode) {
    if (arguments.threshold_percent) return *arguments.threshold_percent / 100;
    if (mode == "counts") return 0.01;
    if (mode == "process") return 0.03;
    return 0.05;
}

std::uint64_t to_ms(double seconds) { return static_cast<std::uint64_t>(seconds * 1000); }

struct Sides {
    bench::CommandLine before;
    bench::CommandLine after;
};

/// "A a b -- B c d", the first "--" having been taken by the parser.
std::optional<Sides> split(const std::vector<std::string>& words) {
    const auto middle = std::ranges::find(words, "--");
    if (middle == words.end()) return std::nullopt;
    Sides sides;
    sides.before.assign(words.begin(), middle);
    sides.after.assign(middle + 1, words.end());
    return sides;
}

ExitCode print(Context& context, bench::Report& report) {
    if (context.json) {
        context.print_json(bench::to_json(report));
    } else {
        context.out.write(bench::to_text(report));
    }
    return to_exit_code(bench::exit_of(report));
}

ExitCode compare_stored(Context& context, const Arguments& arguments) {
    bench::StoredRules rules;
    rules.threshold = threshold_of(arguments, "stored");
    rules.alpha = arguments.alpha;
    rules.any_machine = arguments.any_machine;
    rules.gates = arguments.gates;
    std::string before = arguments.what.front();
    const bench::Run after = bench::load_stored(arguments.what.back());
    if (arguments.what.size() == 1) {
        const auto baseline =
            bench::newest_baseline(arguments.baselines, after.environment.machine);
        if (!baseline) {
            return context.fail(
                kBenchError,
                fmt::format("{} holds no baseline of machine {}", arguments.baselines,
                            after.environment.machine),
                "keep one with `fulgur bench baseline save FILE`, or name two files");
        }
        before = baseline->path;
        context.note("compared with " + before);
    }
    bench::Report report = bench::compare_stored(bench::load_stored(before), after, rules);
    return print(context, report);
}

ExitCode compare_commands(Context& context, const Arguments& arguments, const Sides& sides,
                          const std::string& mode) {
    bench::Report report;
    report.mode = mode;
    report.threshold = threshold_of(arguments, mode);
    report.alpha = arguments.alpha;
    const std::string name = sides.before == sides.after
                                 ? bench::show(sides.before)
                                 : bench::show(sides.before) + " -> " + bench::show(sides.after);
    bench::PairedOutcome outcome;
    if (mode == "counts") {
        bench::CountPlan plan;
        plan.marker = arguments.marker;
        plan.limit_ms = to_ms(arguments.limit_s);
        outcome = bench::compare_counts(name, sides.before, sides.after, plan);
    } else {
        const auto measure = arguments.measure == "cpu" ? bench::CommandArm::Measure::kProcessor
                                                        : bench::CommandArm::Measure::kWall;
        bench::CommandArm before(sides.before, measure, to_ms(arguments.limit_s));
        bench::CommandArm after(sides.after, measure, to_ms(arguments.limit_s));
        bench::PairedPlan plan = bench::PairedPlan::process(report.threshold);
        plan.confidence = 1 - arguments.alpha;
        plan.limit_ns = to_ms(arguments.total_limit_s) * 1'000'000;
        plan.seed = arguments.seed.value_or(os::random_seed());
        if (arguments.pairs) plan.rounds_max = *arguments.pairs;
        plan.rounds_min = std::min(plan.rounds_min, plan.rounds_max);
        Progress progress("comparing, pairs", arguments.progress, context.error, context.clock);
        plan.progress = [&](std::size_t done, std::size_t) { progress.update_now({.rows = done}); };
        outcome = bench::compare_paired(name, "ns", before, after, before, plan, context.clock);
        report.notes.push_back(fmt::format("seed {}", plan.seed));
    }
    report.rows = {outcome.comparison};
    outcome.same.name = bench::show(sides.before);
    report.same = {outcome.same};
    bench::judge(report);
    return print(context, report);
}

ExitCode test_itself(Context& context, const Arguments& arguments) {
    bench::SelfTestPlan plan;
    const std::string own = os::own_executable();
    if (!own.empty()) plan.kernel = {own, "bench", "compare", "--self-test-kernel"};
    plan.seed = arguments.seed.value_or(os::random_seed());
    Progress progress("testing itself, pairs", arguments.progress, context.error, context.clock);
    std::size_t rounds = 0;
    plan.progress = [&](std::size_t, std::size_t) { progress.update_now({.rows = ++rounds}); };
    const bench::SelfTest test = bench::run_self_test(plan, context.clock);
    progress.clear();
    if (context.json) {
        context.print_json(bench::to_json(test));
    } else {
        context.out.write(bench::to_text(test) + fmt::format("seed {}\n", plan.seed));
    }
    return to_exit_code(test.exit());
}

ExitCode run(Context& context, const Arguments& arguments) {
    if (arguments.kernel_percent) {
        context.out.write(
            fmt::format("{}\n", bench::run_self_test_kernel(*arguments.kernel_percent)));
        return ExitCode::kOk;
    }
    if (arguments.self_test) return test_itself(context, arguments);
    const std::optional<Sides> sides = split(arguments.what);
    const std::string mode = !arguments.mode.empty() ? arguments.mode
                             : sides                 ? "process"
                                                     : "stored";
    if (mode == "fine") {
        if (sides || arguments.what.size() != 2) {
            return context.fail(kBenchError, "mode fine takes two variants of the engine",
                                "`fulgur bench compare --mode fine old.so new.so`; self is the "
                                "engine in this program");
        }
        FinePlan plan{arguments.what.front(), arguments.what.back()};
        if (arguments.threshold_percent) plan.threshold = *arguments.threshold_percent / 100;
        plan.alpha = arguments.alpha;
        plan.total_limit_s = arguments.total_limit_s;
        plan.seed = arguments.seed.value_or(os::random_seed());
        plan.progress = arguments.progress;
        return compare_variants(context, arguments.fine, plan);
    }
    if (mode == "stored") {
        if (sides || arguments.what.empty() || arguments.what.size() > 2) {
            return context.fail(kBenchError, "mode stored takes one or two files",
                                "`fulgur bench compare BEFORE AFTER`");
        }
        return compare_stored(context, arguments);
    }
    if (!sides || sides->before.empty() || sides->after.empty()) {
        return context.fail(kBenchError, "mode " + mode + " takes two commands",
                            "`fulgur bench compare -- COMMAND_A -- COMMAND_B`");
    }
    return compare_commands(context, arguments, *sides, mode);
}

}  // namespace

Command add_bench_compare(CLI::App& bench) {
    CLI::App* const app =
        bench.add_subcommand("compare", "Is it slower? Two commands, or two result files");
    const auto arguments = std::make_shared<Arguments>();
    app->add_option("WHAT", arguments->what,
                    "BEFORE AFTER: result files (or Google Benchmark's JSON); AFTER alone is "
                    "compared\nwith the newest baseline. Or: -- COMMAND_A -- COMMAND_B. Or, with "
                    "--mode fine, two "
                    "libfulgur_variant.so")
        ->type_name("");
    app->add_option("--mode", arguments->mode, "counts, fine, process or stored")
        ->check(CLI::IsMember({"counts", "fine", "process", "stored"}));
    app->add_option("--threshold", arguments->threshold_percent,
                    "The change that matters, in per cent (counts 1, process 3, stored 5)")
        ->check(CLI::Range(0.01, 1000.0))
        ->type_name("PERCENT");
    app->add_option("--alpha", arguments->alpha, "Chance of a false alarm in the whole report")
        ->check(CLI::Range(0.0001, 0.5))
        ->capture_default_str();
    app->add_option("--workload", arguments->fine.workloads, "What the variants do (fine)")
        ->delimiter(',')
        ->expected(1)
        ->type_name("NAME,...");
    app->add_option("--rows", arguments->fine.rows, "In each store (fine)")
        ->check(CLI::Range(std::uint64_t{100}, std::uint64_t{1'000'000'000}))
        ->capture_default_str();
    app->add_option("--dir", arguments->fine.directory, "Where the databases lie (fine)")
        ->type_name("DIR");
    app->add_option("--pairs", arguments->pairs, "At most so many pairs (process)")
        ->check(CLI::Range(6, 100'000))
        ->type_name("N");
    app->add_option("--limit", arguments->limit_s, "Seconds that one run of a command may take")
        ->check(CLI::Range(0.01, 86'400.0))
        ->capture_default_str();
    app->add_option("--total-limit", arguments->total_limit_s, "Seconds after which no pair begins")
        ->check(CLI::Range(0.01, 864'000.0))
        ->capture_default_str();
    app->add_option("--measure", arguments->measure, "wall, or cpu: user and system time")
        ->check(CLI::IsMember({"wall", "cpu"}))
        ->capture_default_str();
    app->add_option("--marker", arguments->marker, "Count inside this function only (counts)")
        ->type_name("FUNCTION");
    app->add_option("--baselines", arguments->baselines, "Where baselines lie")
        ->type_name("DIR")
        ->capture_default_str();
    app->add_option("--gate", arguments->gates, "Counters that may fail a build (stored)")
        ->delimiter(',')
        ->expected(1)
        ->type_name("NAME,...");
    app->add_option("--seed", arguments->seed, "Of the order of the sides");
    app->add_flag("--any-machine", arguments->any_machine,
                  "Compare runs of different machines all the same (stored)");
    app->add_flag("--self-test", arguments->self_test,
                  "Inject 0, 1, 3 and 5 % more work and find them");
    app->add_option("--self-test-kernel", arguments->kernel_percent)->group("");
    add_progress(*app, arguments->progress);
    app->footer(
        "docs/comparing.md tells how verdicts are made. Exit codes: 0 no regression; 1 a "
        "regression;\n2 an error; 3 inconclusive; 4 the self-test failed; 5 runs of different "
        "machines.");
    return {app, [arguments](Context& context) {
                return judged(context, [&] { return run(context, *arguments); });
            }};
}

}  // namespace fulgur::cli
