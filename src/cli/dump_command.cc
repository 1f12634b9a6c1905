#include <algorithm>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/csv_codec.h"
#include "cli/database_access.h"
#include "cli/jsonl_codec.h"
#include "cli/text.h"
#include "cli/walk.h"

namespace fulgur::cli {

namespace {

struct Arguments {
    DatabaseArguments database;
    RangeArguments range;
    std::string file = "-";
    std::optional<Format> format;
    bool base64 = false;
    bool all_keyspaces = false;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

/// Writes rows of one snapshot in one format.
class Dumper {
public:
    Dumper(Context& context, const Arguments& arguments, Format format, Output& out,
           Progress::Wish wish)
        : context_(context),
          format_(format),
          csv_{.base64 = arguments.base64, .keyspaces = arguments.all_keyspaces},
          out_(out),
          progress_("dumping", wish, context.error, context.clock) {
        if (format_ == Format::kCsv) append_csv_header(csv_, out_.buffer());
    }

    ExitCode write(const Snapshot& snapshot, const Keyspace& keyspace, const KeyRange& range) {
        const auto started = Walk::start(snapshot, keyspace, range);
        if (!started.ok()) return context_.fail(started.error());
        Walk& walk = **started;
        for (; walk.valid() && !out_.failed(); walk.next()) {
            const Bytes value = walk.value();
            if (!walk.valid()) break;  // The value could not be read.
            write_row(keyspace.name(), walk.key(), value);
            progress_.update(counts());
        }
        const Result<void> status = walk.status();
        if (status.ok()) return ExitCode::kOk;
        progress_.clear();
        return context_.fail(status.error());
    }

    void report(const std::string& file) {
        progress_.finish(counts());
        const std::uint64_t elapsed_ns = progress_.elapsed_ns();
        if (not_text_ > 0) {
            context_.note(
                fmt::format("{} rows hold bytes that are not UTF-8: fulgur reads them back "
                            "exactly, other programs may not (see --base64)",
                            show_count(not_text_)));
        }
        if (file == "-") return;  // Standard output holds the data and nothing else.
        if (context_.json) {
            Json object = {{"rows", rows_}, {"bytes", bytes_}, {"elapsed_ns", elapsed_ns}};
            set_bytes(object, "file", file);
            context_.print_json(object);
        } else {
            context_.out.write(fmt::format("dumped {} row{} ({}) to {} in {}\n", show_count(rows_),
                                           rows_ == 1 ? "" : "s", show_bytes(bytes_), file,
                                           show_duration_ns(elapsed_ns)));
        }
    }

private:
    Progress::Counts counts() const { return {.files = 0, .rows = rows_, .bytes = bytes_}; }

    void write_row(Bytes keyspace, Bytes key, Bytes value) {
        std::string& buffer = out_.buffer();
        const std::size_t before = buffer.size();
        if (format_ == Format::kJsonLines) {
            append_json_line(csv_.keyspaces ? keyspace : Bytes(), key, value, buffer);
        } else {
            append_csv_row(csv_, keyspace, key, value, buffer);
            if (!csv_.base64 && !(is_utf8(key) && is_utf8(value))) ++not_text_;
        }
        ++rows_;
        bytes_ += buffer.size() - before;
        out_.flush_when_full();
    }

    Context& context_;
    Format format_;
    CsvStyle csv_;
    Output& out_;
    Progress progress_;
    std::uint64_t rows_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t not_text_ = 0;
};

ExitCode dump(Context& context, const Arguments& arguments, const KeyRange& range,
              Database& database, Dumper& dumper) {
    std::vector<std::string> names = {arguments.database.keyspace};
    if (arguments.all_keyspaces) {
        names = database.keyspace_names();
        std::ranges::sort(names);
    }
    std::vector<Keyspace> keyspaces;
    for (const std::string& name : names) {
        const auto keyspace = database.find_keyspace(name);
        if (!keyspace.ok()) return context.fail(keyspace.error());
        if (*keyspace) {
            keyspaces.push_back(**keyspace);
        } else if (name != kDefaultKeyspace) {
            return context.fail(ExitCode::kNotFound, "no keyspace is named " + name,
                                "`fulgur stats DIR` lists them");
        }
    }
    const Result<Snapshot> snapshot = database.snapshot();
    if (!snapshot.ok()) return context.fail(snapshot.error());
    for (const Keyspace& keyspace : keyspaces) {
        const ExitCode code = dumper.write(*snapshot, keyspace, range);
        if (code != ExitCode::kOk) return code;
    }
    return ExitCode::kOk;
}

/// Dumps to `out`, and reports when everything is where it belongs.
ExitCode dump_to(Context& context, const Arguments& arguments, const KeyRange& range,
                 Database& database, Format format, Output& out) {
    // Data and progress on one terminal would mix.
    const bool mixed = arguments.progress == Progress::Wish::kWhenTerminal && out.is_terminal();
    const Progress::Wish wish = mixed ? Progress::Wish::kNever : arguments.progress;
    Dumper dumper(context, arguments, format, out, wish);
    const ExitCode code = dump(context, arguments, range, database, dumper);
    if (code != ExitCode::kOk) return code;
    if (const Result<void> finished = out.finish(); !finished.ok()) {
        return context.fail(finished.error(), "the dump is not complete");
    }
    dumper.report(arguments.file);
    return code;
}

ExitCode run(Context& context, const Arguments& arguments) {
    KeyRange range;
    if (const auto failed = make_range(context, arguments.range, range)) return *failed;
    const Format format =
        arguments.format.value_or(format_of_name(arguments.file).value_or(Format::kJsonLines));
    if (arguments.base64 && format != Format::kCsv) {
        return context.fail(ExitCode::kUsage, "--base64 is for --format csv",
                            "jsonl chooses base64 by itself, for what is not UTF-8");
    }
    Result<Database> database = open_database(arguments.database, Access::kRead);
    if (!database.ok()) return context.fail(database.error());
    ExitCode code = ExitCode::kOk;
    if (arguments.file == "-") {
        code = dump_to(context, arguments, range, *database, format, context.out);
    } else if (const auto stream = os::create_output(arguments.file); !stream.ok()) {
        code = context.fail(stream.error());
    } else {
        Output out(**stream);
        code = dump_to(context, arguments, range, *database, format, out);
    }
    return close_database(context, *database, code);
}

}  // namespace

Command add_dump(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("dump", "Write a database's rows to a file");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("FILE", arguments->file, "The file, - for standard output")
        ->type_name("")
        ->capture_default_str();
    add_format(*app, arguments->format);
    app->add_flag("--base64", arguments->base64, "csv: columns key_base64 and value_base64");
    CLI::Option* const keyspace = add_keyspace(*app, arguments->database);
    app->add_flag("--all-keyspaces", arguments->all_keyspaces,
                  "Every keyspace; each row names its own")
        ->excludes(keyspace);
    add_range(*app, arguments->range, BoundsAs::kText);
    add_progress(*app, arguments->progress);
    app->footer(
        "All rows are of one moment. `fulgur load` reads them back, any bytes exactly. FILE\n"
        "appears under its name when it is complete (FILE.partial until then).");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
