#include "cli/database_access.h"

#include "cli/text.h"

namespace fulgur::cli {

Result<Database> open_database(const DatabaseArguments& arguments, Access access) {
    Options options;
    options.memory_budget = arguments.memory_budget;
    options.durability = arguments.durability.value_or(Durability::kSync);
    options.compression = arguments.compression;
    options.create_if_missing = access == Access::kCreate || access == Access::kWriteOrCreate;
    options.error_if_exists = access == Access::kCreate;
    options.checkpoint_on_close = access != Access::kRead;
    return Database::open(arguments.path, options);
}

ExitCode close_database(Context& context, Database& database, ExitCode code) {
    const Result<void> closed = database.close();
    if (closed.ok() || (code != ExitCode::kOk && code != ExitCode::kNotFound)) return code;
    return context.fail(closed.error());
}

ExitCode read_keyspace(Context& context, const DatabaseArguments& arguments,
                       const std::function<ExitCode(Database&, const Keyspace*)>& work) {
    Result<Database> database = open_database(arguments, Access::kRead);
    if (!database.ok()) return context.fail(database.error());

    ExitCode code = ExitCode::kOk;
    const Result<std::optional<Keyspace>> found = database->find_keyspace(arguments.keyspace);
    if (!found.ok()) {
        code = context.fail(found.error());
    } else if (!*found && arguments.keyspace != kDefaultKeyspace) {
        code = context.fail(ExitCode::kNotFound, "no keyspace is named " + arguments.keyspace,
                            "`fulgur stats DIR` lists them");
    } else {
        code = work(*database, *found ? &**found : nullptr);
    }
    return close_database(context, *database, code);
}

}  // namespace fulgur::cli
