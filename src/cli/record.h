#pragma once

/// What `load` reads and `dump` writes, whatever the format.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "os/stream.h"

namespace fulgur::cli {

/// The longest line (or CSV row) read by default: the largest batch the engine takes (64 MiB) as
/// base64 with its key, and room to spare.
inline constexpr std::uint64_t kLineBytesMax = std::uint64_t{96} << 20;

struct Record {
    std::string keyspace;  ///< Empty when the input does not say.
    std::string key;
    std::string value;
};

/// One fault of the input, by place. Lines and columns count from 1, columns in bytes.
struct BadInput {
    std::uint64_t line = 0;
    std::uint64_t column = 0;
    std::string what;
};

/// Reads records from one stream. Memory is bounded by the longest line allowed. Not thread-safe.
class RecordReader {
public:
    enum class Outcome : std::uint8_t {
        kRecord,  ///< `record` was filled.
        kEnd,
        kBad,     ///< bad() says why; calling again goes on after the bad line.
        kFailed,  ///< failure() says why: the stream could not be read.
    };

    virtual ~RecordReader() = default;
    virtual Outcome next(Record& record) = 0;
    virtual const BadInput& bad() const = 0;
    virtual const Error& failure() const = 0;
    /// Where the newest record began.
    virtual std::uint64_t line() const = 0;
    virtual std::uint64_t bytes_read() const = 0;
};

enum class Format : std::uint8_t { kJsonLines, kCsv };

struct ReaderOptions {
    bool keyspaces = false;  ///< Each record names its keyspace.
    std::uint64_t line_bytes_max = kLineBytesMax;
};
std::unique_ptr<RecordReader> make_record_reader(Format format, os::InputStream& input,
                                                 const ReaderOptions& options);

}  // namespace fulgur::cli
