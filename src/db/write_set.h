// What a transaction writes: the last put or erase of each key, in the order of keyspaces and keys.
//
// A key's entry never goes nor moves until the transaction ends, so cursors may point to it. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "db/engine.h"

namespace fulgur::db {

class WriteSet {
public:
    struct Write {
        std::string value;
        bool erase = false;
    };
    using Keys = std::map<std::string, Write, std::less<>>;

    explicit WriteSet(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

    /// @return kLimit: not taken.
    Result<void> add(KeyspaceState& keyspace, Bytes key, Bytes value, bool erase);
    /// What is written to the keyspace; null: nothing.
    const Keys* of(const KeyspaceState& keyspace) const {
        const auto it = keyspaces_.find(keyspace.id);
        return it == keyspaces_.end() ? nullptr : &it->second.keys;
    }
    /// Null: the key is not written.
    const Write* find(const KeyspaceState& keyspace, Bytes key) const {
        const Keys* const keys = keyspaces_.empty() ? nullptr : of(keyspace);
        if (keys == nullptr) return nullptr;
        const auto it = keys->find(key);
        return it == keys->end() ? nullptr : &it->second;
    }
    bool empty() const { return keyspaces_.empty(); }
    std::size_t size() const { return size_; }
    /// Views into this set, sorted as a commit wants them.
    std::vector<CommitOperation> operations() const;

    template <typename Visit>
    void for_each_keyspace(const Visit& visit) const {
        for (const auto& [id, writes] : keyspaces_) visit(*writes.keyspace, writes.keys);
    }

private:
    struct Writes {
        KeyspaceState* keyspace = nullptr;
        Keys keys;
    };
    static constexpr std::uint64_t kOperationBytes = 16;  ///< As WriteBatch counts.

    const std::uint64_t bytes_max_;
    std::uint64_t bytes_ = 0;
    std::size_t size_ = 0;
    std::map<std::uint32_t, Writes> keyspaces_;
};

}  // namespace fulgur::db
