// What the tests of bad days share: rows whose content follows from a number, errors taken apart,
// and disks that are copied before they are harmed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include <fulgur/database.h>

#include "os/sim_file_system.h"
#include "tests/support.h"

namespace fulgur::system_test {

inline std::string row_key(std::uint64_t n) {
    std::string digits = std::to_string(n);
    return "row" + std::string(8 - digits.size(), '0') + digits;
}
inline std::string row_value(std::uint64_t n, std::size_t size = 100) {
    return ModelValue{n, size}.make();
}

/// Rows [0, count) are there, whole, and no others.
inline void expect_rows(Database& database, std::uint64_t count, std::size_t size = 100) {
    Result<std::optional<Keyspace>> keyspace = database.find_keyspace("rows");
    ASSERT_TRUE(keyspace.ok()) << keyspace.error().message();
    ASSERT_TRUE(keyspace->has_value());
    Reader reader = database.reader();
    std::uint64_t n = 0;
    Cursor cursor = reader.cursor(**keyspace);
    for (; cursor.valid() && n < count; cursor.next(), ++n) {
        ASSERT_EQ(cursor.key(), row_key(n));
        ASSERT_TRUE(cursor.value() == row_value(n, size)) << row_key(n);
    }
    ASSERT_TRUE(cursor.status().ok()) << cursor.status().error().message();
    ASSERT_EQ(n, count);
    ASSERT_FALSE(cursor.valid()) << "one more: " << cursor.key();
}

inline Result<Database> in_memory(std::uint64_t budget) {
    Options options;
    options.memory_budget = budget;
    return Database::in_memory(options);
}

/// An error of this code whose place ends in `file`; with a byte when `offset` asks for one.
template <typename T>
::testing::AssertionResult is_error(const Result<T>& result, ErrorCode code,
                                    std::string_view file = "", bool offset = false) {
    if (result.ok()) return ::testing::AssertionFailure() << "there is no error";
    const Error& error = result.error();
    if (error.code() != code) {
        return ::testing::AssertionFailure() << "another error: " << error.message();
    }
    if (error.where().find(file) == std::string_view::npos) {
        return ::testing::AssertionFailure() << "does not name " << file << ": " << error.message();
    }
    if (offset && error.offset() == Error::kNoOffset) {
        return ::testing::AssertionFailure() << "names no byte: " << error.message();
    }
    return ::testing::AssertionSuccess();
}

}  // namespace fulgur::system_test
