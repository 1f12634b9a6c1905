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
    BytesArguments bytes;
    std::string key;
};

/// Erases `key` when it is there: only one process has the database, so nothing comes between.
ExitCode erase(Context& context, Database& database, const Arguments& arguments, Bytes key,
               std::uint64_t& sequence) {
    const auto keyspace = database.find_keyspace(arguments.database.keyspace);
    if (!keyspace.ok()) return context.fail(keyspace.error());
    std::optional<std::size_t> found;
    if (*keyspace) {
        Result<Reader> reader = database.try_reader();
        if (!reader.ok()) return context.fail(reader.error());
        char first = 0;  // Presence is all that matters, and a value may be large.
        const auto read = reader->read(**keyspace, key, 0, {&first, 1});
        if (!read.ok()) return context.fail(read.error());
        found = *read;
    }
    if (!found) {
        return context.fail(ExitCode::kNotFound,
                            fmt::format("no key {} in keyspace {}", printable(key),
                                        printable(arguments.database.keyspace)));
    }
    const Result<Sequence> erased = (*keyspace)->erase(key);
    if (!erased.ok()) return context.fail(erased.error());
    sequence = static_cast<std::uint64_t>(*erased);
    return ExitCode::kOk;
}

ExitCode run(Context& context, const Arguments& arguments) {
    std::string key = arguments.key;
    if (const auto failed = decode_key(context, arguments.bytes, key)) return *failed;
    Result<Database> database = open_database(arguments.database, Access::kWrite);
    if (!database.ok()) return context.fail(database.error());
    std::uint64_t sequence = 0;
    ExitCode code = erase(context, *database, arguments, key, sequence);
    code = close_database(context, *database, code);
    if (code == ExitCode::kOk && context.json) context.print_json({{"sequence", sequence}});
    return code;
}

}  // namespace

Command add_del(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("del", "Erase a key");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("KEY", arguments->key, "The key")->required()->type_name("");
    add_keyspace(*app, arguments->database);
    add_durability(*app, arguments->database, "What holds when it returns (default: sync)");
    add_base64(*app, arguments->bytes);
    app->footer("Exit code 1 when the key was not there.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
