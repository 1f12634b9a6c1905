#pragma once

/// `fulgur bench compare --mode fine`: two builds of the engine in one process, slice by slice.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/progress.h"

namespace fulgur::cli {

struct FineArguments {
    std::vector<std::string> workloads = {"readrandom"};
    std::uint64_t rows = 100'000;
    std::string directory;  ///< for the databases; empty: where temporary files go
};

struct FinePlan {
    std::string before;  ///< a module (bench/variant.h), or "self": the engine in this program
    std::string after;
    double threshold = 0.02;
    double alpha = 0.05;
    double total_limit_s = 600;
    std::uint64_t seed = 1;
    Progress::Wish progress = Progress::Wish::kWhenTerminal;
};

/// Throws BenchError and Failure.
ExitCode compare_variants(Context& context, const FineArguments& arguments, const FinePlan& plan);

}  // namespace fulgur::cli
