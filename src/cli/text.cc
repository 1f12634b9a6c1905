#include "cli/text.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <fulgur/options.h>

namespace fulgur::cli {

namespace {

/// Size of the valid UTF-8 character at the start of `bytes` (not empty), 0 when there is none.
std::size_t character_size(Bytes bytes) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned lead = at(0);
    if (lead < 0x80) return 1;
    const std::size_t size = lead < 0xc2   ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
    if (size == 0 || bytes.size() < size) return 0;
    // The second byte has a narrower range after some leads: no long forms, surrogates, or >
    // 10FFFF.
    const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at(1) < low || at(1) > high) return 0;
    for (std::size_t i = 2; i < size; ++i) {
        if ((at(i) & 0xc0) != 0x80) return 0;
    }
    return size;
}

/// A terminal shows the valid character `text` as itself and does nothing else.
bool is_harmless(Bytes text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (text.size() == 1) return at(0) >= 0x20 && at(0) != 0x7f;
    if (text.size() == 2) return !(at(0) == 0xc2 && at(1) < 0xa0);  // U+0080 to U+009F.
    if (text.size() == 3 && at(0) == 0xe2) {
        const unsigned low = (at(1) & 0x3fu) << 6 | (at(2) & 0x3fu);
        // U+2028 and U+2029 break lines; U+200E, U+200F, U+202A-2E and U+2066-69 turn text around.
        const bool turns = low == 0x00e || low == 0x00f || (low >= 0x028 && low <= 0x02e) ||
                           (low >= 0x066 && low <= 0x069);
        return !turns;
    }
    return true;
}

}  // namespace

std::size_t valid_utf8_size(Bytes bytes) {
    std::size_t i = 0;
    while (i < bytes.size()) {
        // Most text is ASCII: eight bytes at a time while no top bit is set.
        while (i + 8 <= bytes.size()) {
            std::uint64_t word;
            std::memcpy(&word, bytes.data() + i, 8);
            if ((word & 0x8080808080808080u) != 0) break;
            i += 8;
        }
        if (i == bytes.size()) break;
        const std::size_t size = character_size(bytes.substr(i));
        if (size == 0) break;
        i += size;
    }
    return i;
}

void append_printable(Bytes bytes, bool keep_lines, std::string& into) {
    for (std::size_t i = 0; i < bytes.size();) {
        const std::size_t size = character_size(bytes.substr(i));
        const Bytes character = bytes.substr(i, size == 0 ? 1 : size);
        const bool line = keep_lines && (character == "\n" || character == "\t");
        if (character == "\\") {
            into += "\\\\";
        } else if (line || (size != 0 && is_harmless(character))) {
            into += character;
        } else {
            for (const char c : character) {
                fmt::format_to(std::back_inserter(into), "\\x{:02x}",
                               static_cast<unsigned char>(c));
            }
        }
        i += character.size();
    }
}

std::string printable(Bytes bytes) {
    std::string text;
    append_printable(bytes, false, text);
    return text;
}

std::optional<std::uint64_t> parse_size(Bytes text) {
    if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) == 0) return std::nullopt;
    double number = 0;
    const auto [rest, fault] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (fault != std::errc()) return std::nullopt;
    std::string unit;
    for (const char* c = rest; c != text.data() + text.size(); ++c) {
        if (*c != ' ' || !unit.empty())
            unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
    }
    double factor = 1;
    if (!unit.empty() && unit != "b") {
        const std::size_t power = Bytes("kmgt").find(unit[0]);
        const Bytes tail = Bytes(unit).substr(1);
        if (power == Bytes::npos || (tail != "" && tail != "b" && tail != "ib"))
            return std::nullopt;
        factor = std::pow(tail == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
    }
    const double bytes = std::floor(number * factor);
    if (bytes >= 9.2e18) return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
}

std::optional<std::uint64_t> parse_memory(Bytes text) {
    constexpr std::pair<Bytes, MemoryProfile> kProfiles[] = {{"minimal", MemoryProfile::kMinimal},
                                                             {"balanced", MemoryProfile::kBalanced},
                                                             {"high", MemoryProfile::kHigh},
                                                             {"maximum", MemoryProfile::kMaximum}};
    for (const auto& [name, profile] : kProfiles) {
        if (text == name) return memory_budget_of(profile);
    }
    if (text == "automatic") return 0;
    return parse_size(text);
}

std::string show_bytes(std::uint64_t bytes) {
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes);
    const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::size_t unit = 0;
    for (value /= 1024; value >= 1024 && unit + 1 < std::size(units); value /= 1024) ++unit;
    return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string show_count(std::uint64_t count) {
    std::string text = std::to_string(count);
    for (std::size_t i = text.size(); i > 3;) {
        i -= 3;
        text.insert(i, 1, ',');
    }
    return text;
}

std::string show_ratio(std::uint64_t before, std::uint64_t after) {
    if (after == 0) return "1.00 to 1";
    return fmt::format("{:.2f} to 1", static_cast<double>(before) / static_cast<double>(after));
}

std::string show_seconds(std::uint64_t seconds) {
    if (seconds < 3600) return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
    return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string show_duration_ns(std::uint64_t ns) {
    const double value = static_cast<double>(ns);
    if (ns < 1'000'000) return fmt::format("{:.1f} us", value / 1e3);
    if (ns < 1'000'000'000) return fmt::format("{:.1f} ms", value / 1e6);
    return fmt::format("{:.1f} s", value / 1e9);
}

}  // namespace fulgur::cli
