#include "storage/image_codec.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cassert>
#include <optional>

#include "base/hash.h"
#include "base/planted.h"
#include "os/mutex.h"
#include "storage/extent.h"
#include "storage/page_image.h"

namespace fulgur::storage {

namespace {

constexpr int kZstdLevel = 3;

/// Tried at least once in so many images.
constexpr std::uint32_t kSkipMax = 15;

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, what); }

/// Whether so much is saved that decompressing is worth it: an eighth of the sectors.
bool shrinks(std::size_t image_bytes, std::size_t stored_bytes) {
    const std::uint64_t before = sectors_of(image_bytes);
    return sectors_of(stored_bytes) <= before - (before + 7) / 8;
}

/// Decompression contexts of zstd, which take 150 KiB each: some are kept for the next one.
class ZstdContexts {
public:
    ZSTD_DCtx* take() {
        {
            os::MutexLock lock(mutex_);
            if (!spare_.empty()) {
                ZSTD_DCtx* context = spare_.back();
                spare_.pop_back();
                return context;
            }
        }
        return ZSTD_createDCtx();
    }
    void give(ZSTD_DCtx* context) {
        {
            os::MutexLock lock(mutex_);
            if (spare_.size() < kSpareMax) {
                spare_.push_back(context);
                return;
            }
        }
        ZSTD_freeDCtx(context);
    }

private:
    static constexpr std::size_t kSpareMax = 4;
    os::Mutex mutex_;
    std::vector<ZSTD_DCtx*> spare_ GUARDED_BY(mutex_);
};

/// Never destroyed: a thread may still read while the program ends.
ZstdContexts& zstd_contexts() {
    static ZstdContexts& contexts = *new ZstdContexts;
    return contexts;
}

/// @return the bytes that came out, or none when the input is no frame or they are too many.
std::optional<std::size_t> decompress_zstd(Bytes stored, std::span<char> image) {
    ZSTD_DCtx* context = zstd_contexts().take();
    if (context == nullptr) return std::nullopt;
    const std::size_t size =
        ZSTD_decompressDCtx(context, image.data(), image.size(), stored.data(), stored.size());
    zstd_contexts().give(context);
    if (ZSTD_isError(size) != 0) return std::nullopt;
    return size;
}

std::optional<std::size_t> decompress_lz4(Bytes stored, std::span<char> image) {
    std::size_t bound = image.size();
    if (FULGUR_PLANTED("lz4_bound_too_wide")) bound += 64;
    const int size = LZ4_decompress_safe(stored.data(), image.data(),
                                         static_cast<int>(stored.size()), static_cast<int>(bound));
    if (size < 0) return std::nullopt;
    return static_cast<std::size_t>(size);
}

}  // namespace

ImageCodec::Counters ImageCodec::counters() const {
    Counters counters;
    counters.image_bytes = image_bytes_.load(std::memory_order_relaxed);
    counters.stored_bytes = stored_bytes_.load(std::memory_order_relaxed);
    counters.compressed = compressed_.load(std::memory_order_relaxed);
    counters.plain = plain_.load(std::memory_order_relaxed);
    counters.untried = untried_.load(std::memory_order_relaxed);
    return counters;
}

// ---- compressing --------------------------------------------------------------------------------

struct ImageCompressor::State {
    std::vector<char> lz4;
    ZSTD_CCtx* zstd = nullptr;

    ~State() { ZSTD_freeCCtx(zstd); }
};

ImageCompressor::ImageCompressor(ImageCodec& codec) : codec_(codec) {}
ImageCompressor::~ImageCompressor() = default;

/// @return the compressed bytes, or none: it failed, or they are no fewer.
Bytes ImageCompressor::compress(Bytes image, std::uint8_t& codec) {
    if (state_ == nullptr) state_ = std::make_unique<State>();
    // What does not get smaller is not wanted, so there need not be room for it.
    buffer_.resize(image.size());
    if (codec_.choice() == Compression::kZstd) {
        codec = kCodecZstd;
        if (state_->zstd == nullptr) state_->zstd = ZSTD_createCCtx();
        if (state_->zstd == nullptr) return {};
        const std::size_t size = ZSTD_compressCCtx(state_->zstd, buffer_.data(), buffer_.size(),
                                                   image.data(), image.size(), kZstdLevel);
        return ZSTD_isError(size) != 0 ? Bytes() : Bytes(buffer_.data(), size);
    }
    codec = kCodecLz4;
    state_->lz4.resize(static_cast<std::size_t>(LZ4_sizeofState()));
    const int size = LZ4_compress_fast_extState(state_->lz4.data(), image.data(), buffer_.data(),
                                                static_cast<int>(image.size()),
                                                static_cast<int>(buffer_.size()), 1);
    return {buffer_.data(), static_cast<std::size_t>(std::max(size, 0))};
}

