// A copy of a database that is made of what its change feed gives, beside the database itself.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include <fulgur/database.h>

#include "tests/support.h"

namespace fulgur::system_test {

/// What somebody holds who follows the changes.
class Copy {
public:
    struct Keyspace {
        std::string name;
        std::map<std::string, std::string> rows;
    };

    std::map<std::uint32_t, Keyspace> keyspaces;
    std::uint64_t sequence = 0;
    std::uint64_t full_reads = 0;
    std::uint64_t lost_values = 0;

    void apply(Changes& changes, const ChangeBatch& batch) {
        ASSERT_EQ(number(batch.sequence), sequence + 1) << "a commit is missing";
        sequence = number(batch.sequence);
        ASSERT_EQ(number(changes.position()), sequence + 1);
        for (const Change& change : batch.changes) apply(changes, change);
    }

    /// Everything at one moment that a power cut cannot take back. The keyspaces are not changed
    /// meanwhile.
    void read_all(Database& database) {
        keyspaces.clear();
        ++full_reads;
        Reader reader = *database.durable_reader();
        for (const std::string& name : database.keyspace_names()) {
            const fulgur::Keyspace keyspace = **database.find_keyspace(name);
            Keyspace& to = keyspaces[keyspace.id()];
            to.name = name;
            Cursor cursor = reader.cursor(keyspace);
            for (; cursor.valid(); cursor.next()) to.rows.emplace(cursor.key(), cursor.value());
            ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
        }
        sequence = number(reader.sequence());
    }

    void expect_equal(Database& database, Reader& reader) const {
        ASSERT_EQ(sequence, number(reader.sequence()));
        ASSERT_EQ(keyspaces.size(), database.keyspace_names().size());
        for (const auto& [id, keyspace] : keyspaces) {
            const auto found = database.find_keyspace(keyspace.name);
            ASSERT_TRUE(found.ok() && *found) << keyspace.name;
            ASSERT_EQ((*found)->id(), id);
            auto row = keyspace.rows.begin();
            Cursor cursor = reader.cursor(**found);
            for (; cursor.valid(); cursor.next(), ++row) {
                ASSERT_NE(row, keyspace.rows.end()) << cursor.key();
                ASSERT_EQ(cursor.key(), row->first);
                ASSERT_TRUE(cursor.value() == row->second) << row->first;
            }
            ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
            ASSERT_EQ(row, keyspace.rows.end()) << row->first;
        }
    }

private:
    void apply(Changes& changes, const Change& change) {
        if (change.kind == Change::Kind::kCreateKeyspace) {
            ASSERT_TRUE(keyspaces.emplace(change.keyspace_id, Keyspace{}).second);
            keyspaces[change.keyspace_id].name = change.keyspace;
            return;
        }
        const auto keyspace = keyspaces.find(change.keyspace_id);
        ASSERT_NE(keyspace, keyspaces.end());
        ASSERT_EQ(change.keyspace, keyspace->second.name);
        if (change.kind == Change::Kind::kDropKeyspace) {
            keyspaces.erase(keyspace);
        } else if (change.kind == Change::Kind::kErase) {
            keyspace->second.rows.erase(std::string(change.key));
        } else {
            Result<std::optional<std::string>> value = changes.load(change);
            ASSERT_TRUE(value.ok()) << value.error().message();
            if (*value) {
                ASSERT_EQ((*value)->size(), change.value_size);
            }
            if (!*value) ++lost_values;
            keyspace->second.rows[std::string(change.key)] = value->value_or("gone");
        }
    }
};

}  // namespace fulgur::system_test
