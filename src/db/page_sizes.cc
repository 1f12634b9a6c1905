// What the pages of the newest checkpoint take, by the references to them in the pages above.
#include "db/engine.h"
#include "storage/page_image.h"

namespace fulgur::db {

namespace {

using storage::PageRef;

Result<void> add_sizes(storage::DataFile& data, const PageRef& ref, Database::PageSizes& sizes) {
    if (ref.level == 0) {
        ++sizes.pages;
        if (ref.codec != storage::kCodecNone) ++sizes.pages_compressed;
        sizes.bytes += ref.memory_length;
        sizes.bytes_stored += ref.length;
        return {};
    }
    Result<std::vector<char>> image = storage::read_image(data, ref);
    if (!image) return image.error();
    const storage::InnerImage inner = storage::decode_inner_image({image->data(), image->size()});
    for (const storage::InnerImage::Entry& entry : inner.entries) {
        if (Result<void> done = add_sizes(data, entry.ref, sizes); !done) return done;
    }
    return {};
}

}  // namespace

Result<Database::PageSizes> Engine::page_sizes() {
    if (Result<void> outside = check_outside_progress(); !outside) return outside.error();
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    os::MutexLock lock(checkpoint_mutex_);
    Result<storage::Meta> meta = stored_catalog();
    if (!meta) return meta.error();
    Database::PageSizes sizes;
    for (const storage::KeyspaceMeta& keyspace : meta->keyspaces) {
        if (keyspace.root.sector == 0) continue;
        if (Result<void> done = add_sizes(*data_, keyspace.root, sizes); !done) return done.error();
    }
    return sizes;
}

}  // namespace fulgur::db
