// Histograms as bytes: the compressed V2 encoding of HdrHistogram, which its libraries for Java, C,
// Go, JavaScript and others read. docs/bench-format.md has the bytes.
//
// Our buckets are those of a HdrHistogram with three significant digits, a lowest value of 1 and no
// offset, index for index, so that nothing is lost in either direction. Other shapes are refused.
// Any thread may call.
#pragma once

#include <optional>
#include <string>

#include <fulgur/bytes.h>

#include "base/histogram.h"

namespace fulgur::bench {

/// The bytes: a cookie, a length, and a zlib stream.
std::string encode_histogram(const Histogram& histogram);

struct HistogramOutcome {
    std::optional<Histogram> histogram;
    const char* fault = nullptr;  ///< Why there is none.
};

/// Reads hostile bytes: at most half a megabyte is inflated, whatever they claim.
HistogramOutcome decode_histogram(Bytes bytes);

}  // namespace fulgur::bench
