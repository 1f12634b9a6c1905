#include <memory>

#include <fmt/format.h>

#include "bench/baseline.h"
#include "cli/bench_judging.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    std::string file;
    std::string folder = bench::kBaselineFolder;
    std::string name;
    bool replace = false;
};

Json to_json(const bench::Baseline& baseline) {
    Json object;
    set_bytes(object, "machine", baseline.machine);
    set_bytes(object, "name", baseline.name);
    set_bytes(object, "path", baseline.path);
    set_bytes(object, "commit", baseline.commit);
    set_bytes(object, "started", baseline.started);
    object["results"] = baseline.results;
    if (!baseline.fault.empty()) set_bytes(object, "fault", baseline.fault);
    return object;
}

ExitCode save(Context& context, const Arguments& arguments) {
    const bench::Baseline saved =
        bench::save_baseline(arguments.file, arguments.folder, arguments.name, arguments.replace);
    if (context.json) {
        context.print_json(to_json(saved));
    } else {
        context.out.write(fmt::format("{}\n", printable(saved.path)));
    }
    return ExitCode::kOk;
}

ExitCode list(Context& context, const Arguments& arguments) {
    const std::vector<bench::Baseline> baselines = bench::list_baselines(arguments.folder);
    for (const bench::Baseline& baseline : baselines) {
        if (context.json) {
            context.print_json(to_json(baseline));
            continue;
        }
        const std::string state = baseline.fault.empty()
                                      ? fmt::format("{} results", baseline.results)
                                      : "unusable: " + printable(baseline.fault);
        context.out.write(fmt::format("{}  {:<20}  {}  {}\n", printable(baseline.machine),
                                      printable(baseline.name), printable(baseline.started),
                                      state));
    }
    if (baselines.empty()) context.note(arguments.folder + " holds no baselines");
    return ExitCode::kOk;
}

void add_folder(CLI::App& app, Arguments& arguments) {
    app.add_option("--baselines", arguments.folder, "Where baselines lie")
        ->type_name("DIR")
        ->capture_default_str();
}

}  // namespace

Command add_bench_baseline(CLI::App& bench) {
    CLI::App* const app = bench.add_subcommand("baseline", "Keep runs to compare later ones with");
    app->require_subcommand(1);
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* const saving = app->add_subcommand("save", "Keep a run, by its machine");
    saving->add_option("FILE", arguments->file, "What `fulgur bench run --out` wrote")
        ->required()
        ->type_name("");
    saving->add_option("--name", arguments->name, "Instead of the run's commit");
    saving->add_flag("--replace", arguments->replace, "Take the place of one of that name");
    CLI::App* const listing = app->add_subcommand("list", "What is kept, the newest first");
    for (CLI::App* const sub : {saving, listing}) {
        add_folder(*sub, *arguments);
        sub->fallthrough();
    }
    return {app, [arguments, saving](Context& context) {
                return judged(context, [&] {
                    return saving->parsed() ? save(context, *arguments) : list(context, *arguments);
                });
            }};
}

}  // namespace fulgur::cli