/// Neighbours are alike: after images that did not shrink only some are tried.
bool ImageCompressor::worth_trying() {
    switch (codec_.choice()) {
        case Compression::kNone:
            return false;
        case Compression::kAutomatic:
            if (skip_ == 0) return true;
            --skip_;
            codec_.untried_.fetch_add(1, std::memory_order_relaxed);
            return false;
        default:
            return true;
    }
}

Bytes ImageCompressor::pack(Bytes image, PageRef& ref) {
    assert(image.size() <= kImageBytesMax);
    Bytes stored = image;
    ref.codec = kCodecNone;
    if (worth_trying()) {
        std::uint8_t codec = kCodecNone;
        const Bytes smaller = compress(image, codec);
        const bool worth = !smaller.empty() && shrinks(image.size(), smaller.size());
        skipped_at_once_ = worth ? 0 : std::min(2 * skipped_at_once_ + 1, kSkipMax);
        skip_ = skipped_at_once_;
        if (worth) {
            stored = smaller;
            ref.codec = codec;
            codec_.used_.store(true, std::memory_order_release);
        }
    }
    ref.length = static_cast<std::uint32_t>(stored.size());
    ref.memory_length = static_cast<std::uint32_t>(image.size());
    ref.checksum = hash64(stored);
    codec_.image_bytes_.fetch_add(image.size(), std::memory_order_relaxed);
    codec_.stored_bytes_.fetch_add(stored.size(), std::memory_order_relaxed);
    (ref.codec == kCodecNone ? codec_.plain_ : codec_.compressed_)
        .fetch_add(1, std::memory_order_relaxed);
    return stored;
}

// ---- the way back -------------------------------------------------------------------------------

Result<void> decompress(std::uint8_t codec, Bytes stored, std::span<char> image) {
    std::optional<std::size_t> size;
    switch (codec) {
        case kCodecLz4:
            size = decompress_lz4(stored, image);
            break;
        case kCodecZstd:
            size = decompress_zstd(stored, image);
            break;
        default:
            return Error(ErrorCode::kUnsupported, "page: compressed in a way unknown here");
    }
    if (!size || *size != image.size()) return damaged("page: does not decompress to its length");
    return {};
}

Result<void> check_ref(const PageRef& ref) {
    const std::size_t length_max = ref.level == 0 ? kFrameBytesMax : kImageBytesMax;
    if (ref.delta_sector != 0 || ref.delta_length != 0 || ref.delta_count != 0 ||
        ref.delta_checksum != 0 || ref.delta_newest != 0 ||
        (ref.flags & ~PageRef::kHasLarge) != 0) {
        return Error(ErrorCode::kUnsupported, "page: referred to in a newer form");
    }
    if (ref.codec > kCodecZstd || (ref.codec != kCodecNone && ref.level != 0)) {
        return Error(ErrorCode::kUnsupported, "page: compressed in a way unknown here");
    }
    const bool compressed = ref.codec != kCodecNone;
    if (ref.memory_length < sizeof(PageHeader) || ref.memory_length > length_max ||
        ref.memory_length % 8 != 0 ||
        (compressed ? ref.length == 0 || ref.length >= ref.memory_length
                    : ref.length != ref.memory_length)) {
        return damaged("page: an impossible length");
    }
    return {};
}

Result<std::vector<char>> unpack_image(std::vector<char> stored, const PageRef& ref) {
    if (Result<void> plausible = check_ref(ref); !plausible) return plausible.error();
    const Bytes bytes(stored.data(), stored.size());
    if (hash64(bytes) != ref.checksum && !FULGUR_PLANTED("page_checksum_unread")) {
        return damaged("page checksum mismatch");
    }
    if (ref.codec != kCodecNone) {
        std::vector<char> image(ref.memory_length);
        if (Result<void> done = decompress(ref.codec, bytes, image); !done) return done.error();
        stored = std::move(image);
    }
    const Bytes image(stored.data(), stored.size());
    Result<void> sound =
        ref.level == 0 ? check_leaf_image(image, ref) : check_inner_image(image, ref);
    if (!sound) return sound.error();
    return stored;
}

}  // namespace fulgur::storage
