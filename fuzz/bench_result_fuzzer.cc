// Hostile result files: reading one either tells what is wrong or gives a run that survives being
// written and read again; and so do a histogram's bytes by themselves.

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "bench/bench_error.h"
#include "bench/histogram_codec.h"
#include "bench/report_table.h"
#include "bench/result_file.h"
#include "bench/stored.h"

namespace {

using fulgur::bench::BenchError;
using fulgur::bench::Run;

void require(bool holds) {
    if (!holds) std::abort();
}

/// The lines of a run, as ResultWriter writes them.
std::string lines_of(const Run& run) {
    using fulgur::bench::Json;
    using fulgur::bench::to_line;
    std::string text = to_line(Json{{"format", Run::kFormat},
                                    {"kind", "run"},
                                    {"quick", run.quick},
                                    {"environment", to_json(run.environment)}});
    for (const auto& result : run.results) text += "\n" + to_line(to_json(result));
    return text + "\n" +
           to_line(Json{
               {"kind", "end"}, {"results", run.results.size()}, {"interrupted", run.interrupted}});
}

void check_run(const std::string& text) {
    std::istringstream stream(text);
    try {
        const Run run = fulgur::bench::read_run(stream, "fuzz");
        std::istringstream again_stream(lines_of(run));
        const Run again = fulgur::bench::read_run(again_stream, "again");
        require(again.results.size() == run.results.size());
        for (std::size_t i = 0; i < run.results.size(); ++i) {
            require(again.results[i].slices_ns == run.results[i].slices_ns);
            require(again.results[i].latency_ns.counts() == run.results[i].latency_ns.counts());
            require(again.results[i].counters == run.results[i].counters);
        }
        require(again.interrupted == run.interrupted);
        to_csv(run);
        to_markdown(run, subject_of(run));
    } catch (const BenchError&) {
        return;  // Told.
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Walsh averages of many slices take time that finds nothing.
    constexpr std::size_t kBytesMax = 16 << 10;
    if (size > kBytesMax) return 0;
    const std::string input(reinterpret_cast<const char*>(data), size);
    const auto outcome = fulgur::bench::decode_histogram(input);
    require(outcome.histogram.has_value() == (outcome.fault == nullptr));
    if (outcome.histogram) {
        const auto again =
            fulgur::bench::decode_histogram(fulgur::bench::encode_histogram(*outcome.histogram));
        require(again.histogram && again.histogram->counts() == outcome.histogram->counts());
    }
    check_run(input);
    try {
        fulgur::bench::parse_google_benchmark(input, "fuzz");
    } catch (const BenchError&) {
        return 0;  // Told.
    }
    return 0;
}
