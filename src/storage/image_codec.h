// Compression of leaf images: what stands in the file instead of the image, and the way back.
//
// Each image is compressed for itself: lz4 (one block) or zstd (one frame). It is stored so only
// when that saves an eighth of its sectors at least; otherwise it stands as it is, so that reading
// what does not shrink costs nothing. The checksum is of the stored bytes: it is checked before
// they are given to a decompressor. That is no reason to trust them: the decompressors write within
// the bound they are given, whatever they read, and what comes out is checked like any image.
//
// Inner pages are not compressed: there are few of them, and they stay in memory.
//
// Thread safety: ImageCodec may be used by any thread; an ImageCompressor by one at a time;
// `decompress` and `unpack_image` by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <fulgur/options.h>
#include <fulgur/result.h>

#include "storage/tree_node.h"

namespace fulgur::storage {

/// PageRef::codec; docs/format.md section 5.4.
inline constexpr std::uint8_t kCodecNone = 0;
inline constexpr std::uint8_t kCodecLz4 = 1;
inline constexpr std::uint8_t kCodecZstd = 2;

/// What a database's images are compressed with, shared by all who write some.
class ImageCodec {
public:
    explicit ImageCodec(Compression choice) : choice_(choice) {}

    Compression choice() const { return choice_.load(std::memory_order_relaxed); }
    void choose(Compression choice) { choice_.store(choice, std::memory_order_relaxed); }
    /// Whether a compressed image was made: the next superblock must say that there are some.
    bool used() const { return used_.load(std::memory_order_acquire); }

    struct Counters {
        std::uint64_t image_bytes = 0;   ///< of leaf images, before
        std::uint64_t stored_bytes = 0;  ///< and after
        std::uint64_t compressed = 0;    ///< images stored compressed
        std::uint64_t plain = 0;         ///< and as they are
        std::uint64_t untried = 0;       ///< of these: because those before did not shrink
    };
    Counters counters() const;

private:
    friend class ImageCompressor;
    std::atomic<Compression> choice_;
    std::atomic<bool> used_{false};
    std::atomic<std::uint64_t> image_bytes_{0};
    std::atomic<std::uint64_t> stored_bytes_{0};
    std::atomic<std::uint64_t> compressed_{0};
    std::atomic<std::uint64_t> plain_{0};
    std::atomic<std::uint64_t> untried_{0};
};

/// One writer's means to compress.
class ImageCompressor {
public:
    explicit ImageCompressor(ImageCodec& codec);
    ~ImageCompressor();
    ImageCompressor(const ImageCompressor&) = delete;
    ImageCompressor& operator=(const ImageCompressor&) = delete;

    /// Sets length, memory_length, codec and checksum of `ref`.
    /// @param image  of a leaf.
    /// @return the bytes to store: `image` itself, or our own, valid until the next call.
    Bytes pack(Bytes image, PageRef& ref);

private:
    struct State;
    Bytes compress(Bytes image, std::uint8_t& codec);
    bool worth_trying();

    ImageCodec& codec_;
    std::unique_ptr<State> state_;  ///< the compressor's tables; made when first needed
    std::vector<char> buffer_;
    /// Automatic: images to pass over until the next one is tried, and how many that were the last
    /// time: twice as many after each that did not shrink, none after one that did.
    std::uint32_t skip_ = 0;
    std::uint32_t skipped_at_once_ = 0;
};

/// Fills all of `image` from `stored`, and never writes beyond it.
/// @return kCorruption: not that many bytes come out; kUnsupported: an unknown codec.
Result<void> decompress(std::uint8_t codec, Bytes stored, std::span<char> image);

/// Whether a reference's codec, lengths and reserved fields are such as a writer of this version
/// writes. @return kCorruption; kUnsupported: of a newer form.
Result<void> check_ref(const PageRef& ref);

/// The image out of its stored bytes: checksum, decompression, form.
/// @return kCorruption, kUnsupported with a text that says what is wrong; the caller adds the
/// place.
Result<std::vector<char>> unpack_image(std::vector<char> stored, const PageRef& ref);

}  // namespace fulgur::storage
