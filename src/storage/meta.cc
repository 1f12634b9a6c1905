#include "storage/meta.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string_view>

#include <fulgur/options.h>

#include "base/coding.h"
#include "base/planted.h"

namespace fulgur::storage {

namespace {

constexpr std::size_t kHeaderBytes = 24;
constexpr std::size_t kKeyspaceBytes = 16 + PageRef::kEncodedSize;  // before the name
constexpr std::size_t kExtentBytes = 16;
constexpr std::size_t kPendingBytes = 24;

/// Takes fields off the front of the catalog. Every getter's precondition is a `has` before it.
class Cursor {
public:
    explicit Cursor(Bytes bytes) : bytes_(bytes) {}

    std::size_t position() const { return position_; }
    std::size_t left() const { return bytes_.size() - position_; }
    /// `count` entries of `size` bytes are there: asked before anything is allocated for them.
    bool has(std::uint64_t count, std::size_t size) const { return count <= left() / size; }

    template <typename T>
    T number() {
        const T value = load_le<T>(bytes_.data() + position_);
        position_ += sizeof(T);
        return value;
    }
    Bytes take(std::size_t size) {
        const Bytes part = bytes_.substr(position_, size);
        position_ += size;
        return part;
    }
    Extent extent() {
        const auto sector = number<std::uint64_t>();
        return {sector, number<std::uint64_t>()};
    }
    Error corrupt(const char* what) const {
        return Error(ErrorCode::kCorruption, what).at("catalog", position_);
    }

private:
    Bytes bytes_;
    std::size_t position_ = 0;
};

class Writer {
public:
    explicit Writer(char* to) : to_(to) {}

    template <typename T>
    void number(T value) {
        store_le(to_, value);
        to_ += sizeof(T);
    }
    void bytes(Bytes from) {
        std::memcpy(to_, from.data(), from.size());
        to_ += from.size();
    }
    void extent(Extent extent) {
        number(extent.sector);
        number(extent.sectors);
    }
    char* reserve(std::size_t size) {
        char* const place = to_;
        to_ += size;
        return place;
    }
    const char* end() const { return to_; }

private:
    char* to_;
};

/// Sorts `extents` and says whether two of them share a sector.
bool any_overlap(std::vector<Extent>& extents) {
    std::sort(extents.begin(), extents.end(),
              [](Extent a, Extent b) { return a.sector < b.sector; });
    return std::adjacent_find(extents.begin(), extents.end(), [](Extent a, Extent b) {
               return b.sector < a.end();
           }) != extents.end();
}

bool has_twins(std::vector<std::uint32_t>& ids) {
    std::sort(ids.begin(), ids.end());
    return std::adjacent_find(ids.begin(), ids.end()) != ids.end();
}

bool has_twins(std::vector<std::string_view>& names) {
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) != names.end();
}

/// The extents that a root names: its own and its delta.
Result<void> check_root(const Cursor& cursor, const PageRef& root, std::uint64_t file_sectors) {
    const Extent own{root.sector, root.sectors()};
    const Extent delta{root.delta_sector, sectors_of(root.delta_length)};
    if (root.sector != 0 && !own.within(file_sectors)) {
        return cursor.corrupt("the root of a keyspace lies outside the file");
    }
    if (root.delta_sector != 0 && !delta.within(file_sectors)) {
        return cursor.corrupt("the delta of a root lies outside the file");
    }
    return {};
}

Result<KeyspaceMeta> decode_keyspace(Cursor& cursor, std::uint64_t file_sectors) {
    if (!cursor.has(1, kKeyspaceBytes)) return cursor.corrupt("a keyspace is cut short");
    KeyspaceMeta keyspace;
    keyspace.id = cursor.number<std::uint32_t>();
    keyspace.height = cursor.number<std::uint32_t>();
    keyspace.flags = cursor.number<std::uint8_t>();
    const auto name_size = cursor.number<std::uint8_t>();
    const auto reserved = cursor.number<std::uint16_t>();
    const auto upper_count = cursor.number<std::uint32_t>();
    if ((keyspace.flags & ~KeyspaceMeta::kDropped) != 0 || reserved != 0) {
        return cursor.corrupt("a keyspace has unknown flags");
    }
    keyspace.root = PageRef::decode(cursor.take(PageRef::kEncodedSize).data());
    if (Result<void> root = check_root(cursor, keyspace.root, file_sectors); !root.ok()) {
        return root.error();
    }
    if (name_size == 0 || !cursor.has(name_size, 1)) {
        return cursor.corrupt("the name of a keyspace is empty or cut short");
    }
    keyspace.name = std::string(cursor.take(name_size));
    if (!cursor.has(upper_count, kExtentBytes)) {
        return cursor.corrupt("the list of inner pages is cut short");
    }
    keyspace.upper.reserve(upper_count);
    for (std::uint32_t i = 0; i < upper_count; ++i) {
        const Extent extent = cursor.extent();
        if (!extent.within(file_sectors)) {
            return cursor.corrupt("an inner page lies outside the file");
        }
        keyspace.upper.push_back(extent);
    }
    return keyspace;
}

/// Extents by sector, each after the one before.
bool follows(Extent extent, std::uint64_t previous_end, std::uint64_t file_sectors) {
    return extent.within(file_sectors) && extent.sector >= previous_end;
}

Result<void> decode_free(Cursor& cursor, std::uint64_t free_count, std::uint64_t pending_count,
                         std::uint64_t file_sectors, Meta& meta) {
    if (!cursor.has(free_count, kExtentBytes) && !FULGUR_PLANTED("catalog_count_believed")) {
        return cursor.corrupt("the list of free space is cut short");
    }
    meta.free.reserve(free_count);
    std::uint64_t end = 0;
    for (std::uint64_t i = 0; i < free_count; ++i) {
        const Extent extent = cursor.extent();
        if (!follows(extent, end, file_sectors)) {
            return cursor.corrupt("free space is out of order or outside the file");
        }
        end = extent.end();
        meta.free.push_back(extent);
    }
    if (!cursor.has(pending_count, kPendingBytes)) {
        return cursor.corrupt("the list of pending space is cut short");
    }
    meta.pending.reserve(pending_count);
    end = 0;
    for (std::uint64_t i = 0; i < pending_count; ++i) {
        const Extent extent = cursor.extent();
        const auto tag = cursor.number<std::uint64_t>();
        if (!follows(extent, end, file_sectors)) {
            return cursor.corrupt("pending space is out of order or outside the file");
        }
        end = extent.end();
        meta.pending.push_back({extent.sector, extent.sectors, tag});
    }
    return {};
}

/// What cannot be seen entry by entry: things that must be there only once.
Result<void> check_whole(const Meta& meta) {
    const auto corrupt = [](const char* what) {
        return Error(ErrorCode::kCorruption, what).at("catalog");
    };
    std::vector<std::uint32_t> ids;
    std::vector<std::string_view> names;
    std::vector<Extent> inner;  // may hold the roots
    std::vector<Extent> roots;
    for (const KeyspaceMeta& keyspace : meta.keyspaces) {
        if (keyspace.id >= meta.next_keyspace_id) {
            return corrupt("a keyspace id is not below the next one");
        }
        ids.push_back(keyspace.id);
        if (!keyspace.dropped()) names.push_back(keyspace.name);
        inner.insert(inner.end(), keyspace.upper.begin(), keyspace.upper.end());
        const PageRef& root = keyspace.root;
        if (root.sector != 0) roots.push_back({root.sector, root.sectors()});
        if (root.delta_sector != 0) {
            roots.push_back({root.delta_sector, sectors_of(root.delta_length)});
        }
    }
    if (has_twins(ids)) return corrupt("a keyspace id is there twice");
    if (has_twins(names)) return corrupt("a keyspace name is there twice");
    for (std::vector<Extent>* owned : {&inner, &roots}) {
        owned->insert(owned->end(), meta.free.begin(), meta.free.end());
        for (const PendingExtent& pending : meta.pending) owned->push_back(pending.extent());
        if (any_overlap(*owned)) return corrupt("a sector has two owners");
    }
    return {};
}

}  // namespace

