#include <memory>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"
#include "cli/jsonl_codec.h"
#include "cli/text.h"
#include "cli/walk.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    DatabaseArguments database;
    RangeArguments range;
    std::optional<std::uint64_t> limit;
    bool reverse = false;
    bool keys_only = false;
    bool raw = false;
};

void print_row(Context& context, const Arguments& arguments, bool escape, Bytes key, Bytes value) {
    std::string& out = context.out.buffer();
    if (context.json) {
        if (!arguments.keys_only) {
            append_json_line({}, key, value, out);
        } else {
            out += '{';
            append_json_member("key", key, out);
            out += "}\n";
        }
    } else {
        const auto append = [&](Bytes bytes) {
            if (escape) {
                append_printable(bytes, false, out);
            } else {
                out += bytes;
            }
        };
        append(key);
        if (!arguments.keys_only) {
            out += '\t';
            append(value);
        }
        out += '\n';
    }
    context.out.flush_when_full();
}

ExitCode print_rows(Context& context, const Arguments& arguments, const KeyRange& range,
                    Database& database, const Keyspace& keyspace) {
    const Result<Snapshot> snapshot = database.snapshot();
    if (!snapshot.ok()) return context.fail(snapshot.error());
    const auto started =
        Walk::start(*snapshot, keyspace, range,
                    arguments.reverse ? Walk::Direction::kReverse : Walk::Direction::kForward);
    if (!started.ok()) return context.fail(started.error());
    Walk& walk = **started;

    const bool escape = !arguments.raw && context.out.is_terminal();
    std::uint64_t left = arguments.limit.value_or(~std::uint64_t{0});
    for (; left > 0 && walk.valid() && !context.out.failed(); walk.next(), --left) {
        const Bytes value = arguments.keys_only ? Bytes() : walk.value();
        if (!walk.valid()) break;  // The value could not be read.
        print_row(context, arguments, escape, walk.key(), value);
    }
    const Result<void> status = walk.status();
    return status.ok() ? ExitCode::kOk : context.fail(status.error());
}

ExitCode run(Context& context, const Arguments& arguments) {
    KeyRange range;
    if (const auto failed = make_range(context, arguments.range, range)) return *failed;
    return read_keyspace(context, arguments.database,
                         [&](Database& database, const Keyspace* keyspace) {
                             if (keyspace == nullptr) return ExitCode::kOk;
                             return print_rows(context, arguments, range, database, *keyspace);
                         });
}

}  // namespace

Command add_scan(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("scan", "Print keys and values in the order of keys");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    add_keyspace(*app, arguments->database);
    add_range(*app, arguments->range);
    app->add_option("--limit", arguments->limit, "At most so many rows")
        ->check(CLI::NonNegativeNumber)
        ->type_name("N");
    app->add_flag("--reverse", arguments->reverse, "From the last key to the first");
    app->add_flag("--keys-only", arguments->keys_only, "Keys without their values");
    app->add_flag("--raw", arguments->raw, "The bytes themselves, on a terminal too");
    app->footer(
        "Prints a key, a tab, the value. Where these may hold tabs or newlines, programs use\n"
        "--json: one object a line, as `fulgur dump` writes them.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
