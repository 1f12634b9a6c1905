#include <memory>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

std::uint64_t number(Sequence sequence) { return static_cast<std::uint64_t>(sequence); }

Json to_json(const Stats& stats) {
    Json object;
    set_bytes(object, "path", stats.path);
    object["format_version"] = stats.format_version;
    object["visible"] = number(stats.visible);
    object["durable"] = number(stats.durable);
    object["checkpointed"] = number(stats.checkpointed);
    object["poisoned"] = stats.poisoned;
    object["commits"] = stats.commits;
    object["log_bytes_live"] = stats.log_bytes_live;
    object["log_bytes_written"] = stats.log_bytes_written;
    object["log_syncs"] = stats.log_syncs;
    object["log_segments"] = stats.log_segments;
    object["memory_budget"] = stats.memory_budget;
    object["memory_used"] = stats.memory_used;
    object["memory_retired"] = stats.memory_retired;
    object["data_file_bytes"] = stats.data_file_bytes;
    object["data_used_bytes"] = stats.data_used_bytes;
    object["data_free_bytes"] = stats.data_free_bytes;
    object["data_pending_bytes"] = stats.data_pending_bytes;
    object["checkpoints"] = stats.checkpoints;
    object["checkpoint_failures"] = stats.checkpoint_failures;
    object["pages_written"] = stats.pages_written;
    object["pages_read"] = stats.pages_read;
    object["consolidations"] = stats.consolidations;
    object["splits"] = stats.splits;
    object["readers"] = stats.readers;
    object["snapshots"] = stats.snapshots;
    object["oldest_reader"] = number(stats.oldest_reader);
    object["keyspaces"] = Json::array();
    for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
        Json item;
        set_bytes(item, "name", keyspace.name);
        item["id"] = keyspace.id;
        item["height"] = keyspace.height;
        object["keyspaces"].push_back(item);
    }
    return object;
}

/// What a person wants to know of a database that nobody else has open.
std::string to_text(const Stats& stats) {
    std::string text;
    const auto line = [&](const char* name, const std::string& value) {
        text += fmt::format("{:<20}{}\n", name, value);
    };
    line("path", printable(stats.path));
    line("format version", std::to_string(stats.format_version));
    line("newest commit", show_count(number(stats.visible)));
    line("checkpointed up to", show_count(number(stats.checkpointed)));
    line("log to replay",
         fmt::format("{} in {} segments", show_bytes(stats.log_bytes_live), stats.log_segments));
    line("data file", show_bytes(stats.data_file_bytes));
    line("  used", show_bytes(stats.data_used_bytes));
    line("  free", show_bytes(stats.data_free_bytes));
    line("  free soon", show_bytes(stats.data_pending_bytes));
    line("memory",
         fmt::format("{} of {}", show_bytes(stats.memory_used), show_bytes(stats.memory_budget)));
    line("pages read", show_count(stats.pages_read));
    if (stats.poisoned) line("poisoned", "a write failed: open it again");
    if (stats.keyspaces.empty()) line("keyspaces", "none");
    if (!stats.keyspaces.empty()) text += "keyspaces\n";
    for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
        text += fmt::format("  {:<18}id {}, {} level{}\n", printable(keyspace.name), keyspace.id,
                            keyspace.height, keyspace.height == 1 ? "" : "s");
    }
    return text;
}

ExitCode run(Context& context, const DatabaseArguments& arguments) {
    Result<Database> database = open_database(arguments, Access::kRead);
    if (!database.ok()) return context.fail(database.error());
    const Stats stats = database->stats();
    const ExitCode code = close_database(context, *database, ExitCode::kOk);
    if (code != ExitCode::kOk) return code;
    if (context.json) {
        context.print_json(to_json(stats));
    } else {
        context.out.write(to_text(stats));
    }
    return code;
}

}  // namespace

Command add_stats(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("stats", "Sizes, positions and keyspaces");
    const auto arguments = std::make_shared<DatabaseArguments>();
    add_database(*app, *arguments);
    app->footer(
        "Sizes are in bytes in --json. Counters are since this command opened the database.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
