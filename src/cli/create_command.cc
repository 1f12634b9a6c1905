#include <memory>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/database_access.h"

namespace fulgur::cli {

namespace {

ExitCode run(Context& context, const DatabaseArguments& arguments) {
    Result<Database> database = open_database(arguments, Access::kCreate);
    if (!database.ok() && database.error().code() == ErrorCode::kInvalid) {
        return context.fail(ExitCode::kUsage, database.error().message(),
                            "name a directory that is absent or empty");
    }
    if (!database.ok()) return context.fail(database.error());
    ExitCode code = ExitCode::kOk;
    const Result<Keyspace> keyspace = database->keyspace(arguments.keyspace);
    if (!keyspace.ok()) code = context.fail(keyspace.error());
    const std::uint64_t version = database->stats().format_version;
    code = close_database(context, *database, code);
    if (code != ExitCode::kOk) return code;

    if (context.json) {
        Json object;
        set_bytes(object, "path", arguments.path);
        set_bytes(object, "keyspace", arguments.keyspace);
        object["format_version"] = version;
        context.print_json(object);
    } else {
        context.out.write(fmt::format("created {}\n", arguments.path));
    }
    return ExitCode::kOk;
}

}  // namespace

Command add_create(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("create", "Make a new, empty database");
    const auto arguments = std::make_shared<DatabaseArguments>();
    add_database(*app, *arguments);
    add_keyspace(*app, *arguments);
    add_compression(*app, *arguments);
    app->footer("Fails when there is a database already.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
