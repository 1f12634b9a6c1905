#include "bench/report_table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace fulgur::bench {

namespace {

std::string group_name(const Result& result) {
    std::string name = result.workload;
    for (const auto& [key, value] : result.parameters) name += fmt::format(" {}={}", key, value);
    if (!result.durability.empty()) name += fmt::format(" ({})", result.durability);
    return name;
}

bool measured(const Result& result) { return !result.slices_ns.empty(); }

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + "\"";
}

/// A cell of a Markdown table: nothing in it may end it.
std::string cell(const std::string& text) {
    std::string escaped;
    for (const char c : text) {
        if (c == '|') escaped += '\\';
        escaped += c == '\n' || c == '\r' ? ' ' : c;
    }
    return escaped;
}

/// Three digits are more than these figures are worth.
std::string digits(double value) {
    if (value >= 100) return fmt::format("{:.0f}", value);
    return fmt::format("{:.3g}", value);
}

std::string rate(double per_second) {
    if (per_second >= 1e6) return digits(per_second / 1e6) + " M";
    if (per_second >= 1e4) return digits(per_second / 1e3) + " k";
    return digits(per_second);
}

std::string ratio_text(const SideRatio& ratio) {
    return fmt::format("{:.2f}x [{:.2f}, {:.2f}]", ratio.ratio, ratio.interval.low,
                       ratio.interval.high);
}

void append_marks(const Run& run, std::string& text) {
    if (run.quick)
        text += "**QUICK RUN: too short to be quoted. Measure again without --quick.**\n\n";
    if (run.interrupted) {
        text +=
            "**INTERRUPTED: the run ended before all was measured; what is missing is not "
            "here.**\n\n";
    }
    const std::string& build = run.environment.build;
    if (!build.empty() && build != "release") {
        text += fmt::format("**BUILD \"{}\": its figures are worthless.**\n\n", cell(build));
    }
    for (const std::string& warning : run.warnings) text += fmt::format("* {}\n", cell(warning));
    if (!run.warnings.empty()) text += "\n";
}

void append_losses(const std::vector<SideRatio>& ratios, const std::string& subject,
                   std::string& text) {
    std::vector<SideRatio> losses;
    std::ranges::copy_if(ratios, std::back_inserter(losses), &SideRatio::loses);
    std::ranges::stable_sort(losses, {}, &SideRatio::ratio);
    if (ratios.empty()) return;
    if (losses.empty()) {
        text += fmt::format("{} is the slower side nowhere in this run.\n\n", subject);
        return;
    }
    text += fmt::format("## Where {} loses\n\n", subject);
    for (const SideRatio& loss : losses) {
        text += fmt::format("* {}: {} of the speed of {}{}\n", cell(loss.group), ratio_text(loss),
                            loss.side, loss.surely_loses() ? "" : " (within the noise)");
    }
    text += "\n";
}

void append_row(const Group& group, const Result& result, const std::vector<SideRatio>& ratios,
                const std::string& subject, std::string& text) {
    text += fmt::format("| {} | {} |", cell(group.name), cell(result.side));
    if (!measured(result)) {
        text +=
            fmt::format(" {} | | | |\n", cell(result.note.empty() ? "not measured" : result.note));
        return;
    }
    const double ns = median(result.slices_ns);
    const Interval interval = median_interval(result.slices_ns);
    text += fmt::format(" {} [{}, {}] | {} |", digits(ns), digits(interval.low),
                        digits(interval.high), rate(1e9 / ns));
    const auto found = std::ranges::find_if(ratios, [&](const SideRatio& ratio) {
        return ratio.group == group.name && ratio.side == result.side;
    });
    text += fmt::format(" {} |", result.side == subject  ? ""
                                 : found == ratios.end() ? ""
                                                         : ratio_text(*found));
    text += result.latency_ns.empty()
                ? " |\n"
                : fmt::format(" {} |\n", digits(double(result.latency_ns.percentile(99))));
}

}  // namespace

std::vector<Group> groups_of(const Run& run) {
    std::vector<Group> groups;
    for (const Result& result : run.results) {
        const std::string name = group_name(result);
        const auto found = std::ranges::find_if(groups, [&](const Group& group) {
            return group.name == name && group.results.front()->unit == result.unit;
        });
        if (found != groups.end()) {
            found->results.push_back(&result);
        } else {
            groups.push_back({name, {&result}});
        }
    }
    return groups;
}

