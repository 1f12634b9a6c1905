// The sides' entries: functions where this build has the side, else null.
#pragma once

#include <memory>

#include "bench/store.h"

namespace fulgur::bench {

std::unique_ptr<Store> open_fulgur(const StoreOptions& options);

namespace peers {

using Open = std::unique_ptr<Store> (*)(const StoreOptions&);

#if defined(FULGUR_PEER_LMDB)
std::unique_ptr<Store> open_lmdb(const StoreOptions& options);
std::unique_ptr<Store> open_lmdb_writemap(const StoreOptions& options);
std::unique_ptr<Store> open_lmdb_nordahead(const StoreOptions& options);
#else
inline constexpr Open open_lmdb = nullptr;
inline constexpr Open open_lmdb_writemap = nullptr;
inline constexpr Open open_lmdb_nordahead = nullptr;
#endif

#if defined(FULGUR_PEER_ROCKSDB)
std::unique_ptr<Store> open_rocksdb(const StoreOptions& options);
#else
inline constexpr Open open_rocksdb = nullptr;
#endif

#if defined(FULGUR_PEER_LEVELDB)
std::unique_ptr<Store> open_leveldb(const StoreOptions& options);
#else
inline constexpr Open open_leveldb = nullptr;
#endif

#if defined(FULGUR_PEER_WIREDTIGER)
std::unique_ptr<Store> open_wiredtiger(const StoreOptions& options);
#else
inline constexpr Open open_wiredtiger = nullptr;
#endif

#if defined(FULGUR_PEER_SQLITE)
std::unique_ptr<Store> open_sqlite(const StoreOptions& options);
#else
inline constexpr Open open_sqlite = nullptr;
#endif

}  // namespace peers
}  // namespace fulgur::bench
