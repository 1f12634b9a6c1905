#include <map>
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
    std::vector<std::string> files;
    std::optional<Format> format;
    bool all_keyspaces = false;
    bool skip_bad = false;
    std::uint64_t batch_rows = 1000;
    std::uint64_t line_bytes_max = kLineBytesMax;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

/// Bad lines that --skip-bad names; the others are only counted.
constexpr std::uint64_t kSkipsNamed = 10;

struct InputFile {
    std::unique_ptr<os::InputStream> owned;  ///< Null for standard input.
    os::InputStream* stream;
    Format format;
};

/// Puts the records of one input after the other into the database, in batches.
///
/// A batch is committed when it is full, and at the end; after a bad line that is not skipped the
/// open batch is dropped, so that what was committed is a beginning of the input, in whole batches.
class Loader {
public:
    Loader(Context& context, Database& database, const Arguments& arguments)
        : context_(context),
          database_(database),
          arguments_(arguments),
          progress_("loading", arguments.progress, context.error, context.clock) {
        // Well within a quarter of the memory budget, which is what the engine takes at once.
        const std::uint64_t budget = arguments.database.memory_budget;
        if (budget != 0) batch_bytes_max_ = std::min(batch_bytes_max_, budget / 16);
    }

    ExitCode run(const std::vector<InputFile>& files) {
        set_totals(files);
        for (std::size_t i = 0; i < files.size(); ++i) {
            ++files_;
            if (const ExitCode code = load(files[i]); code != ExitCode::kOk) return code;
        }
        if (!commit_batch()) return failed_;
        if (const Result<void> synced = database_.sync(); !synced.ok()) {
            return fail_with(synced.error());
        }
        progress_.finish(counts());
        return ExitCode::kOk;
    }

    void report() {
        const std::uint64_t elapsed_ns = progress_.elapsed_ns();
        if (context_.json) {
            context_.print_json({{"rows", committed_},
                                 {"skipped", skipped_},
                                 {"batches", batches_},
                                 {"bytes", bytes_before_},
                                 {"elapsed_ns", elapsed_ns}});
            return;
        }
        context_.out.write(fmt::format("loaded {} row{} ({}) in {}", show_count(committed_),
                                       committed_ == 1 ? "" : "s", show_bytes(bytes_before_),
                                       show_duration_ns(elapsed_ns)));
        if (skipped_ > 0) {
            context_.out.write(fmt::format(", skipped {} bad line{}", show_count(skipped_),
                                           skipped_ == 1 ? "" : "s"));
        }
        context_.out.write("\n");
    }

private:
    void set_totals(const std::vector<InputFile>& files) {
        std::uint64_t bytes = 0;
        for (const InputFile& file : files) {
            if (!file.stream->size()) return;  // One of unknown size makes the whole unknown.
            bytes += *file.stream->size();
        }
        progress_.set_totals({.files = files.size(), .bytes = bytes});
    }

    Progress::Counts counts() const {
        return {.files = files_, .rows = rows_, .bytes = bytes_before_ + bytes_in_file_};
    }

    ExitCode load(const InputFile& file) {
        const ReaderOptions options{.keyspaces = arguments_.all_keyspaces,
                                    .line_bytes_max = arguments_.line_bytes_max};
        const auto reader = make_record_reader(file.format, *file.stream, options);
        Record record;
        for (;;) {
            const RecordReader::Outcome outcome = reader->next(record);
            bytes_in_file_ = reader->bytes_read();
            if (outcome == RecordReader::Outcome::kEnd) break;
            if (outcome == RecordReader::Outcome::kFailed) return fail_with(reader->failure());
            BadInput bad;
            if (outcome == RecordReader::Outcome::kBad) {
                bad = reader->bad();
            } else if (const char* const over = limit_exceeded(record); over != nullptr) {
                bad = {reader->line(), 1, over};
            } else {
                if (!add(record)) return failed_;
                progress_.update(counts());
                continue;
            }
            if (!arguments_.skip_bad) return fail_at(file.stream->name(), bad);
            skip(file.stream->name(), bad);
        }
        bytes_before_ += bytes_in_file_;
        bytes_in_file_ = 0;
        return ExitCode::kOk;
    }

    const char* limit_exceeded(const Record& record) const {
        if (record.key.size() > kKeyBytesMax) return "the key is over the limit of 65535 bytes";
        if (record.key.size() + record.value.size() + 16 > kBatchBytesMax) {
            return "the value is over the limit of one commit, 64 MiB";
        }
        if (record.keyspace.size() > kKeyspaceNameBytesMax) {
            return "the keyspace's name is over the limit of 255 bytes";
        }
        if (arguments_.all_keyspaces && record.keyspace.empty()) {
            return "the keyspace's name is empty";
        }
        return nullptr;
    }

    /// @return false when it failed; `failed_` then says how.
    bool add(const Record& record) {
        const Keyspace* const keyspace =
            find(arguments_.all_keyspaces ? record.keyspace : arguments_.database.keyspace);
        if (keyspace == nullptr) return false;
        const std::size_t size = record.key.size() + record.value.size() + 16;
        // Before the row is added, so that one too large for the engine fails alone.
        if (batch_.byte_size() + size > batch_bytes_max_ && !commit_batch()) return false;
        batch_.put(*keyspace, record.key, record.value);
        ++rows_;
        return batch_.size() < arguments_.batch_rows || commit_batch();
    }

