#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "bench/bench_error.h"
#include "bench/environment.h"
#include "bench/memory_limit.h"
#include "bench/report_table.h"
#include "bench/report_text.h"
#include "bench/result_file.h"
#include "bench/runner.h"
#include "bench/store_arm.h"
#include "cli/arguments.h"
#include "cli/bench_judging.h"
#include "cli/bench_plan.h"
#include "cli/command.h"
#include "cli/text.h"
#include "os/machine.h"

namespace fulgur::cli {

namespace {

ExitCode list(Context& context) {
    if (context.json) {
        for (const bench::Workload& workload : bench::workloads()) {
            context.print_json({{"kind", "workload"},
                                {"name", workload.name},
                                {"family", workload.family},
                                {"what", workload.what},
                                {"unit", workload.unit}});
        }
        for (const bench::Side& side : bench::sides()) {
            context.print_json({{"kind", "side"},
                                {"name", side.name},
                                {"what", side.what},
                                {"available", side.open != nullptr},
                                {"package", side.package}});
        }
        return ExitCode::kOk;
    }
    std::string family;
    for (const bench::Workload& workload : bench::workloads()) {
        if (workload.family != family) context.out.write(workload.family + "\n");
        family = workload.family;
        context.out.write(fmt::format("  {:<24}{}\n", workload.name, workload.what));
    }
    context.out.write("sides\n");
    for (const bench::Side& side : bench::sides()) {
        const std::string missing =
            side.open != nullptr ? "" : " (not in this build: install " + side.package + ")";
        context.out.write(fmt::format("  {:<24}{}{}\n", side.name, side.what, missing));
    }
    return ExitCode::kOk;
}

ExitCode doctor(Context& context, const std::string& directory) {
    const bench::Environment environment = bench::read_environment(directory);
    bool refused = false;
    using Weight = bench::Finding::Weight;
    for (const bench::Finding& finding : bench::examine(environment, directory)) {
        refused = refused || finding.weight == Weight::kRefusal;
        const char* const word = finding.weight == Weight::kGood   ? "good"
                                 : finding.weight == Weight::kNote ? "note"
                                                                   : "refused";
        if (context.json) {
            context.print_json(
                {{"weight", word}, {"what", finding.what}, {"advice", finding.advice}});
        } else {
            context.out.write(fmt::format("{:<8}{}{}\n", word, finding.what,
                                          finding.advice.empty() ? "" : ": " + finding.advice));
        }
    }
    return refused ? kBenchRefused : ExitCode::kOk;
}

/// Runs the plan once for each number of threads, and adds to the results.
void measure(Context& context, const RunArguments& arguments, bench::Plan plan, bench::Run& run) {
    std::optional<bench::ResultWriter> writer;
    if (!arguments.out.empty()) writer.emplace(arguments.out, run.environment, run.quick);
    Progress progress("bench", arguments.progress, context.error, context.clock);
    const auto measure_plan = [&](const bench::Plan& part) {
        bench::Runner runner(
            part, context.clock,
            [&](const bench::Runner::Progress& at) { progress.update_share(at.done, at.doing); },
            [&](const bench::Result& result) {
                run.results.push_back(result);
                if (!result.note.empty()) {
                    progress.clear();
                    context.note(result.workload + " " + result.side + ": " + result.note);
                }
                if (writer) writer->add(result);
            });
        runner.run();
    };
    for (const std::uint32_t threads : arguments.threads) {
        plan.parameters.threads = threads;
        if (arguments.memory_limit == 0) {
            measure_plan(plan);
            continue;
        }
        // Each side alone in the limit: they would share it, page cache included.
        for (const bench::Side* side : plan.sides) {
            bench::Plan alone = plan;
            alone.sides = {side};
            bench::MemoryLimit limit(arguments.memory_limit);
            alone.memory_limit = &limit;
            measure_plan(alone);
        }
    }
    progress.clear();
    bench::complete(run.environment);
    if (writer) writer->end(run.environment);
}

/// The databases' own directory, gone at the end whatever happens.
class Scratch {
public:
    explicit Scratch(std::string path) : path_(std::move(path)) {}
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

private:
    std::string path_;
};

void show(Context& context, const bench::Run& run, const std::string& format) {
    if (context.json) {
        context.print_json(bench::to_json(run.environment));
        for (const bench::Result& result : run.results) context.print_json(bench::to_json(result));
    } else if (format == "csv") {
        context.out.write(bench::to_csv(run));
    } else if (format == "markdown") {
        context.out.write(bench::to_markdown(run, bench::subject_of(run)));
    } else {
        context.out.write(bench::to_text(run));
    }
}

ExitCode run(Context& context, const RunArguments& arguments) {
    bench::Plan plan;
    if (auto failed = make_plan(context, arguments, plan)) return *failed;
    const std::string base = arguments.directory.empty()
                                 ? std::filesystem::temp_directory_path().string()
                                 : arguments.directory;
    bench::Run result;
    result.quick = arguments.quick;
    result.environment = bench::read_environment(base);
    if (result.environment.build != "release" && !arguments.force) {
        return fail_bench(
            context, bench::Exit::kEnvironmentRefused,
            "this build has " + result.environment.build + ": its figures would say nothing",
            "use the preset `release`, or --force to try the tool itself");
    }
    plan.directory = base + "/fulgur-bench-" + std::to_string(os::process_id());
    std::error_code error;
    std::filesystem::create_directories(plan.directory, error);
    if (error) {
        return context.fail(ExitCode::kUsage, plan.directory + ": " + error.message(),
                            "name a directory that can be written with --dir");
    }
    const Scratch scratch(plan.directory);
    try {
        measure(context, arguments, plan, result);
    } catch (const bench::BenchError& failure) {
        return fail_bench(context, failure.exit(), failure.what(), "");
    }
    show(context, result, arguments.format);
    const bool failed = std::ranges::any_of(
        result.results, [](const bench::Result& one) { return !one.note.empty(); });
    return failed ? kBenchError : ExitCode::kOk;
}

struct CountArguments {
    std::string workload;
    std::uint64_t rows = 20'000;
    std::uint64_t operations = 20'000;
    std::string directory = ".";
};

/// What an instruction counter runs: nothing is timed.
ExitCode count(Context& context, const CountArguments& arguments) {
    const bench::Workload* const workload = bench::find_workload(arguments.workload);
    if (workload == nullptr) {
        return fail_bench(context, bench::Exit::kError,
                          "no workload is named " + arguments.workload,
                          "`fulgur bench list` shows them");
    }
    bench::Parameters parameters;
    parameters.rows = arguments.rows;
    parameters.memory_bytes = 1_GiB;
    bench::StoreArm arm(bench::sides().front(), *workload, parameters,
                        arguments.directory + "/counted", context.clock);
    const std::uint64_t verified = arm.run_counted(arguments.operations);
    context.out.write(
        fmt::format("{} operations, {} values verified\n", arguments.operations, verified));
    return ExitCode::kOk;
}

}  // namespace

Command add_bench(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("bench", "Measure this engine beside others, and compare results");
    app->require_subcommand(1);
    app->fallthrough();
    CLI::App* const listing = app->add_subcommand("list", "The workloads and the sides");
    CLI::App* const examining =
        app->add_subcommand("doctor", "Is this machine fit for figures? Exit code 5 when not");
    const auto directory = std::make_shared<std::string>(".");
    examining->add_option("--dir", *directory, "Where the databases would lie");
    CLI::App* const running = app->add_subcommand("run", "Run workloads, the sides in turns");
    const auto arguments = std::make_shared<RunArguments>();
    define_run(*running, *arguments);
    CLI::App* const counting = app->add_subcommand(
        "count", "Do some operations once, untimed, inside a function that a counter can watch");
    const auto counted = std::make_shared<CountArguments>();
    counting->add_option("WORKLOAD", counted->workload)->required()->type_name("");
    counting->add_option("--rows", counted->rows)->capture_default_str();
    counting->add_option("--operations", counted->operations)->capture_default_str();
    counting->add_option("--dir", counted->directory, "Where the store lies")->type_name("DIR");
    const std::vector<Command> judging = {add_bench_compare(*app), add_bench_validate(*app),
                                          add_bench_baseline(*app)};
    for (CLI::App* const sub : app->get_subcommands({})) sub->fallthrough();
    app->footer(
        "Exit codes: 0 done; 1 a regression; 2 an error; 3 inconclusive; 4 a target was missed; "
        "5 this\nmachine or build is not fit for it.");
    return {app, [=](Context& context) {
                if (listing->parsed()) return list(context);
                if (examining->parsed()) return doctor(context, *directory);
                if (running->parsed()) return run(context, *arguments);
                if (counting->parsed()) {
                    return judged(context, [&] { return count(context, *counted); });
                }
                for (const Command& command : judging) {
                    if (command.app->parsed()) return command.run(context);
                }
                return context.fail(ExitCode::kUsage, "a command is missing",
                                    "`fulgur help bench` lists them");
            }};
}

}  // namespace fulgur::cli
