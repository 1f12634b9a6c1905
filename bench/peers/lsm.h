// What the sessions of RocksDB and LevelDB share: one's interface descends from the other's.
#pragma once

#include <memory>

#include "bench/store.h"

namespace fulgur::bench::peers {

/// Shows rows from a key on (empty: the first). @return how many.
template <typename Slice, typename Iterator, typename Check>
std::size_t scan_by_iterator(Iterator& it, Bytes from, std::size_t rows, RowVisitor& visitor,
                             const Check& check) {
    if (from.empty()) {
        it.SeekToFirst();
    } else {
        it.Seek(Slice(from.data(), from.size()));
    }
    std::size_t n = 0;
    for (; n < rows && it.Valid(); it.Next(), ++n) {
        const Slice key = it.key(), value = it.value();
        visitor.row({key.data(), key.size()}, {value.data(), value.size()});
    }
    check(it.status());
    return n;
}

}  // namespace fulgur::bench::peers
