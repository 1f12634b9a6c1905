// The store that a keyspace of the embedded engine is. A transaction of the store is one of the
// engine's: views are views into the engine's memory, and nothing is copied but the keys of ranges.
// Marks lie in a keyspace beside it, which is made when one is first written.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <fulgur/store.h>

#include "store/url.h"

namespace fulgur::store {

/// A page of a range is full with the row that takes it past this.
inline constexpr std::uint64_t kPageBytesTarget = 1_MiB;

/// Options: budget, create, durability, keyspace.
/// @param in_memory  the path is empty, and nothing is written anywhere.
Result<std::unique_ptr<Store>> open_embedded(Url& url, bool in_memory = false);
Result<std::unique_ptr<Store>> embedded_over(Database& database, std::string_view keyspace);

/// What an atomic operation makes of a value; see StoreTransaction::atomic_add.
std::uint64_t atomic_result(AtomicOperation operation, std::optional<Bytes> before,
                            std::uint64_t number);

}  // namespace fulgur::store
