// The body of a log record: the operations of one commit, after-values only. Pure.
//
// One operation; docs/format.md section 4 is the authority:
//   0 type u8 | 1 flags u8 (1: expires) | 2 key size u16 | 4 keyspace id u32 | 8 value size u32
//   12 [expiry u64] key, value
// Operations stand behind one another without padding, sorted by keyspace and key.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

namespace fulgur::db {

enum class LogOperation : std::uint8_t {
    kPut = 1,
    kErase = 2,
    kPutExtent = 3,       ///< the value is a LoggedExtent: its bytes are in the data file already
    kCreateKeyspace = 4,  ///< the key is the name
    kDropKeyspace = 5,
};

/// Where a value too large for the log lies.
struct LoggedExtent {
    static constexpr std::size_t kEncodedBytes = 24;
    std::uint64_t sector = 0;
    std::uint64_t length = 0;
    std::uint64_t checksum = 0;

    void encode(char* to) const;
    static LoggedExtent decode(const char* from);
};

struct LoggedOperation {
    LogOperation type = LogOperation::kPut;
    std::uint32_t keyspace_id = 0;
    std::uint64_t expiry = 0;
    Bytes key;
    Bytes value;
};

void append_operation(std::vector<char>& body, const LoggedOperation& operation);

/// Gives each operation of a body in order. Views point into `body`.
/// @return kCorruption when the body is not a sequence of operations; the visitor's first error.
Result<void> for_each_operation(Bytes body,
                                const std::function<Result<void>(const LoggedOperation&)>& visit);

}  // namespace fulgur::db
