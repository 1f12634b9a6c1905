#include "bench/report_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "bench/report_table.h"
#include "bench/statistics.h"

namespace fulgur::bench {

namespace {

/// Three digits and a unit.
std::string show_ns(double ns) {
    if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
    if (ns < 1e6) return fmt::format("{:.3g} us", ns / 1e3);
    if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
    return fmt::format("{:.3g} s", ns / 1e9);
}

std::string show_rate(double per_second) {
    if (per_second >= 1e6) return fmt::format("{:.3g} M/s", per_second / 1e6);
    if (per_second >= 1e3) return fmt::format("{:.3g} k/s", per_second / 1e3);
    return fmt::format("{:.3g} /s", per_second);
}

std::string line_of(const Result& result, const Result* subject) {
    if (!result.note.empty()) return fmt::format("  {:<15}{}\n", result.side, result.note);
    const double ns = median(result.slices_ns);
    std::string ratio = "-";
    if (subject != nullptr && subject != &result && subject->note.empty()) {
        ratio = fmt::format("{:.2f}x", ns / median(subject->slices_ns));
    }
    const Histogram& latency = result.latency_ns;
    const auto at = [&](double percent) {
        return latency.empty() ? "-" : show_ns(double(latency.percentile(percent)));
    };
    return fmt::format("  {:<15}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}\n", result.side,
                       show_ns(ns), show_rate(1e9 / ns), at(50), at(99), at(99.9), ratio,
                       result.verified);
}

/// Of workloads that put all rows. Nothing is written to a disk where files lie in memory.
std::string amplification_of(const Result& result) {
    const auto written = result.counters.find("write_amplification");
    const auto space = result.counters.find("space_amplification");
    if (written == result.counters.end() || space == result.counters.end()) return "";
    const std::string wrote =
        written->second > 0 ? fmt::format("wrote {:.2f} times the data, ", written->second) : "";
    return fmt::format("  {:<15}{}holds {:.2f} times of it\n", result.side, wrote, space->second);
}

}  // namespace

std::string to_text(const Run& run) {
    std::string text;
    if (run.quick) text += "A quick run: to try things, never to quote.\n\n";
    const std::string subject = subject_of(run);
    for (const Group& group : groups_of(run)) {
        const auto ours = std::ranges::find_if(group.results,
                                               [&](const Result* r) { return r->side == subject; });
        text += fmt::format("{}, an operation is a {}\n", group.name, group.results[0]->unit);
        text += fmt::format("  {:<15}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}\n", "side", "each",
                            "rate", "p50", "p99", "p99.9", subject + " is", "verified");
        for (const Result* result : group.results) {
            text += line_of(*result, ours == group.results.end() ? nullptr : *ours);
        }
        for (const Result* result : group.results) text += amplification_of(*result);
        text += "\n";
    }
    text += "settings\n";
    std::string told;
    for (const Result& result : run.results) {
        const std::string line = fmt::format("  {} {} ({}): {}\n", result.side, result.version,
                                             result.durability, result.settings);
        if (result.version.empty() || told.find(line) != std::string::npos) continue;
        told += line;
    }
    const Environment& environment = run.environment;
    return text + told +
           fmt::format(
               "machine\n  {}, {} cores, load {:.1f} before and {:.1f} after, {:.1f} % "
               "stolen, {}, commit {}\n",
               environment.processor, environment.cores, environment.load_before,
               environment.load_after, environment.steal_percent, environment.file_system,
               environment.commit);
}

}  // namespace fulgur::bench
