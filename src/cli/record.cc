#include "cli/record.h"

#include "cli/csv_codec.h"
#include "cli/jsonl_codec.h"

namespace fulgur::cli {

std::unique_ptr<RecordReader> make_record_reader(Format format, os::InputStream& input,
                                                 const ReaderOptions& options) {
    if (format == Format::kCsv) return std::make_unique<CsvReader>(input, options);
    return std::make_unique<JsonLinesReader>(input, options);
}

}  // namespace fulgur::cli
