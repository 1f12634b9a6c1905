// A folder of a test's own, removed at its end.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "os/random.h"

namespace fulgur::bench {

class TestFolder {
public:
    TestFolder() {
        path_ = std::filesystem::temp_directory_path() /
                ("fulgur_bench_" + std::to_string(os::random_seed()));
        std::filesystem::create_directory(path_);
    }
    ~TestFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    std::string path(const std::string& name) const { return path_ / name; }

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }
    std::string read(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream(path(name), std::ios::binary).rdbuf();
        return text.str();
    }

private:
    std::filesystem::path path_;
};

}  // namespace fulgur::bench
