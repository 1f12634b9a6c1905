#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/walk.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    DatabaseArguments database;
    RangeArguments range;
    bool approximate = false;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

ExitCode count_rows(Context& context, const Arguments& arguments, const KeyRange& range,
                    Database& database, const Keyspace& keyspace, std::uint64_t& rows) {
    const Result<Snapshot> snapshot = database.snapshot();
    if (!snapshot.ok()) return context.fail(snapshot.error());
    const auto started = Walk::start(*snapshot, keyspace, range);
    if (!started.ok()) return context.fail(started.error());
    Walk& walk = **started;

    Progress progress("counting", arguments.progress, context.error, context.clock);
    std::uint64_t bytes = 0;
    for (; walk.valid(); walk.next()) {
        ++rows;
        bytes += walk.key().size() + walk.value_size();
        progress.update({.rows = rows, .bytes = bytes});
    }
    progress.finish({.rows = rows, .bytes = bytes});
    const Result<void> status = walk.status();
    return status.ok() ? ExitCode::kOk : context.fail(status.error());
}

ExitCode estimate_rows(Context& context, const KeyRange& range, const Keyspace& keyspace,
                       ApproximateSize& size) {
    const Result<ApproximateSize> found = keyspace.approximate_size(range);
    if (!found.ok()) return context.fail(found.error());
    size = *found;
    return ExitCode::kOk;
}

ExitCode run(Context& context, const Arguments& arguments) {
    KeyRange range;
    if (const auto failed = make_range(context, arguments.range, range)) return *failed;
    std::uint64_t rows = 0;
    ApproximateSize size;
    const ExitCode code = read_keyspace(
        context, arguments.database, [&](Database& database, const Keyspace* keyspace) {
            if (keyspace == nullptr) return ExitCode::kOk;
            if (arguments.approximate) return estimate_rows(context, range, *keyspace, size);
            return count_rows(context, arguments, range, database, *keyspace, rows);
        });
    if (code != ExitCode::kOk) return code;
    if (context.json && arguments.approximate) {
        context.print_json({{"approximate_count", size.rows}, {"approximate_bytes", size.bytes}});
    } else if (context.json) {
        context.print_json({{"count", rows}});
    } else {
        context.out.write(std::to_string(arguments.approximate ? size.rows : rows) + "\n");
    }
    return code;
}

}  // namespace

Command add_count(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("count", "Count keys");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    add_keyspace(*app, arguments->database);
    add_range(*app, arguments->range);
    app->add_flag("--approximate", arguments->approximate,
                  "About as many, without walking them; --json tells their bytes too");
    add_progress(*app, arguments->progress);
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
