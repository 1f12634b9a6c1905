#include "bench/histogram_codec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

#include <zlib.h>

#include "base/planted.h"

namespace fulgur::bench {

namespace {

// HdrHistogram's V2 cookies; the 0x10 says that counts are LEB128.
constexpr std::uint32_t kCookie = 0x1c849303 | 0x10;
constexpr std::uint32_t kCompressedCookie = 0x1c849304 | 0x10;
constexpr std::uint32_t kDigits = 3;

// cookie 4, payload length 4, offset 4, digits 4, lowest 8, highest 8, ratio 8; then the counts.
constexpr std::size_t kHeader = 40;
constexpr std::size_t kOuterHeader = 8;
// The index of the greatest value of 64 bits is the last one.
constexpr std::size_t kBuckets =
    (64 - Histogram::kSubBits) * Histogram::kHalf + 2 * Histogram::kHalf;
constexpr std::size_t kVarintMax = 9;
constexpr std::size_t kInflatedMax = kHeader + kBuckets * kVarintMax;

template <typename T>
void append_be(std::string& into, T value) {
    for (std::size_t i = sizeof(T); i-- > 0;) into += static_cast<char>(value >> (8 * i) & 0xff);
}

template <typename T>
T load_be(Bytes bytes, std::size_t at) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>(value << 8 | static_cast<unsigned char>(bytes[at + i]));
    }
    return value;
}

/// ZigZag, then seven bits a byte, the lowest first; a ninth byte holds eight bits.
void append_varint(std::string& into, std::int64_t value) {
    auto rest = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
    for (std::size_t i = 0; i + 1 < kVarintMax; ++i) {
        if (rest < 0x80) {
            into += static_cast<char>(rest);
            return;
        }
        into += static_cast<char>((rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    into += static_cast<char>(rest);
}

std::optional<std::int64_t> take_varint(Bytes& bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < kVarintMax; ++i) {
        if (i >= bytes.size()) return std::nullopt;
        const auto byte = static_cast<unsigned char>(bytes[i]);
        const bool last = i + 1 == kVarintMax;
        value |= static_cast<std::uint64_t>(last ? byte : byte & 0x7f) << (7 * i);
        if (last || (byte & 0x80) == 0) {
            bytes.remove_prefix(i + 1);
            break;
        }
    }
    return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

std::string deflated(const std::string& plain) {
    std::string packed(::compressBound(plain.size()), '\0');
    ::uLongf size = packed.size();
    // compressBound is enough and the arguments are constant: this cannot fail but for memory.
    if (::compress(reinterpret_cast<::Bytef*>(packed.data()), &size,
                   reinterpret_cast<const ::Bytef*>(plain.data()), plain.size()) != Z_OK) {
        throw std::bad_alloc();
    }
    packed.resize(size);
    return packed;
}

/// nullopt when it is no zlib stream, or longer than any histogram.
std::optional<std::string> inflated(Bytes packed) {
    std::string plain(kInflatedMax, '\0');
    ::uLongf size = plain.size();
    if (::uncompress(reinterpret_cast<::Bytef*>(plain.data()), &size,
                     reinterpret_cast<const ::Bytef*>(packed.data()), packed.size()) != Z_OK) {
        return std::nullopt;
    }
    plain.resize(size);
    return plain;
}

/// The counts: a number is one, a negative number is a run of so many zeros.
HistogramOutcome decode_counts(Bytes payload) {
    Histogram histogram;
    std::uint64_t index = 0;
    const std::uint64_t buckets =
        FULGUR_PLANTED("histogram_buckets_unchecked") ? ~std::uint64_t{0} : kBuckets;
    while (!payload.empty()) {
        const std::optional<std::int64_t> value = take_varint(payload);
        if (!value) return {{}, "a count is cut off"};
        // Not negated: the least number has no opposite.
        const std::uint64_t zeros = 0 - static_cast<std::uint64_t>(*value);
        if (*value < 0) {
            if (zeros > buckets - index) return {{}, "more buckets than a histogram has"};
            index += zeros;
            continue;
        }
        if (index >= buckets) return {{}, "more buckets than a histogram has"};
        const auto times = static_cast<std::uint64_t>(*value);
        constexpr std::uint64_t kTotalMax = std::numeric_limits<std::int64_t>::max();
        if (times > kTotalMax - histogram.count()) return {{}, "counts add up to too much"};
        if (times > 0) histogram.record(Histogram::lowest_of(index), times);
        ++index;
    }
    return {std::move(histogram), nullptr};
}

}  // namespace

std::string encode_histogram(const Histogram& histogram) {
    std::string payload;
    std::int64_t zeros = 0;
    for (const std::uint64_t count : histogram.counts()) {
        if (count == 0) {
            ++zeros;
            continue;
        }
        if (zeros != 0) append_varint(payload, -zeros);
        zeros = 0;
        append_varint(payload, static_cast<std::int64_t>(count));
    }
    const std::size_t last = histogram.counts().empty() ? 0 : histogram.counts().size() - 1;
    std::string plain;
    append_be(plain, kCookie);
    append_be(plain, static_cast<std::uint32_t>(payload.size()));
    append_be(plain, std::uint32_t{0});  // Normalizing index offset: none.
    append_be(plain, kDigits);
    append_be(plain, std::uint64_t{1});  // Lowest discernible value.
    // Highest trackable value: signed in other libraries, and at least twice the lowest.
    constexpr std::uint64_t kSignedMax = std::numeric_limits<std::int64_t>::max();
    append_be(plain, std::clamp<std::uint64_t>(Histogram::highest_of(last), 2, kSignedMax));
    append_be(plain, std::bit_cast<std::uint64_t>(1.0));  // Ratio of whole numbers to doubles.
    plain += payload;
    const std::string packed = deflated(plain);
    std::string bytes;
    append_be(bytes, kCompressedCookie);
    append_be(bytes, static_cast<std::uint32_t>(packed.size()));
    return bytes + packed;
}

HistogramOutcome decode_histogram(Bytes bytes) {
    if (bytes.size() < kOuterHeader) return {{}, "shorter than its header"};
    if (load_be<std::uint32_t>(bytes, 0) != kCompressedCookie) {
        return {{}, "not HdrHistogram's compressed V2 encoding"};
    }
    if (load_be<std::uint32_t>(bytes, 4) != bytes.size() - kOuterHeader) {
        return {{}, "its length is not the one it states"};
    }
    const std::optional<std::string> plain = inflated(bytes.substr(kOuterHeader));
    if (!plain) return {{}, "its zlib stream is damaged or too long"};
    if (plain->size() < kHeader || load_be<std::uint32_t>(*plain, 0) != kCookie) {
        return {{}, "what is compressed is not the V2 encoding"};
    }
    if (load_be<std::uint32_t>(*plain, 4) != plain->size() - kHeader) {
        return {{}, "its counts have not the length that it states"};
    }
    const auto ratio = load_be<std::uint64_t>(*plain, 32);
    // hdr-histogram-js writes 1 for the offset, and means none; real ones are multiples of 1024.
    if (load_be<std::uint32_t>(*plain, 8) > 1 || load_be<std::uint32_t>(*plain, 12) != kDigits ||
        load_be<std::uint64_t>(*plain, 16) != 1 ||
        // A double; hdr-histogram-js writes it as a whole number.
        (ratio != std::bit_cast<std::uint64_t>(1.0) && ratio != 1)) {
        return {{}, "not a histogram of three digits from 1 upwards"};
    }
    return decode_counts(Bytes(*plain).substr(kHeader));
}

}  // namespace fulgur::bench
