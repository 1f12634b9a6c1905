// Hostile JSON lines: reading neither crashes nor depends on where the stream's pieces end, and
// what was read is read again from what is written of it.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/jsonl_codec.h"
#include "cli/memory_stream.h"

namespace {

using fulgur::cli::Record;
using fulgur::cli::RecordReader;

void require(bool holds) {
    if (!holds) std::abort();
}

/// Any bytes survive being written and read.
void check_round_trip(const Record& record) {
    std::string text;
    fulgur::cli::append_json_line(record.keyspace, record.key, record.value, text);
    require(text.find('\n') == text.size() - 1);
    Record again;
    const auto fault = fulgur::cli::decode_json_line({text.data(), text.size() - 1},
                                                     !record.keyspace.empty(), again);
    require(!fault && again.key == record.key && again.value == record.value &&
            again.keyspace == record.keyspace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // The first byte chooses how to read: its lowest bit the keyspaces, the others the pieces.
    const fulgur::cli::ReaderOptions options{.keyspaces = (data[0] & 1) != 0,
                                             .line_bytes_max = 4096};
    const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
    fulgur::cli::MemoryInput whole_stream(input);
    fulgur::cli::MemoryInput piece_stream(input, data[0] / 2 + 1);
    fulgur::cli::JsonLinesReader whole(whole_stream, options);
    fulgur::cli::JsonLinesReader pieces(piece_stream, options);
    for (;;) {
        Record record;
        Record same;
        const RecordReader::Outcome outcome = whole.next(record);
        require(pieces.next(same) == outcome && outcome != RecordReader::Outcome::kFailed);
        if (outcome == RecordReader::Outcome::kEnd) break;
        if (outcome == RecordReader::Outcome::kBad) {
            require(whole.bad().line == pieces.bad().line && whole.bad().column > 0 &&
                    whole.bad().column == pieces.bad().column && !whole.bad().what.empty());
            continue;
        }
        require(record.key == same.key && record.value == same.value);
        check_round_trip(record);
    }
    // The input itself as bytes of a record.
    check_round_trip({{}, input.substr(0, size / 3), input.substr(size / 3)});
    return 0;
}
