#include "cli/bench_fine.h"

#include <filesystem>

#include <fmt/format.h>

#include "bench/store_arm.h"
#include "bench/variant.h"
#include "cli/bench_judging.h"
#include "os/machine.h"

namespace fulgur::cli {

namespace {

bench::Side side_of(const std::string& variant, const std::string& name) {
    if (variant != "self") return bench::load_variant(variant, name);
    bench::Side side = bench::sides().front();
    side.name = name;
    return side;
}

}  // namespace

ExitCode compare_variants(Context& context, const FineArguments& arguments, const FinePlan& plan) {
    const bench::Side before = side_of(plan.before, "before"), after = side_of(plan.after, "after");
    bench::Parameters parameters;
    parameters.rows = arguments.rows;
    parameters.memory_bytes = 1_GiB;
    parameters.seed = plan.seed;
    const std::string base = arguments.directory.empty()
                                 ? std::filesystem::temp_directory_path().string()
                                 : arguments.directory;
    const std::string directory = fmt::format("{}/fulgur-bench-{}", base, os::process_id());
    bench::Report report;
    report.mode = "fine";
    report.threshold = plan.threshold;
    report.alpha = plan.alpha;
    report.notes.push_back(fmt::format("before: {}; after: {}; {} rows; seed {}", before.what,
                                       after.what, arguments.rows, plan.seed));
    Progress progress("comparing, pairs", plan.progress, context.error, context.clock);
    for (const std::string& name : arguments.workloads) {
        const bench::Workload* const workload = bench::find_workload(name);
        if (workload == nullptr) {
            throw bench::BenchError("no workload is named " + name +
                                    ": `fulgur bench list` shows them");
        }
        // The second instance of the same code shows what another place in memory does.
        bench::StoreArm first(before, *workload, parameters, directory + "/before", context.clock);
        bench::StoreArm second(after, *workload, parameters, directory + "/after", context.clock);
        bench::StoreArm same(before, *workload, parameters, directory + "/same", context.clock);
        bench::PairedPlan pairs = bench::PairedPlan::fine(plan.threshold);
        pairs.confidence = 1 - plan.alpha;
        pairs.seed = plan.seed;
        pairs.limit_ns = static_cast<std::uint64_t>(plan.total_limit_s * 1e9 /
                                                    double(arguments.workloads.size()));
        pairs.progress = [&](std::size_t done, std::size_t) {
            progress.update_now({.rows = done});
        };
        bench::PairedOutcome outcome = bench::compare_paired(
            name, "ns per " + workload->unit, first, second, same, pairs, context.clock);
        report.rows.push_back(outcome.comparison);
        report.same.push_back(outcome.same);
    }
    progress.clear();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    bench::judge(report);
    if (context.json) {
        context.print_json(bench::to_json(report));
    } else {
        context.out.write(bench::to_text(report));
    }
    return to_exit_code(bench::exit_of(report));
}

}  // namespace fulgur::cli
