#pragma once

/// Text for people: what is valid UTF-8, what may be shown on a terminal, and how numbers and times
/// read.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <fulgur/bytes.h>

namespace fulgur::cli {

/// Length of the longest beginning of `bytes` that is valid UTF-8 (RFC 3629: no surrogates, nothing
/// above U+10FFFF, no longer form than needed).
std::size_t valid_utf8_size(Bytes bytes);
inline bool is_utf8(Bytes bytes) { return valid_utf8_size(bytes) == bytes.size(); }

/// Appends `bytes` so that a terminal shows exactly them and obeys none of them: bytes that are not
/// UTF-8, control characters and marks that change the direction of text become \xNN, a backslash
/// two. Tab and newline stay when `keep_lines`.
void append_printable(Bytes bytes, bool keep_lines, std::string& into);
std::string printable(Bytes bytes);

/// "512MiB", "64K", "1000000", "1.5 GB": K, KiB... are powers of 1024; kB, MB... of 1000.
/// None when it is not a size or does not fit.
std::optional<std::uint64_t> parse_size(Bytes text);

/// The bytes of a MemoryProfile, "minimal", "balanced", "high" or "maximum"; 0 for "automatic"; a
/// size as above, which may be 0 too. None when it is neither.
std::optional<std::uint64_t> parse_memory(Bytes text);

std::string show_bytes(std::uint64_t bytes);  ///< "1.5 MiB"
std::string show_count(std::uint64_t count);  ///< "1,234,567"
/// Of what takes `before` bytes and is stored in `after`: "2.31 to 1".
std::string show_ratio(std::uint64_t before, std::uint64_t after);
std::string show_seconds(std::uint64_t seconds);  ///< "0:07", "1:02:03"
std::string show_duration_ns(std::uint64_t ns);   ///< "3.2 ms", "12.3 s"

}  // namespace fulgur::cli
