#include "cli/jsonl_codec.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/codec_test_data.h"
#include "cli/text.h"

namespace fulgur::cli {
namespace {

ReadOutcome read(std::string input, const ReaderOptions& options = {}) {
    return read_everything(Format::kJsonLines, std::move(input), options);
}

std::string fault_of(const std::string& line, const ReaderOptions& options = {}) {
    const ReadOutcome outcome = read(line, options);
    if (outcome.faults.size() != 1 || !outcome.records.empty()) return "not one fault";
    return outcome.faults[0];
}

std::string value_of(const std::string& line) {
    const ReadOutcome outcome = read(line);
    return outcome.records.size() == 1 ? outcome.records[0].value : outcome.faults.at(0);
}

TEST(JsonLinesTest, ReadsBackAnyBytes) {
    os::Random random(test_seed());
    for (int i = 0; i < 800; ++i) {
        const bool keyspaces = random.one_in(2);
        const std::vector<Record> records = random_records(random, keyspaces);
        std::string text;
        for (const Record& r : records) append_json_line(r.keyspace, r.key, r.value, text);
        ASSERT_TRUE(is_utf8(text));
        const ReadOutcome outcome = read_everything(
            Format::kJsonLines, text, {.keyspaces = keyspaces}, random.between(1, 100));
        ASSERT_TRUE(outcome.faults.empty()) << outcome.faults[0];
        ASSERT_EQ(outcome.records, records);
    }
}

TEST(JsonLinesTest, ChoosesBase64ForWhatIsNotUtf8) {
    std::string text;
    append_json_line("", "caf\xc3\xa9\n", "\xff", text);
    EXPECT_EQ(text, "{\"key\":\"caf\xc3\xa9\\n\",\"value_base64\":\"/w==\"}\n");
}

TEST(JsonLinesTest, KeepsLargeControlCharactersReadable) {
    const std::string value(5 << 20, '\x01');  // 30 MiB as a JSON string.
    std::string text;
    append_json_line("", "k", value, text);
    EXPECT_LT(text.size(), std::size_t{7} << 20);
    EXPECT_EQ(value_of(text), value);
}

TEST(JsonLinesTest, TakesMembersInAnyOrderAndWithSpace) {
    const ReadOutcome outcome = read(
        "\xef\xbb\xbf \t{ \"value\" : \"v\\u00e9\" , \"key_base64\" : \"aw==\" } \r\n\n  \r\n");
    ASSERT_EQ(outcome.records.size(), 1u);
    EXPECT_EQ(outcome.records[0].key, "k");
    EXPECT_EQ(outcome.records[0].value, "v\xc3\xa9");
    EXPECT_TRUE(outcome.faults.empty());
}

TEST(JsonLinesTest, StoresOtherJsonAsItsCompactText) {
    EXPECT_EQ(value_of(R"({"key":"k","value":1})"), "1");
    EXPECT_EQ(value_of(R"({"key":"k","value":-2.50e3})"), "-2.50e3");
    EXPECT_EQ(value_of(R"({"key":"k","value":null})"), "null");
    EXPECT_EQ(value_of(R"({"key":"k","value":[ ]})"), "[]");
    EXPECT_EQ(value_of(R"({"key":"k","value":{"a" : [1, {}, "x\u0001"], "b": true}})"),
              R"({"a":[1,{},"x\u0001"],"b":true})");
    EXPECT_EQ(value_of(R"({"value":[[],[{}],{"key":"x","value":[0]}],"key":"k"})"),
              R"([[],[{}],{"key":"x","value":[0]}])");
}

TEST(JsonLinesTest, CompactTextIsWhatTheParserUnderstood) {
    os::Random random(test_seed());
    const auto make = [&](const auto& self, int depth) -> nlohmann::ordered_json {
        switch (random.below(depth > 3 ? 4 : 6)) {
            case 0:
                return nullptr;
            case 1:
                return random.one_in(2);
            case 2:
                return static_cast<std::int64_t>(random.next());
            case 3:
                return "t" + std::to_string(random.next());
            case 4: {
                auto array = nlohmann::ordered_json::array();
                for (auto n = random.below(4); n > 0; --n) array.push_back(self(self, depth + 1));
                return array;
            }
            default: {
                auto object = nlohmann::ordered_json::object();
                for (auto n = random.below(4); n > 0; --n) {
                    object["m" + std::to_string(n)] = self(self, depth + 1);
                }
                return object;
            }
        }
    };
    for (int i = 0; i < 800; ++i) {
        const nlohmann::ordered_json value = make(make, 0);
        const std::string line =
            "{\"key\":\"k\",\"value\":" + value.dump(random.one_in(2) ? -1 : 0);
        std::string one_line = line + "}";
        std::erase(one_line, '\n');
        ASSERT_EQ(value_of(one_line), value.is_string() ? value.get<std::string>() : value.dump());
    }
}

TEST(JsonLinesTest, PlacesFaults) {
    EXPECT_EQ(fault_of(R"({"key":"a","vale":"b"})"), "1:12: unknown member \"vale\"");
    EXPECT_EQ(fault_of("\n"
                       R"({"key":"a"})"),
              "2:11: \"value\" is missing");
    EXPECT_EQ(fault_of(R"({"value":"a"})"), "1:13: \"key\" is missing");
    EXPECT_EQ(fault_of(R"({"key":"a","value":"b","key":"c"})"), "1:24: \"key\" is there twice");
    EXPECT_EQ(fault_of(R"({"key":"a","value":1,"value_base64":""})"),
              "1:22: \"value_base64\" is there twice");
    EXPECT_EQ(fault_of(R"({"key":"a","value_base64":"Zg="})"), "1:31: not valid base64");
    EXPECT_EQ(fault_of(R"({"key":"a","value_base64":"*g=="})"), "1:28: not valid base64");
    EXPECT_EQ(fault_of(R"({"key":{},"value":""})"), "1:8: expected a string");
    EXPECT_EQ(fault_of(R"({"key":"","value_base64":[]})"), "1:26: expected a string");
    EXPECT_EQ(fault_of(R"({"key":"a","value":"b","keyspace":"c"})"),
              "1:24: a keyspace is named: load with --all-keyspaces");
    EXPECT_EQ(fault_of(R"({"key":"a","value":"b"})", {.keyspaces = true}),
              "1:23: \"keyspace\" is missing");
    EXPECT_TRUE(fault_of(R"({"key":"a" "value":"b"})").starts_with("1:"));
}

TEST(JsonLinesTest, RefusesMalformedLines) {
    for (const std::string line : {"x",
                                   "{",
                                   "}",
                                   "[]",
                                   "1",
                                   "\"s\"",
                                   "{}",
                                   R"({"key":"a","value":"b"}x)",
                                   R"({"key":"a","value":"b"}{"key":"a","value":"b"})",
                                   R"({"key":"a","value":"b",})",
                                   R"({"key":"a","value":01})",
                                   R"({"key":"a","value":1e999})",
                                   R"({'key':'a','value':''})",
                                   R"({"key":"a","value":"\ud800"})",
                                   R"({"key":"a","value":"\q"})",
                                   "{\"key\":\"a\",\"value\":\"\xff\"}",
                                   "{\"key\":\"a\",\"value\":\"\x01\"}",
                                   R"({"key":"a","value":nul})",
                                   R"({"key":"a","value":})",
                                   R"({"key":"a","value":"b")"}) {
        const std::string fault = fault_of(line);
        EXPECT_TRUE(fault.starts_with("1:")) << line << " gave " << fault;
    }
    EXPECT_TRUE(fault_of(std::string("{\"key\":\"a\0\",\"value\":1}", 22)).starts_with("1:"));
}

TEST(JsonLinesTest, SurvivesDeepNesting) {
    const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
    EXPECT_EQ(value_of("{\"key\":\"k\",\"value\":" + deep + "}"), deep);
    EXPECT_TRUE(fault_of("{\"key\":\"k\",\"value\":" + std::string(1'000'000, '[') + "}")
                    .starts_with("1:"));
}

TEST(JsonLinesTest, GoesOnAfterABadLine) {
    const ReadOutcome outcome =
        read("{\"key\":\"a\",\"value\":\"1\"}\nbad\n{\"key\":\"b\",\"value\":\"2\"}");
    EXPECT_EQ(outcome.records.size(), 2u);
    ASSERT_EQ(outcome.faults.size(), 1u);
    EXPECT_TRUE(outcome.faults[0].starts_with("2:1: ")) << outcome.faults[0];
}

TEST(JsonLinesTest, BoundsTheLine) {
    const std::string good = R"({"key":"a","value":"1"})";
    const ReaderOptions options{.line_bytes_max = good.size()};
    for (const std::size_t extra : {1, 1000, 1'000'000}) {
        const ReadOutcome outcome =
            read(good + "\n" + good + std::string(extra, ' ') + "\n" + good + "\n", options);
        EXPECT_EQ(outcome.records.size(), 2u);
        ASSERT_EQ(outcome.faults.size(), 1u);
        EXPECT_TRUE(outcome.faults[0].starts_with("2:24: the line is longer")) << outcome.faults[0];
    }
}

TEST(JsonLinesTest, PassesAFailureOfTheStreamOn) {
    MemoryInput stream("");
    stream.failure = Error(ErrorCode::kIo, "cannot read").os(5);
    JsonLinesReader reader(stream, {});
    Record record;
    EXPECT_EQ(reader.next(record), RecordReader::Outcome::kFailed);
    EXPECT_EQ(reader.failure().os_error(), 5);
}

}  // namespace
}  // namespace fulgur::cli
