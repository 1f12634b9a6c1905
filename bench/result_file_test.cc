#include "bench/result_file.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "bench/bench_error.h"
#include "bench/test_folder.h"

namespace fulgur::bench {
namespace {

Run sample() {
    bench::Run run;
    run.environment.machine = "0123456789abcdef";
    run.environment.processor = "A \"quoted\" processor";
    run.environment.cores = 2;
    run.environment.memory_bytes = std::uint64_t{24} << 30;
    run.environment.commit = "abc+changes";
    run.environment.load_before = 0.25;
    run.environment.load_after = 1.5;
    run.environment.steal_percent = 0.125;
    Result result;
    result.workload = "readrandom";
    result.side = "fulgur";
    result.durability = "buffered";
    result.unit = "get";
    result.parameters = {{"rows", "1000"}, {"threads", "1"}};
    result.slices_ns = {100.5, 0.1, 1.0 / 3, 98};
    result.operations = 4000;
    result.verified = 3999;
    for (std::uint64_t value = 1; value < 1'000'000; value *= 2) result.latency_ns.record(value);
    result.per_second = {1e6, 2e6};
    result.counters = {{"disk_bytes", 12345}, {"allocations_per_op", 0}};
    run.results.push_back(result);
    result.side = "lmdb";
    result.slices_ns.clear();
    result.latency_ns.clear();
    result.note = "refused: no space";
    run.results.push_back(result);
    return run;
}

std::string written(const Run& run) {
    const TestFolder folder;
    write_run(folder.path("run"), run);
    return folder.read("run");
}

Run parsed(const std::string& text) {
    std::istringstream stream(text);
    return read_run(stream, "run.jsonl");
}

/// What the reader says to `text`.
std::string complaint(const std::string& text) {
    try {
        parsed(text);
    } catch (const BenchError& error) {
        EXPECT_EQ(error.exit(), Exit::kError);
        return error.what();
    }
    return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

void expect_same(const Result& a, const Result& b) {
    EXPECT_EQ(a.workload, b.workload);
    EXPECT_EQ(a.side, b.side);
    EXPECT_EQ(a.durability, b.durability);
    EXPECT_EQ(a.unit, b.unit);
    EXPECT_EQ(a.parameters, b.parameters);
    EXPECT_EQ(a.slices_ns, b.slices_ns);
    EXPECT_EQ(a.operations, b.operations);
    EXPECT_EQ(a.verified, b.verified);
    EXPECT_EQ(a.latency_ns.counts(), b.latency_ns.counts());
    EXPECT_EQ(a.per_second, b.per_second);
    EXPECT_EQ(a.counters, b.counters);
    EXPECT_EQ(a.note, b.note);
}

TEST(ResultFileTest, ReadsBackWhatItWroteToTheLastBit) {
    const bench::Run run = sample();
    const bench::Run again = parsed(written(run));
    EXPECT_FALSE(again.interrupted);
    EXPECT_FALSE(again.quick);
    EXPECT_TRUE(again.warnings.empty());
    EXPECT_EQ(again.environment.machine, run.environment.machine);
    EXPECT_EQ(again.environment.processor, run.environment.processor);
    EXPECT_EQ(again.environment.memory_bytes, run.environment.memory_bytes);
    EXPECT_EQ(again.environment.load_after, 1.5);
    EXPECT_EQ(again.environment.steal_percent, 0.125);
    ASSERT_EQ(again.results.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) expect_same(again.results[i], run.results[i]);
}

TEST(ResultFileTest, EachResultIsInTheFileAsSoonAsItIsAdded) {
    const TestFolder folder;
    const bench::Run run = sample();
    ResultWriter writer(folder.path("run"), run.environment, true);
    EXPECT_TRUE(read_run(folder.path("run")).results.empty());
    writer.add(run.results[0]);
    const bench::Run partial = read_run(folder.path("run"));
    EXPECT_TRUE(partial.interrupted);
    EXPECT_TRUE(partial.quick);
    ASSERT_EQ(partial.results.size(), 1u);
    expect_same(partial.results[0], run.results[0]);
    writer.end(run.environment);
    EXPECT_FALSE(read_run(folder.path("run")).interrupted);
}

TEST(ResultFileTest, ACutAnywhereKeepsTheWholeResultsBeforeIt) {
    const std::string text = written(sample());
    const std::size_t first_end = text.find('\n') + 1;
    const std::size_t second_end = text.find('\n', first_end) + 1;
    for (std::size_t size = first_end; size < text.size() - 1; ++size) {
        // Without its newline a line is whole too.
        const bench::Run run = parsed(text.substr(0, size));
        EXPECT_TRUE(run.interrupted) << size;
        EXPECT_FALSE(run.warnings.empty()) << size;
        EXPECT_EQ(run.results.size() >= 1, size >= second_end - 1) << size;
    }
    EXPECT_FALSE(parsed(text.substr(0, text.size() - 1)).interrupted);
}

TEST(ResultFileTest, ACutFirstLineIsNoRun) {
    EXPECT_NE(complaint("{\"format\":\"ben").find("run.jsonl:1: not JSON"), std::string::npos);
    EXPECT_NE(complaint("").find("empty"), std::string::npos);
}

TEST(ResultFileTest, DamageInTheMiddleIsRefusedWithItsLine) {
    const std::string text = replaced(written(sample()), "\"kind\":\"result\"", "\"kind\":\"resu");
    EXPECT_NE(complaint(text).find("run.jsonl:2: not JSON"), std::string::npos) << complaint(text);
}

TEST(ResultFileTest, AnotherVersionIsRefusedByName) {
    const std::string text = replaced(written(sample()), "bench/1", "bench/2");
    EXPECT_EQ(complaint(text),
              "run.jsonl:1: format bench/2 is not bench/1, which this fulgur reads");
    EXPECT_NE(complaint("{\"a\":1}\n").find("no \"format\""), std::string::npos);
    EXPECT_NE(complaint("[1]\n").find("not a JSON object"), std::string::npos);
}

TEST(ResultFileTest, UnknownFieldsAndKindsArePassedOver) {
    std::string text = replaced(written(sample()), "\"quick\":", "\"mood\":[{}],\"quick\":");
    text = replaced(text, "\"workload\":", "\"weather\":null,\"workload\":");
    text = replaced(text, "{\"kind\":\"end\"", "{\"kind\":\"remark\"}\n{\"kind\":\"end\"");
    EXPECT_EQ(parsed(text).results.size(), 2u);
    EXPECT_FALSE(parsed(text).interrupted);
}

TEST(ResultFileTest, WrongTypesAreNamed) {
    const std::string text = written(sample());
    const struct {
        const char* from;
        const char* to;
        const char* says;
    } rows[] = {
        {"\"workload\":\"readrandom\"", "\"workload\":7", "\"workload\" is not a text"},
        {"\"workload\":\"readrandom\",", "", "\"workload\" is missing"},
        {"\"workload\":\"readrandom\"", "\"workload\":\"\"", "may not be empty"},
        {"[100.5,", "[null,", "\"slices_ns\" holds null"},
        {"[100.5,", "[\"a\",", "\"slices_ns\" holds what is no number"},
        {"[100.5,", "[0,", "not above 0"},
        {"[100.5,", "[-1,", "not above 0"},
        {"\"operations\":4000", "\"operations\":-1", "\"operations\" is not a whole number"},
        {"\"operations\":4000", "\"operations\":0.5", "\"operations\" is not a whole number"},
        {"\"rows\":\"1000\"", "\"rows\":1000", "\"rows\" in \"parameters\" is not a text"},
        {"\"disk_bytes\":12345.0", "\"disk_bytes\":true", "\"disk_bytes\" holds what is no number"},
        {"\"latency_ns\":{", "\"latency_ns\":{\"hdr\":1,\"x\":{", "not JSON"},
        {"\"hdr\":\"", "\"hdr\":\"*", "\"hdr\" is not base64"},
        {"\"hdr\":\"HIST", "\"hdr\":\"HISS", "not HdrHistogram's"},
    };
    for (const auto& row : rows) {
        const std::string said = complaint(replaced(text, row.from, row.to));
        EXPECT_NE(said.find(row.says), std::string::npos) << row.to << ": " << said;
        EXPECT_NE(said.find("run.jsonl:2: "), std::string::npos) << said;
    }
    EXPECT_NE(complaint(replaced(text, "\"quick\":false", "\"quick\":0")).find("neither true"),
              std::string::npos);
}

TEST(ResultFileTest, NumbersThatAreNoneAreRefusedOnBothWays) {
    const std::string text = written(sample());
    EXPECT_NE(complaint(replaced(text, "[100.5,", "[NaN,")).find("run.jsonl:2: not JSON"),
              std::string::npos);
    EXPECT_FALSE(complaint(replaced(text, "[100.5,", "[1e999,")).empty());
    bench::Run run = sample();
    run.results[0].slices_ns[1] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THROW(written(run), BenchError);
    run = sample();
    run.results[0].counters["x"] = std::numeric_limits<double>::infinity();
    EXPECT_THROW(written(run), BenchError);
}

TEST(ResultFileTest, TheEndLineMustCountAndBeTheLast) {
    const std::string text = written(sample());
    EXPECT_NE(complaint(replaced(text, "\"results\":2", "\"results\":3")).find("counts 3 results"),
              std::string::npos);
    EXPECT_NE(complaint(text + "{}\n").find("goes on after its end line"), std::string::npos);
    EXPECT_NE(complaint(text.substr(0, text.find("{\"kind\":\"end\"")) + text).find("second run"),
              std::string::npos);
}

TEST(ResultFileTest, ARunThatSaysThatItWasInterruptedStaysSo) {
    bench::Run run = sample();
    run.interrupted = true;
    EXPECT_TRUE(parsed(written(run)).interrupted);
}

TEST(ResultFileTest, FilesThatCannotBeUsedAreNamed) {
    const TestFolder folder;
    const auto said = [](const auto& action) -> std::string {
        try {
            action();
        } catch (const BenchError& error) {
            return error.what();
        }
        return "";
    };
    EXPECT_NE(said([&] { read_run(folder.path("none")); }).find("No such file"), std::string::npos);
    EXPECT_NE(said([&] { read_run(folder.write("empty", "")); }).find("it is empty"),
              std::string::npos);
    EXPECT_NE(said([&] { read_run(folder.path("")); }).find("cannot read"), std::string::npos);
    EXPECT_NE(said([&] { write_run(folder.path("no/file"), sample()); }).find("cannot write"),
              std::string::npos);
    // A device that is always full.
    EXPECT_NE(said([&] { write_run("/dev/full", sample()); }).find("No space left"),
              std::string::npos);
}

}  // namespace
}  // namespace fulgur::bench
