// Verification: reads the newest checkpoint back and checks that everything fits together.
#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "db/engine.h"
#include "db/progress_scope.h"
#include "storage/page_image.h"

namespace fulgur::db {

namespace {

using storage::Extent;
using storage::PageRef;

Error fault(const char* what, const storage::DataFile& data, std::uint64_t sector) {
    return Error(ErrorCode::kCorruption, what).at(data.name(), sector * storage::kSectorBytes);
}

/// Walks one checkpoint's trees on the disk and lists the space they own.
class Verifier {
public:
    Verifier(storage::DataFile& data, std::function<void(std::uint64_t, std::uint64_t)> progress,
             std::uint64_t total)
        : data_(data), progress_(std::move(progress)), total_(total) {}

    Result<void> tree(const storage::KeyspaceMeta& keyspace) {
        upper_.clear();
        if (keyspace.root.sector != 0) {
            if (keyspace.height != keyspace.root.level + 1u) {
                return fault("a tree's height does not fit its root", data_, keyspace.root.sector);
            }
            if (Result<void> done = page(keyspace.root, {}, nullptr); !done) return done;
        }
        return check_upper(keyspace.upper);
    }

    void own(Extent extent) { used_.push_back(extent); }

    /// Used, free and pending space partition the file.
    Result<void> check_partition(const storage::Meta& meta, std::uint64_t file_sectors) {
        for (const Extent& extent : meta.free) used_.push_back(extent);
        for (const storage::PendingExtent& extent : meta.pending) used_.push_back(extent.extent());
        std::sort(used_.begin(), used_.end(),
                  [](const Extent& a, const Extent& b) { return a.sector < b.sector; });
        std::uint64_t next = storage::kFirstDataSector;
        for (const Extent& extent : used_) {
            if (extent.sector < next) return fault("space has two owners", data_, extent.sector);
            if (extent.sector > next) return fault("space has no owner", data_, next);
            next = extent.end();
        }
        if (next != file_sectors) return fault("space at the end has no owner", data_, next);
        return {};
    }

    const Database::VerifyReport& report() const { return report_; }

private:
    /// The catalog lists the pages above the lowest inner ones: by that list they are let go.
    Result<void> check_upper(std::vector<Extent> listed) {
        const auto by_sector = [](const Extent& a, const Extent& b) { return a.sector < b.sector; };
        std::sort(listed.begin(), listed.end(), by_sector);
        std::sort(upper_.begin(), upper_.end(), by_sector);
        const auto [one, other] =
            std::mismatch(listed.begin(), listed.end(), upper_.begin(), upper_.end());
        if (one != listed.end() || other != upper_.end()) {
            return fault("the catalog does not list a tree's upper pages as they are", data_,
                         one != listed.end() ? one->sector : other->sector);
        }
        used_.insert(used_.end(), upper_.begin(), upper_.end());
        return {};
    }

    Result<void> page(const PageRef& ref, Bytes low, const Bytes* high) {
        Result<std::vector<char>> image = storage::read_image(data_, ref);
        if (!image) return image.error();
        ++report_.pages;
        count_bytes(ref.length);
        if (ref.level == 0) {
            report_.leaf_bytes += ref.memory_length;
            report_.leaf_bytes_stored += ref.length;
            if (ref.codec != storage::kCodecNone) ++report_.pages_compressed;
        }
        (ref.level <= 1 ? used_ : upper_).push_back({ref.sector, ref.sectors()});
        const auto* header = reinterpret_cast<const storage::PageHeader*>(image->data());
        if (header->low() != low || header->has_high() != (high != nullptr) ||
            (high != nullptr && header->high() != *high)) {
            return fault("a page's fences do not fit its parent", data_, ref.sector);
        }
        if (ref.level == 0) {
            // Reading does not look at them: a wrong one hides its key.
            Result<void> prints = storage::check_leaf_prints({image->data(), image->size()});
            if (!prints) {
                Error wrong = prints.error();
                return wrong.at(data_.name(), ref.sector * storage::kSectorBytes);
            }
            return leaf(static_cast<const storage::Leaf&>(*header));
        }
        const storage::InnerImage inner =
            storage::decode_inner_image({image->data(), image->size()});
        for (std::size_t i = 0; i < inner.entries.size(); ++i) {
            const Bytes child_low = i == 0 ? low : Bytes(inner.entries[i].separator);
            const bool last = i + 1 == inner.entries.size();
            const Bytes next = last ? Bytes() : Bytes(inner.entries[i + 1].separator);
            Result<void> done = page(inner.entries[i].ref, child_low, last ? high : &next);
            if (!done) return done;
        }
        return {};
    }

