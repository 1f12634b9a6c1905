// Variants of our engine for `fulgur bench compare --mode fine`: shared libraries, each with a
// whole copy of the engine of one commit or one set of flags, behind the interface of store.h. Two
// of them run in one process, so that both meet the same memory, the same neighbours and the same
// moment.
//
//     ninja libfulgur_variant.so      in the build of each commit
//     fulgur bench compare --mode fine --workload readrandom --a old.so --b new.so
#pragma once

#include <string>

#include "bench/store.h"

namespace fulgur::bench {

/// What a variant exports, by this name. Both sides must have the same idea of store.h: kVariantAbi
/// is raised when that changes.
inline constexpr std::uint32_t kVariantAbi = 1;
struct VariantTable {
    std::uint32_t abi;
    const char* commit;
    Store* (*open)(const StoreOptions&);
};
inline constexpr const char* kVariantSymbol = "fulgur_bench_variant";

/// The variant in the file as a side, named `name`. Throws BenchError when it is none, or of
/// another version of the interface.
Side load_variant(const std::string& path, const std::string& name);

}  // namespace fulgur::bench
