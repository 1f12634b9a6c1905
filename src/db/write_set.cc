#include "db/write_set.h"

namespace fulgur::db {

Result<void> WriteSet::add(KeyspaceState& keyspace, Bytes key, Bytes value, bool erase) {
    if (key.size() > kKeyBytesMax) {
        return Error(ErrorCode::kLimit, "the key is over 65,535 bytes");
    }
    if (value.size() > kValueBytesMax) {
        return Error(ErrorCode::kLimit, "the value is over 4 GiB - 1");
    }
    const Write* const before = find(keyspace, key);
    const std::uint64_t less = before == nullptr ? 0 : before->value.size();
    const std::uint64_t more =
        before == nullptr ? kOperationBytes + key.size() + value.size() : value.size();
    if (bytes_ - less + more > bytes_max_) {
        return Error(ErrorCode::kLimit,
                     "the transaction's writes are over their limit, 64 MiB or a quarter of the "
                     "memory budget");
    }
    bytes_ = bytes_ - less + more;
    Writes& writes = keyspaces_[keyspace.id];
    writes.keyspace = &keyspace;
    auto it = writes.keys.lower_bound(key);
    if (it == writes.keys.end() || Bytes(it->first) != key) {
        it = writes.keys.emplace_hint(it, std::string(key), Write{});
        ++size_;
    }
    if (erase) {
        it->second.value = std::string();
    } else {
        it->second.value.assign(value);  // The view may be of this very string.
    }
    it->second.erase = erase;
    return {};
}

std::vector<CommitOperation> WriteSet::operations() const {
    std::vector<CommitOperation> operations;
    operations.reserve(size_);
    for (const auto& [id, writes] : keyspaces_) {
        for (const auto& [key, write] : writes.keys) {
            operations.push_back(
                {writes.keyspace, key, write.value, write.erase, 0, operations.size()});
        }
    }
    return operations;
}

}  // namespace fulgur::db
