#include <memory>
#include <vector>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/jsonl_codec.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    DatabaseArguments database;
    std::optional<std::uint64_t> from;
    std::optional<std::uint64_t> limit;
    std::vector<std::string> keyspaces;
};

const char* to_string(Change::Kind kind) {
    switch (kind) {
        case Change::Kind::kPut:
            return "put";
        case Change::Kind::kErase:
            return "erase";
        case Change::Kind::kCreateKeyspace:
            return "create";
        case Change::Kind::kDropKeyspace:
            return "drop";
    }
    return "";
}

/// @param value  of a put; none when it was superseded and is gone.
void print_json(Sequence sequence, const Change& change, const std::optional<std::string>& value,
                std::string& out) {
    out += "{\"sequence\":" + std::to_string(static_cast<std::uint64_t>(sequence));
    out += ",\"change\":\"";
    out += to_string(change.kind);
    out += "\",\"keyspace_id\":" + std::to_string(change.keyspace_id) + ',';
    append_json_member("keyspace", change.keyspace, out);
    if (change.kind == Change::Kind::kPut || change.kind == Change::Kind::kErase) {
        out += ',';
        append_json_member("key", change.key, out);
    }
    if (change.kind == Change::Kind::kPut && value) {
        out += ',';
        append_json_member("value", *value, out);
    } else if (change.kind == Change::Kind::kPut) {
        out += ",\"value_gone\":true,\"value_size\":" + std::to_string(change.value_size);
    }
    out += "}\n";
}

void print_text(Sequence sequence, const Change& change, const std::optional<std::string>& value,
                std::string& out) {
    out += std::to_string(static_cast<std::uint64_t>(sequence)) + '\t';
    out += to_string(change.kind);
    out += '\t';
    append_printable(change.keyspace, false, out);
    if (change.kind == Change::Kind::kPut || change.kind == Change::Kind::kErase) {
        out += '\t';
        append_printable(change.key, false, out);
    }
    if (change.kind == Change::Kind::kPut) {
        out += '\t';
        append_printable(value ? *value : "(superseded)", false, out);
    }
    out += '\n';
}

ExitCode print_changes(Context& context, const Arguments& arguments, Database& database) {
    const Result<Sequence> oldest = database.oldest_change();
    if (!oldest.ok()) return context.fail(oldest.error());
    Result<Changes> changes = database.changes(arguments.from ? Sequence{*arguments.from} : *oldest,
                                               {arguments.keyspaces});
    if (!changes.ok() && changes.error().code() == ErrorCode::kLimit) {
        return context.fail(ExitCode::kOther, changes.error().message(),
                            "`fulgur dump` reads all there is; leave --from out for the rest");
    }
    if (!changes.ok()) return context.fail(changes.error());
    std::uint64_t left = arguments.limit.value_or(~std::uint64_t{0});
    for (; left > 0 && !context.out.failed(); --left) {
        const Result<std::optional<ChangeBatch>> batch = changes->next();
        if (!batch.ok()) return context.fail(batch.error());
        if (!*batch) break;
        for (const Change& change : (*batch)->changes) {
            std::optional<std::string> value;
            if (change.kind == Change::Kind::kPut) {
                Result<std::optional<std::string>> loaded = changes->load(change);
                if (!loaded.ok()) return context.fail(loaded.error());
                value = *std::move(loaded);
            }
            const auto print = context.json ? print_json : print_text;
            print((*batch)->sequence, change, value, context.out.buffer());
            context.out.flush_when_full();
        }
    }
    return ExitCode::kOk;
}

ExitCode run(Context& context, const Arguments& arguments) {
    Result<Database> database = open_database(arguments.database, Access::kRead);
    if (!database.ok()) return context.fail(database.error());
    const ExitCode code = print_changes(context, arguments, *database);
    return close_database(context, *database, code);
}

}  // namespace

Command add_changes(CLI::App& root) {
    CLI::App* const app =
        root.add_subcommand("changes", "Print the commits that the log still holds, in order");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("--from", arguments->from, "From this sequence on (default: the oldest)")
        ->type_name("N");
    app->add_option("--keyspace", arguments->keyspaces, "Only of this one; may be given again")
        ->type_name("NAME");
    app->add_option("--limit", arguments->limit, "At most so many commits")
        ->check(CLI::NonNegativeNumber)
        ->type_name("N");
    app->footer(
        "One line for each operation: the commit's sequence, put, erase, create or drop (of a\n"
        "keyspace), keyspace, key, value. With --json one object a line. How much log there is\n"
        "beyond what recovery needs is a program's choice: Options::log_bytes_kept.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
