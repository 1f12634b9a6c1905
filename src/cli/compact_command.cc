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
    Result<Database> database = open_database(arguments.database, Access::kWrite);
    if (!database.ok()) return context.fail(database.error());

    Progress progress("compacting", arguments.progress, context.error, context.clock);
    const auto compacted = database->compact([&](std::uint64_t done, std::uint64_t total) {
        progress.set_totals({.files = 0, .bytes = total});
        progress.update_now({.files = 0, .rows = 0, .bytes = done});
        return true;
    });
    progress.clear();
    ExitCode code = compacted.ok() ? ExitCode::kOk : context.fail(compacted.error());
    const std::uint64_t elapsed_ns = progress.elapsed_ns();
    code = close_database(context, *database, code);
    if (code != ExitCode::kOk) return code;

    if (context.json) {
        context.print_json({{"bytes_before", compacted->bytes_before},
                            {"bytes_after", compacted->bytes_after},
                            {"bytes_moved", compacted->bytes_moved},
                            {"bytes_kept_for_readers", compacted->bytes_kept_for_readers},
                            {"checkpoints", compacted->checkpoints},
                            {"elapsed_ns", elapsed_ns}});
    } else {
        context.out.write(
            fmt::format("data file: {} before, {} after; {} moved in {}\n",
                        show_bytes(compacted->bytes_before), show_bytes(compacted->bytes_after),
                        show_bytes(compacted->bytes_moved), show_duration_ns(elapsed_ns)));
        if (compacted->bytes_kept_for_readers != 0) {
            context.out.write(fmt::format(
                "ended early: open readers keep {}; compact again when they have ended\n",
                show_bytes(compacted->bytes_kept_for_readers)));
        }
    }
    return code;
}

}  // namespace

Command add_compact(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("compact", "Make the data file as short as it can be");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    add_compression(*app, arguments->database);
    add_progress(*app, arguments->progress);
    app->footer(
        "Moves what lies high in the file into free space below, cuts the file, and repeats that\n"
        "until the file is about as long as what is used in it. The file may grow by a quarter\n"
        "meanwhile. It may be interrupted at any moment: nothing is lost, and what was won stays.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
