#include "cli/arguments.h"

#include <map>

#include <fmt/format.h>

#include "base/base64.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

/// An option for bytes that tells an empty text from none at all.
CLI::Option* add_optional(CLI::App& app, const std::string& name,
                          std::optional<std::string>& target, const std::string& description) {
    return app
        .add_option_function<std::string>(
            name, [&target](const std::string& text) { target = text; }, description)
        ->type_name("KEY");
}

void add_size(CLI::App& app, const std::string& name, std::uint64_t& target, std::uint64_t least,
              const std::string& description) {
    app.add_option_function<std::string>(
           name,
           [name, least, &target](const std::string& text) {
               const std::optional<std::uint64_t> size = parse_size(text);
               if (!size) {
                   throw CLI::ValidationError(name, "expected a size such as 512MiB, not " + text);
               }
               if (*size < least) {
                   throw CLI::ValidationError(name, "at least " + show_bytes(least));
               }
               target = *size;
           },
           description)
        ->type_name("SIZE");
}

void add_memory(CLI::App& app, std::uint64_t& budget) {
    app.add_option_function<std::string>(
           "--memory,--memory-budget",
           [&budget](const std::string& text) {
               const std::optional<std::uint64_t> size = parse_memory(text);
               if (!size) {
                   throw CLI::ValidationError(
                       "--memory",
                       "expected minimal, balanced, high, maximum, automatic or a size such as "
                       "512MiB, not " +
                           text);
               }
               if (*size < kMemoryBudgetMin && text != "automatic") {
                   throw CLI::ValidationError("--memory",
                                              "at least " + show_bytes(kMemoryBudgetMin));
               }
               budget = *size;
           },
           "Memory the engine may take: a size such as 512MiB, or minimal (4 MiB), balanced (16), "
           "high\n(64), maximum (256), automatic (a quarter of the machine's; default)")
        ->type_name("SIZE");
}

}  // namespace

void add_database(CLI::App& app, DatabaseArguments& arguments) {
    app.add_option("DIR", arguments.path, "The directory of the database")
        ->required()
        ->type_name("");
    add_memory(app, arguments.memory_budget);
}

CLI::Option* add_keyspace(CLI::App& app, DatabaseArguments& arguments) {
    return app.add_option("--keyspace", arguments.keyspace, "The keyspace")
        ->type_name("NAME")
        ->capture_default_str();
}

void add_durability(CLI::App& app, DatabaseArguments& arguments, const std::string& description) {
    static const std::map<std::string, Durability> kLevels = {
        {"sync", Durability::kSync}, {"os", Durability::kOs}, {"buffered", Durability::kBuffered}};
    app.add_option_function<std::string>(
           "--durability",
           [&arguments](const std::string& text) { arguments.durability = kLevels.at(text); },
           description)
        ->check(CLI::IsMember({"sync", "os", "buffered"}))
        ->type_name("LEVEL");
}

void add_compression(CLI::App& app, DatabaseArguments& arguments) {
    static const std::map<std::string, Compression> kWays = {
        {"none", Compression::kNone},
        {"lz4", Compression::kLz4},
        {"zstd", Compression::kZstd},
        {"automatic", Compression::kAutomatic}};
    app.add_option_function<std::string>(
           "--compression",
           [&arguments](const std::string& text) { arguments.compression = kWays.at(text); },
           "Of pages written from now on: none, lz4 (fast), zstd (smaller), automatic (lz4 where "
           "it "
           "helps).\nThe database remembers it")
        ->check(CLI::IsMember({"none", "lz4", "zstd", "automatic"}))
        ->type_name("WAY");
}

const char* to_string(Compression compression) {
    switch (compression) {
        case Compression::kLz4:
            return "lz4";
        case Compression::kZstd:
            return "zstd";
        case Compression::kAutomatic:
            return "automatic";
        default:
            return "none";
    }
}

void add_base64(CLI::App& app, BytesArguments& arguments) {
    app.add_flag("--base64", arguments.base64, "Keys and values among the arguments are base64");
}

std::optional<ExitCode> decode_argument(Context& context, const BytesArguments& arguments,
                                        const char* name, std::string& text) {
    if (!arguments.base64) return std::nullopt;
    std::string bytes;
    const Base64Outcome outcome = decode_base64(text, bytes);
    if (!outcome.ok) {
        return context.fail(
            ExitCode::kUsage,
            fmt::format("{} is not valid base64 (character {})", name, outcome.fault + 1),
            "leave --base64 out to give the bytes themselves");
    }
    text = std::move(bytes);
    return std::nullopt;
}

std::optional<ExitCode> decode_key(Context& context, const BytesArguments& arguments,
                                   std::string& key) {
    if (const auto failed = decode_argument(context, arguments, "KEY", key)) return failed;
    if (key.size() <= kKeyBytesMax) return std::nullopt;
    return context.fail(ExitCode::kBadInput, fmt::format("the key has {} bytes; the limit is {}",
                                                         key.size(), kKeyBytesMax));
}

void add_range(CLI::App& app, RangeArguments& arguments, BoundsAs as) {
    CLI::Option* const prefix_option =
        add_optional(app, "--prefix", arguments.prefix, "Only keys that begin with this");
    add_optional(app, "--from", arguments.from, "Only keys from this one on")
        ->excludes(prefix_option);
    add_optional(app, "--to", arguments.to, "Only keys before this one")->excludes(prefix_option);
    if (as == BoundsAs::kTextOrBase64) add_base64(app, arguments.bytes);
}

std::optional<ExitCode> make_range(Context& context, RangeArguments arguments, KeyRange& range) {
    const std::pair<const char*, std::optional<std::string>*> bounds[] = {
        {"--prefix", &arguments.prefix}, {"--from", &arguments.from}, {"--to", &arguments.to}};
    for (const auto& [name, bound] : bounds) {
        if (!*bound) continue;
        if (const auto failed = decode_argument(context, arguments.bytes, name, **bound)) {
            return failed;
        }
    }
    range = arguments.prefix ? prefix(*arguments.prefix) : from(arguments.from.value_or(""));
    if (arguments.to) range.end = *arguments.to;
    return std::nullopt;
}

void add_line_limit(CLI::App& app, std::uint64_t& bytes) {
    add_size(app, "--max-line", bytes, 1, "The longest line (default: 96MiB)");
}

void add_progress(CLI::App& app, Progress::Wish& wish) {
    app.add_flag_function(
        "--progress,!--no-progress",
        [&wish](std::int64_t count) {
            wish = count > 0 ? Progress::Wish::kAlways : Progress::Wish::kNever;
        },
        "Tell on standard error how far it is (default: when that is a terminal)");
}

void add_format(CLI::App& app, std::optional<Format>& format) {
    app.add_option_function<std::string>(
           "--format",
           [&format](const std::string& text) {
               format = text == "csv" ? Format::kCsv : Format::kJsonLines;
           },
           "The format (default: by the end of FILE's name)")
        ->check(CLI::IsMember({"jsonl", "csv"}))
        ->type_name("FORMAT");
}

std::optional<Format> format_of_name(Bytes name) {
    if (name.ends_with(".csv")) return Format::kCsv;
    if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return Format::kJsonLines;
    return std::nullopt;
}

const char* to_string(Format format) { return format == Format::kCsv ? "csv" : "jsonl"; }

}  // namespace fulgur::cli
