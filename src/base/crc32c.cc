#include "base/crc32c.h"

#include <array>
#include <atomic>
#include <cstddef>

#include "base/coding.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define FULGUR_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>  // tidy-allow: system (names of processor features)
#include <sys/auxv.h>   // tidy-allow: system (asks what the processor can do; no system call)
#define FULGUR_CRC_TARGET __attribute__((target("+crc")))
#endif

// The register holds the remainder bit-reflected: its highest bit is the coefficient of x^0.
//
// The instruction has a latency of three cycles and a throughput of one, so three chains over three
// neighbouring parts run at once. Their remainders join by linearity: the remainder of A|B is the
// remainder of A times x^(8 |B|), plus the one of B; the product with that constant is four table
// look-ups. (Idea: V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial", Intel, 2011.)

namespace fulgur {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // 0x1EDC6F41, reflected.

constexpr std::uint32_t times_x(std::uint32_t a) {
    return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0);
}

// ---- By tables: eight bytes a step, one table for each byte's distance from the end.

using ByteTable = std::array<std::uint32_t, 256>;

constexpr std::array<ByteTable, 8> make_step_tables() {
    std::array<ByteTable, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) remainder = times_x(remainder);
        tables[0][byte] = remainder;
    }
    for (std::size_t k = 1; k < 8; ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    }
    return tables;
}

constexpr std::array<ByteTable, 8> kStep = make_step_tables();

std::uint32_t step_by_table(std::uint32_t state, std::uint64_t word) {
    word ^= state;
    std::uint32_t next = 0;
    for (std::size_t k = 0; k < 8; ++k) next ^= kStep[7 - k][(word >> (8 * k)) & 0xFF];
    return next;
}

// ---- By instruction.

#if defined(FULGUR_CRC_TARGET)

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    for (int power = 0; power < 32; ++power) {
        if ((a & (0x80000000U >> power)) != 0) product ^= b;
        b = times_x(b);
    }
    return product;
}

/// Multiplication by x^(8 kBytes): what kBytes of zeros do to a remainder. kBytes: a power of two.
template <std::size_t kBytes>
struct ZerosOperator {
    static constexpr std::array<ByteTable, 4> make() {
        std::uint32_t factor = 0x40000000;  // x; squared until it is x^(8 kBytes).
        for (std::size_t exponent = 1; exponent < 8 * kBytes; exponent *= 2) {
            factor = multiply(factor, factor);
        }
        std::array<ByteTable, 4> tables{};
        for (std::uint32_t k = 0; k < 4; ++k) {
            for (std::uint32_t byte = 0; byte < 256; ++byte) {
                tables[k][byte] = multiply(factor, byte << (8 * k));
            }
        }
        return tables;
    }
    static constexpr std::array<ByteTable, 4> kTables = make();

    static std::uint32_t apply(std::uint32_t a) {
        return kTables[0][a & 0xFF] ^ kTables[1][(a >> 8) & 0xFF] ^ kTables[2][(a >> 16) & 0xFF] ^
               kTables[3][a >> 24];
    }
};

#if defined(__x86_64__)
FULGUR_CRC_TARGET std::uint32_t step_word(std::uint32_t state, std::uint64_t word) {
    return static_cast<std::uint32_t>(_mm_crc32_u64(state, word));
}
FULGUR_CRC_TARGET std::uint32_t step_byte(std::uint32_t state, std::uint8_t byte) {
    return _mm_crc32_u8(state, byte);
}
bool instruction_available() { return __builtin_cpu_supports("sse4.2"); }
#else
FULGUR_CRC_TARGET std::uint32_t step_word(std::uint32_t state, std::uint64_t word) {
    return __crc32cd(state, word);
}
FULGUR_CRC_TARGET std::uint32_t step_byte(std::uint32_t state, std::uint8_t byte) {
    return __crc32cb(state, byte);
}
bool instruction_available() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

/// Takes as many groups of three kPart-byte parts as there are.
template <std::size_t kPart>
FULGUR_CRC_TARGET std::uint32_t three_chains(std::uint32_t state, const char*& p, const char* end) {
    while (static_cast<std::size_t>(end - p) >= 3 * kPart) {
        std::uint32_t second = 0;
        std::uint32_t third = 0;
        for (const char* part_end = p + kPart; p < part_end; p += 8) {
            state = step_word(state, load_le<std::uint64_t>(p));
            second = step_word(second, load_le<std::uint64_t>(p + kPart));
            third = step_word(third, load_le<std::uint64_t>(p + 2 * kPart));
        }
        state = ZerosOperator<kPart>::apply(state) ^ second;
        state = ZerosOperator<kPart>::apply(state) ^ third;
        p += 2 * kPart;
    }
    return state;
}

FULGUR_CRC_TARGET std::uint32_t crc32c_by_instruction(Bytes bytes, std::uint32_t seed) {
    const char* p = bytes.data();
    const char* const end = p + bytes.size();
    std::uint32_t state = ~seed;
    state = three_chains<4096>(state, p, end);
    state = three_chains<256>(state, p, end);
    for (; end - p >= 8; p += 8) state = step_word(state, load_le<std::uint64_t>(p));
    for (; p < end; ++p) state = step_byte(state, static_cast<std::uint8_t>(*p));
    return ~state;
}

#endif

using Function = std::uint32_t (*)(Bytes, std::uint32_t);

std::uint32_t choose_and_call(Bytes bytes, std::uint32_t seed);

// Constant-initialized, so that it works in static initializers too; all stores are equal.
constinit std::atomic<Function> chosen{choose_and_call};

std::uint32_t choose_and_call(Bytes bytes, std::uint32_t seed) {
    Function function = crc32c_portable;
#if defined(FULGUR_CRC_TARGET)
    if (instruction_available()) function = crc32c_by_instruction;
#endif
    chosen.store(function, std::memory_order_relaxed);
    return function(bytes, seed);
}

}  // namespace

std::uint32_t crc32c(Bytes bytes, std::uint32_t seed) {
    return chosen.load(std::memory_order_relaxed)(bytes, seed);
}

std::uint32_t crc32c_portable(Bytes bytes, std::uint32_t seed) {
    const char* p = bytes.data();
    const char* const end = p + bytes.size();
    std::uint32_t state = ~seed;
    for (; end - p >= 8; p += 8) state = step_by_table(state, load_le<std::uint64_t>(p));
    for (; p < end; ++p) {
        state = (state >> 8) ^ kStep[0][(state ^ static_cast<std::uint8_t>(*p)) & 0xFF];
    }
    return ~state;
}

}  // namespace fulgur
