// What whole-system tests share: values that are known by a seed, seeds from the environment, a
// directory that ends with its test, and an engine over a simulated disk.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>

#include <fulgur/database.h>

#include "db/engine_options.h"
#include "os/clock.h"
#include "os/file.h"

namespace fulgur::system_test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
inline constexpr bool kSlowBuild = true;
#else
inline constexpr bool kSlowBuild = false;
#endif

/// A value that is kept as what it was made from.
struct ModelValue {
    std::uint64_t seed = 0;
    std::size_t size = 0;

    std::string make() const {
        std::string bytes(size, '\0');
        std::uint64_t x = seed * 0x9E3779B97F4A7C15 + 1;
        for (std::size_t at = 0; at < size; at += sizeof(x)) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            std::memcpy(bytes.data() + at, &x, std::min(sizeof(x), size - at));
        }
        return bytes;
    }
};

inline std::uint64_t number(Sequence sequence) { return static_cast<std::uint64_t>(sequence); }

inline std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The seeds that a random test runs: one alone with FULGUR_SEED, more of them with FULGUR_LONG.
struct Seeds {
    std::uint64_t first = 1;
    std::uint64_t last;

    explicit Seeds(std::uint64_t count) : last(count) {
        if (from_environment("FULGUR_LONG", 0) != 0) last *= 10;
        last = from_environment("FULGUR_SEEDS", last);
        if (const std::uint64_t only = from_environment("FULGUR_SEED", 0)) first = last = only;
    }
};

/// A directory of the test's own on the real file system, removed at the end.
class TempDirectory {
public:
    TempDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "fulgur_test_XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    ~TempDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;

    std::string operator/(const std::string& name) const { return path_ / name; }
    std::string path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// A small engine without threads over `files`; whoever calls changes what matters.
inline db::EngineOptions small_engine(os::FileSystem& files, const std::string& path) {
    db::EngineOptions options;
    options.user.memory_budget = 64_MiB;
    options.user.log_bytes_target = 1_MiB;
    options.path = path;
    options.files = &files;
    options.clock = &os::real_clock();
    options.log.segment_bytes = 256_KiB;
    options.log.buffer_bytes = 64_KiB;
    options.log.prepare_ahead_bytes = 64_KiB;
    options.background = false;
    return options;
}

}  // namespace fulgur::system_test
