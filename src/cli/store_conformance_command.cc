#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include <fulgur/store.h>

#include "cli/command.h"
#include "cli/text.h"
#include "store/conformance.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    std::string url;
    std::string check;
    std::uint64_t seed = 1;
};

/// @return whether it passed.
bool run_one(Context& context, const store::ConformanceCheck& check, Store& store,
             const Arguments& arguments) {
    store::ConformanceOptions options;
    options.seed = arguments.seed;
    const std::uint64_t start_ns = context.clock.now_ns();
    const std::optional<std::string> failure = store::run_check(check, store, options);
    const std::uint64_t elapsed_ns = context.clock.now_ns() - start_ns;
    if (context.json) {
        Json object = {{"check", check.name}, {"passed", !failure}, {"elapsed_ns", elapsed_ns}};
        if (failure) set_bytes(object, "failure", *failure);
        context.print_json(object);
    } else {
        context.out.write(
            fmt::format("{} {:<32} {}\n", failure ? "FAILED" : "passed", check.name,
                        failure ? printable(*failure) : show_duration_ns(elapsed_ns)));
    }
    return !failure;
}

ExitCode run(Context& context, const Arguments& arguments) {
    const auto checks = store::conformance_checks();
    const bool known = arguments.check.empty() ||
                       std::ranges::any_of(checks, [&](const store::ConformanceCheck& check) {
                           return check.name == arguments.check;
                       });
    if (!known) {
        return context.fail(ExitCode::kUsage, "no check is named " + arguments.check,
                            "run all of them to see their names");
    }
    Result<std::unique_ptr<Store>> opened = Store::open(arguments.url);
    if (!opened) return context.fail(opened.error());
    std::uint64_t passed = 0, failed = 0;
    for (const store::ConformanceCheck& check : checks) {
        if (!arguments.check.empty() && check.name != arguments.check) continue;
        ++(run_one(context, check, **opened, arguments) ? passed : failed);
    }
    const Result<void> closed = (*opened)->close();
    if (!closed) return context.fail(closed.error());
    if (!context.json) {
        context.out.write(fmt::format("passed: {}, failed: {}\n", passed, failed));
    }
    if (failed == 0) return ExitCode::kOk;
    return context.fail(ExitCode::kOther, "the store does not keep its promises",
                        "docs/store.md has them");
}

}  // namespace

Command add_store_conformance(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("store-conformance", "Check that a store keeps its promises");
    const auto arguments = std::make_shared<Arguments>();
    app->add_option("URL", arguments->url, "The store: fulgur:DIR, portable:, ...")
        ->required()
        ->type_name("");
    app->add_option("--check", arguments->check, "Only the check of that name")->type_name("NAME");
    app->add_option("--seed", arguments->seed, "Of the random checks (default 1)")->type_name("N");
    app->footer(
        "Each check writes rows under fulgur-conformance/ and erases them again; where one fails\n"
        "its rows stay. Needs a store that others may write meanwhile, and some seconds.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
