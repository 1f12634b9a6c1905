// Reads the fields of one JSON object that somebody else wrote: each has the type that is asked
// for, or the error names where it stands and what is wrong with it. One thread at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/bench_error.h"

namespace fulgur::bench {

class JsonFields {
public:
    using Json = nlohmann::ordered_json;

    /// @param where  "FILE:LINE", the beginning of each message.
    JsonFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
        if (!object.is_object()) fail("not a JSON object");
    }

    bool has(const char* name) const { return object_.contains(name); }
    const std::string& where() const { return where_; }

    [[noreturn]] void fail(const std::string& what) const {
        throw BenchError(where_ + ": " + what);
    }

    /// A field that must be there.
    const Json& at(const char* name) const {
        const auto found = object_.find(name);
        if (found == object_.end()) fail(fmt::format("\"{}\" is missing", name));
        return *found;
    }

    std::string text(const char* name) const {
        const Json& value = at(name);
        if (!value.is_string()) fail(fmt::format("\"{}\" is not a text", name));
        return value.get<std::string>();
    }
    double number(const char* name) const { return as_number(name, at(name)); }
    std::uint64_t whole(const char* name) const {
        const Json& value = at(name);
        if (!value.is_number_unsigned()) fail(fmt::format("\"{}\" is not a whole number", name));
        return value.get<std::uint64_t>();
    }
    bool flag(const char* name) const {
        const Json& value = at(name);
        if (!value.is_boolean()) fail(fmt::format("\"{}\" is neither true nor false", name));
        return value.get<bool>();
    }
    std::vector<double> numbers(const char* name) const {
        const Json& value = at(name);
        if (!value.is_array()) fail(fmt::format("\"{}\" is not a list", name));
        std::vector<double> numbers;
        numbers.reserve(value.size());
        for (const Json& item : value) numbers.push_back(as_number(name, item));
        return numbers;
    }
    JsonFields object(const char* name) const {
        const Json& value = at(name);
        if (!value.is_object()) fail(fmt::format("\"{}\" is not an object", name));
        return {value, where_};
    }
    std::map<std::string, double> number_map(const char* name) const {
        std::map<std::string, double> map;
        for (const auto& [key, value] : object(name).object_.items()) {
            map[key] = as_number(key.c_str(), value);
        }
        return map;
    }
    std::map<std::string, std::string> text_map(const char* name) const {
        std::map<std::string, std::string> map;
        for (const auto& [key, value] : object(name).object_.items()) {
            if (!value.is_string()) fail(fmt::format("\"{}\" in \"{}\" is not a text", key, name));
            map[key] = value.get<std::string>();
        }
        return map;
    }

private:
    double as_number(const char* name, const Json& value) const {
        if (value.is_null()) fail(fmt::format("\"{}\" holds null, which is no number", name));
        if (!value.is_number()) fail(fmt::format("\"{}\" holds what is no number", name));
        const double number = value.get<double>();
        if (!std::isfinite(number)) fail(fmt::format("\"{}\" is infinite", name));
        return number;
    }

    const Json& object_;
    std::string where_;
};

}  // namespace fulgur::bench
