// Holds this process to an amount of memory, page cache included, by a control group of its own:
// what "larger than memory" means on a machine that has more. Versions 1 and 2 of the kernel's
// interface.
//
// Memory that was taken before stays charged where it was. Leaving puts the process back.
#pragma once

#include <cstdint>
#include <string>

namespace fulgur::bench {

class MemoryLimit {
public:
    /// Throws BenchError (environment refused) when the kernel or the rights do not allow it.
    explicit MemoryLimit(std::uint64_t bytes);
    ~MemoryLimit();
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;

private:
    std::string parent_;  ///< the group that the process came from
    std::string group_;
};

}  // namespace fulgur::bench
