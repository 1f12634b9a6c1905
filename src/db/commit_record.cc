#include "db/commit_record.h"

#include <fulgur/options.h>

#include "base/coding.h"

namespace fulgur::db {

namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::uint8_t kExpiresFlag = 1;

}  // namespace

void LoggedExtent::encode(char* to) const {
    store_le<std::uint64_t>(to, sector);
    store_le<std::uint64_t>(to + 8, length);
    store_le<std::uint64_t>(to + 16, checksum);
}

LoggedExtent LoggedExtent::decode(const char* from) {
    return {load_le<std::uint64_t>(from), load_le<std::uint64_t>(from + 8),
            load_le<std::uint64_t>(from + 16)};
}

void append_operation(std::vector<char>& body, const LoggedOperation& operation) {
    char header[kHeaderBytes + 8];
    header[0] = static_cast<char>(operation.type);
    header[1] = static_cast<char>(operation.expiry != 0 ? kExpiresFlag : 0);
    store_le<std::uint16_t>(header + 2, static_cast<std::uint16_t>(operation.key.size()));
    store_le<std::uint32_t>(header + 4, operation.keyspace_id);
    store_le<std::uint32_t>(header + 8, static_cast<std::uint32_t>(operation.value.size()));
    store_le<std::uint64_t>(header + kHeaderBytes, operation.expiry);
    body.insert(body.end(), header, header + kHeaderBytes + (operation.expiry != 0 ? 8 : 0));
    body.insert(body.end(), operation.key.begin(), operation.key.end());
    body.insert(body.end(), operation.value.begin(), operation.value.end());
}

Result<void> for_each_operation(Bytes body,
                                const std::function<Result<void>(const LoggedOperation&)>& visit) {
    const Error bad(ErrorCode::kCorruption, "a log record's operations do not fit its length");
    while (!body.empty()) {
        if (body.size() < kHeaderBytes) return bad;
        LoggedOperation operation;
        const auto type = static_cast<std::uint8_t>(body[0]);
        const auto flags = static_cast<std::uint8_t>(body[1]);
        const std::size_t key_size = load_le<std::uint16_t>(body.data() + 2);
        const std::size_t value_size = load_le<std::uint32_t>(body.data() + 8);
        const std::size_t expiry_size = (flags & kExpiresFlag) != 0 ? 8 : 0;
        if (type < 1 || type > 5 || (flags & ~kExpiresFlag) != 0) {
            return Error(ErrorCode::kUnsupported,
                         "the log holds an operation that this build does not know");
        }
        operation.type = static_cast<LogOperation>(type);
        operation.keyspace_id = load_le<std::uint32_t>(body.data() + 4);
        body.remove_prefix(kHeaderBytes);
        if (body.size() < expiry_size || body.size() - expiry_size < key_size ||
            body.size() - expiry_size - key_size < value_size) {
            return bad;
        }
        if (expiry_size != 0) operation.expiry = load_le<std::uint64_t>(body.data());
        operation.key = body.substr(expiry_size, key_size);
        operation.value = body.substr(expiry_size + key_size, value_size);
        body.remove_prefix(expiry_size + key_size + value_size);
        if (operation.type == LogOperation::kPutExtent &&
            value_size != LoggedExtent::kEncodedBytes) {
            return bad;
        }
        if (Result<void> visited = visit(operation); !visited) return visited;
    }
    return {};
}

}  // namespace fulgur::db
