// Reads the OpenMetrics text format as strictly as its specification (1.0.0) is written, and says
// what is wrong with a text: the grammar of names, labels, escapes and numbers, one family in one
// place with one type, samples that fit the type, no series twice, histograms that add up, # EOF at
// the end and nothing behind it.
#pragma once

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fulgur::system_test {

struct MetricFamily {
    std::string type;
    std::string unit;
    std::string help;
    /// By the text of the series: name and labels as they stand.
    std::map<std::string, double> samples;
};

class OpenMetrics {
public:
    explicit OpenMetrics(std::string_view text) { read(text); }

    /// Empty when nothing is wrong.
    const std::string& fault() const { return fault_; }
    const std::map<std::string, MetricFamily>& families() const { return families_; }
    double value(const std::string& series) const {
        for (const auto& [name, family] : families_) {
            if (const auto it = family.samples.find(series); it != family.samples.end()) {
                return it->second;
            }
        }
        return std::numeric_limits<double>::quiet_NaN();
    }
    /// The first series of a counter, or of a histogram's counts, that is smaller in `later`.
    std::string fell(const OpenMetrics& later) const {
        for (const auto& [name, family] : families_) {
            if (family.type == "gauge") continue;
            for (const auto& [series, before] : family.samples) {
                const double after = later.value(series);
                if (!(after >= before)) return series;
            }
        }
        return {};
    }
    /// A label's value as it was before escaping.
    static std::string unescaped(std::string_view text) {
        std::string value;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] != '\\') {
                value += text[i];
            } else {
                ++i;
                value += text[i] == 'n' ? '\n' : text[i];
            }
        }
        return value;
    }

