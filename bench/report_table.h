// Tables of a Run: CSV for spreadsheets, Markdown for people. Where we lose stands first, and a run
// that may not be quoted says so before anything else. Any thread may call.
#pragma once

#include <string>
#include <vector>

#include "bench/result.h"
#include "bench/statistics.h"

namespace fulgur::bench {

/// Results that may be compared with each other: the same workload, parameters, unit of operation
/// and durability.
struct Group {
    std::string name;  ///< "readrandom rows=1000000 threads=2 (buffered)"
    std::vector<const Result*> results;
};
/// In the order of their first results, which the groups point into.
std::vector<Group> groups_of(const Run& run);

/// How a subject compares with another side of its group: how many times as fast it is.
struct SideRatio {
    std::string group;
    std::string side;     ///< The other one.
    double ratio = 0;     ///< Above 1: the subject is faster.
    Interval interval;    ///< Of the ratio, 95 % where the slices suffice.
    bool paired = false;  ///< Slice by slice; else the sides had different numbers of slices.

    bool loses() const { return ratio < 1; }
    /// The interval says so, not only the estimate.
    bool surely_loses() const { return interval.high < 1 && interval.confidence >= 0.9; }
};
/// Of every group that holds `subject` and others, sides without figures left out.
std::vector<SideRatio> side_ratios(const Run& run, const std::string& subject);
/// Between two results of one group.
SideRatio side_ratio(const Result& subject, const Result& other);

/// The side that a report is about: "fulgur" when it took part, else the first one.
std::string subject_of(const Run& run);

/// One row a result, times in nanoseconds. RFC 4180.
std::string to_csv(const Run& run);
std::string to_markdown(const Run& run, const std::string& subject);

}  // namespace fulgur::bench
