#pragma once

#include <optional>
#include <string>

#include <fulgur/bytes.h>

namespace fulgur {

/// Keys from `begin` (included) to `end` (excluded; none means to the last key).
struct KeyRange {
    std::string begin;
    std::optional<std::string> end;
};

/// Every key.
inline KeyRange everything() { return {}; }

/// Keys that begin with `text`.
inline KeyRange prefix(Bytes text) {
    KeyRange range{std::string(text), std::string(text)};
    // The smallest key above all that begin with `text`: drop trailing 0xff bytes, add one.
    while (!range.end->empty() && static_cast<unsigned char>(range.end->back()) == 0xff) {
        range.end->pop_back();
    }
    if (range.end->empty()) {
        range.end.reset();
    } else {
        range.end->back() = static_cast<char>(static_cast<unsigned char>(range.end->back()) + 1);
    }
    return range;
}

/// Keys from `begin` to before `end`.
inline KeyRange between(Bytes begin, Bytes end) { return {std::string(begin), std::string(end)}; }

/// Keys from `begin` on.
inline KeyRange from(Bytes begin) { return {std::string(begin), std::nullopt}; }

}  // namespace fulgur
