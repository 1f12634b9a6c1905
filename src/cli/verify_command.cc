#include <memory>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    DatabaseArguments database;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

ExitCode run(Context& context, const Arguments& arguments) {
    Result<Database> database = open_database(arguments.database, Access::kRead);
    if (!database.ok()) return context.fail(database.error());

    Progress progress("verifying", arguments.progress, context.error, context.clock);
    Database::VerifyReport report;
    const auto verified = database->verify([&](std::uint64_t done, std::uint64_t total) {
        progress.set_totals({.files = 0, .bytes = total});
        progress.update_now({.files = 0, .rows = 0, .bytes = done});
    });
    ExitCode code = ExitCode::kOk;
    if (verified.ok()) {
        report = *verified;
        progress.finish({.files = 0, .rows = report.records, .bytes = report.bytes_read});
    } else {
        progress.clear();
        code = context.fail(verified.error());
    }
    const std::uint64_t elapsed_ns = progress.elapsed_ns();
    code = close_database(context, *database, code);
    if (code != ExitCode::kOk) return code;

    if (context.json) {
        context.print_json({{"ok", true},
                            {"pages", report.pages},
                            {"records", report.records},
                            {"large_values", report.large_values},
                            {"bytes_read", report.bytes_read},
                            {"pages_compressed", report.pages_compressed},
                            {"leaf_bytes", report.leaf_bytes},
                            {"leaf_bytes_stored", report.leaf_bytes_stored},
                            {"elapsed_ns", elapsed_ns}});
    } else {
        const std::string compressed =
            report.pages_compressed == 0
                ? ""
                : fmt::format(" (rows compressed {})",
                              show_ratio(report.leaf_bytes, report.leaf_bytes_stored));
        context.out.write(fmt::format(
            "ok: {} pages, {} records, {} large values, {} read{} in {}\n",
            show_count(report.pages), show_count(report.records), show_count(report.large_values),
            show_bytes(report.bytes_read), compressed, show_duration_ns(elapsed_ns)));
    }
    return code;
}

}  // namespace

Command add_verify(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("verify", "Read everything back from the disk and check it");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    add_progress(*app, arguments->progress);
    app->footer(
        "Checks the log (by opening) and every page of the newest checkpoint: checksums, the\n"
        "order of keys, the nesting of pages, the accounting of space. Exit code 5 names the\n"
        "first fault by file and byte.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
