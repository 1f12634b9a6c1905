// What `fulgur bench run` is asked for, and the plan that follows from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/runner.h"
#include "cli/arguments.h"
#include "cli/command.h"

namespace fulgur::cli {

struct RunArguments {
    std::vector<std::string> workloads;
    std::string peers = "none";
    std::string directory;
    std::string out;
    std::string format = "table";
    std::string value_bytes;
    std::string pattern = "constant";
    std::vector<std::uint32_t> threads = {1};
    bench::Parameters parameters;
    double seconds = 3;
    double rate = 0;
    std::uint64_t memory_limit = 0;
    unsigned rounds = 3;
    bool sync = false;
    bool quick = false;
    bool figures = false;
    bool force = false;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

void define_run(CLI::App& app, RunArguments& arguments);

/// @return the exit code, told to the user, when no plan follows from the arguments.
std::optional<ExitCode> make_plan(Context& context, const RunArguments& arguments,
                                  bench::Plan& plan);

}  // namespace fulgur::cli
