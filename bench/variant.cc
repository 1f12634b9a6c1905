#include "bench/variant.h"

#include "bench/bench_error.h"
#include "os/module.h"

namespace fulgur::bench {

Side load_variant(const std::string& path, const std::string& name) {
    const Result<void*> found = os::load_function(path, kVariantSymbol);
    if (!found) {
        throw BenchError(path + " is no variant of the engine (" + found.error().message() +
                         "): build the target libfulgur_variant.so");
    }
    const auto* const table = static_cast<const VariantTable*>(*found);
    if (table->abi != kVariantAbi) {
        throw BenchError(path + " has another version of the benchmark's interface");
    }
    return {name, std::string("variant of commit ") + table->commit, "",
            [open = table->open](const StoreOptions& options) {
                return std::unique_ptr<Store>(open(options));
            }};
}

}  // namespace fulgur::bench
