#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <fulgur/bytes.h>

namespace fulgur {

class Keyspace;

/// Puts and erases that commit together or not at all, over any of one database's keyspaces.
/// Keys and values are copied in. Of several operations on one key the last counts.
/// Limits are checked by the commit. A batch belongs to the opened database of its keyspaces: after
/// a close it must be filled anew. Not thread-safe. Reuse one with `clear()`: it keeps its memory.
class WriteBatch {
public:
    /// One operation; offsets into `bytes_`, so that growing moves nothing that is pointed to.
    struct Operation {
        std::uint64_t key_head;  ///< First eight bytes of the key, big-endian: sorts most keys.
        std::size_t offset;      ///< Of the key; the value follows it.
        std::uint32_t keyspace_id;
        std::uint32_t value_size;
        std::uint16_t key_size;
        bool erase;
        bool oversized;  ///< The key or the value was over its limit; the commit says so.
    };

    void put(const Keyspace& keyspace, Bytes key, Bytes value);
    void erase(const Keyspace& keyspace, Bytes key);

    void clear() noexcept {
        bytes_.clear();
        operations_.clear();
        database_ = 0;
        mixed_ = false;
    }
    bool empty() const noexcept { return operations_.empty(); }
    /// Operations, repeated keys counted.
    std::size_t size() const noexcept { return operations_.size(); }
    /// What counts against kBatchBytesMax.
    std::size_t byte_size() const noexcept { return bytes_.size() + 16 * operations_.size(); }

    /// For the engine.
    const std::vector<Operation>& operations() const noexcept { return operations_; }
    Bytes key(const Operation& op) const noexcept {
        return {bytes_.data() + op.offset, op.key_size};
    }
    Bytes value(const Operation& op) const noexcept {
        return {bytes_.data() + op.offset + op.key_size, op.value_size};
    }
    std::uint64_t database() const noexcept { return database_; }
    bool mixed() const noexcept { return mixed_; }

private:
    void add(const Keyspace& keyspace, Bytes key, Bytes value, bool erase);

    std::vector<char> bytes_;
    std::vector<Operation> operations_;
    std::uint64_t database_ = 0;  ///< Opened databases are numbered; guards against two in a batch.
    bool mixed_ = false;
};

}  // namespace fulgur
