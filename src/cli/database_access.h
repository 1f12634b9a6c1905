#pragma once

/// How sub-commands open and close databases, so that all treat an absent database, an absent
/// keyspace and a failing close alike.
///
/// A command that reads never creates anything and leaves the log as it found it; the keyspace
/// `default` counts as empty when it is absent, any other as not found.

#include <cstdint>
#include <functional>
#include <optional>

#include <fulgur/database.h>

#include "cli/arguments.h"
#include "cli/context.h"

namespace fulgur::cli {

enum class Access : std::uint8_t {
    kRead,
    kWrite,  ///< The database must be there.
    kWriteOrCreate,
    kCreate,  ///< It must not be there.
};

Result<Database> open_database(const DatabaseArguments& arguments, Access access);

/// Closes `database` after work that ended with `code`. @return `code`, or the failure of the close
/// when the work itself had none.
ExitCode close_database(Context& context, Database& database, ExitCode code);

/// Opens for reading, calls `work` with the keyspace (null when it is empty because absent),
/// closes.
ExitCode read_keyspace(Context& context, const DatabaseArguments& arguments,
                       const std::function<ExitCode(Database&, const Keyspace*)>& work);

}  // namespace fulgur::cli
