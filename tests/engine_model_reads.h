// The reading half of EngineModel: everything that a reader can do, against the model's maps.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>

#include "tests/engine_model.h"

namespace fulgur::system_test {

/// Keeps some of the views, to be looked at again when much has happened.
inline void EngineModel::get_some(Reader& reader, std::vector<HeldView>* views) {
    const auto keyspace = pick(at(reader));
    if (keyspace == nullptr) return;
    for (std::uint64_t n = 1 + random_.below(8); n > 0 && !failed(); --n) {
        const std::string k = key();
        const auto it = keyspace->rows.find(k);
        const Result<std::optional<Bytes>> found = reader.get(handles_.at(keyspace->id), k);
        ASSERT_TRUE(found.ok()) << found.error().message();
        ASSERT_EQ(found->has_value(), it != keyspace->rows.end()) << "key of size " << k.size();
        if (!*found) continue;
        ASSERT_TRUE(**found == it->second.make()) << "key of size " << k.size();
        if (views != nullptr) views->push_back({**found, it->second});
    }
}

inline void EngineModel::get_many(Reader& reader) {
    const auto keyspace = pick(at(reader));
    if (keyspace == nullptr) return;
    std::vector<std::string> wanted(random_.below(100));
    for (std::string& k : wanted) k = key();
    const std::vector<Bytes> keys(wanted.begin(), wanted.end());
    // Views left from an earlier call must not shine through.
    std::vector<std::optional<Bytes>> views(keys.size() + random_.below(3), Bytes("stale"));
    const Result<void> done = reader.get_many(handles_.at(keyspace->id), keys, views);
    ASSERT_TRUE(done.ok()) << done.error().message();
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto it = keyspace->rows.find(wanted[i]);
        ASSERT_EQ(views[i].has_value(), it != keyspace->rows.end()) << "key " << i;
        ASSERT_TRUE(!views[i] || *views[i] == it->second.make()) << "key " << i;
    }
}

inline void EngineModel::read_part(Reader& reader) {
    const auto keyspace = pick(at(reader));
    if (keyspace == nullptr) return;
    const std::string k = key();
    const auto it = keyspace->rows.find(k);
    const std::string whole = it == keyspace->rows.end() ? "" : it->second.make();
    const std::uint64_t offset = random_.below(whole.size() + 10);
    std::string into(random_.below(whole.size() + 10), '?');
    const Result<std::optional<std::size_t>> size =
        reader.read(handles_.at(keyspace->id), k, offset, into);
    ASSERT_TRUE(size.ok()) << size.error().message();
    ASSERT_EQ(size->has_value(), it != keyspace->rows.end());
    if (!*size) return;
    const std::string expected = offset < whole.size() ? whole.substr(offset, into.size()) : "";
    ASSERT_EQ(**size, expected.size());
    ASSERT_TRUE(into.starts_with(expected)) << "at byte " << offset;
    ASSERT_EQ(into.find_first_not_of('?', expected.size()), std::string::npos)
        << "bytes behind the part were written";
}

/// A cursor over a range makes random moves, while commits go on.
inline void EngineModel::walk(Reader& reader) {
    const auto keyspace = pick(at(reader));
    if (keyspace == nullptr) return;
    const Rows& rows = keyspace->rows;
    const KeyRange wanted = range();
    Cursor cursor = reader.cursor(handles_.at(keyspace->id), wanted);
    const auto inside = [&](Rows::const_iterator it) {
        return it != rows.end() && (!wanted.end || it->first < *wanted.end);
    };
    const auto begin = rows.lower_bound(wanted.begin);
    auto end = wanted.end ? rows.lower_bound(*wanted.end) : rows.end();
    if (!inside(begin)) end = begin;
    auto it = begin;
    bool valid = begin != end;
    for (std::uint64_t steps = random_.below(120); steps > 0 && !failed(); --steps) {
        ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        ASSERT_EQ(cursor.valid(), valid);
        if (valid) {
            ASSERT_TRUE(cursor.key() == it->first);
            ASSERT_EQ(cursor.value_size(), it->second.size);
            const bool look = random_.below(2) == 0;
            ASSERT_TRUE(!look || cursor.value() == it->second.make());
        }
        const std::uint64_t move = random_.below(60);
        if (move < 25) {
            cursor.next();
            if (valid) valid = ++it != end;
        } else if (move < 50) {
            cursor.previous();
            if (valid) valid = it != begin;
            if (valid) --it;
        } else if (move < 54) {
            const std::string k = key();
            cursor.seek(k);
            it = rows.lower_bound(std::max(k, wanted.begin));
            valid = inside(it);
        } else if (move < 56) {
            cursor.seek_to_first();
            it = begin;
            valid = begin != end;
        } else if (move < 58) {
            cursor.seek_to_last();
            valid = begin != end;
            if (valid) it = std::prev(end);
        } else {
            commit();
        }
    }
}

