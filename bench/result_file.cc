#include "bench/result_file.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <istream>
#include <optional>

#include <fmt/format.h>

#include "base/base64.h"
#include "bench/bench_error.h"
#include "bench/histogram_codec.h"
#include "bench/json_fields.h"

namespace fulgur::bench {

namespace {

/// Far above any line that we write: a line's histogram, slices and seconds take some kilobytes.
constexpr std::size_t kLineBytesMax = std::size_t{64} << 20;

void require_number(double value, const Result& result, const char* field) {
    if (std::isfinite(value)) return;
    throw BenchError(fmt::format("{} of {} in {} is not a number: it was not measured", field,
                                 result.side, result.workload));
}

Json to_json(const Histogram& histogram) {
    std::string text;
    append_base64(encode_histogram(histogram), text);
    Json object;
    object["count"] = histogram.count();
    object["min"] = histogram.min();
    object["mean"] = histogram.mean();
    object["p50"] = histogram.percentile(50);
    object["p90"] = histogram.percentile(90);
    object["p95"] = histogram.percentile(95);
    object["p99"] = histogram.percentile(99);
    object["p99.9"] = histogram.percentile(99.9);
    object["p99.99"] = histogram.percentile(99.99);
    object["max"] = histogram.max();
    object["hdr"] = text;
    return object;
}

Environment read_environment(const JsonFields& fields) {
    Environment environment;
    const auto text = [&](const char* name, std::string& into) {
        if (fields.has(name)) into = fields.text(name);
    };
    const auto number = [&](const char* name, double& into) {
        if (fields.has(name)) into = fields.number(name);
    };
    environment.machine = fields.text("machine");
    text("processor", environment.processor);
    if (fields.has("cores")) environment.cores = fields.whole("cores");
    if (fields.has("memory_bytes")) environment.memory_bytes = fields.whole("memory_bytes");
    text("kernel", environment.kernel);
    text("compiler", environment.compiler);
    text("build", environment.build);
    text("file_system", environment.file_system);
    text("commit", environment.commit);
    text("governor", environment.governor);
    text("huge_pages", environment.huge_pages);
    number("load_before", environment.load_before);
    number("load_after", environment.load_after);
    number("steal_percent", environment.steal_percent);
    text("started", environment.started);
    return environment;
}

Histogram read_histogram(const JsonFields& fields) {
    std::string bytes;
    if (!decode_base64(fields.text("hdr"), bytes).ok) fields.fail("\"hdr\" is not base64");
    HistogramOutcome outcome = decode_histogram(bytes);
    if (!outcome.histogram) fields.fail(fmt::format("\"hdr\": {}", outcome.fault));
    return std::move(*outcome.histogram);
}

Result read_result(const JsonFields& fields) {
    Result result;
    const auto text = [&](const char* name, std::string& into) {
        if (fields.has(name)) into = fields.text(name);
    };
    result.workload = fields.text("workload");
    result.side = fields.text("side");
    if (result.workload.empty() || result.side.empty()) {
        fields.fail("\"workload\" and \"side\" may not be empty");
    }
    text("version", result.version);
    text("settings", result.settings);
    text("durability", result.durability);
    text("unit", result.unit);
    text("note", result.note);
    if (fields.has("parameters")) result.parameters = fields.text_map("parameters");
    result.slices_ns = fields.numbers("slices_ns");
    for (const double slice : result.slices_ns) {
        if (!(slice > 0)) fields.fail("\"slices_ns\" holds a time that is not above 0");
    }
    if (fields.has("operations")) result.operations = fields.whole("operations");
    if (fields.has("verified")) result.verified = fields.whole("verified");
    if (fields.has("latency_ns")) result.latency_ns = read_histogram(fields.object("latency_ns"));
    if (fields.has("per_second")) result.per_second = fields.numbers("per_second");
    if (fields.has("counters")) result.counters = fields.number_map("counters");
    return result;
}

/// Goes through the lines; the state between them.
class Reader {
public:
    Reader(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

    Run read() {
        std::string line;
        while (!ended_ && take(line)) {
            if (!accept(line)) break;
        }
        if (!begun_) fail("empty: not a result of `fulgur bench run`");
        if (ended_) {
            while (take(line)) {
                if (!line.empty()) fail("goes on after its end line");
            }
            return std::move(run_);
        }
        run_.interrupted = true;
        run_.warnings.push_back(
            fmt::format("{}: no end line: the run was interrupted; what it had measured ({} "
                        "results) is kept",
                        name_, run_.results.size()));
        return std::move(run_);
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw BenchError(fmt::format("{}:{}: {}", name_, number_, what));
    }

    bool take(std::string& line) {
        line.clear();
        if (!std::getline(stream_, line)) {
            if (stream_.bad()) fail("cannot be read");
            return false;
        }
        ++number_;
        if (line.size() > kLineBytesMax) fail("longer than any line of ours");
        whole_ = !stream_.eof();  // getline meets the end only where there is no newline.
        return true;
    }

    /// @return false when the line was cut off: the last one of an interrupted run.
    bool accept(const std::string& line) {
        const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (object.is_discarded()) {
            if (whole_ || !begun_) fail("not JSON: the file is damaged, or no result");
            run_.warnings.push_back(fmt::format("{}:{}: the line is cut off", name_, number_));
            return false;
        }
        const JsonFields fields(object, fmt::format("{}:{}", name_, number_));
        if (!begun_) {
            begin(fields);
            return true;
        }
        const std::string kind = fields.text("kind");
        if (kind == "result") {
            run_.results.push_back(read_result(fields));
        } else if (kind == "end") {
            end(fields);
        } else if (kind == "run") {
            fail("a second run begins: one file holds one");
        }
        return true;  // Lines of other kinds are for newer readers.
    }

    void begin(const JsonFields& fields) {
        if (!fields.has("format")) fail("no \"format\": not a result of `fulgur bench run`");
        const std::string format = fields.text("format");
        if (format != Run::kFormat) {
            fail(fmt::format("format {} is not {}, which this fulgur reads", format, Run::kFormat));
        }
        if (fields.text("kind") != "run") fail("the first line is not of kind \"run\"");
        run_.quick = fields.flag("quick");
        run_.environment = read_environment(fields.object("environment"));
        begun_ = true;
    }

    void end(const JsonFields& fields) {
        if (fields.whole("results") != run_.results.size()) {
            fail(fmt::format("the end line counts {} results, there are {}",
                             fields.whole("results"), run_.results.size()));
        }
        if (fields.has("interrupted")) run_.interrupted = fields.flag("interrupted");
        if (run_.interrupted) {
            run_.warnings.push_back(fmt::format(
                "{}: the run was interrupted; what it had measured ({} results) is kept", name_,
                run_.results.size()));
        }
        if (fields.has("load_after")) run_.environment.load_after = fields.number("load_after");
        if (fields.has("steal_percent")) {
            run_.environment.steal_percent = fields.number("steal_percent");
        }
        ended_ = true;
    }

    std::istream& stream_;
    std::string name_;
    std::size_t number_ = 0;
    bool whole_ = true;  ///< The newest line had its newline.
    bool begun_ = false;
    bool ended_ = false;
    Run run_;
};

}  // namespace

Json to_json(const Environment& environment) {
    return {{"machine", environment.machine},       {"processor", environment.processor},
            {"cores", environment.cores},           {"memory_bytes", environment.memory_bytes},
            {"kernel", environment.kernel},         {"compiler", environment.compiler},
            {"build", environment.build},           {"file_system", environment.file_system},
            {"commit", environment.commit},         {"governor", environment.governor},
            {"huge_pages", environment.huge_pages}, {"load_before", environment.load_before},
            {"started", environment.started}};
}

Json to_json(const Result& result) {
    for (const double slice : result.slices_ns) require_number(slice, result, "a slice");
    for (const double rate : result.per_second) require_number(rate, result, "a second");
    for (const auto& [name, value] : result.counters) require_number(value, result, name.c_str());
    Json object;
    object["kind"] = "result";
    object["workload"] = result.workload;
    object["side"] = result.side;
    object["version"] = result.version;
    object["settings"] = result.settings;
    object["durability"] = result.durability;
    object["unit"] = result.unit;
    object["parameters"] = result.parameters;
    object["slices_ns"] = result.slices_ns;
    object["operations"] = result.operations;
    object["verified"] = result.verified;
    if (!result.latency_ns.empty()) object["latency_ns"] = to_json(result.latency_ns);
    object["per_second"] = result.per_second;
    object["counters"] = result.counters;
    if (!result.note.empty()) object["note"] = result.note;
    return object;
}

std::string to_line(const Json& object) {
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ResultWriter::ResultWriter(const std::string& path, const Environment& environment, bool quick)
    : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
    write_line({{"format", Run::kFormat},
                {"kind", "run"},
                {"quick", quick},
                {"environment", to_json(environment)}});
}

void ResultWriter::add(const Result& result) {
    write_line(to_json(result));
    ++results_;
}

void ResultWriter::end(const Environment& after, bool interrupted) {
    write_line({{"kind", "end"},
                {"results", results_},
                {"interrupted", interrupted},
                {"load_after", after.load_after},
                {"steal_percent", after.steal_percent}});
}

void ResultWriter::write_line(const Json& line) {
    errno = 0;
    if (file_) file_ << to_line(line) << '\n' << std::flush;
    if (file_) return;
    throw BenchError(fmt::format("cannot write {}: {}{}", path_,
                                 errno != 0 ? std::strerror(errno) : "refused",
                                 results_ == 0 ? "" : "; the results before this one are in it"));
}

void write_run(const std::string& path, const Run& run) {
    ResultWriter writer(path, run.environment, run.quick);
    for (const Result& result : run.results) writer.add(result);
    writer.end(run.environment, run.interrupted);
}

Run read_run(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file || file.peek() == std::ifstream::traits_type::eof()) {
        const bool opened = file.is_open() && !file.bad();
        throw BenchError(fmt::format("cannot read {}: {}", path,
                                     errno != 0 ? std::strerror(errno)
                                     : opened   ? "it is empty"
                                                : "refused"));
    }
    return read_run(file, path);
}

Run read_run(std::istream& stream, const std::string& name) { return Reader(stream, name).read(); }

}  // namespace fulgur::bench
