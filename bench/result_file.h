// A Run as JSON lines, format `bench/1`: docs/bench-format.md has every field.
//
//     {"format":"bench/1","kind":"run","quick":false,"environment":{...}}
//     {"kind":"result","workload":"readrandom","side":"fulgur",...}
//     {"kind":"end","results":1,...}
//
// A line is written and flushed as soon as what it holds is known, so that a run that was ended, or
// a disk that filled up, leaves the results before it. Invariant: a file without its end line was
// interrupted. What is read back equals what was written, but for the name of the fields that this
// version does not know, which are passed over.
//
// One thread at a time.
#pragma once

#include <fstream>
#include <iosfwd>
#include <string>

#include <nlohmann/json.hpp>

#include "bench/result.h"

namespace fulgur::bench {

/// Members keep the order in which they were set.
using Json = nlohmann::ordered_json;

/// Writes a run while it happens. Every function throws BenchError when the file refuses.
class ResultWriter {
public:
    /// Makes the file, or empties it, and writes the first line.
    ResultWriter(const std::string& path, const Environment& environment, bool quick);
    /// Throws BenchError too when a figure is not a number: a bug of whoever measured.
    void add(const Result& result);
    /// The last line; without it the file counts as interrupted. `after` gives the load and the
    /// stolen time.
    void end(const Environment& after, bool interrupted = false);

private:
    void write_line(const Json& line);

    std::string path_;
    std::ofstream file_;
    std::size_t results_ = 0;
};

/// All at once. An interrupted run stays one.
void write_run(const std::string& path, const Run& run);

/// Reads a run; throws BenchError with the file and line for what cannot be believed: another
/// version of the format, damage in the middle, a wrong type, a figure that is no number. An end
/// that is missing or cut off leaves `interrupted` set and says so in `warnings`.
Run read_run(const std::string& path);
/// The same from a stream; `name` is for messages.
Run read_run(std::istream& stream, const std::string& name);

/// Objects as in the file, for other outputs. Text that is not UTF-8 is replaced.
Json to_json(const Environment& environment);
Json to_json(const Result& result);
std::string to_line(const Json& object);

}  // namespace fulgur::bench
