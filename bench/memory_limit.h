// Holds this process to an amount of memory, page cache included, by a control group of its own:
// what "larger than memory" means on a machine that has more. Versions 1 and 2 of the kernel's
// interface.
//
// Memory that was taken before stays charged where it was: a store that is to be measured under a
// limit must be opened inside the group. Lifting the limit while it is filled saves the hours that
// some stores need for that; what they took above it is given back before `hold` returns. Leaving
// puts the process back.
#pragma once

#include <cstdint>
#include <string>

namespace fulgur::bench {

class MemoryLimit {
public:
    /// Throws BenchError (environment refused) when the kernel or the rights do not allow it.
    explicit MemoryLimit(std::uint64_t bytes);
    ~MemoryLimit();
    /// No limit until `hold`.
    void lift();
    /// Throws Failure when what is in use does not fit after a minute of giving back.
    void hold();
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;

private:
    std::uint64_t bytes_;
    std::string limit_;   ///< the kernel's file
    std::string parent_;  ///< the group that the process came from
    std::string group_;
};

}  // namespace fulgur::bench
