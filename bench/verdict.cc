#include "bench/verdict.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace fulgur::bench {

namespace {

void judge_rows(std::vector<Comparison>& rows, double threshold, double alpha) {
    std::vector<double> p_values;
    for (const Comparison& row : rows) p_values.push_back(row.p);
    const std::vector<double> adjusted = holm(p_values);
    const double least = std::log1p(threshold);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        Comparison& row = rows[i];
        row.p_adjusted = adjusted[i];
        row.visible = visible_effect(row.interval);
        // A hundredth of a point: the steps of order statistics.
        const bool covers = row.interval.confidence >= 1 - alpha - 1e-4;
        if (row.p_adjusted < alpha && std::abs(row.log_ratio) >= least) {
            row.verdict = row.log_ratio > 0 ? Verdict::kRegression : Verdict::kImprovement;
        } else if (covers && row.interval.low > -least && row.interval.high < least) {
            row.verdict = Verdict::kEquivalent;
        } else {
            row.verdict = Verdict::kInconclusive;
        }
    }
}

std::string figure(double value) {
    if (value >= 1e15) return fmt::format("{:.4g}", value);
    if (value >= 1e4) return fmt::format("{:.0f}", value);
    return fmt::format("{:.4g}", value);
}

std::string visible_text(double visible) {
    return std::isfinite(visible) ? fmt::format("{:.2g} %", 100 * std::expm1(visible))
                                  : std::string("nothing");
}

void append_row(const Comparison& row, const std::string& head, std::string& text) {
    text += fmt::format("{:<13} {}\n", head, row.name);
    if (row.pairs == 0) {
        text += fmt::format("    {}\n", row.note.empty() ? "nothing to compare" : row.note);
        return;
    }
    if (row.counted) {
        text += fmt::format("    {} -> {} {}: {}\n", figure(row.before), figure(row.after),
                            row.unit, percent_text(row.log_ratio));
        if (!row.note.empty()) text += fmt::format("    {}\n", row.note);
        return;
    }
    text += fmt::format(
        "    {} -> {} {}: {} [{}, {}] at {:.0f} %, p {:.2g}, {} pairs; would see {}\n",
        figure(row.before), figure(row.after), row.unit, percent_text(row.log_ratio),
        percent_text(row.interval.low), percent_text(row.interval.high),
        100 * row.interval.confidence, row.p_adjusted, row.pairs, visible_text(row.visible));
    if (!row.note.empty()) text += fmt::format("    {}\n", row.note);
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json row_json(const Comparison& row) {
    Json object;
    object["name"] = row.name;
    object["unit"] = row.unit;
    object["verdict"] = to_string(row.verdict);
    object["before"] = finite(row.before);
    object["after"] = finite(row.after);
    object["change"] = finite(std::expm1(row.log_ratio));
    object["change_low"] = finite(std::expm1(row.interval.low));
    object["change_high"] = finite(std::expm1(row.interval.high));
    object["confidence"] = row.interval.confidence;
    object["p"] = row.p;
    object["p_adjusted"] = row.p_adjusted;
    object["pairs"] = row.pairs;
    object["smallest_visible_change"] = finite(std::expm1(row.visible));
    object["gates"] = row.gates;
    if (!row.note.empty()) object["note"] = row.note;
    return object;
}

std::array<std::size_t, 4> counts_of(const Report& report) {
    std::array<std::size_t, 4> counts{};
    for (const Comparison& row : report.rows) ++counts[static_cast<std::size_t>(row.verdict)];
    return counts;
}

constexpr std::array kVerdicts = {Verdict::kRegression, Verdict::kImprovement,
                                  Verdict::kInconclusive, Verdict::kEquivalent};

}  // namespace

const char* to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::kRegression:
            return "regression";
        case Verdict::kImprovement:
            return "improvement";
        case Verdict::kEquivalent:
            return "equivalent";
        case Verdict::kInconclusive:
            break;
    }
    return "inconclusive";
}

std::string percent_text(double log_ratio) {
    return fmt::format("{:+.2f} %", 100 * std::expm1(log_ratio));
}

void judge(Report& report) {
    judge_rows(report.rows, report.threshold, report.alpha);
    judge_rows(report.same, report.threshold, report.alpha);
    for (const Comparison& same : report.same) {
        if (same.verdict == Verdict::kEquivalent || same.verdict == Verdict::kInconclusive)
            continue;
        report.deceived = true;
        report.notes.push_back(
            fmt::format("the same code differs from itself by {} in {}: no such verdict is "
                        "believed; is something "
                        "else running here?",
                        percent_text(same.log_ratio), same.name));
        for (Comparison& row : report.rows) {
            if (row.counted == same.counted) row.verdict = Verdict::kInconclusive;
        }
    }
}

Exit exit_of(const Report& report) {
    bool inconclusive = report.rows.empty();
    for (const Comparison& row : report.rows) {
        if (!row.gates) continue;
        if (row.verdict == Verdict::kRegression) return Exit::kRegression;
        inconclusive = inconclusive || row.verdict == Verdict::kInconclusive;
    }
    return inconclusive ? Exit::kInconclusive : Exit::kOk;
}

std::string to_text(const Report& report) {
    std::string text =
        fmt::format("mode {}, threshold {:.3g} %, alpha {:.3g} by Holm over {} rows\n", report.mode,
                    100 * report.threshold, report.alpha, report.rows.size());
    for (const std::string& note : report.notes) text += fmt::format("note: {}\n", note);
    for (const Comparison& same : report.same) append_row(same, "A/A", text);
    for (const Verdict verdict : kVerdicts) {
        for (const Comparison& row : report.rows) {
            if (row.verdict == verdict) append_row(row, to_string(verdict), text);
        }
    }
    const std::array<std::size_t, 4> counts = counts_of(report);
    for (const Verdict verdict : kVerdicts) {
        text += fmt::format("{}{} {}", verdict == kVerdicts.front() ? "" : ", ",
                            counts[static_cast<std::size_t>(verdict)], to_string(verdict));
    }
    return text + "\n";
}

Json to_json(const Report& report) {
    Json object;
    object["mode"] = report.mode;
    object["threshold"] = report.threshold;
    object["alpha"] = report.alpha;
    object["exit_code"] = static_cast<int>(exit_of(report));
    object["trusted"] = !report.deceived;
    object["notes"] = report.notes;
    object["same"] = Json::array();
    for (const Comparison& same : report.same) object["same"].push_back(row_json(same));
    object["rows"] = Json::array();
    for (const Comparison& row : report.rows) object["rows"].push_back(row_json(row));
    return object;
}

}  // namespace fulgur::bench
