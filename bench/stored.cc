#include "bench/stored.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "bench/json_fields.h"
#include "bench/report_table.h"
#include "bench/result_file.h"

namespace fulgur::bench {

namespace {

/// What must be equal for two results to be about the same.
std::string identity(const Result& result) {
    std::string name = result.workload + " " + result.side;
    for (const auto& [key, value] : result.parameters) name += fmt::format(" {}={}", key, value);
    if (!result.durability.empty()) name += " (" + result.durability + ")";
    return name;
}

const Result* find(const Run& run, const Result& like) {
    const std::string name = identity(like);
    for (const Result& result : run.results) {
        if (identity(result) == name && result.unit == like.unit) return &result;
    }
    return nullptr;
}

std::vector<double> logs(const std::vector<double>& values) {
    std::vector<double> result;
    for (const double value : values) result.push_back(std::log(value));
    return result;
}

Comparison compare_slices(const std::string& name, const std::string& unit,
                          const std::vector<double>& before, const std::vector<double>& after) {
    Comparison row;
    row.name = name;
    row.unit = unit.empty() ? "ns" : "ns per " + unit;
    row.gates = false;
    row.pairs = std::min(before.size(), after.size());
    if (row.pairs == 0) return row;
    const std::vector<double> old_logs = logs(before);
    const std::vector<double> new_logs = logs(after);
    row.before = median(before);
    row.after = median(after);
    row.log_ratio = hodges_lehmann(old_logs, new_logs);
    row.interval = rank_sum_interval(old_logs, new_logs);
    row.p = rank_sum_test(old_logs, new_logs).p;
    return row;
}

Comparison compare_counter(const std::string& name, double before, double after, bool gates) {
    Comparison row;
    row.name = name;
    row.unit = "(counted)";
    row.before = before;
    row.after = after;
    row.counted = true;
    row.gates = gates;
    row.pairs = 1;
    row.p = before == after ? 1 : 0;
    // Out of nothing there is no ratio: any growth is beyond every threshold.
    constexpr double kBeyond = 10;
    row.log_ratio = before == after             ? 0
                    : before <= 0 || after <= 0 ? (after > before ? kBeyond : -kBeyond)
                                                : std::log(after / before);
    row.interval = {row.log_ratio, row.log_ratio, 0.95};
    return row;
}

Comparison split_in_two(const Result& result) {
    std::vector<double> halves[2];
    for (std::size_t i = 0; i < result.slices_ns.size(); ++i) {
        halves[i % 2].push_back(result.slices_ns[i]);
    }
    return compare_slices(identity(result), result.unit, halves[0], halves[1]);
}

void note_run(const Run& run, const char* which, Report& report) {
    if (run.quick) report.notes.push_back(fmt::format("{}: a quick run, not to be quoted", which));
    if (run.interrupted) report.notes.push_back(fmt::format("{}: an interrupted run", which));
    for (const std::string& warning : run.warnings) report.notes.push_back(warning);
}

/// What makes two runs incomparable in time.
void require_same_place(const Run& before, const Run& after, const StoredRules& rules,
                        Report& report) {
    const Environment& a = before.environment;
    const Environment& b = after.environment;
    std::string difference;
    if (a.machine != b.machine) {
        difference =
            fmt::format("the runs are of different machines ({} and {})", a.machine, b.machine);
    } else if (a.build != b.build) {
        difference = fmt::format("the runs are of different builds ({} and {})", a.build, b.build);
    }
    if (difference.empty()) return;
    if (!rules.any_machine) {
        throw BenchError(difference + ": their times say nothing about the code",
                         Exit::kEnvironmentRefused);
    }
    report.notes.push_back(difference);
}

std::string read_text(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) {
        throw BenchError(fmt::format("cannot read {}: {}", path,
                                     errno != 0 ? std::strerror(errno) : "it is empty"));
    }
    return text.str();
}

double unit_ns(const std::string& unit, const JsonFields& fields) {
    if (unit == "ns") return 1;
    if (unit == "us") return 1e3;
    if (unit == "ms") return 1e6;
    if (unit == "s") return 1e9;
    fields.fail("\"time_unit\" is none of ns, us, ms, s");
}

void add_google_entry(const JsonFields& fields, Run& run) {
    const std::string name = fields.has("run_name") ? fields.text("run_name") : fields.text("name");
    const bool aggregate = fields.has("run_type") && fields.text("run_type") == "aggregate";
    // Only means and the like were kept: the median is one value of what there was.
    if (aggregate && fields.text("aggregate_name") != "median") return;
    auto found = std::ranges::find(run.results, name, &Result::workload);
    if (found == run.results.end()) {
        Result result;
        result.workload = name;
        result.side = "program";
        result.unit = "iteration";
        run.results.push_back(result);
        found = run.results.end() - 1;
    }
    if (fields.has("error_occurred") && fields.flag("error_occurred")) {
        found->note = fields.has("error_message") ? fields.text("error_message") : "failed";
        return;
    }
    if (aggregate && !found->slices_ns.empty()) return;
    const double ns = fields.number("real_time") * unit_ns(fields.text("time_unit"), fields);
    if (!(ns > 0)) fields.fail("\"real_time\" is not above 0");
    found->slices_ns.push_back(ns);
    if (fields.has("iterations")) found->operations += fields.whole("iterations");
}

}  // namespace

