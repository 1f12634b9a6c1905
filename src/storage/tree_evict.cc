// The tree's side of eviction: child words become descriptors again. Rules in tree.h and evict.h.
#include "base/planted.h"
#include "storage/data_file.h"
#include "storage/space.h"
#include "storage/tree.h"

namespace fulgur::storage {

/// Under the leaf's latch and the page's.
void Tree::replace_by_image(Inner& page, std::size_t index) {
    ChildSlot& slot = page.child(index);
    Leaf* leaf = static_cast<Leaf*>(load_child(slot).page());
    Descriptor* const descriptor = leaf->disk;
    // Only an early image has left others on the chain, for the walker to let go.
    descriptor->next = leaf->carried;
    slot.store(ChildWord(descriptor).bits(), std::memory_order_release);
}

/// The same latches. What the last checkpoint wrote for the leaf stays needed until a walk has
/// passed here.
void Tree::replace_by_early_image(Inner& page, std::size_t index, const PageRef& ref) {
    ChildSlot& slot = page.child(index);
    Leaf* leaf = static_cast<Leaf*>(load_child(slot).page());
    Descriptor* const descriptor = make_descriptor(ref, 0);
    descriptor->unemitted = true;
    descriptor->next = leaf->carried;
    if (leaf->disk != nullptr) {
        leaf->disk->next = descriptor->next;
        descriptor->next = leaf->disk;
    }
    outdate_image(page);
    slot.store(ChildWord(descriptor).bits(), std::memory_order_release);
}

/// Under the page's latch. @return false: it is the root, which stays.
bool Tree::replace_inner_by_image(Inner& page) {
    if (load_child(root_).page() == &page) return false;
    const Parent parent = latch_parent(&page);
    if (parent.page == nullptr) {
        unlatch(*parent.word);
        return false;
    }
    page.disk->emitted = page.emitted;
    parent.slot->store(ChildWord(page.disk).bits(), std::memory_order_release);
    page.replaced.store(1, std::memory_order_relaxed);
    unlatch(*parent.word);
    return true;
}

/// Under the page's latch: its image names children that are not its children any more.
void Tree::outdate_image(Inner& page) {
    if (page.disk == nullptr) return;
    page.disk->next = page.carried;
    page.carried = page.disk;
    page.disk = nullptr;
}

/// Of a leaf that was unlinked clean: the disk has them all.
void Tree::retire_large_values(const Leaf& leaf) {
    if (leaf.holds_large == 0) return;
    const std::size_t n = leaf.count.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < n; ++i) {
        if (leaf.record(i).large()) retire_large(large_value_of(leaf.record(i)));
    }
}

void Tree::drop_large_bytes(const Leaf& leaf) {
    const std::size_t n = leaf.count.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < n; ++i) {
        if (!leaf.record(i).large()) continue;
        LargeValue* value = large_value_of(leaf.record(i));
        const std::uint64_t sector = value->sector.load(std::memory_order_acquire);
        if (sector == 0 || sector == LargeValue::kDropped ||
            !context_.clock.is_written(value->ticket.load(std::memory_order_relaxed))) {
            continue;
        }
        char* const bytes = value->bytes.exchange(nullptr, std::memory_order_acq_rel);
        if (bytes == nullptr) continue;
        context_.versions.retire(bytes, frame_bytes_for(value->length), &FramePool::free_retired,
                                 &context_.frames);
    }
}

void Tree::retire_large(LargeValue* value) {
    const std::size_t bytes = value->bytes.load() == nullptr ? 0 : frame_bytes_for(value->length);
    context_.versions.retire(
        value, bytes,
        [](void* pool, void* memory, std::size_t size) {
            auto* gone = static_cast<LargeValue*>(memory);
            if (char* data = gone->bytes.load()) {
                static_cast<FramePool*>(pool)->free(data, frame_bytes_for(gone->length));
            }
            static_cast<void>(size);
            delete gone;
        },
        &context_.frames);
}

Descriptor* Tree::make_descriptor(const PageRef& ref, std::uint64_t emitted) {
    context_.frames.count(sizeof(Descriptor));
    auto* descriptor = new Descriptor;
    descriptor->ref = ref;
    descriptor->emitted = emitted;
    return descriptor;
}

void Tree::delete_descriptor(Descriptor* descriptor) {
    if (descriptor == nullptr) return;
    context_.frames.discount(sizeof(Descriptor));
    delete descriptor;
}

void Tree::delete_chain(Descriptor* first) {
    while (first != nullptr) delete_descriptor(std::exchange(first, first->next));
}

void Tree::retire_descriptor(Descriptor* descriptor) {
    context_.versions.retire(
        descriptor, sizeof(Descriptor),
        [](void* frames, void* memory, std::size_t bytes) {
            static_cast<FramePool*>(frames)->discount(bytes);
            delete static_cast<Descriptor*>(memory);
        },
        &context_.frames);
}

}  // namespace fulgur::storage
