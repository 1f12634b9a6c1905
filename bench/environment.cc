#include "bench/environment.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <bench_commit.h>

#include <fmt/format.h>

#include "base/hash.h"
#include "bench/store.h"

#include "os/clock.h"
#include "os/machine.h"

namespace fulgur::bench {

namespace {

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// The text behind `name` and a colon in a file of such lines.
std::string field(const std::string& path, const std::string& name) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(name)) continue;
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::size_t text = line.find_first_not_of(" \t", colon + 1);
        return text == std::string::npos ? "" : line.substr(text);
    }
    return "";
}

double load_average() {
    std::ifstream file("/proc/loadavg");
    double load = 0;
    file >> load;
    return load;
}

/// Jiffies that the host took away, and all of them.
struct Steal {
    double stolen = 0;
    double all = 0;
};
Steal steal_so_far() {
    std::ifstream file("/proc/stat");
    std::string word;
    file >> word;
    Steal steal;
    double number = 0;
    for (int i = 0; i < 8 && file >> number; ++i) {
        steal.all += number;
        if (i == 7) steal.stolen = number;
    }
    return steal;
}

Steal& steal_at_start() {
    static Steal steal;
    return steal;
}

/// Type and device of the file system below `directory`, by the longest mount point above it.
std::string file_system_of(const std::string& directory) {
    std::error_code ignored;
    const std::string path = std::filesystem::weakly_canonical(directory, ignored).string();
    std::ifstream mounts("/proc/self/mounts");
    std::string best, result = "unknown";
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string device, point, type;
        words >> device >> point >> type;
        const bool above = point == "/" || path == point || path.starts_with(point + "/");
        if (!above || point.size() < best.size()) continue;
        best = point;
        result = type + " on " + device;
    }
    return result;
}

/// The word in brackets: "always [madvise] never".
std::string chosen(const std::string& line) {
    const std::size_t open = line.find('['), close = line.find(']');
    return open == std::string::npos || close == std::string::npos
               ? "unknown"
               : line.substr(open + 1, close - open - 1);
}

std::string utc(std::uint64_t wall_ms) {
    // Days since 1970 to a date: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms.
    const std::uint64_t seconds = wall_ms / 1000, days = seconds / 86'400 + 719'468;
    const std::uint64_t era = days / 146'097, doe = days - era * 146'097;
    const std::uint64_t yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
    const std::uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    const std::uint64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    const std::uint64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    const std::uint64_t in_day = seconds % 86'400;
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", year, month, day, in_day / 3600,
                       in_day / 60 % 60, in_day % 60);
}

}  // namespace

Environment read_environment(const std::string& directory) {
    Environment environment;
    environment.processor = field("/proc/cpuinfo", "model name");
    if (environment.processor.empty()) environment.processor = "unknown";
    environment.cores = os::core_count();
    environment.memory_bytes = os::memory_bytes();
    environment.kernel = first_line("/proc/sys/kernel/osrelease");
    environment.compiler = FULGUR_COMPILER;
    environment.commit = FULGUR_COMMIT;
#if defined(NDEBUG)
    environment.build = "release";
#else
    environment.build = "assertions";
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    environment.build += ", sanitizers";
#endif
    environment.file_system = file_system_of(directory);
    environment.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if (environment.governor.empty()) environment.governor = "unknown";
    environment.huge_pages = chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
    environment.load_before = load_average();
    environment.started = utc(os::real_clock().wall_ms());
    const std::string identity =
        fmt::format("{}|{}|{}|{}|{}", environment.processor, environment.cores,
                    environment.memory_bytes >> 30, environment.kernel, environment.file_system);
    environment.machine = fmt::format("{:016x}", hash64(identity));
    steal_at_start() = steal_so_far();
    return environment;
}

void complete(Environment& environment) {
    environment.load_after = load_average();
    const Steal now = steal_so_far(), before = steal_at_start();
    const double all = now.all - before.all;
    environment.steal_percent = all <= 0 ? 0 : 100 * (now.stolen - before.stolen) / all;
}

std::vector<Finding> examine(const Environment& environment, const std::string& directory) {
    using enum Finding::Weight;
    std::vector<Finding> findings;
    const auto add = [&](Finding::Weight weight, std::string what, std::string advice = "") {
        findings.push_back({weight, std::move(what), std::move(advice)});
    };
    if (environment.build == "release") {
        add(kGood, "release build");
    } else {
        add(kRefusal, "this build has " + environment.build, "use the preset `release`");
    }
    const double load = environment.load_before / double(environment.cores);
    if (load > 0.5) {
        add(kNote,
            fmt::format("load average {:.1f} on {} cores", environment.load_before,
                        environment.cores),
            "take proportions only, or wait until the machine is quiet");
    } else {
        add(kGood, fmt::format("load average {:.1f} on {} cores", environment.load_before,
                               environment.cores));
    }
    if (environment.huge_pages == "never") {
        add(kNote, "transparent huge pages are off",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    } else {
        add(kGood, "transparent huge pages: " + environment.huge_pages);
    }
    if (environment.governor != "performance" && environment.governor != "unknown") {
        add(kNote, "frequency governor " + environment.governor,
            "cpupower frequency-set -g performance");
    }
    std::error_code error;
    const auto space = std::filesystem::space(directory, error);
    if (error) {
        add(kRefusal, directory + ": " + error.message(), "name another directory with --dir");
    } else if (space.available < 4_GiB) {
        add(kNote, fmt::format("{} MiB free for databases", space.available >> 20),
            "a million rows of 100 bytes take up to 1 GiB a side");
    } else {
        add(kGood, fmt::format("{} GiB free for databases, {}", space.available >> 30,
                               environment.file_system));
    }
    if (environment.file_system.starts_with("tmpfs")) {
        add(kNote, "the databases would lie in memory (tmpfs)",
            "syncs cost nothing there: no synced figures");
    }
    for (const Side& side : sides()) {
        if (side.open != nullptr) continue;
        add(kNote, side.name + " is not in this build",
            "install " + side.package + " and build again");
    }
    return findings;
}

}  // namespace fulgur::bench
