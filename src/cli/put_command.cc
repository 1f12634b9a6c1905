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
    std::optional<std::string> value;
    std::optional<std::string> value_file;
};

/// Reads a whole stream, at most the bytes that one commit may have.
std::optional<ExitCode> read_all(Context& context, os::InputStream& input, std::string& into) {
    std::size_t size = 0;
    for (;;) {
        into.resize(std::max<std::size_t>(size * 2, 64 << 10));
        const auto count = input.read({into.data() + size, into.size() - size});
        if (!count.ok()) return context.fail(count.error());
        if (*count == 0) break;
        size += *count;
        if (size > kBatchBytesMax) {
            return context.fail(ExitCode::kBadInput,
                                fmt::format("{} has more than {}, the limit of one commit",
                                            input.name(), show_bytes(kBatchBytesMax)));
        }
    }
    into.resize(size);
    return std::nullopt;
}

std::optional<ExitCode> find_value(Context& context, const Arguments& arguments,
                                   std::string& value) {
    if (arguments.value.has_value() == arguments.value_file.has_value()) {
        return context.fail(ExitCode::kUsage, "give either VALUE or --value-file FILE",
                            "see `fulgur help put`");
    }
    if (arguments.value) {
        value = *arguments.value;
        return decode_argument(context, arguments.bytes, "VALUE", value);
    }
    if (*arguments.value_file == "-") return read_all(context, context.input, value);
    const auto file = os::open_input(*arguments.value_file);
    if (!file.ok()) return context.fail(file.error());
    return read_all(context, **file, value);
}

ExitCode run(Context& context, const Arguments& arguments) {
    std::string key = arguments.key;
    std::string value;
    if (const auto failed = decode_key(context, arguments.bytes, key)) return *failed;
    if (const auto failed = find_value(context, arguments, value)) return *failed;

    Result<Database> database = open_database(arguments.database, Access::kWriteOrCreate);
    if (!database.ok()) return context.fail(database.error());
    ExitCode code = ExitCode::kOk;
    std::uint64_t sequence = 0;
    const Result<Keyspace> keyspace = database->keyspace(arguments.database.keyspace);
    if (!keyspace.ok()) {
        code = context.fail(keyspace.error());
    } else if (const Result<Sequence> put = keyspace->put(key, value); !put.ok()) {
        code = context.fail(put.error());
    } else {
        sequence = static_cast<std::uint64_t>(*put);
    }
    code = close_database(context, *database, code);
    if (code == ExitCode::kOk && context.json) context.print_json({{"sequence", sequence}});
    return code;
}

}  // namespace

Command add_put(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("put", "Set the value of a key");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("KEY", arguments->key, "The key")->required()->type_name("");
    app->add_option_function<std::string>(
           "VALUE", [arguments](const std::string& text) { arguments->value = text; }, "The value")
        ->type_name("");
    app->add_option_function<std::string>(
           "--value-file", [arguments](const std::string& text) { arguments->value_file = text; },
           "Take the value from this file, - for standard input")
        ->type_name("FILE");
    add_keyspace(*app, arguments->database);
    add_durability(*app, arguments->database, "What holds when it returns (default: sync)");
    add_base64(*app, arguments->bytes);
    app->footer(
        "Makes the database when there is none. A key or value that begins with a dash goes "
        "behind --:\n  fulgur put DIR -- -key -value");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
