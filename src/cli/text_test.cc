#include "cli/text.h"

#include <gtest/gtest.h>

namespace fulgur::cli {
namespace {

TEST(TextTest, KnowsUtf8) {
    for (const Bytes text : {"", "plain text of more than eight bytes", "caf\xc3\xa9",
                             "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\x7f"}) {
        EXPECT_TRUE(is_utf8(text)) << text;
    }
    EXPECT_TRUE(is_utf8(Bytes("\0", 1)));
    const std::pair<Bytes, std::size_t> bad[] = {
        {"\x80", 0},         {"ab\xc3", 2},           {"\xc0\x80", 0}, {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0}, {"\xf0\x8f\xbf\xbf", 0}, {"\xf5\x80", 0}, {"\xf4\x90\x80\x80", 0},
        {"12345678\xff", 8}, {"\xe2\x82z", 0}};
    for (const auto& [text, size] : bad) EXPECT_EQ(valid_utf8_size(text), size);
}

TEST(TextTest, ShowsBytesWithoutLettingThemAct) {
    EXPECT_EQ(printable("a b\xc3\xa9"), "a b\xc3\xa9");
    EXPECT_EQ(printable("\x1b[2J\n\t\x7f"), "\\x1b[2J\\x0a\\x09\\x7f");
    EXPECT_EQ(printable("\\x41"), "\\\\x41");
    EXPECT_EQ(printable("\xff\xc2\x85"), "\\xff\\xc2\\x85");
    EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae");
    std::string lines;
    append_printable("a\n\tb\r", true, lines);
    EXPECT_EQ(lines, "a\n\tb\\x0d");
}

TEST(TextTest, ReadsSizes) {
    const std::pair<Bytes, std::uint64_t> good[] = {{"0", 0},
                                                    {"1000", 1000},
                                                    {"4096B", 4096},
                                                    {"64K", 65536},
                                                    {"64KiB", 65536},
                                                    {"1kB", 1000},
                                                    {"512MiB", 512 << 20},
                                                    {"512 mib", 512 << 20},
                                                    {"1.5GiB", 3ull << 29},
                                                    {"2T", 2ull << 40}};
    for (const auto& [text, size] : good) EXPECT_EQ(parse_size(text), size) << text;
    for (const Bytes text : {"", "x", "-1", "1X", "1KiBB", "1iB", "MiB", "1e3", "99999999999T",
                             "1 K K", "0x10", "nan", "inf"}) {
        EXPECT_EQ(parse_size(text), std::nullopt) << text;
    }
}

TEST(TextTest, ReadsMemory) {
    const std::pair<Bytes, std::uint64_t> good[] = {{"minimal", 4 << 20}, {"balanced", 16 << 20},
                                                    {"high", 64 << 20},   {"maximum", 256 << 20},
                                                    {"automatic", 0},     {"20MiB", 20 << 20}};
    for (const auto& [text, size] : good) EXPECT_EQ(parse_memory(text), size) << text;
    for (const Bytes text : {"", "Minimal", "minimal ", "min", "automatic4MiB", "large", "-4MiB",
                             "4 minimal", "99999999999T"}) {
        EXPECT_EQ(parse_memory(text), std::nullopt) << text;
    }
}

TEST(TextTest, ShowsNumbersForPeople) {
    EXPECT_EQ(show_bytes(1023), "1023 B");
    EXPECT_EQ(show_bytes(1536), "1.5 KiB");
    EXPECT_EQ(show_bytes(~std::uint64_t{0}), "16.0 EiB");
    EXPECT_EQ(show_count(0), "0");
    EXPECT_EQ(show_count(999), "999");
    EXPECT_EQ(show_count(1234567), "1,234,567");
    EXPECT_EQ(show_seconds(7), "0:07");
    EXPECT_EQ(show_seconds(3723), "1:02:03");
    EXPECT_EQ(show_duration_ns(1500), "1.5 us");
    EXPECT_EQ(show_duration_ns(12'300'000'000), "12.3 s");
}

}  // namespace
}  // namespace fulgur::cli
