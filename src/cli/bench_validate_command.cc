#include <memory>

#include "bench/result_file.h"
#include "bench/validate.h"
#include "cli/bench_judging.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    std::string file;
    std::string targets;
    bool allow_quick = false;
};

ExitCode run(Context& context, const Arguments& arguments) {
    const bench::Run run = bench::read_run(arguments.file);
    const std::vector<bench::Target> targets = arguments.targets.empty()
                                                   ? bench::engine_targets()
                                                   : bench::read_targets(arguments.targets);
    for (const std::string& warning : run.warnings) context.note(warning);
    if (run.quick && !arguments.allow_quick) {
        return fail_bench(context, bench::Exit::kEnvironmentRefused,
                          arguments.file + " is a quick run: it proves nothing",
                          "run without --quick, or try the targets with --allow-quick");
    }
    const std::vector<bench::TargetOutcome> outcomes = bench::validate(run, targets);
    if (context.json) {
        context.print_json(bench::to_json(outcomes));
    } else {
        context.out.write(bench::to_text(outcomes));
    }
    return bench::all_met(outcomes) ? ExitCode::kOk : kBenchMissed;
}

}  // namespace

Command add_bench_validate(CLI::App& bench) {
    CLI::App* const app = bench.add_subcommand("validate", "Does a run meet its targets?");
    const auto arguments = std::make_shared<Arguments>();
    app->add_option("FILE", arguments->file, "What `fulgur bench run --out` wrote")
        ->required()
        ->type_name("");
    app->add_option("--targets", arguments->targets,
                    "The targets, see docs/bench-format.md (default: the engine's own)")
        ->type_name("FILE");
    app->add_flag("--allow-quick", arguments->allow_quick, "Accept a quick run");
    app->footer("Exit codes: 0 all met; 2 an error; 4 a target was missed; 5 a quick run.");
    return {app, [arguments](Context& context) {
                return judged(context, [&] { return run(context, *arguments); });
            }};
}

}  // namespace fulgur::cli
