#pragma once

/// Test data for both codecs: bytes chosen so that quoting, escaping, line ends and invalid UTF-8
/// meet often, and records to compare.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "cli/memory_stream.h"
#include "cli/record.h"
#include "os/random.h"

namespace fulgur::cli {

/// A seed that is printed, so that a failure can be repeated: FULGUR_SEED=... ./cli_test.
inline std::uint64_t test_seed() {
    const char* const given = std::getenv("FULGUR_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 0) : os::random_seed();
    std::cout << "FULGUR_SEED=" << seed << "\n";
    return seed;
}

inline std::string random_bytes(os::Random& random, std::size_t size_max) {
    static const std::vector<std::string> kTricky = {
        ",",    "\"",   "\"\"", "\r",       "\n",       "\r\n",         "\\",           "/",
        "{",    "}",    ":",    "\xc3\xa9", "\xe2\x82", "\xe2\x82\xac", "\xf0\x9f\x98", "\xff",
        "\xc0", "\x7f", "\x1b", "a",        " ",        "\t",           "\xed\xa0\x80", "="};
    std::string bytes;
    const std::size_t size = random.below(size_max + 1);
    const bool text_only = random.one_in(2);
    while (bytes.size() < size) {
        if (text_only) {
            bytes += static_cast<char>(random.between(0, 0x7f));
        } else if (random.one_in(2)) {
            bytes += kTricky[random.below(kTricky.size())];
        } else {
            bytes += static_cast<char>(random.below(256));
        }
    }
    return bytes;
}

inline std::vector<Record> random_records(os::Random& random, bool keyspaces) {
    std::vector<Record> records(random.below(20));
    for (Record& record : records) {
        record.key = random_bytes(random, 12);
        record.value = random_bytes(random, random.one_in(8) ? 3000 : 40);
        if (keyspaces) record.keyspace = "k" + random_bytes(random, 5);
    }
    return records;
}

/// What a reader made of some input: records, and faults as "line:column: what".
struct ReadOutcome {
    std::vector<Record> records;
    std::vector<std::string> faults;
};

inline ReadOutcome read_everything(Format format, std::string input, const ReaderOptions& options,
                                   std::size_t piece_bytes = 1 << 16) {
    MemoryInput stream(std::move(input), piece_bytes);
    const auto reader = make_record_reader(format, stream, options);
    ReadOutcome outcome;
    for (;;) {
        Record record;
        switch (reader->next(record)) {
            case RecordReader::Outcome::kRecord:
                outcome.records.push_back(record);
                break;
            case RecordReader::Outcome::kBad:
                outcome.faults.push_back(std::to_string(reader->bad().line) + ":" +
                                         std::to_string(reader->bad().column) + ": " +
                                         reader->bad().what);
                break;
            case RecordReader::Outcome::kFailed:
                outcome.faults.push_back("failed");
                return outcome;
            case RecordReader::Outcome::kEnd:
                return outcome;
        }
    }
}

inline bool operator==(const Record& a, const Record& b) {
    return a.keyspace == b.keyspace && a.key == b.key && a.value == b.value;
}

}  // namespace fulgur::cli