private:
    struct Sample {
        std::string name;
        std::map<std::string, std::string> labels;
        std::string series;
        double value = 0;
    };

    static bool is_name(std::string_view name, bool colon) {
        if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
        for (const char c : name) {
            const bool word = std::isalnum(static_cast<unsigned char>(c)) || c == '_';
            if (!word && !(colon && c == ':')) return false;
        }
        return true;
    }
    /// number = realnumber / [sign] "inf" / "nan"; ours are never negative nor exponents of ten.
    static std::optional<double> number(std::string_view text) {
        if (text == "+Inf") return std::numeric_limits<double>::infinity();
        if (text.empty() || text.find_first_not_of("0123456789.e+-") != text.npos) return {};
        const std::string copy(text);
        char* end = nullptr;
        const double value = std::strtod(copy.c_str(), &end);
        if (end != copy.c_str() + copy.size()) return {};
        return value;
    }

    void fail(const std::string& what, std::string_view line) {
        if (fault_.empty()) fault_ = what + ": " + std::string(line);
    }

    void read(std::string_view text) {
        bool ended = false;
        while (!text.empty() && fault_.empty()) {
            const std::size_t end = text.find('\n');
            if (end == text.npos) return fail("a line without its end", text);
            const std::string_view line = text.substr(0, end);
            text.remove_prefix(end + 1);
            if (ended) return fail("something behind # EOF", line);
            if (line == "# EOF") {
                ended = true;
            } else if (line.starts_with("#")) {
                describe(line);
            } else {
                sample(line);
            }
        }
        if (fault_.empty() && !ended) fail("no # EOF", "");
        for (const auto& [name, family] : families_) check(name, family);
    }

    /// # TYPE, # UNIT or # HELP, which come before their family's samples.
    void describe(std::string_view line) {
        const std::size_t first = line.find(' ');
        const std::size_t second = first == line.npos ? first : line.find(' ', first + 1);
        const std::size_t third = second == line.npos ? second : line.find(' ', second + 1);
        if (first != 1 || third == line.npos) return fail("not a descriptor", line);
        const std::string kind(line.substr(2, second - 2));
        const std::string name(line.substr(second + 1, third - second - 1));
        const std::string words(line.substr(third + 1));
        if (!is_name(name, true)) return fail("a family's name", line);
        if (name != current_) {
            if (families_.contains(name)) return fail("a family in two places", line);
            current_ = name;
        }
        MetricFamily& family = families_[name];
        if (!family.samples.empty()) return fail("a descriptor behind a sample", line);
        std::string& place = kind == "TYPE"   ? family.type
                             : kind == "UNIT" ? family.unit
                                              : family.help;
        if (kind != "TYPE" && kind != "UNIT" && kind != "HELP") return fail("a descriptor", line);
        if (!place.empty()) return fail("a descriptor twice", line);
        place = words;
        static const std::set<std::string> kTypes = {"counter", "gauge", "histogram"};
        if (kind == "TYPE" && !kTypes.contains(words)) fail("a type", line);
        if (kind == "UNIT" && !name.ends_with("_" + words)) fail("a name without its unit", line);
    }

    std::optional<Sample> parse(std::string_view line) {
        Sample sample;
        std::size_t at = line.find_first_of("{ ");
        if (at == line.npos) return {};
        sample.name = line.substr(0, at);
        if (line[at] == '{') {
            for (++at;; ++at) {
                const std::size_t equals = line.find("=\"", at);
                if (equals == line.npos) return {};
                const std::string label(line.substr(at, equals - at));
                std::string value;
                for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
                    if (line[at] == '\\') {
                        if (at + 1 == line.size()) return {};
                        if (std::string_view("\\\"n").find(line[at + 1]) == line.npos) return {};
                        value += line[at++];
                    }
                    value += line[at];
                }
                if (!is_name(label, false) || at + 1 >= line.size()) return {};
                if (!sample.labels.emplace(label, value).second) return {};
                if (line[++at] == '}') break;
                if (line[at] != ',') return {};
            }
            ++at;
        }
        sample.series = line.substr(0, at);
        if (at >= line.size() || line[at] != ' ') return {};
        const std::optional<double> value = number(line.substr(at + 1));
        if (!value || !is_name(sample.name, true)) return {};
        sample.value = *value;
        return sample;
    }

    void sample(std::string_view line) {
        const std::optional<Sample> parsed = parse(line);
        if (!parsed) return fail("not a sample", line);
        MetricFamily& family = families_[current_];
        if (current_.empty() || !parsed->name.starts_with(current_)) {
            return fail("a sample outside its family", line);
        }
        const std::string suffix = parsed->name.substr(current_.size());
        const bool bucket = suffix == "_bucket";
        const bool fits = family.type == "gauge"     ? suffix.empty()
                          : family.type == "counter" ? suffix == "_total"
                          : family.type == "histogram"
                              ? bucket || suffix == "_count" || suffix == "_sum"
                              : false;
        if (!fits) return fail("a sample that its type has not", line);
        if (bucket != parsed->labels.contains("le")) return fail("le and buckets", line);
        if (family.type != "gauge" && !(parsed->value >= 0)) return fail("a negative count", line);
        if (!family.samples.emplace(parsed->series, parsed->value).second) {
            return fail("a series twice", line);
        }
        if (family.type == "histogram") histogram(*parsed, suffix, line);
    }

    /// Buckets by ascending bound, cumulative, the last one +Inf and equal to _count.
    void histogram(const Sample& sample, const std::string& suffix, std::string_view line) {
        std::string group = current_;
        for (const auto& [label, value] : sample.labels) {
            if (label != "le") group += "," + label + "=" + value;
        }
        Buckets& seen = buckets_[group];
        if (suffix == "_bucket") {
            const std::optional<double> bound = number(sample.labels.at("le"));
            if (!bound || !(*bound > seen.bound)) return fail("bounds that do not ascend", line);
            if (!(sample.value >= seen.count)) return fail("buckets that do not add up", line);
            if (sample.value != std::floor(sample.value)) return fail("a broken count", line);
            seen.bound = *bound;
            seen.count = sample.value;
        } else if (suffix == "_count") {
            if (!std::isinf(seen.bound)) return fail("no bucket +Inf before the count", line);
            if (sample.value != seen.count) return fail("a count that is not the +Inf one", line);
        }
    }

    void check(const std::string& name, const MetricFamily& family) {
        if (family.type.empty()) fail("a family without a type", name);
        if (family.help.empty()) fail("a family without help", name);
        if (family.samples.empty()) fail("a family without samples", name);
        for (const char* suffix : {"_total", "_count", "_sum", "_bucket", "_created"}) {
            if (name.ends_with(suffix)) fail("a family's name with a reserved ending", name);
        }
        static const std::set<std::string> kUnits = {"bytes", "seconds"};
        for (const std::string& unit : kUnits) {
            if (name.ends_with("_" + unit) && family.unit != unit) fail("no # UNIT", name);
        }
    }

    struct Buckets {
        double bound = -1;
        double count = 0;
    };
    std::string fault_;
    std::string current_;
    std::map<std::string, MetricFamily> families_;
    std::map<std::string, Buckets> buckets_;
};

}  // namespace fulgur::system_test
