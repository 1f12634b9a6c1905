#include "base/base64.h"

#include <array>
#include <cstdint>

namespace fulgur {

namespace {

constexpr Bytes kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNone = 0xff;

constexpr std::array<std::uint8_t, 256> reversed() {
    std::array<std::uint8_t, 256> table{};
    table.fill(kNone);
    for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
        table[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return table;
}
constexpr auto kReversed = reversed();

std::uint32_t octet(Bytes bytes, std::size_t i) { return static_cast<unsigned char>(bytes[i]); }
std::uint32_t sextet(Bytes text, std::size_t i) {
    return kReversed[static_cast<unsigned char>(text[i])];
}

}  // namespace

void append_base64(Bytes bytes, std::string& into) {
    const std::size_t start = into.size();
    into.resize(start + (bytes.size() + 2) / 3 * 4, '=');
    char* out = into.data() + start;
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        const std::uint32_t group =
            octet(bytes, i) << 16 | octet(bytes, i + 1) << 8 | octet(bytes, i + 2);
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = kAlphabet[group >> shift & 63];
    }
    if (i < bytes.size()) {
        const bool two = i + 1 < bytes.size();
        const std::uint32_t group = octet(bytes, i) << 16 | (two ? octet(bytes, i + 1) << 8 : 0);
        *out++ = kAlphabet[group >> 18 & 63];
        *out++ = kAlphabet[group >> 12 & 63];
        if (two) *out++ = kAlphabet[group >> 6 & 63];
    }
}

Base64Outcome decode_base64(Bytes text, std::string& into) {
    std::size_t symbols = text.size();
    while (symbols > 0 && text.size() - symbols < 2 && text[symbols - 1] == '=') --symbols;
    for (std::size_t i = 0; i < symbols; ++i) {
        if (sextet(text, i) == kNone) return {false, i};
    }
    // A group is four characters; its last one or two may be padding.
    if (text.size() % 4 != 0) return {false, text.size()};

    into.resize(symbols * 6 / 8);
    char* out = into.data();
    std::size_t i = 0;
    for (; i + 4 <= symbols; i += 4) {
        const std::uint32_t group = sextet(text, i) << 18 | sextet(text, i + 1) << 12 |
                                    sextet(text, i + 2) << 6 | sextet(text, i + 3);
        *out++ = static_cast<char>(group >> 16);
        *out++ = static_cast<char>(group >> 8);
        *out++ = static_cast<char>(group);
    }
    const std::size_t rest =
        symbols - i;  // 0, 2 or 3: one is excluded by the size and the padding.
    if (rest == 0) return {};
    const std::uint32_t third = rest == 3 ? sextet(text, i + 2) : 0;
    const std::uint32_t group = sextet(text, i) << 18 | sextet(text, i + 1) << 12 | third << 6;
    // Bits that stand for nothing must be zero: one text for each sequence of bytes.
    if ((group & (rest == 3 ? 0xffu : 0xffffu)) != 0) return {false, symbols - 1};
    *out++ = static_cast<char>(group >> 16);
    if (rest == 3) *out++ = static_cast<char>(group >> 8);
    return {};
}

}  // namespace fulgur
