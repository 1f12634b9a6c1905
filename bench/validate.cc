#include "bench/validate.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "bench/json_fields.h"
#include "bench/report_table.h"
#include "bench/statistics.h"

namespace fulgur::bench {

namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kFormat = "bench-targets/1";

/// Which fields a target has decides its kind; what it does not know it refuses, since a limit that
/// is misspelled would otherwise never be missed.
Target read_target(const JsonFields& fields, const Json& object) {
    constexpr std::string_view kKnown[] = {
        "workload", "side", "parameters", "throughput_min", "percentile", "latency_ns_max",
        "counter",  "min",  "max",        "ratio_to",       "ratio_min",  "error_rate_max",
        "why"};
    for (const auto& [key, value] : object.items()) {
        if (std::ranges::find(kKnown, key) == std::end(kKnown)) {
            fields.fail(fmt::format("a target has no \"{}\"", key));
        }
    }
    Target target;
    if (fields.has("workload")) target.workload = fields.text("workload");
    if (fields.has("side")) target.side = fields.text("side");
    if (fields.has("parameters")) target.parameters = fields.text_map("parameters");
    int kinds = 0;
    const auto is = [&](const char* name, Target::Kind kind) {
        if (!fields.has(name)) return false;
        target.kind = kind;
        ++kinds;
        return true;
    };
    if (is("throughput_min", Target::Kind::kThroughput))
        target.min = fields.number("throughput_min");
    if (is("percentile", Target::Kind::kPercentile)) {
        target.percentile = fields.number("percentile");
        target.max = fields.number("latency_ns_max");
        if (target.percentile < 0 || target.percentile > 100) {
            fields.fail("\"percentile\" is not between 0 and 100");
        }
    }
    if (is("counter", Target::Kind::kCounter)) {
        target.counter = fields.text("counter");
        if (fields.has("min")) target.min = fields.number("min");
        if (fields.has("max")) target.max = fields.number("max");
        if (!target.min && !target.max) fields.fail("a counter needs \"min\" or \"max\"");
    }
    if (is("ratio_to", Target::Kind::kRatio)) {
        target.ratio_to = fields.text("ratio_to");
        target.min = fields.number("ratio_min");
    }
    if (is("error_rate_max", Target::Kind::kErrorRate))
        target.max = fields.number("error_rate_max");
    if (kinds != 1) {
        fields.fail(
            "a target has one of throughput_min, percentile, counter, ratio_to, "
            "error_rate_max");
    }
    return target;
}

bool applies(const Target& target, const Result& result) {
    if (!target.workload.empty() && target.workload != result.workload) return false;
    if (!target.side.empty() && target.side != result.side) return false;
    if (target.kind == Target::Kind::kRatio && result.side == target.ratio_to) return false;
    return std::ranges::all_of(target.parameters, [&](const auto& wanted) {
        const auto found = result.parameters.find(wanted.first);
        return found != result.parameters.end() && found->second == wanted.second;
    });
}

std::string describe(const Target& target) {
    std::string text;
    switch (target.kind) {
        case Target::Kind::kThroughput:
            text = "operations a second";
            break;
        case Target::Kind::kPercentile:
            text = fmt::format("{:.6g} % of latencies, ns", target.percentile);
            break;
        case Target::Kind::kCounter:
            text = target.counter;
            break;
        case Target::Kind::kRatio:
            text = "times the speed of " + target.ratio_to;
            break;
        case Target::Kind::kErrorRate:
            text = "share of errors";
            break;
    }
    if (target.min) text += fmt::format(", at least {:.6g}", *target.min);
    if (target.max) text += fmt::format(", at most {:.6g}", *target.max);
    return text;
}

void measure_ratio(const Run& run, const Target& target, const Result& result,
                   TargetOutcome& outcome) {
    for (const Group& group : groups_of(run)) {
        if (std::ranges::find(group.results, &result) == group.results.end()) continue;
        for (const Result* other : group.results) {
            if (other->side == target.ratio_to && !other->slices_ns.empty()) {
                outcome.measured = side_ratio(result, *other).ratio;
                return;
            }
        }
    }
    outcome.note = "there is no " + target.ratio_to + " to compare with, of equal durability";
}

void measure(const Run& run, const Target& target, const Result& result, TargetOutcome& outcome) {
    if (result.slices_ns.empty() && target.kind != Target::Kind::kCounter) {
        outcome.note = result.note.empty() ? "not measured" : result.note;
        return;
    }
    const auto counter = [&](const std::string& name) {
        const auto found = result.counters.find(name);
        return found == result.counters.end() ? std::nullopt : std::optional(found->second);
    };
    switch (target.kind) {
        case Target::Kind::kThroughput:
            outcome.measured = 1e9 / median(result.slices_ns);
            break;
        case Target::Kind::kPercentile:
            if (result.latency_ns.empty()) {
                outcome.note = "no latencies were taken";
            } else {
                outcome.measured =
                    static_cast<double>(result.latency_ns.percentile(target.percentile));
            }
            break;
        case Target::Kind::kCounter:
            outcome.measured = counter(target.counter);
            if (!outcome.measured) outcome.note = "it has no such counter";
            break;
        case Target::Kind::kRatio:
            measure_ratio(run, target, result, outcome);
            break;
        case Target::Kind::kErrorRate: {
            const double errors = counter("errors").value_or(0);
            const double all = static_cast<double>(result.operations) + errors;
            outcome.measured = all > 0 ? errors / all : 0;
            break;
        }
    }
}

}  // namespace

