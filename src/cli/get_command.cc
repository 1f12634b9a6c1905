#include <memory>
#include <vector>

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
    bool raw = false;
};

constexpr std::size_t kPieceBytes = 256 << 10;

ExitCode say_absent(Context& context, const Arguments& arguments, Bytes key) {
    return context.fail(ExitCode::kNotFound, fmt::format("no key {} in keyspace {}", printable(key),
                                                         printable(arguments.database.keyspace)));
}

/// Copies the value, of any size, in pieces: to standard output, or into `whole` when it is given.
ExitCode copy_value(Context& context, const Arguments& arguments, Database& database,
                    const Keyspace& keyspace, Bytes key, std::string* whole) {
    Result<Reader> reader = database.try_reader();
    if (!reader.ok()) return context.fail(reader.error());
    std::vector<char> piece(kPieceBytes);
    for (std::uint64_t offset = 0;;) {
        const auto count = reader->read(keyspace, key, offset, piece);
        if (!count.ok()) return context.fail(count.error());
        if (!*count) return say_absent(context, arguments, key);
        const Bytes bytes(piece.data(), **count);
        if (whole != nullptr) {
            *whole += bytes;
        } else {
            context.out.write(bytes);
        }
        offset += bytes.size();
        if (bytes.size() < piece.size() || context.out.failed()) return ExitCode::kOk;
    }
}

ExitCode run(Context& context, const Arguments& arguments) {
    std::string key = arguments.key;
    if (const auto failed = decode_key(context, arguments.bytes, key)) return *failed;

    return read_keyspace(
        context, arguments.database, [&](Database& database, const Keyspace* keyspace) {
            if (keyspace == nullptr) return say_absent(context, arguments, key);
            const bool escape = !arguments.raw && context.out.is_terminal();
            std::string whole;
            const ExitCode code = copy_value(context, arguments, database, *keyspace, key,
                                             context.json || escape ? &whole : nullptr);
            if (code != ExitCode::kOk) return code;
            if (context.json) {
                Json object;
                set_bytes(object, "key", key);
                set_bytes(object, "value", whole);
                context.print_json(object);
                return code;
            }
            if (escape) append_printable(whole, true, context.out.buffer());
            if (!arguments.raw) context.out.write("\n");
            return code;
        });
}

}  // namespace

Command add_get(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("get", "Print the value of a key");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("KEY", arguments->key, "The key")->required()->type_name("");
    add_keyspace(*app, arguments->database);
    app->add_flag("--raw", arguments->raw, "The bytes themselves, and no newline after them");
    add_base64(*app, arguments->bytes);
    app->footer("Exit code 1 when the key is not there.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