    const Keyspace* find(const std::string& name) {
        const auto known = keyspaces_.find(name);
        if (known != keyspaces_.end()) return &known->second;
        Result<Keyspace> keyspace = database_.keyspace(name);
        if (!keyspace.ok()) {
            failed_ = fail_with(keyspace.error());
            return nullptr;
        }
        return &keyspaces_.emplace(name, std::move(keyspace).value()).first->second;
    }

    bool commit_batch() {
        if (batch_.empty()) return true;
        const Durability durability =
            arguments_.database.durability.value_or(Durability::kBuffered);
        const Result<Sequence> committed = database_.commit(batch_, durability);
        if (!committed.ok()) {
            failed_ = fail_with(committed.error());
            return false;
        }
        committed_ += batch_.size();
        ++batches_;
        batch_.clear();
        return true;
    }

    std::string standing() const {
        return fmt::format("{} row{} committed before", show_count(committed_),
                           committed_ == 1 ? " was" : "s were");
    }

    ExitCode fail_with(const Error& error) {
        progress_.clear();
        return context_.fail(error, standing(), {{"rows_committed", committed_}});
    }

    ExitCode fail_at(const std::string& name, const BadInput& bad) {
        progress_.clear();
        Json details;
        set_bytes(details, "file", name);
        details["line"] = bad.line;
        details["column"] = bad.column;
        details["rows_committed"] = committed_;
        return context_.fail(
            ExitCode::kBadInput,
            fmt::format("{}:{}:{}: {}; {}", name, bad.line, bad.column, bad.what, standing()),
            "correct the line and load again, or leave bad lines out with --skip-bad", details);
    }

    void skip(const std::string& name, const BadInput& bad) {
        if (++skipped_ > kSkipsNamed) return;
        progress_.clear();
        context_.note(fmt::format("skipped {}:{}:{}: {}", name, bad.line, bad.column, bad.what));
        if (skipped_ == kSkipsNamed) context_.note("further bad lines are only counted");
    }

    Context& context_;
    Database& database_;
    const Arguments& arguments_;
    Progress progress_;
    std::uint64_t batch_bytes_max_ = 1_MiB;
    std::map<std::string, Keyspace> keyspaces_;
    WriteBatch batch_;
    ExitCode failed_ = ExitCode::kOk;
    std::uint64_t files_ = 0;
    std::uint64_t rows_ = 0;
    std::uint64_t committed_ = 0;
    std::uint64_t batches_ = 0;
    std::uint64_t skipped_ = 0;
    std::uint64_t bytes_before_ = 0;  ///< In the files that are done.
    std::uint64_t bytes_in_file_ = 0;
};

/// Opens every input first: a wrong name must not be found after an hour.
std::optional<ExitCode> open_inputs(Context& context, const Arguments& arguments,
                                    std::vector<InputFile>& files) {
    for (const std::string& name : arguments.files) {
        const std::optional<Format> format =
            arguments.format ? arguments.format : format_of_name(name);
        if (!format) {
            return context.fail(ExitCode::kUsage, "the format of " + name + " is not known",
                                "say --format jsonl or --format csv");
        }
        if (name == "-") {
            files.push_back({nullptr, &context.input, *format});
            continue;
        }
        auto file = os::open_input(name);
        if (!file.ok()) return context.fail(file.error());
        os::InputStream* const stream = file->get();
        files.push_back({std::move(file).value(), stream, *format});
    }
    return std::nullopt;
}

ExitCode run(Context& context, const Arguments& arguments) {
    std::vector<InputFile> files;
    if (const auto failed = open_inputs(context, arguments, files)) return *failed;
    Result<Database> database = open_database(arguments.database, Access::kWriteOrCreate);
    if (!database.ok()) return context.fail(database.error());
    Loader loader(context, *database, arguments);
    const ExitCode code = close_database(context, *database, loader.run(files));
    if (code == ExitCode::kOk) loader.report();
    return code;
}

}  // namespace

Command add_load(CLI::App& root) {
    CLI::App* const app = root.add_subcommand("load", "Put the rows of files into a database");
    const auto arguments = std::make_shared<Arguments>();
    add_database(*app, arguments->database);
    app->add_option("FILE", arguments->files, "The files, - for standard input")
        ->required()
        ->type_name("");
    add_format(*app, arguments->format);
    CLI::Option* const keyspace = add_keyspace(*app, arguments->database);
    app->add_flag("--all-keyspaces", arguments->all_keyspaces,
                  "Each row names its keyspace, as `fulgur dump --all-keyspaces` writes it")
        ->excludes(keyspace);
    app->add_flag("--skip-bad", arguments->skip_bad, "Leave bad lines out instead of stopping");
    app->add_option("--batch-rows", arguments->batch_rows, "Rows that commit together at most")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000}))
        ->type_name("N")
        ->capture_default_str();
    add_line_limit(*app, arguments->line_bytes_max);
    add_durability(*app, arguments->database,
                   "Of each batch (default: buffered, and everything synced at the end)");
    add_compression(*app, arguments->database);
    add_progress(*app, arguments->progress);
    app->footer(
        "jsonl: one {\"key\":\"...\",\"value\":\"...\"} a line; key_base64 and value_base64 for "
        "bytes "
        "that are not\nUTF-8; a value that is other JSON is stored as its compact text.\n"
        "csv: RFC 4180 with the first line key,value (or key_base64,value_base64).\n"
        "Makes the database when there is none. Rows replace those of the same key, so loading a "
        "file again\nis harmless. A bad line stops it with its place and nothing of its batch "
        "applied.");
    return {app, [arguments](Context& context) { return run(context, *arguments); }};
}

}  // namespace fulgur::cli
