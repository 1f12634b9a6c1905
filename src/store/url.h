// What names a store: SCHEME:PATH?NAME=VALUE&NAME=VALUE, with %XX for any byte.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <fulgur/result.h>

namespace fulgur::store {

struct Url {
    std::string scheme;
    std::string path;
    std::map<std::string, std::string> options;  ///< not taken yet

    /// @return kInvalid: no scheme, a host, a bad %XX, an option without value or twice.
    static Result<Url> parse(std::string_view text);

    // Each takes an option out. @return none: it is not there; kInvalid: not such a value.

    std::optional<std::string> take(const std::string& name);
    Result<std::optional<std::uint64_t>> take_number(const std::string& name);
    /// Bytes: 1000000, 512KiB, 64MiB, 4GiB.
    Result<std::optional<std::uint64_t>> take_size(const std::string& name);
    Result<std::optional<bool>> take_bool(const std::string& name);

    /// kInvalid naming an option that nobody took.
    Result<void> check_all_taken() const;
};

}  // namespace fulgur::store
