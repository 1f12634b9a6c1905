#include "cli/csv_codec.h"

#include <gtest/gtest.h>

#include "cli/codec_test_data.h"

namespace fulgur::cli {
namespace {

ReadOutcome read(std::string input, const ReaderOptions& options = {}) {
    return read_everything(Format::kCsv, std::move(input), options);
}

/// The first fault of some rows below a good header.
std::string fault_of(const std::string& rows) {
    const ReadOutcome outcome = read("key,value\n" + rows);
    return outcome.faults.empty() ? "no fault" : outcome.faults[0];
}

TEST(CsvTest, ReadsBackAnyBytes) {
    os::Random random(test_seed());
    for (int i = 0; i < 800; ++i) {
        const CsvStyle style{.base64 = random.one_in(2), .keyspaces = random.one_in(2)};
        const std::vector<Record> records = random_records(random, style.keyspaces);
        std::string text;
        append_csv_header(style, text);
        for (const Record& r : records) append_csv_row(style, r.keyspace, r.key, r.value, text);
        const ReadOutcome outcome = read_everything(
            Format::kCsv, text, {.keyspaces = style.keyspaces}, random.between(1, 100));
        ASSERT_TRUE(outcome.faults.empty()) << outcome.faults[0];
        ASSERT_EQ(outcome.records, records);
    }
}

TEST(CsvTest, WritesWhatTheStandardSays) {
    std::string text;
    append_csv_header({}, text);
    append_csv_row({}, "", "a\"b", "x,y\r\nz", text);
    append_csv_row({}, "", "", "", text);
    EXPECT_EQ(text, "key,value\r\n\"a\"\"b\",\"x,y\r\nz\"\r\n,\r\n");
    text.clear();
    append_csv_header({.base64 = true, .keyspaces = true}, text);
    append_csv_row({.base64 = true, .keyspaces = true}, "s", "f", "fo", text);
    EXPECT_EQ(text, "keyspace_base64,key_base64,value_base64\r\ncw==,Zg==,Zm8=\r\n");
}

TEST(CsvTest, TakesColumnsInAnyOrderAndEitherLineEnd) {
    const ReadOutcome outcome =
        read("\xef\xbb\xbf\"value\",key_base64\n1,aw==\r\n\n\"2\n\"\"\",bA==");
    ASSERT_TRUE(outcome.faults.empty()) << outcome.faults[0];
    ASSERT_EQ(outcome.records.size(), 2u);
    EXPECT_EQ(outcome.records[0], (Record{"", "k", "1"}));
    EXPECT_EQ(outcome.records[1], (Record{"", "l", "2\n\""}));
}

TEST(CsvTest, RefusesBadHeadersAndReadsNothingBelowThem) {
    const std::pair<std::string, Bytes> cases[] = {
        {"k,v\na,b\n", "1:1: unknown column"},
        {"key\na\n", "1:1: the first line must be key,value"},
        {"key,value,more\na,b,c\n", "1:11: unknown column"},
        {"key,key_base64\na,b\n", "1:5: column \"key_base64\" is there twice"},
        {"key,value,keyspace\na,b,c\n", "1:11: unknown column"},
        {"\"key,value\na,b\n", "1:1: this quote is never closed"},
    };
    for (const auto& [input, fault] : cases) {
        const ReadOutcome outcome = read(input);
        EXPECT_TRUE(outcome.records.empty()) << input;
        ASSERT_EQ(outcome.faults.size(), 1u) << input;
        EXPECT_TRUE(outcome.faults[0].starts_with(fault)) << outcome.faults[0];
    }
    EXPECT_EQ(read("key,value\n", {.keyspaces = true}).faults.size(), 1u);
    EXPECT_TRUE(read("").faults.empty());
}

TEST(CsvTest, PlacesFaults) {
    EXPECT_EQ(fault_of("a\n"), "2:1: expected 2 fields, found 1");
    EXPECT_EQ(fault_of("a,b\nc,d,e\n"), "3:5: expected 2 fields, found 3");
    EXPECT_EQ(fault_of("\"a\nb\",c,d\n"), "3:6: expected 2 fields, found 3");
    EXPECT_EQ(fault_of("a,b\"c\n"), "2:4: a quote inside a field without quotes");
    EXPECT_EQ(fault_of("\"a\nb\"c,d\n"), "3:3: text after a closing quote");
    EXPECT_EQ(fault_of("a,\"b\n"), "2:3: this quote is never closed");
    EXPECT_EQ(fault_of("a,b\rc,d\n"), "2:4: a carriage return outside quotes");
    EXPECT_EQ(fault_of("a,b,c,d,e,f\n"), "2:8: too many fields");
    EXPECT_EQ(read("key_base64,value\nZg==,b\nZh==,c\n").faults.at(0), "3:2: not valid base64");
}

TEST(CsvTest, GoesOnBelowABadLine) {
    // One missing quote costs its line, not the file.
    const ReadOutcome outcome = read("key,value\n\"a,1\nb,2\nc,3\n");
    EXPECT_EQ(outcome.faults.size(), 1u);
    ASSERT_EQ(outcome.records.size(), 2u);
    EXPECT_EQ(outcome.records[0].key, "b");
}

TEST(CsvTest, BoundsTheRow) {
    const ReaderOptions options{.line_bytes_max = 100};
    for (const std::size_t extra : {101, 1000, 1'000'000}) {
        const ReadOutcome outcome =
            read("key,value\na,\"" + std::string(extra, 'x') + "\"\nb,2\n", options);
        ASSERT_EQ(outcome.faults.size(), 1u);
        EXPECT_TRUE(outcome.faults[0].starts_with("2:1: the row is longer")) << outcome.faults[0];
        ASSERT_EQ(outcome.records.size(), 1u);
        EXPECT_EQ(outcome.records[0].key, "b");
    }
}

TEST(CsvTest, SurvivesAnyBytes) {
    os::Random random(test_seed());
    for (int i = 0; i < 1500; ++i) {
        const std::string input =
            (random.one_in(2) ? "key,value\n" : "") + random_bytes(random, 200);
        const ReadOutcome whole = read(input);
        const ReadOutcome pieces = read_everything(Format::kCsv, input, {}, 1);
        ASSERT_EQ(whole.records, pieces.records);
        ASSERT_EQ(whole.faults, pieces.faults);
    }
}

}  // namespace
}  // namespace fulgur::cli