SideRatio side_ratio(const Result& subject, const Result& other) {
    SideRatio ratio;
    ratio.group = group_name(subject);
    ratio.side = other.side;
    ratio.paired = subject.slices_ns.size() == other.slices_ns.size();
    std::vector<double> ours;
    std::vector<double> theirs;
    for (const double ns : subject.slices_ns) ours.push_back(std::log(ns));
    for (const double ns : other.slices_ns) theirs.push_back(std::log(ns));
    double centre = 0;
    Interval interval;
    if (ratio.paired) {
        for (std::size_t i = 0; i < ours.size(); ++i) theirs[i] -= ours[i];
        centre = hodges_lehmann(theirs);
        interval = signed_rank_interval(theirs);
    } else {
        centre = hodges_lehmann(ours, theirs);
        interval = rank_sum_interval(ours, theirs);
    }
    ratio.ratio = std::exp(centre);
    ratio.interval = {std::exp(interval.low), std::exp(interval.high), interval.confidence};
    return ratio;
}

std::vector<SideRatio> side_ratios(const Run& run, const std::string& subject) {
    std::vector<SideRatio> ratios;
    for (const Group& group : groups_of(run)) {
        const auto ours = std::ranges::find_if(group.results, [&](const Result* result) {
            return result->side == subject && measured(*result);
        });
        if (ours == group.results.end()) continue;
        for (const Result* other : group.results) {
            if (other->side != subject && measured(*other)) {
                ratios.push_back(side_ratio(**ours, *other));
            }
        }
    }
    return ratios;
}

std::string subject_of(const Run& run) {
    for (const Result& result : run.results) {
        if (result.side == "fulgur") return result.side;
    }
    return run.results.empty() ? "fulgur" : run.results.front().side;
}

std::string to_csv(const Run& run) {
    std::string text =
        "workload,parameters,side,version,durability,unit,ns_median,ns_low,ns_high,confidence,"
        "slices,ops_per_second,p50_ns,p99_ns,p99.9_ns,max_ns,operations,verified,commit,machine,"
        "quick,interrupted,note\r\n";
    for (const Result& result : run.results) {
        std::string parameters;
        for (const auto& [key, value] : result.parameters) {
            parameters += fmt::format("{}{}={}", parameters.empty() ? "" : " ", key, value);
        }
        text += fmt::format("{},{},{},{},{},{},", csv_field(result.workload), csv_field(parameters),
                            csv_field(result.side), csv_field(result.version),
                            csv_field(result.durability), csv_field(result.unit));
        if (measured(result)) {
            const double ns = median(result.slices_ns);
            const Interval interval = median_interval(result.slices_ns);
            text +=
                fmt::format("{:.6g},{:.6g},{:.6g},{:.4g},{},{:.6g},", ns, interval.low,
                            interval.high, interval.confidence, result.slices_ns.size(), 1e9 / ns);
        } else {
            text += ",,,,0,,";
        }
        const Histogram& latency = result.latency_ns;
        text += latency.empty()
                    ? ",,,,"
                    : fmt::format("{},{},{},{},", latency.percentile(50), latency.percentile(99),
                                  latency.percentile(99.9), latency.max());
        text += fmt::format("{},{},{},{},{},{},{}\r\n", result.operations, result.verified,
                            csv_field(run.environment.commit), csv_field(run.environment.machine),
                            run.quick, run.interrupted, csv_field(result.note));
    }
    return text;
}

std::string to_markdown(const Run& run, const std::string& subject) {
    std::string text;
    append_marks(run, text);
    const std::vector<SideRatio> ratios = side_ratios(run, subject);
    append_losses(ratios, subject, text);
    text += fmt::format(
        "| workload | side | ns per operation [95 %] | operations/s | {} is | p99 ns |\n"
        "|---|---|---|---|---|---|\n",
        cell(subject));
    for (const Group& group : groups_of(run)) {
        for (const Result* result : group.results) {
            append_row(group, *result, ratios, subject, text);
        }
    }
    const Environment& environment = run.environment;
    text += fmt::format(
        "\nMedians with their confidence intervals; ratios are medians of pairs of neighbouring "
        "slices. Above 1x {} is the faster side.\n"
        "Commit {}, {} ({} cores), kernel {}, {}, {}; load {:.2f} before and {:.2f} after, {:.1f} "
        "% "
        "stolen by the host.\n",
        cell(subject), cell(environment.commit), cell(environment.processor), environment.cores,
        cell(environment.kernel), cell(environment.compiler), cell(environment.file_system),
        environment.load_before, environment.load_after, environment.steal_percent);
    return text;
}

}  // namespace fulgur::bench
