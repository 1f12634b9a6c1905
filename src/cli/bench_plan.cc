#include "cli/bench_plan.h"

#include <algorithm>
#include <set>

namespace fulgur::cli {

namespace {

constexpr std::uint64_t kQuickRows = 100'000;

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
            // The variants of a peer are asked for by name, but for the one that figures name.
            for (const bench::Side& side : bench::sides()) {
                const bool variant = side.name.find('-') != std::string::npos &&
                                     !(arguments.figures && side.name == "lmdb-writemap");
                if (&side == plan.sides.front() || variant) continue;
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

}  // namespace

std::optional<ExitCode> make_plan(Context& context, const RunArguments& arguments,
                                  bench::Plan& plan) {
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
        return failed;
    }
    if (auto failed = choose_workloads(context, arguments, plan)) return failed;
    if (auto failed = choose_sides(context, arguments, plan)) return failed;
    if (plan.workloads.empty()) {
        return context.fail(ExitCode::kUsage, "no workload is named",
                            "say one, for example readrandom; `fulgur bench list` shows them");
    }
    return std::nullopt;
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

}  // namespace fulgur::cli
