#include <memory>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

std::uint64_t number(Sequence sequence) { return static_cast<std::uint64_t>(sequence); }

Json to_json(const Stats::Errors& errors) {
    return {{"io", errors.io},
            {"corruption", errors.corruption},
            {"limit", errors.limit},
            {"busy", errors.busy},
            {"poisoned", errors.poisoned},
            {"no_space", errors.no_space},
            {"invalid", errors.invalid},
            {"other", errors.other}};
}

/// Without the counts below each bound: those are for programs that read the metrics.
Json to_json(const Stats::Distribution& of) {
    return {{"count", of.count}, {"sum", of.sum},   {"p50", of.p50}, {"p90", of.p90},
            {"p99", of.p99},     {"p999", of.p999}, {"max", of.max}};
}

Json to_json(const Stats::Reads& reads) {
    return {{"gets", reads.gets},
            {"gets_absent", reads.gets_absent},
            {"gets_failed", reads.gets_failed},
            {"gets_cold", reads.gets_cold},
            {"get_many_calls", reads.get_many_calls},
            {"get_many_keys", reads.get_many_keys},
            {"get_many_absent", reads.get_many_absent},
            {"part_reads", reads.part_reads},
            {"cursors", reads.cursors},
            {"cursor_rows", reads.cursor_rows},
            {"errors", to_json(reads.errors)}};
}

Json to_json(const Stats::Writes& writes) {
    return {{"sync_commits", writes.sync_commits},
            {"os_commits", writes.os_commits},
            {"buffered_commits", writes.buffered_commits},
            {"puts", writes.puts},
            {"erases", writes.erases},
            {"bytes", writes.bytes},
            {"large_values", writes.large_values},
            {"large_bytes", writes.large_bytes},
            {"errors", to_json(writes.errors)}};
}

Json to_json(const Stats::Latencies& latency) {
    return {{"get", to_json(latency.get)},
            {"get_many", to_json(latency.get_many)},
            {"sync_commit", to_json(latency.sync_commit)},
            {"os_commit", to_json(latency.os_commit)},
            {"buffered_commit", to_json(latency.buffered_commit)},
            {"checkpoint", to_json(latency.checkpoint)},
            {"log_sync", to_json(latency.log_sync)}};
}

Json to_json(const Database::PageSizes& sizes) {
    return {{"pages", sizes.pages},
            {"pages_compressed", sizes.pages_compressed},
            {"bytes", sizes.bytes},
            {"bytes_stored", sizes.bytes_stored}};
}

Json to_json(const Stats& stats) {
    Json object;
    set_bytes(object, "path", stats.path);
    object["format_version"] = stats.format_version;
    object["visible"] = number(stats.visible);
    object["durable"] = number(stats.durable);
    object["checkpointed"] = number(stats.checkpointed);
    object["poisoned"] = stats.poisoned;
    object["commits"] = stats.commits;
    object["commits_replayed"] = stats.commits_replayed;
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
    object["compression"] = to_string(stats.compression);
    object["leaf_bytes_written"] = stats.leaf_bytes_written;
    object["leaf_bytes_stored"] = stats.leaf_bytes_stored;
    object["pages_compressed"] = stats.pages_compressed;
    object["checkpoints"] = stats.checkpoints;
    object["checkpoint_failures"] = stats.checkpoint_failures;
    object["pages_written"] = stats.pages_written;
    object["pages_read"] = stats.pages_read;
    object["pages_evicted"] = stats.pages_evicted;
    object["consolidations"] = stats.consolidations;
    object["splits"] = stats.splits;
    object["joins"] = stats.joins;
    object["readers"] = stats.readers;
    object["snapshots"] = stats.snapshots;
    object["oldest_reader"] = number(stats.oldest_reader);
    object["oldest_snapshot"] = number(stats.oldest_snapshot);
    object["oldest_snapshot_ms"] = stats.oldest_snapshot_ms;
    object["reads"] = to_json(stats.reads);
    object["writes"] = to_json(stats.writes);
    object["data_bytes_written"] = stats.data_bytes_written;
    object["data_bytes_read"] = stats.data_bytes_read;
    object["data_syncs"] = stats.data_syncs;
    object["log_bytes_since_checkpoint"] = stats.log_bytes_since_checkpoint;
    object["log_commits_synced"] = stats.log_commits_synced;
    object["latency"] = to_json(stats.latency);
    object["log_groups"] = to_json(stats.log_groups);
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
std::string to_text(const Stats& stats, const Result<Database::PageSizes>& sizes) {
    std::string text;
    const auto line = [&](const char* name, const std::string& value) {
        text += fmt::format("{:<20}{}\n", name, value);
    };
    line("path", printable(stats.path));
    line("format version", std::to_string(stats.format_version));
    line("newest commit", show_count(number(stats.visible)));
    line("checkpointed up to", show_count(number(stats.checkpointed)));
    line("log",
         fmt::format("{} in {} segments", show_bytes(stats.log_bytes_live), stats.log_segments));
    line("data file", show_bytes(stats.data_file_bytes));
    line("  used", show_bytes(stats.data_used_bytes));
    line("  free", show_bytes(stats.data_free_bytes));
    line("  free soon", show_bytes(stats.data_pending_bytes));
    line("pages with rows",
         sizes ? fmt::format("{} in {}", show_bytes(sizes->bytes_stored), show_count(sizes->pages))
               : "not known: " + sizes.error().message());
    line("compression", std::string(to_string(stats.compression)) +
                            (sizes && sizes->pages_compressed != 0
                                 ? ": " + show_ratio(sizes->bytes, sizes->bytes_stored)
                                 : ""));
    line("memory",
         fmt::format("{} of {}", show_bytes(stats.memory_used), show_bytes(stats.memory_budget)));
    line("pages read", show_count(stats.pages_read));
    line("pages evicted", show_count(stats.pages_evicted));
    if (stats.poisoned) line("poisoned", "a write failed: open it again");
    if (stats.keyspaces.empty()) line("keyspaces", "none");
    if (!stats.keyspaces.empty()) text += "keyspaces\n";
    for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
        text += fmt::format("  {:<18}id {}, {} level{}\n", printable(keyspace.name), keyspace.id,
                            keyspace.height, keyspace.height == 1 ? "" : "s");
    }
    return text;
}

struct Arguments {
    DatabaseArguments database;
    std::string format = "text";
};

ExitCode run(Context& context, const Arguments& arguments) {
    if (context.json && arguments.format != "text") {
        return context.fail(ExitCode::kUsage, "--json and --format name two formats",
                            "give one of them");
    }
    Result<Database> database = open_database(arguments.database, Access::kRead);
    if (!database.ok()) return context.fail(database.error());
    const Stats stats = database->stats();
    const Result<Database::PageSizes> sizes = database->page_sizes();
    const ExitCode code = close_database(context, *database, ExitCode::kOk);
    if (code != ExitCode::kOk) return code;
    if (context.json) {
        Json object = to_json(stats);
        if (sizes) object["pages"] = to_json(*sizes);
        context.print_json(object);
    } else if (arguments.format == "prometheus") {
        context.out.write(metrics_text(stats));
    } else {
        context.out.write(to_text(stats, sizes));
    }
    return code;
}

}  // namespace

Command add_stats(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("stats", "Sizes, positions and keyspaces");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("--format", arguments->format,
                    "text, or prometheus: the OpenMetrics text format")
        ->check(CLI::IsMember({"text", "prometheus"}))
        ->type_name("FORMAT")
        ->capture_default_str();
    app->footer(
        "Sizes are in bytes in --json. Counters are since this command opened the database.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
