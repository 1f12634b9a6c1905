#include "store/url.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fulgur/options.h>

namespace fulgur::store {

namespace {

Error invalid(const char* what, std::string_view where) {
    return Error(ErrorCode::kInvalid, what).at(where);
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

Result<std::string> decode(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            bytes.push_back(text[i]);
            continue;
        }
        const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
        if (high < 0 || low < 0) return invalid("a % in a store's URL needs two digits", text);
        bytes.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return bytes;
}

/// Digits and what is behind them.
std::optional<std::pair<std::uint64_t, std::string_view>> leading_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    return std::pair(number, text.substr(static_cast<std::size_t>(end - text.data())));
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        return invalid("a store's URL begins with a scheme, as in fulgur:PATH", text);
    }
    Url url;
    url.scheme = text.substr(0, colon);
    std::string_view rest = text.substr(colon + 1);
    const std::size_t question = rest.find('?');
    Result<std::string> path = decode(rest.substr(0, question));
    if (!path) return path.error();
    url.path = *std::move(path);
    if (url.path.starts_with("//")) {  // fulgur:///path is a path without a host.
        if (!url.path.starts_with("///")) {
            return invalid("a store's URL that names a path has no host: fulgur:PATH", text);
        }
        url.path.erase(0, 2);
    }
    rest = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
    while (!rest.empty()) {
        const std::string_view option = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), option.size() + 1));
        const std::size_t equals = option.find('=');
        if (equals == 0 || equals == std::string_view::npos) {
            return invalid("an option in a store's URL is NAME=VALUE", option);
        }
        Result<std::string> name = decode(option.substr(0, equals));
        if (!name) return name.error();
        Result<std::string> value = decode(option.substr(equals + 1));
        if (!value) return value.error();
        if (!url.options.emplace(*name, *std::move(value)).second) {
            return invalid("an option stands twice in a store's URL", *name);
        }
    }
    return url;
}

std::optional<std::string> Url::take(const std::string& name) {
    const auto found = options.find(name);
    if (found == options.end()) return std::nullopt;
    std::string value = std::move(found->second);
    options.erase(found);
    return value;
}

Result<std::optional<std::uint64_t>> Url::take_number(const std::string& name) {
    const std::optional<std::string> value = take(name);
    if (!value) return std::optional<std::uint64_t>();
    const auto number = leading_number(*value);
    if (!number || !number->second.empty()) {
        return invalid("not a number in a store's URL", name + "=" + *value);
    }
    return std::optional<std::uint64_t>(number->first);
}

Result<std::optional<std::uint64_t>> Url::take_size(const std::string& name) {
    constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> kUnits = {
        {{"", 1}, {"KiB", 1_KiB}, {"MiB", 1_MiB}, {"GiB", 1_GiB}}};
    const std::optional<std::string> value = take(name);
    if (!value) return std::optional<std::uint64_t>();
    if (const auto number = leading_number(*value)) {
        for (const auto& [unit, bytes] : kUnits) {
            std::uint64_t size = 0;
            if (number->second != unit) continue;
            if (__builtin_mul_overflow(number->first, bytes, &size)) break;
            return std::optional<std::uint64_t>(size);
        }
    }
    return invalid("not a size in a store's URL: bytes, or with KiB, MiB, GiB",
                   name + "=" + *value);
}

Result<std::optional<bool>> Url::take_bool(const std::string& name) {
    const std::optional<std::string> value = take(name);
    if (!value) return std::optional<bool>();
    if (*value == "true") return std::optional<bool>(true);
    if (*value == "false") return std::optional<bool>(false);
    return invalid("not true or false in a store's URL", name + "=" + *value);
}

Result<void> Url::check_all_taken() const {
    if (options.empty()) return {};
    return invalid("no such option in a store's URL", options.begin()->first);
}

}  // namespace fulgur::store
