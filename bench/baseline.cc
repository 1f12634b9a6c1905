#include "bench/baseline.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include <fmt/format.h>

#include "bench/bench_error.h"
#include "bench/result_file.h"

namespace fulgur::bench {

namespace {

namespace files = std::filesystem;

constexpr const char* kEnding = ".jsonl";

/// A name that is one file of the folder, visible, whatever was asked for.
bool is_plain_name(const std::string& name) {
    constexpr std::size_t kNameMax = 100;
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    };
    return !name.empty() && name.size() <= kNameMax && name.front() != '.' &&
           std::ranges::all_of(name, plain);
}

/// The commit as a name: "12ab+changes" becomes "12ab-changes".
std::string default_name(const Environment& environment) {
    std::string name = environment.commit.empty() ? "unknown" : environment.commit;
    for (char& c : name) {
        if (!is_plain_name(std::string("x") + c)) c = '-';
    }
    return is_plain_name(name) ? name : "unknown";
}

void require(const std::error_code& error, const std::string& path) {
    if (error) throw BenchError(fmt::format("{}: {}", path, error.message()));
}

Baseline describe(const files::path& path) {
    Baseline baseline;
    baseline.machine = path.parent_path().filename();
    baseline.name = path.stem();
    baseline.path = path;
    try {
        const Run run = read_run(path.string());
        baseline.commit = run.environment.commit;
        baseline.started = run.environment.started;
        baseline.results = run.results.size();
        if (run.environment.machine != baseline.machine) {
            baseline.fault = "it is of machine " + run.environment.machine;
        } else if (run.quick || run.interrupted) {
            baseline.fault = run.quick ? "it is a quick run" : "it is an interrupted run";
        }
    } catch (const BenchError& error) {
        baseline.fault = error.what();
    }
    return baseline;
}

}  // namespace

Baseline save_baseline(const std::string& file, const std::string& folder, std::string name,
                       bool replace) {
    const Run run = read_run(file);
    if (run.quick) throw BenchError(file + ": a quick run is no baseline: run without --quick");
    if (run.interrupted) throw BenchError(file + ": an interrupted run is no baseline");
    if (run.results.empty()) throw BenchError(file + ": a run without results is no baseline");
    if (!is_plain_name(run.environment.machine)) {
        throw BenchError(file + ": names no machine that could be a folder");
    }
    if (name.empty()) name = default_name(run.environment);
    if (!is_plain_name(name)) {
        throw BenchError(fmt::format(
            "\"{}\" is no name for a baseline: letters, digits, '.', '_' and '-', at most 100",
            name));
    }
    const files::path place = files::path(folder) / run.environment.machine;
    std::error_code error;
    files::create_directories(place, error);
    require(error, place);
    const files::path path = place / (name + kEnding);
    if (!replace && files::exists(path, error)) {
        throw BenchError(
            fmt::format("{} is there already: name another, or --replace it", path.string()));
    }
    // Whole under its name, or not at all.
    const files::path partial = place / ("." + name + ".partial");
    write_run(partial, run);
    files::rename(partial, path, error);
    require(error, path);
    return describe(path);
}

std::vector<Baseline> list_baselines(const std::string& folder) {
    std::vector<Baseline> baselines;
    std::error_code error;
    if (!files::exists(folder, error)) return baselines;
    for (const auto& machine : files::directory_iterator(folder, error)) {
        if (!machine.is_directory(error)) continue;
        for (const auto& file : files::directory_iterator(machine.path(), error)) {
            const std::string name = file.path().filename();
            if (name.ends_with(kEnding) && !name.starts_with('.')) {
                baselines.push_back(describe(file.path()));
            }
        }
    }
    require(error, folder);
    std::ranges::sort(baselines, [](const Baseline& a, const Baseline& b) {
        return std::tie(a.machine, b.started, a.name) < std::tie(b.machine, a.started, b.name);
    });
    return baselines;
}

std::optional<Baseline> newest_baseline(const std::string& folder, const std::string& machine) {
    for (const Baseline& baseline : list_baselines(folder)) {
        if (baseline.machine == machine && baseline.fault.empty()) return baseline;
    }
    return std::nullopt;
}

}  // namespace fulgur::bench
