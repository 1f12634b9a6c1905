#include <algorithm>

#include "bench/peers/peers.h"
#include "bench/store.h"

namespace fulgur::bench {

const std::vector<Side>& sides() {
    static const std::vector<Side> all = {
        {"fulgur", "this engine", "", open_fulgur},
        {"lmdb", "copy-on-write B+tree in a file mapping", "liblmdb-dev", peers::open_lmdb},
        {"lmdb-writemap", "the same with a writable mapping", "liblmdb-dev",
         peers::open_lmdb_writemap},
        {"lmdb-nordahead", "the same without read-ahead, for data larger than memory",
         "liblmdb-dev", peers::open_lmdb_nordahead},
        {"rocksdb", "log-structured merge tree", "librocksdb-dev", peers::open_rocksdb},
        {"leveldb", "log-structured merge tree, the first of its kind", "libleveldb-dev",
         peers::open_leveldb},
        {"wiredtiger", "B-tree with a cache, MongoDB's engine", "libwiredtiger-dev",
         peers::open_wiredtiger},
        {"sqlite", "SQL in a file; a table without rowid", "libsqlite3-dev", peers::open_sqlite},
    };
    return all;
}

const Side* find_side(const std::string& name) {
    const auto it =
        std::ranges::find_if(sides(), [&](const Side& side) { return side.name == name; });
    return it == sides().end() ? nullptr : &*it;
}

}  // namespace fulgur::bench