std::vector<Target> parse_targets(const std::string& text, const std::string& name) {
    const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (object.is_discarded()) throw BenchError(name + ": not JSON");
    const JsonFields fields(object, name);
    if (fields.text("format") != kFormat) {
        fields.fail(fmt::format("format {} is not {}", fields.text("format"), kFormat));
    }
    const Json& list = fields.at("targets");
    if (!list.is_array() || list.empty()) fields.fail("\"targets\" is no list of targets");
    std::vector<Target> targets;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const JsonFields target(list[i], fmt::format("{}: target {}", name, i + 1));
        targets.push_back(read_target(target, list[i]));
    }
    return targets;
}

std::vector<Target> read_targets(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) {
        throw BenchError(fmt::format("cannot read {}: {}", path,
                                     errno != 0 ? std::strerror(errno) : "it is empty"));
    }
    return parse_targets(text.str(), path);
}

std::vector<TargetOutcome> validate(const Run& run, const std::vector<Target>& targets) {
    std::vector<TargetOutcome> outcomes;
    for (const Target& target : targets) {
        bool answered = false;
        for (const Result& result : run.results) {
            if (!applies(target, result)) continue;
            answered = true;
            TargetOutcome outcome;
            outcome.what = fmt::format("{} {}: {}", result.workload, result.side, describe(target));
            measure(run, target, result, outcome);
            outcome.met = outcome.measured && (!target.min || *outcome.measured >= *target.min) &&
                          (!target.max || *outcome.measured <= *target.max);
            outcomes.push_back(outcome);
        }
        if (answered) continue;
        TargetOutcome outcome;
        outcome.what = fmt::format("{} {}: {}", target.workload.empty() ? "*" : target.workload,
                                   target.side.empty() ? "*" : target.side, describe(target));
        outcome.note = "no result of the run is of this kind";
        outcomes.push_back(outcome);
    }
    return outcomes;
}

bool all_met(const std::vector<TargetOutcome>& outcomes) {
    return !outcomes.empty() && std::ranges::all_of(outcomes, &TargetOutcome::met);
}

std::string to_text(const std::vector<TargetOutcome>& outcomes) {
    std::string text;
    for (const bool met : {false, true}) {
        for (const TargetOutcome& outcome : outcomes) {
            if (outcome.met != met) continue;
            const std::string figure =
                outcome.measured ? fmt::format("{:.6g}", *outcome.measured) : outcome.note;
            text += fmt::format("{:<7}{}: {}\n", met ? "met" : "MISSED", outcome.what, figure);
        }
    }
    const auto missed = std::ranges::count(outcomes, false, &TargetOutcome::met);
    return text + fmt::format("{} of {} targets met\n",
                              outcomes.size() - static_cast<std::size_t>(missed), outcomes.size());
}

Json to_json(const std::vector<TargetOutcome>& outcomes) {
    Json object;
    object["met"] = all_met(outcomes);
    object["targets"] = Json::array();
    for (const TargetOutcome& outcome : outcomes) {
        Json item = {{"what", outcome.what}, {"met", outcome.met}};
        if (outcome.measured) item["measured"] = *outcome.measured;
        if (!outcome.note.empty()) item["note"] = outcome.note;
        object["targets"].push_back(item);
    }
    return object;
}

}  // namespace fulgur::bench
