#include "bench/memory_limit.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "bench/bench_error.h"
#include "bench/store.h"
#include "os/machine.h"
#include "os/thread.h"

namespace fulgur::bench {

namespace {

/// Where the process's memory group is, and what its limit is called; nothing without one.
struct Place {
    std::string folder;
    const char* limit = nullptr;
};

Place find_place() {
    std::ifstream groups("/proc/self/cgroup");
    Place place;
    for (std::string line; std::getline(groups, line);) {
        // HIERARCHY:CONTROLLERS:PATH; version 2 has the hierarchy 0 and no controllers.
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if ("," + controllers + "," == ",memory,") {
            return {"/sys/fs/cgroup/memory" + path, "memory.limit_in_bytes"};
        }
        if (controllers.empty()) place = {"/sys/fs/cgroup" + path, "memory.max"};
    }
    return place;
}

bool write(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    return !file.fail();
}

bool is_version_2(const std::string& limit) { return limit.ends_with("/memory.max"); }

std::uint64_t number_in(const std::string& path) {
    std::ifstream file(path);
    std::uint64_t number = 0;
    file >> number;
    return number;
}

}  // namespace

MemoryLimit::MemoryLimit(std::uint64_t bytes) : bytes_(bytes) {
    const Place place = find_place();
    const auto refuse = [](const std::string& why) {
        throw BenchError("memory cannot be limited here: " + why +
                             "; run as root, on a kernel with control groups",
                         Exit::kEnvironmentRefused);
    };
    if (place.limit == nullptr) refuse("no memory control group");
    parent_ = place.folder;
    group_ = fmt::format("{}/fulgur-bench-{}", parent_, os::process_id());
    std::error_code error;
    std::filesystem::create_directory(group_, error);
    if (error) refuse(group_ + ": " + error.message());
    limit_ = group_ + "/" + place.limit;
    if (!write(limit_, std::to_string(bytes)) ||
        !write(group_ + "/cgroup.procs", std::to_string(os::process_id()))) {
        std::filesystem::remove(group_, error);
        refuse("the kernel refused the limit below " + parent_);
    }
}

void MemoryLimit::lift() { write(limit_, is_version_2(limit_) ? "max" : "-1"); }

void MemoryLimit::hold() {
    // Version 1 refuses a limit below what is in use; version 2 would kill for it. Both first give
    // back what they can: clean pages of files, and dirty ones once they are written.
    const bool version_2 = is_version_2(limit_);
    const std::string high = group_ + "/memory.high";
    if (version_2) write(high, std::to_string(bytes_));
    constexpr unsigned kTries = 600;
    for (unsigned i = 0; i < kTries; ++i) {
        const bool fits = !version_2 || number_in(group_ + "/memory.current") <= bytes_;
        if (fits && write(limit_, std::to_string(bytes_))) {
            if (version_2) write(high, "max");
            return;
        }
        os::sleep_us(100'000);
    }
    throw Failure(fmt::format("needs more than {} MiB of memory after loading", bytes_ >> 20));
}

MemoryLimit::~MemoryLimit() {
    write(parent_ + "/cgroup.procs", std::to_string(os::process_id()));
    write(group_ + "/memory.force_empty", "0");  // Version 1: its page cache goes to the parent.
    std::error_code ignored;
    std::filesystem::remove(group_, ignored);
}

}  // namespace fulgur::bench
