// Compressed images: one byte for the codec, four for the length that the reference claims, then
// the stored bytes, whose checksum is made right. The decompressors may write to the memory that
// they were given and nowhere else; what is accepted must come out the same after it was compressed
// again.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/hash.h"
#include "storage/image_codec.h"
#include "storage/page_image.h"

namespace {

using namespace fulgur;
using namespace fulgur::storage;

constexpr char kUntouched = '\x5A';
constexpr std::size_t kBeyond = 256;

void require(bool condition) {
    if (!condition) std::abort();
}

void stays_within_bounds(std::uint8_t codec, Bytes stored, std::size_t length) {
    std::vector<char> memory(length + kBeyond, kUntouched);
    static_cast<void>(decompress(codec, stored, {memory.data(), length}).ok());
    require(std::all_of(memory.begin() + static_cast<std::ptrdiff_t>(length), memory.end(),
                        [](char c) { return c == kUntouched; }));
}

void comes_back(const std::vector<char>& image, const PageRef& ref) {
    for (const Compression way : {Compression::kLz4, Compression::kZstd, Compression::kAutomatic}) {
        ImageCodec codec(way);
        ImageCompressor compressor(codec);
        PageRef again = ref;
        const Bytes stored = compressor.pack({image.data(), image.size()}, again);
        const Result<std::vector<char>> back =
            unpack_image(std::vector<char>(stored.begin(), stored.end()), again);
        require(back.ok() && *back == image);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t kHeaderBytes = 5;
    if (size < kHeaderBytes) return 0;
    const char* const bytes = reinterpret_cast<const char*>(data);
    PageRef ref;
    ref.codec = static_cast<std::uint8_t>(data[0] % 4);
    ref.memory_length = load_le<std::uint32_t>(bytes + 1);
    // A copy of exactly that size, so that the sanitizer sees every byte read beyond it.
    const std::vector<char> stored(bytes + kHeaderBytes, bytes + size);
    ref.length = static_cast<std::uint32_t>(stored.size());
    ref.checksum = hash64({stored.data(), stored.size()});
    const std::size_t length = std::min<std::size_t>(ref.memory_length, kImageBytesMax);
    stays_within_bounds(ref.codec, {stored.data(), stored.size()}, length);

    // Once as any parent would have it, and once with what stands in the image itself.
    static_cast<void>(unpack_image(stored, ref).ok());
    std::vector<char> image(length);
    if (ref.codec == kCodecNone || length < PageHeader::kStoredBytes ||
        !decompress(ref.codec, {stored.data(), stored.size()}, image)) {
        return 0;
    }
    ref.count = load_le<std::uint16_t>(image.data() + 8);
    ref.newest = load_le<std::uint64_t>(image.data() + 24);
    const Result<std::vector<char>> accepted = unpack_image(stored, ref);
    if (accepted) comes_back(*accepted, ref);
    return 0;
}