std::size_t Meta::encoded_size() const {
    std::size_t size = kHeaderBytes + free.size() * kExtentBytes + pending.size() * kPendingBytes;
    for (const KeyspaceMeta& keyspace : keyspaces) {
        size += kKeyspaceBytes + keyspace.name.size() + keyspace.upper.size() * kExtentBytes;
    }
    return size;
}

std::string Meta::encode(std::size_t padded_size) const {
    const std::size_t size = encoded_size();
    assert(padded_size == 0 || padded_size >= size);
    std::string bytes(std::max(size, padded_size), '\0');
    Writer writer(bytes.data());
    writer.number(next_keyspace_id);
    writer.number(static_cast<std::uint32_t>(keyspaces.size()));
    writer.number(std::uint64_t{free.size()});
    writer.number(std::uint64_t{pending.size()});
    for (const KeyspaceMeta& keyspace : keyspaces) {
        assert(!keyspace.name.empty() && keyspace.name.size() <= kKeyspaceNameBytesMax);
        writer.number(keyspace.id);
        writer.number(keyspace.height);
        writer.number(keyspace.flags);
        writer.number(static_cast<std::uint8_t>(keyspace.name.size()));
        writer.number(std::uint16_t{0});
        writer.number(static_cast<std::uint32_t>(keyspace.upper.size()));
        keyspace.root.encode(writer.reserve(PageRef::kEncodedSize));
        writer.bytes(keyspace.name);
        for (const Extent extent : keyspace.upper) writer.extent(extent);
    }
    for (const Extent extent : free) writer.extent(extent);
    for (const PendingExtent& entry : pending) {
        writer.extent(entry.extent());
        writer.number(entry.tag);
    }
    assert(writer.end() == bytes.data() + size);
    return bytes;
}

Result<Meta> Meta::decode(Bytes bytes, std::uint64_t file_sectors) {
    Cursor cursor(bytes);
    if (!cursor.has(1, kHeaderBytes)) return cursor.corrupt("the catalog is cut short");
    Meta meta;
    meta.next_keyspace_id = cursor.number<std::uint32_t>();
    const auto keyspace_count = cursor.number<std::uint32_t>();
    const auto free_count = cursor.number<std::uint64_t>();
    const auto pending_count = cursor.number<std::uint64_t>();
    if (!cursor.has(keyspace_count, kKeyspaceBytes)) {
        return cursor.corrupt("the list of keyspaces is cut short");
    }
    meta.keyspaces.reserve(keyspace_count);
    for (std::uint32_t i = 0; i < keyspace_count; ++i) {
        Result<KeyspaceMeta> keyspace = decode_keyspace(cursor, file_sectors);
        if (!keyspace.ok()) return keyspace.error();
        meta.keyspaces.push_back(std::move(*keyspace));
    }
    Result<void> lists = decode_free(cursor, free_count, pending_count, file_sectors, meta);
    if (!lists.ok()) return lists.error();
    const Bytes padding = cursor.take(cursor.left());
    if (!std::all_of(padding.begin(), padding.end(), [](char c) { return c == 0; })) {
        return cursor.corrupt("there are bytes after the end of the catalog");
    }
    if (Result<void> whole = check_whole(meta); !whole.ok()) return whole.error();
    return meta;
}

}  // namespace fulgur::storage
