#include "os/machine.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include <sched.h>
#include <unistd.h>

namespace fulgur::os {
namespace {

/// The number in a control group's file; no limit when the file is absent or says "max".
std::uint64_t read_limit(const std::string& path) {
    std::ifstream file(path);
    std::uint64_t limit = 0;
    if (file >> limit) return limit;
    return std::numeric_limits<std::uint64_t>::max();
}

/// The least limit on the way from a group to the root: any of them can end the process.
std::uint64_t least_limit(const std::string& mount, std::string group, const char* name) {
    std::uint64_t least = read_limit(mount + "/" + name);
    while (group.size() > 1) {
        least = std::min(least, read_limit(mount + group + "/" + name));
        group.resize(group.rfind('/'));
    }
    return least;
}

/// Lines of /proc/self/cgroup are "0::/path" (version 2) or "4:memory:/path" (version 1).
std::uint64_t cgroup_memory_limit() {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const std::size_t path = line.find(":/");
        if (path == std::string::npos) continue;
        const std::string group = line.substr(path + 1);
        if (line.compare(0, 3, "0::") == 0) {
            least = std::min(least, least_limit("/sys/fs/cgroup", group, "memory.max"));
        } else if (line.compare(0, path, line.substr(0, line.find(':')) + ":memory") == 0) {
            least = std::min(least,
                             least_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
        }
    }
    return least;
}

}  // namespace

std::uint64_t memory_bytes() {
    const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
    const auto page_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    return std::min(pages * page_bytes, cgroup_memory_limit());
}

std::uint32_t core_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);  // Over 1024 cores: the set is too small.
    return online > 0 ? static_cast<std::uint32_t>(online) : 1;
}

std::uint64_t process_id() { return static_cast<std::uint64_t>(getpid()); }

}  // namespace fulgur::os