    Result<void> leaf(const storage::Leaf& leaf) {
        const std::size_t n = leaf.count.load(std::memory_order_relaxed);
        report_.records += n;
        for (std::size_t i = 0; i < n; ++i) {
            if (!leaf.record(i).large()) continue;
            const storage::LargeReference reference = leaf.record(i).large_reference();
            ++report_.large_values;
            used_.push_back({reference.sector, storage::sectors_of(reference.length)});
            if (Result<void> done = large_value(reference); !done) return done;
        }
        return {};
    }

    /// In parts, so that a value of gigabytes needs no memory.
    Result<void> large_value(const storage::LargeReference& reference) {
        constexpr std::uint64_t kPartBytes = 1_MiB;
        Hash64Stream hash;
        std::vector<char> part;
        for (std::uint64_t at = 0; at < reference.length; at += part.size()) {
            part.resize(std::min(kPartBytes, reference.length - at));
            if (Result<void> read = data_.read(reference.sector, at, part); !read) return read;
            hash.add({part.data(), part.size()});
            count_bytes(part.size());
        }
        if (hash.result() != reference.checksum) {
            return fault("large value checksum mismatch", data_, reference.sector);
        }
        return {};
    }

    void count_bytes(std::uint64_t bytes) {
        report_.bytes_read += bytes;
        progress_(std::min(report_.bytes_read, total_), total_);
    }

    storage::DataFile& data_;
    const std::function<void(std::uint64_t, std::uint64_t)> progress_;
    const std::uint64_t total_;
    std::vector<Extent> used_;
    std::vector<Extent> upper_;  ///< of the tree at hand, as the walk finds them
    Database::VerifyReport report_;
};

}  // namespace

Result<Database::VerifyReport> Engine::verify(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    if (Result<void> outside = check_outside_progress(); !outside) return outside.error();
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    os::MutexLock lock(checkpoint_mutex_);
    const storage::Superblock& superblock = checkpointer_->superblock();
    Result<storage::Meta> meta = stored_catalog();
    if (!meta) return meta.error();
    if (superblock.catalog.length == 0) return Database::VerifyReport{};
    std::uint64_t free_sectors = 0;
    for (const Extent& extent : meta->free) free_sectors += extent.sectors;
    const std::uint64_t total =
        (superblock.file_sectors - std::min(superblock.file_sectors, free_sectors)) *
        storage::kSectorBytes;
    const auto tell = [&](std::uint64_t done, std::uint64_t of) {
        if (!progress) return;
        const ProgressScope scope(*this);
        progress(done, of);
    };
    Verifier verifier(*data_, tell, total);
    verifier.own(superblock.catalog.extent());
    for (const storage::KeyspaceMeta& keyspace : meta->keyspaces) {
        if (Result<void> done = verifier.tree(keyspace); !done) return done.error();
    }
    Result<void> partition = verifier.check_partition(*meta, superblock.file_sectors);
    if (!partition) return partition.error();
    return verifier.report();
}

/// Read from the disk, not from memory: this is about what a restart would find.
Result<storage::Meta> Engine::stored_catalog() {
    const storage::Superblock& superblock = checkpointer_->superblock();
    const std::uint64_t position = storage::Superblock::position_of(superblock.checkpoint);
    char block[storage::Superblock::kEncodedSize];
    Result<void> loaded = data_->read(position / storage::kSectorBytes, block);
    if (!loaded) return loaded.error();
    Result<storage::Superblock> stored =
        storage::Superblock::decode({block, sizeof(block)}, position);
    if (!stored) return stored.error();
    if (*stored != superblock) {
        return Error(ErrorCode::kCorruption,
                     "the newest superblock is not the one that was written")
            .at(data_->name(), position);
    }
    if (superblock.catalog.length == 0) return storage::Meta{};
    std::string bytes(superblock.catalog.length, '\0');
    if (Result<void> read = data_->read(superblock.catalog.sector, bytes); !read)
        return read.error();
    if (hash64(bytes) != superblock.catalog.checksum) {
        return fault("catalog checksum mismatch", *data_, superblock.catalog.sector);
    }
    return storage::Meta::decode(bytes, superblock.file_sectors);
}

}  // namespace fulgur::db
