#pragma once

/// Arguments that several sub-commands share, and their CLI11 definitions.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <fulgur/key_range.h>
#include <fulgur/options.h>

#include "cli/context.h"
#include "cli/progress.h"
#include "cli/record.h"

namespace fulgur::cli {

inline constexpr const char* kDefaultKeyspace = "default";

struct DatabaseArguments {
    std::string path;
    std::string keyspace = kDefaultKeyspace;
    std::uint64_t memory_budget = 0;  ///< 0: automatic.
    std::optional<Durability> durability;
    std::optional<Compression> compression;
};
/// DIR, which must come first, and --memory.
void add_database(CLI::App& app, DatabaseArguments& arguments);
CLI::Option* add_keyspace(CLI::App& app, DatabaseArguments& arguments);
void add_durability(CLI::App& app, DatabaseArguments& arguments, const std::string& description);

/// --compression.
void add_compression(CLI::App& app, DatabaseArguments& arguments);
const char* to_string(Compression compression);

/// An argument that is bytes: as given, or base64 with --base64.
struct BytesArguments {
    bool base64 = false;
};
void add_base64(CLI::App& app, BytesArguments& arguments);
/// Decodes `text` in place. @return nothing when it is good; else the failure was reported.
std::optional<ExitCode> decode_argument(Context& context, const BytesArguments& arguments,
                                        const char* name, std::string& text);
/// Decodes KEY and checks its limit.
std::optional<ExitCode> decode_key(Context& context, const BytesArguments& arguments,
                                   std::string& key);

struct RangeArguments {
    BytesArguments bytes;
    std::optional<std::string> prefix;
    std::optional<std::string> from;
    std::optional<std::string> to;
};
/// --prefix, or --from and --to; and --base64 for them, where that does not mean something else.
enum class BoundsAs : std::uint8_t { kText, kTextOrBase64 };
void add_range(CLI::App& app, RangeArguments& arguments, BoundsAs as = BoundsAs::kTextOrBase64);
std::optional<ExitCode> make_range(Context& context, RangeArguments arguments, KeyRange& range);

/// --max-line.
void add_line_limit(CLI::App& app, std::uint64_t& bytes);

void add_progress(CLI::App& app, Progress::Wish& wish);

/// --format.
void add_format(CLI::App& app, std::optional<Format>& format);
/// By the end of the file's name; none when it says nothing.
std::optional<Format> format_of_name(Bytes name);
const char* to_string(Format format);

}  // namespace fulgur::cli
