#include <memory>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

std::uint64_t number(Sequence sequence) { return static_cast<std::uint64_t>(sequence); }

ExitCode run(Context& context, const DatabaseArguments& arguments) {
    const std::uint64_t start_ns = context.clock.now_ns();
    Result<Database> database = open_database(arguments, Access::kWrite);
    if (!database.ok()) return context.fail(database.error());
    const std::uint64_t open_ns = context.clock.now_ns() - start_ns;
    const Stats stats = database->stats();
    const std::uint64_t replayed = number(stats.visible) - number(stats.checkpointed);
    const ExitCode code = close_database(context, *database, ExitCode::kOk);
    if (code != ExitCode::kOk) return code;

    if (context.json) {
        Json object;
        set_bytes(object, "path", arguments.path);
        object["format_version"] = stats.format_version;
        object["open_ns"] = open_ns;
        object["commits_replayed"] = replayed;
        object["log_bytes"] = stats.log_bytes_live;
        object["newest_sequence"] = number(stats.visible);
        object["keyspaces"] = Json::array();
        for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
            Json item;
            set_bytes(item, "name", keyspace.name);
            object["keyspaces"].push_back(item);
        }
        context.print_json(object);
        return ExitCode::kOk;
    }
    std::string text =
        fmt::format("opened {} in {}\n", printable(arguments.path), show_duration_ns(open_ns));
    text += replayed == 0 ? "nothing to recover: it was closed cleanly\n"
                          : fmt::format(
                                "recovered {} commits from {} of log, and wrote a "
                                "checkpoint\n",
                                show_count(replayed), show_bytes(stats.log_bytes_live));
    text += fmt::format("newest commit: {}\nkeyspaces:", number(stats.visible));
    for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
        text += fmt::format(" {}", printable(keyspace.name));
    }
    context.out.write(text + (stats.keyspaces.empty() ? " none\n" : "\n"));
    return ExitCode::kOk;
}

}  // namespace

Command add_open(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("open", "Open a database, recover it when needed, say what was found");
    const auto arguments = std::make_shared<DatabaseArguments>();
    add_database(*app, *arguments);
    add_compression(*app, *arguments);
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