/// Everything, both ways.
inline void EngineModel::check_all(Reader& reader) {
    for (const auto& [name, keyspace] : at(reader)) {
        SCOPED_TRACE("keyspace " + name);
        check_rows(reader, handles_.at(keyspace->id), keyspace->rows);
        if (failed()) return;
    }
    check_invisible(reader);
}

inline void EngineModel::check_rows(Reader& reader, const Keyspace& keyspace, const Rows& rows) {
    Cursor cursor = reader.cursor(keyspace);
    for (const auto& [k, v] : rows) {
        ASSERT_TRUE(cursor.valid()) << "ends early: " << cursor.status().ok();
        ASSERT_TRUE(cursor.key() == k);
        ASSERT_TRUE(cursor.value() == v.make());
        ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        cursor.next();
    }
    ASSERT_FALSE(cursor.valid()) << "holds more keys than expected";
    ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
    cursor.seek_to_last();
    for (auto it = rows.rbegin(); it != rows.rend(); ++it) {
        ASSERT_TRUE(cursor.valid()) << "ends early, backward";
        ASSERT_TRUE(cursor.key() == it->first);
        cursor.previous();
    }
    ASSERT_FALSE(cursor.valid()) << "holds more keys than expected, backward";
}

/// Keyspaces that are not there at the reader's moment: dropped ones refuse, later ones are empty.
inline void EngineModel::check_invisible(Reader& reader) {
    std::map<std::uint32_t, const ModelKeyspace*> there;
    for (const auto& [name, keyspace] : at(reader)) there[keyspace->id] = keyspace.get();
    for (const auto& [id, handle] : handles_) {
        if (there.contains(id)) continue;
        const Result<std::optional<Bytes>> found = reader.get(handle, key());
        if (found) {
            ASSERT_FALSE(found->has_value()) << "a key of a keyspace that was not yet made";
        } else {
            ASSERT_EQ(found.error().code(), ErrorCode::kInvalid) << found.error().message();
        }
        Cursor cursor = reader.cursor(handle);
        ASSERT_FALSE(cursor.valid());
    }
}

inline void EngineModel::check_views(HeldReader& held) {
    for (const HeldView& view : held.views) {
        ASSERT_TRUE(view.view == view.value.make()) << "a view changed while its reader lived";
    }
}

inline void EngineModel::look_at_snapshot() {
    if (snapshots_.empty()) return;
    const Snapshot& snapshot = snapshots_[random_.below(snapshots_.size())];
    Result<Reader> reader = snapshot.reader();
    ASSERT_TRUE(reader.ok()) << reader.error().message();
    ASSERT_EQ(reader->sequence(), snapshot.sequence());
    if (random_.one_in(3)) {
        // It stays at its moment.
        commit();
        reader->refresh();
        ASSERT_EQ(reader->sequence(), snapshot.sequence());
        check_all(*reader);
    }
    get_some(*reader, nullptr);
    walk(*reader);
}

inline void EngineModel::look_at_reader() {
    if (readers_.empty()) return;
    const std::size_t index = random_.below(readers_.size());
    HeldReader& held = readers_[index];
    check_views(held);
    if (failed()) return;
    switch (random_.below(8)) {
        case 0:
            readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(index));
            return;
        case 1:
            held.views.clear();
            held.reader.refresh();
            ASSERT_EQ(number(held.reader.sequence()), last_);
            return;
        case 2:
            return check_all(held.reader);
        case 3:
            return get_many(held.reader);
        case 4:
            return read_part(held.reader);
        case 5:
            return walk(held.reader);
        default:
            return get_some(held.reader, held.views.size() < 100 ? &held.views : nullptr);
    }
}

}  // namespace fulgur::system_test
