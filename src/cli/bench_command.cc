#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

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
#include "cli/command.h"
#include "cli/text.h"
#include "os/machine.h"

namespace fulgur::cli {

namespace {

struct RunArguments {
    std::vector<std::string> workloads;
    std::string peers = "none";
    std::string directory;
    std::string out;
    std::string format = "table";
    std::string value_bytes;
    std::string pattern = "constant";
    std::vector<std::uint32_t> threads = {1};
    bench::Parameters parameters;
    double seconds = 3;
    double rate = 0;
    std::uint64_t memory_limit = 0;
    unsigned rounds = 3;
    bool sync = false;
    bool quick = false;
    bool figures = false;
    bool force = false;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

constexpr std::uint64_t kQuickRows = 100'000;

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

std::vector<std::string> split(const std::string& words) {
    std::vector<std::string> list;
    for (std::size_t begin = 0; begin <= words.size();) {
        const std::size_t end = std::min(words.find(',', begin), words.size());
        if (end > begin) list.push_back(words.substr(begin, end - begin));
        begin = end + 1;
    }
    return list;
}

/// Names of workloads, of families, or "all".
std::optional<ExitCode> choose_workloads(Context& context, const RunArguments& arguments,
                                         bench::Plan& plan) {
    std::set<const bench::Workload*> chosen;
    std::vector<std::string> names = arguments.workloads;
    if (arguments.figures) names = {"all"};
    for (const std::string& name : names) {
        const std::size_t before = chosen.size();
        for (const bench::Workload& workload : bench::workloads()) {
            const bool all = name == "all" || name == workload.family;
            if (!all && name != workload.name) continue;
            if (chosen.insert(&workload).second) plan.workloads.push_back(&workload);
        }
        if (chosen.size() == before && bench::find_workload(name) == nullptr) {
            return context.fail(ExitCode::kUsage, "no workload is named " + name,
                                "`fulgur bench list` shows them");
        }
    }
    return std::nullopt;
}

std::optional<ExitCode> choose_sides(Context& context, const RunArguments& arguments,
                                     bench::Plan& plan) {
    plan.sides = {&bench::sides().front()};
    const std::string words = arguments.figures ? "all" : arguments.peers;
    if (words == "none") return std::nullopt;
    for (const std::string& name : split(words)) {
        if (name == "all") {
            // The variants of a peer are asked for by name.
            for (const bench::Side& side : bench::sides()) {
                if (&side == plan.sides.front() || side.name.find('-') != std::string::npos) {
                    continue;
                }
                if (side.open == nullptr) {
                    context.note(side.name + " is left out: this build lacks it (" + side.package +
                                 ")");
                } else {
                    plan.sides.push_back(&side);
                }
            }
            continue;
        }
        const bench::Side* const side = bench::find_side(name);
        if (side == nullptr) {
            return context.fail(ExitCode::kUsage, "no peer is named " + name,
                                "`fulgur bench list` shows them");
        }
        if (side->open == nullptr) {
            return context.fail(ExitCode::kUsage, "this build lacks " + name,
                                "install " + side->package + " and build again");
        }
        if (std::ranges::find(plan.sides, side) == plan.sides.end()) plan.sides.push_back(side);
    }
    return std::nullopt;
}

std::optional<ExitCode> parse_value_bytes(Context& context, const std::string& text,
                                          bench::Parameters& parameters) {
    if (text.empty()) return std::nullopt;
    const std::size_t dash = text.find('-');
    const auto number = [](const std::string& digits) -> std::uint32_t {
        if (digits.empty() || digits.size() > 9 ||
            digits.find_first_not_of("0123456789") != std::string::npos) {
            return 0;
        }
        return static_cast<std::uint32_t>(std::stoul(digits));
    };
    parameters.value_min = number(text.substr(0, dash));
    parameters.value_max =
        dash == std::string::npos ? parameters.value_min : number(text.substr(dash + 1));
    const bool sound = parameters.value_min >= bench::Row::kValueMin &&
                       parameters.value_max >= parameters.value_min &&
                       parameters.value_max <= 64'000'000;
    if (sound) return std::nullopt;
    return context.fail(ExitCode::kUsage, "--value-bytes " + text + " is no size",
                        "say a number of at least 24, or a range: 100-10000");
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
            const bench::MemoryLimit limit(arguments.memory_limit);
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
    plan.parameters = arguments.parameters;
    plan.seconds = arguments.seconds;
    plan.rounds = arguments.rounds;
    plan.open_loop.rate = arguments.rate;
    if (arguments.memory_limit != 0) {
        // Room for the program itself; a cache of the rest.
        constexpr std::uint64_t kBesideBytes = 64_MiB;
        if (arguments.memory_limit < 2 * kBesideBytes) {
            return context.fail(ExitCode::kUsage, "--memory-limit is below its least, 128 MiB");
        }
        plan.parameters.memory_bytes = arguments.memory_limit - kBesideBytes;
    }
    if (arguments.sync) plan.parameters.durability = Durability::kSync;
    if (arguments.quick) {
        plan.parameters.rows = std::min(plan.parameters.rows, kQuickRows);
        plan.seconds = std::min(plan.seconds, 0.5);
        plan.rounds = 1;
    }
    if (!bench::parse_pattern(arguments.pattern, plan.open_loop.pattern)) {
        return context.fail(ExitCode::kUsage, "no load pattern is named " + arguments.pattern,
                            "say constant, ramp, spike or burst");
    }
    if (auto failed = parse_value_bytes(context, arguments.value_bytes, plan.parameters)) {
        return *failed;
    }
    if (auto failed = choose_workloads(context, arguments, plan)) return *failed;
    if (auto failed = choose_sides(context, arguments, plan)) return *failed;
    if (plan.workloads.empty()) {
        return context.fail(ExitCode::kUsage, "no workload is named",
                            "say one, for example readrandom; `fulgur bench list` shows them");
    }
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

void define_run(CLI::App& app, RunArguments& arguments) {
    app.add_option("WORKLOAD", arguments.workloads, "Workloads or families; all")->type_name("");
    app.add_option("--peers", arguments.peers, "Engines to compare with: all, none, or names")
        ->type_name("NAME,...")
        ->capture_default_str();
    app.add_option("--rows", arguments.parameters.rows, "Rows in the store")
        ->check(CLI::Range(std::uint64_t{100}, std::uint64_t{10'000'000'000}))
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--value-bytes", arguments.value_bytes,
                   "Bytes of a value, or a range MIN-MAX (default: the workload's)")
        ->type_name("N");
    app.add_option("--batch", arguments.parameters.batch, "Rows a commit (default: the workload's)")
        ->check(CLI::Range(1u, 1'000'000u))
        ->type_name("N");
    app.add_option("--threads", arguments.threads, "Numbers of threads, one run each")
        ->delimiter(',')
        ->check(CLI::Range(1u, 256u))
        ->type_name("N,...");
    app.add_option("--memory", arguments.parameters.memory_bytes, "Cache or budget of each side")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("SIZE");
    app.add_option("--memory-limit", arguments.memory_limit,
                   "Hold each side to so much memory, page cache included, one side at a time")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("SIZE");
    app.add_option("--seconds", arguments.seconds, "Measured for each workload and side")
        ->check(CLI::Range(0.01, 86'400.0))
        ->capture_default_str();
    app.add_option("--rounds", arguments.rounds, "Passes of the workloads that fill or erase")
        ->check(CLI::Range(1u, 1000u))
        ->capture_default_str();
    app.add_option("--seed", arguments.parameters.seed, "Of all that is random")
        ->capture_default_str();
    app.add_flag("--sync", arguments.sync, "Synced commits on every side");
    app.add_option("--rate", arguments.rate,
                   "Operations a second, whatever the answers take; latency counts from the "
                   "intended start")
        ->check(CLI::Range(0.0, 1e9));
    app.add_option("--pattern", arguments.pattern, "With --rate: constant, ramp, spike, burst")
        ->capture_default_str();
    app.add_option("--dir", arguments.directory, "Where the databases lie meanwhile")
        ->type_name("DIR");
    app.add_option("--out", arguments.out, "Write every sample to a file, JSON lines")
        ->type_name("FILE");
    app.add_option("--format", arguments.format, "Of what is printed: table, csv, markdown")
        ->check(CLI::IsMember({"table", "csv", "markdown"}))
        ->capture_default_str();
    app.add_flag("--quick", arguments.quick, "100,000 rows, half a second: to try, never to quote");
    app.add_flag("--figures", arguments.figures, "Every workload, against all peers");
    app.add_flag("--force", arguments.force, "Run although this build's figures say nothing");
    add_progress(app, arguments.progress);
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
