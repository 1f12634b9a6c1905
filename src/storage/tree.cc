// The reading side of the tree: descent, page-in, large values. tree_write.cc has the writing side.
#include "storage/tree.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "base/hash.h"
#include "base/planted.h"
#include "storage/data_file.h"
#include "storage/image_codec.h"
#include "storage/page_image.h"

namespace fulgur::storage {

namespace {

/// The first lines of a page: a leaf's header and prints, an inner page's header and samples.
void prefetch_page(ChildWord word, std::size_t lines) {
    const char* at = reinterpret_cast<const char*>(word.bits());
    for (std::size_t line = 0; line < lines; ++line) __builtin_prefetch(at + line * 64);
}

}  // namespace

Tree::Tree(TreeContext& context) : context_(context) {}

Tree::~Tree() { free_memory(); }

void Tree::make_empty() {
    constexpr std::size_t kFirstCapacity = 64;
    char* frame = context_.frames.allocate(kFrameBytesMin);
    Leaf* leaf = Leaf::format(frame, kFrameBytesMin, kFirstCapacity, {}, {}, false);
    root_.store(ChildWord(leaf).bits(), std::memory_order_release);
}

void Tree::open_at(const PageRef& root) {
    root_.store(ChildWord(make_descriptor(root, 0)).bits(), std::memory_order_release);
}

std::uint32_t Tree::height() const {
    const ChildWord word = load_child(root_);
    return 1u + (word.resident() ? word.page()->level : word.descriptor()->ref.level);
}

/// Descends from the root; `choose(inner)` names the child to follow.
template <typename Choose>
Result<Tree::Place> Tree::descend(const Choose& choose, Budget budget) {
    for (;;) {
        Place place;
        ChildSlot* slot = &root_;
        for (;;) {
            ChildWord word = load_child(*slot);
            if (!word.resident()) [[unlikely]] {
                Result<ChildWord> loaded = load_resident(place.parent, *slot, word, budget);
                if (!loaded) return loaded.error();
                if (loaded->page() == nullptr)
                    break;  // The parent was replaced: from the root again.
                if (!loaded->resident()) continue;
                word = *loaded;
            }
            if (word.page()->kind == PageKind::kLeaf) {
                place.leaf = static_cast<Leaf*>(word.page());
                return place;
            }
            place.parent = static_cast<Inner*>(word.page());
            place.index = choose(*place.parent);
            slot = &place.parent->child(place.index);
        }
    }
}

Result<Tree::Place> Tree::place_for(Bytes key) {
    return descend([key](const Inner& inner) { return inner.search(key); });
}

Result<Tree::Place> Tree::place_before(Bytes key) {
    return descend([key](const Inner& inner) {
        const std::size_t index = inner.search(key);
        return index > 0 && inner.child_low(index) == key ? index - 1 : index;
    });
}

Result<Tree::Place> Tree::last_place() {
    return descend([](const Inner& inner) { return inner.children() - 1; });
}

Result<Leaf*> Tree::leaf_for(Bytes key) { return leaf_for(key, Budget::kMakeRoom); }

Result<Leaf*> Tree::leaf_for(Bytes key, Budget budget) {
    if (Leaf* leaf = resident_leaf(key)) [[likely]] {
        return leaf;
    }
    Result<Place> place = descend([key](const Inner& inner) { return inner.search(key); }, budget);
    if (!place) return place.error();
    return place->leaf;
}

Result<Leaf*> Tree::child_leaf(Inner* parent, std::size_t index) {
    ChildSlot& slot = parent->child(index);
    ChildWord word = load_child(slot);
    while (!word.resident()) {
        Result<ChildWord> loaded = load_resident(parent, slot, word, Budget::kMakeRoom);
        if (!loaded) return loaded.error();
        word = *loaded;
    }
    return static_cast<Leaf*>(word.page());
}

/// Level by level for the whole group: while one key's next line comes from memory, the others' are
/// already on their way. A key whose path leaves memory gets a null leaf.
void Tree::resident_leaves(std::span<const Bytes> keys, std::span<Leaf*> leaves) const {
    std::array<const PageHeader*, kGroupMax> pages;
    std::array<Inner::Probe, kGroupMax> probes;
    const ChildWord root = load_child(root_);
    const std::size_t n = keys.size();
    const std::size_t levels = root.resident() ? root.page()->level : 0;
    std::fill_n(pages.begin(), n, root.resident() ? root.page() : nullptr);
    for (std::size_t level = levels; level > 0; --level) {
        for (std::size_t i = 0; i < n; ++i) {
            if (pages[i] != nullptr) [[likely]] {
                probes[i] = static_cast<const Inner*>(pages[i])->begin_search(keys[i]);
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            if (pages[i] == nullptr) [[unlikely]] {
                continue;
            }
            const Inner* inner = static_cast<const Inner*>(pages[i]);
            const ChildWord word = load_child(inner->child(inner->end_search(probes[i])));
            pages[i] = word.resident() ? word.page() : nullptr;
            prefetch_page(word, level == 1 ? 2 : 5);
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        leaves[i] = const_cast<Leaf*>(static_cast<const Leaf*>(pages[i]));
    }
}

void Tree::announce_read(Bytes key) {
    ChildWord word = load_child(root_);
    while (word.resident() && word.page()->level > 0) {
        const Inner* inner = static_cast<const Inner*>(word.page());
        word = load_child(inner->child(inner->search(key)));
    }
    if (word.resident()) return;
    const PageRef& ref = word.descriptor()->ref;
    context_.data.will_read(ref.sector, ref.length);
}

Result<void> Tree::leaves_for(std::span<const Bytes> keys, std::span<Leaf*> leaves, Budget budget) {
    assert(keys.size() <= kGroupMax);
    resident_leaves(keys, leaves);
    std::size_t missing = 0;
    for (const Leaf* leaf : leaves.first(keys.size())) missing += leaf == nullptr ? 1 : 0;
    // The disk looks for all of them while the first is waited for.
    for (std::size_t i = 0; i < keys.size() && missing > 1; ++i) {
        if (leaves[i] == nullptr) announce_read(keys[i]);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (leaves[i] != nullptr) [[likely]] {
            continue;
        }
        Result<Leaf*> leaf = leaf_for(keys[i], budget);
        if (!leaf) return leaf.error();
        leaves[i] = *leaf;
    }
    return {};
}

Result<std::optional<Record>> Tree::find_cold(Bytes key, std::uint64_t hash, Sequence snapshot) {
    Result<Leaf*> leaf = leaf_for(key);
    if (!leaf) return leaf.error();
    return (*leaf)->find(key.substr((*leaf)->prefix_size), print_of(hash), snapshot);
}

/// Rounds, so that the group's misses overlap in each: leaves, slots of the first candidates, their
/// records, answers. Here the number of lines counts, not their latency, so that none is fetched
/// that may not be needed.
Result<void> Tree::find_many(std::span<const Bytes> keys, Sequence snapshot,
                             std::span<std::optional<Record>> records) {
    constexpr std::size_t kNone = ~std::size_t{0};
    std::array<Leaf*, kGroupMax> leaves;
    std::array<std::uint8_t, kGroupMax> prints;
    std::array<std::size_t, kGroupMax> firsts;
    for (const Bytes& key : keys) __builtin_prefetch(key.data());
    if (Result<void> found = leaves_for(keys, leaves); !found) return found;
    for (std::size_t i = 0; i < keys.size(); ++i) prints[i] = print_of(hash64(keys[i]));
    for (std::size_t i = 0; i < keys.size(); ++i) {
        std::optional<Leaf::Candidates> candidates = leaves[i]->candidates(prints[i]);
        firsts[i] = candidates && !candidates->empty() ? candidates->take() : kNone;
        if (firsts[i] != kNone) __builtin_prefetch(leaves[i]->slots() + firsts[i]);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        records[i].reset();
        if (firsts[i] == kNone) continue;
        records[i] = leaves[i]->record(firsts[i]);
        __builtin_prefetch(records[i]->bytes());
        records[i]->prefetch_rest();
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const Bytes suffix = keys[i].substr(leaves[i]->prefix_size);
        if (records[i] && Leaf::is_match(*records[i], suffix, snapshot)) [[likely]] {
            continue;
        }
        records[i] = leaves[i]->find(suffix, prints[i], snapshot);
    }
    return {};
}

Result<std::vector<char>> read_image(DataFile& data, const PageRef& ref) {
    const auto fault = [&](const Error& found) {
        return Error(found.code(), found.what().data()).at(data.name(), ref.sector * kSectorBytes);
    };
    // Before memory is taken for its length.
    if (Result<void> plausible = check_ref(ref); !plausible) return fault(plausible.error());
    std::vector<char> stored(ref.length);
    if (Result<void> read = data.read(ref.sector, stored); !read) return read.error();
    Result<std::vector<char>> image = unpack_image(std::move(stored), ref);
    if (!image) return fault(image.error());
    return image;
}

Result<ChildWord> Tree::load_upper(Inner* parent, ChildSlot& slot, ChildWord word) {
    return load_resident(parent, slot, word, Budget::kMayExceed);
}

Result<void> Tree::find_room(std::uint64_t bytes, Budget budget) {
    if (budget == Budget::kMayExceed || context_.frames.has_room(bytes)) [[likely]] {
        if (context_.room != nullptr) context_.room->note_taken();
        return {};
    }
    if (budget == Budget::kMakeRoom && context_.room != nullptr) {
        return context_.room->make_room(bytes);
    }
    return Error(ErrorCode::kLimit, "it does not fit the memory budget; raise memory_budget");
}

Result<PageHeader*> Tree::page_in(const Descriptor& descriptor, Budget budget) {
    Result<std::vector<char>> image = read_image(context_.data, descriptor.ref);
    if (!image) return image.error();
    context_.counters.pages_read.fetch_add(1, std::memory_order_relaxed);
    return build_from_image(descriptor.ref, *image, budget);
}

Result<PageHeader*> Tree::build_from_image(const PageRef& ref, std::span<char> image,
                                           Budget budget) {
    const Bytes bytes(image.data(), image.size());
    if (ref.level == 0) {
        const std::size_t size = leaf_frame_bytes(bytes);
        if (Result<void> room = find_room(size, budget); !room) return room.error();
        Leaf* leaf = load_leaf(bytes, context_.frames.allocate(size), size);
        adopt_large_values(leaf);
        leaf->imaged_count = leaf->count.load(std::memory_order_relaxed);
        return leaf;
    }
    const InnerImage decoded = decode_inner_image(bytes);
    std::vector<Inner::Entry> entries;
    entries.reserve(decoded.entries.size());
    for (const auto& entry : decoded.entries) {
        entries.push_back({entry.separator, ChildWord(make_descriptor(entry.ref, 0))});
    }
    const std::size_t needed = Inner::bytes_needed(entries, decoded.low, decoded.high);
    const std::size_t size = frame_bytes_for(needed + needed / 8);
    if (Result<void> room = find_room(size, budget); !room) {
        for (const Inner::Entry& entry : entries) delete_descriptor(entry.child.descriptor());
        return room.error();
    }
    return Inner::build(context_.frames.allocate(size), size, decoded.level, entries, decoded.low,
                        decoded.high, decoded.has_high);
}

/// Gives every record with a large value the object that its readers share.
void Tree::adopt_large_values(Leaf* leaf) {
    const std::size_t n = leaf->count.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < n; ++i) {
        const Record record = leaf->record(i);
        if (!record.large()) continue;
        leaf->holds_large = 1;
        LargeReference reference = record.large_reference();
        auto* value = new LargeValue;
        value->length = reference.length;
        value->checksum = reference.checksum;
        value->sector.store(reference.sector, std::memory_order_relaxed);
        value->emitted.store(true, std::memory_order_relaxed);
        reference.memory = reinterpret_cast<std::uint64_t>(value);
        // Not published yet, so this record may still change.
        std::memcpy(const_cast<char*>(record.value().data()), &reference, sizeof(reference));
    }
}

/// Frees a page that was never published, and what only it refers to.
void Tree::discard(PageHeader* page) {
    if (page->kind == PageKind::kLeaf) {
        auto* leaf = static_cast<Leaf*>(page);
        const std::size_t n = leaf->count.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i < n; ++i) {
            if (leaf->record(i).large()) delete large_value_of(leaf->record(i));
        }
    } else {
        auto* inner = static_cast<Inner*>(page);
        for (std::size_t i = 0; i < inner->children(); ++i) {
            delete_descriptor(load_child(inner->child(i)).descriptor());
        }
    }
    context_.frames.free(page->base(), page->size);
}

/// Reads the page behind `word` and installs it.
/// @return the resident word; a null page when `parent` was replaced meanwhile: descend again.
Result<ChildWord> Tree::load_resident(Inner* parent, ChildSlot& slot, ChildWord word,
                                      Budget budget) {
    Descriptor* descriptor = word.descriptor();
    Result<PageHeader*> page = page_in(*descriptor, budget);
    LatchGuard guard(parent == nullptr ? root_latch_ : parent->latch);
    const bool stale = parent != nullptr && parent->replaced.load(std::memory_order_relaxed) != 0;
    const ChildWord now = load_child(slot);
    if (stale || now != word) {
        // Somebody else was faster. If reading failed, it may be because the place was reused.
        if (page) discard(*page);
        if (stale) return ChildWord();
        return now;
    }
    if (!page) return page.error();
    (*page)->emitted = std::max(descriptor->emitted, parent == nullptr ? 0 : parent->emitted);
    // Pages above the lowest inner level are written anew by every checkpoint, which knows their
    // places from the catalog.
    if ((*page)->level <= 1) {
        (*page)->disk = descriptor;
        (*page)->carried = std::exchange(descriptor->next, nullptr);
    }
    slot.store(ChildWord(*page).bits(), std::memory_order_release);
    if ((*page)->level > 1) retire_descriptor(descriptor);  // When nobody can come to it any more.
    return ChildWord(*page);
}

Result<Bytes> Tree::load_large(LargeValue& value) {
    if (const char* bytes = value.bytes.load(std::memory_order_acquire))
        return Bytes(bytes, value.length);
    if (value.length > context_.frames.budget() / 4) {
        return Error(ErrorCode::kLimit,
                     "the value is above a quarter of the memory budget; read it in parts");
    }
    const std::size_t size = frame_bytes_for(value.length);
    if (Result<void> room = find_room(size, Budget::kMakeRoom); !room) return room.error();
    char* memory = context_.frames.allocate(size);
    const std::uint64_t sector = value.sector.load(std::memory_order_acquire);
    Result<void> read = context_.data.read(sector, {memory, value.length});
    if (read && hash64({memory, value.length}) != value.checksum &&
        !FULGUR_PLANTED("large_checksum_unread")) {
        read = Error(ErrorCode::kCorruption, "large value checksum mismatch")
                   .at(context_.data.name(), sector * kSectorBytes);
    }
    if (!read) {
        context_.frames.free(memory, size);
        return read.error();
    }
    char* expected = nullptr;
    if (!value.bytes.compare_exchange_strong(expected, memory, std::memory_order_acq_rel)) {
        context_.frames.free(memory, size);
        memory = expected;
    }
    return Bytes(memory, value.length);
}

void Tree::retire_page(PageHeader* page) {
    context_.versions.retire(page, page->size, &FramePool::free_retired, &context_.frames);
}

void Tree::free_subtree(ChildWord word) {
    if (!word.resident()) {
        delete_chain(word.descriptor());
        return;
    }
    PageHeader* page = word.page();
    delete_chain(page->carried);
    delete_descriptor(page->disk);
    if (page->kind == PageKind::kLeaf) {
        auto* leaf = static_cast<Leaf*>(page);
        const std::size_t n = leaf->count.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i < n; ++i) {
            if (!leaf->record(i).large()) continue;
            LargeValue* value = large_value_of(leaf->record(i));
            if (char* bytes = value->bytes.load()) {
                context_.frames.free(bytes, frame_bytes_for(value->length));
            }
            delete value;
        }
    } else {
        auto* inner = static_cast<Inner*>(page);
        for (std::size_t i = 0; i < inner->children(); ++i)
            free_subtree(load_child(inner->child(i)));
    }
    context_.frames.free(page->base(), page->size);
}

void Tree::free_memory() {
    const std::uint64_t bits = root_.exchange(0, std::memory_order_acq_rel);
    if (bits != 0) free_subtree(ChildWord::from_bits(bits));
}

}  // namespace fulgur::storage
