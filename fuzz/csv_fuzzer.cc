// Hostile CSV: reading neither crashes nor depends on where the stream's pieces end, and what was
// read is read again from what is written of it.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/csv_codec.h"
#include "cli/memory_stream.h"

namespace {

using fulgur::cli::CsvReader;
using fulgur::cli::CsvStyle;
using fulgur::cli::Record;
using fulgur::cli::RecordReader;

void require(bool holds) {
    if (!holds) std::abort();
}

/// Any bytes survive being written and read.
void check_round_trip(const std::vector<Record>& records, const CsvStyle& style) {
    std::string text;
    fulgur::cli::append_csv_header(style, text);
    for (const Record& record : records) {
        fulgur::cli::append_csv_row(style, record.keyspace, record.key, record.value, text);
    }
    fulgur::cli::MemoryInput stream(text);
    CsvReader reader(stream, {.keyspaces = style.keyspaces});
    for (const Record& record : records) {
        Record again;
        require(reader.next(again) == RecordReader::Outcome::kRecord && again.key == record.key &&
                again.value == record.value && again.keyspace == record.keyspace);
    }
    Record none;
    require(reader.next(none) == RecordReader::Outcome::kEnd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // The first byte chooses how to read: two bits the style, the others the pieces.
    const CsvStyle style{.base64 = (data[0] & 2) != 0, .keyspaces = (data[0] & 1) != 0};
    const fulgur::cli::ReaderOptions options{.keyspaces = style.keyspaces, .line_bytes_max = 4096};
    const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
    fulgur::cli::MemoryInput whole_stream(input);
    fulgur::cli::MemoryInput piece_stream(input, data[0] / 4 + 1);
    CsvReader whole(whole_stream, options);
    CsvReader pieces(piece_stream, options);
    std::vector<Record> records;
    for (;;) {
        Record record;
        Record same;
        const RecordReader::Outcome outcome = whole.next(record);
        require(outcome != RecordReader::Outcome::kFailed);
        // Beyond the limit the pieces decide which of two faults is met first.
        if (size <= options.line_bytes_max) {
            require(pieces.next(same) == outcome);
            require(outcome != RecordReader::Outcome::kRecord ||
                    (record.key == same.key && record.value == same.value));
            require(whole.bad().line == pieces.bad().line &&
                    whole.bad().column == pieces.bad().column);
        }
        if (outcome == RecordReader::Outcome::kEnd) break;
        if (outcome == RecordReader::Outcome::kRecord) records.push_back(record);
    }
    check_round_trip(records, style);
    // The input itself as bytes of a record.
    check_round_trip({{"k", input.substr(0, size / 3), input.substr(size / 3)}},
                     {.base64 = style.base64, .keyspaces = true});
    return 0;
}
