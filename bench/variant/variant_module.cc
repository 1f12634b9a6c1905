// The one symbol of libfulgur_variant.so; see bench/variant.h.
#include "bench/variant.h"

#include <bench_commit.h>

#include "bench/peers/peers.h"

extern "C" __attribute__((visibility("default")))
const fulgur::bench::VariantTable fulgur_bench_variant = {
    fulgur::bench::kVariantAbi, FULGUR_COMMIT, [](const fulgur::bench::StoreOptions& options) {
        return fulgur::bench::open_fulgur(options).release();
    }};
