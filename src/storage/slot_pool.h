// Small objects of one size, carved out of frames: so what grows with the data lies in the arena,
// where the memory budget counts it, and not in a heap beside it. A frame of slots never goes back:
// what was needed once is needed again.
//
// Thread-safe. O(1).
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>

#include "os/mutex.h"
#include "storage/frame_pool.h"
#include "storage/page_format.h"

namespace fulgur::storage {

template <typename T>
class SlotPool {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    explicit SlotPool(FramePool& frames) : frames_(frames) {}
    /// Nobody uses an object any more.
    ~SlotPool() {
        for (Frame* frame = all_; frame != nullptr;) {
            Frame* const next = frame->next;
            frames_.free(reinterpret_cast<char*>(frame), kFrameBytesMin);
            frame = next;
        }
    }
    SlotPool(const SlotPool&) = delete;
    SlotPool& operator=(const SlotPool&) = delete;

    T* make() {
        os::MutexLock lock(mutex_);
        if (free_ == nullptr) carve();
        Slot* const slot = free_;
        free_ = slot->next;
        return new (slot) T;
    }
    void free(T* object) {
        os::MutexLock lock(mutex_);
        auto* const slot = new (object) Slot;
        slot->next = free_;
        free_ = slot;
    }

private:
    union Slot {
        Slot* next;
        alignas(T) char bytes[sizeof(T)];
    };
    struct Frame {
        Frame* next;
        Slot slots[(kFrameBytesMin - sizeof(void*)) / sizeof(Slot)];
    };
    static_assert(sizeof(Frame) <= kFrameBytesMin);

    void carve() REQUIRES(mutex_) {
        auto* const frame = new (frames_.allocate(kFrameBytesMin)) Frame;
        frame->next = all_;
        all_ = frame;
        for (Slot& slot : frame->slots) {
            slot.next = free_;
            free_ = &slot;
        }
    }

    FramePool& frames_;
    os::Mutex mutex_;
    Frame* all_ GUARDED_BY(mutex_) = nullptr;
    Slot* free_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace fulgur::storage