Run parse_google_benchmark(const std::string& text, const std::string& name) {
    const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (object.is_discarded()) throw BenchError(name + ": not JSON, or cut off");
    const JsonFields fields(object, name);
    Run run;
    const JsonFields context = fields.object("context");
    run.environment.machine = "google-benchmark";
    if (context.has("host_name")) run.environment.machine += ":" + context.text("host_name");
    if (context.has("num_cpus")) run.environment.cores = context.whole("num_cpus");
    if (context.has("date")) run.environment.started = context.text("date");
    if (context.has("library_build_type")) {
        run.environment.build = context.text("library_build_type");
    }
    const Json& entries = fields.at("benchmarks");
    if (!entries.is_array()) fields.fail("\"benchmarks\" is not a list");
    for (std::size_t i = 0; i < entries.size(); ++i) {
        add_google_entry(JsonFields(entries[i], fmt::format("{}: benchmark {}", name, i + 1)), run);
    }
    return run;
}

Run load_stored(const std::string& path) {
    const std::string text = read_text(path);
    // Our first line is a whole object with a format; theirs is the beginning of one.
    const std::string first = text.substr(0, text.find('\n'));
    const Json head = Json::parse(first, nullptr, false);
    const bool ours = head.is_object() && head.contains("format");
    if (!ours) {
        const Json whole = Json::parse(text, nullptr, false);
        if (whole.is_object() && whole.contains("benchmarks") && whole.contains("context")) {
            return parse_google_benchmark(text, path);
        }
    }
    return read_run(path);
}

Report compare_stored(const Run& before, const Run& after, const StoredRules& rules) {
    Report report;
    report.mode = "stored";
    report.threshold = rules.threshold;
    report.alpha = rules.alpha;
    require_same_place(before, after, rules, report);
    note_run(before, "before", report);
    note_run(after, "after", report);
    std::vector<std::string> unseen = rules.gates;
    for (const Result& now : after.results) {
        const Result* then = find(before, now);
        if (then == nullptr) {
            report.notes.push_back(fmt::format("only after: {}", identity(now)));
            continue;
        }
        if (!now.slices_ns.empty() && !then->slices_ns.empty()) {
            report.rows.push_back(
                compare_slices(identity(now), now.unit, then->slices_ns, now.slices_ns));
            report.same.push_back(split_in_two(*then));
        } else {
            report.notes.push_back(fmt::format("not measured on both sides: {} ({})", identity(now),
                                               !now.note.empty()    ? now.note
                                               : then->note.empty() ? "no slices"
                                                                    : then->note));
        }
        for (const auto& [name, value] : now.counters) {
            const auto counter = then->counters.find(name);
            const bool gates = std::ranges::find(rules.gates, name) != rules.gates.end();
            if (counter == then->counters.end() || !gates) continue;
            std::erase(unseen, name);
            report.rows.push_back(
                compare_counter(identity(now) + ": " + name, counter->second, value, gates));
        }
    }
    for (const Result& then : before.results) {
        if (find(after, then) == nullptr) {
            report.notes.push_back(fmt::format("only before: {}", identity(then)));
        }
    }
    if (!unseen.empty()) {
        throw BenchError(fmt::format("no result of both runs has the counter {}", unseen.front()));
    }
    if (report.rows.empty()) throw BenchError("the runs have no result in common");
    report.notes.emplace_back("times of stored runs never fail a build");
    judge(report);
    return report;
}

}  // namespace fulgur::bench
