// A store that is no more than every driver can be: the portable limits around any other store, and
// on purpose, by a seed, what happens on a network and to transactions that wait:
//
//   conflict         a commit is refused although nobody was in the way
//   too old          a read or a commit comes too late; after 5 s by the clock always
//   too large        the commit of a transaction above half of its limit is refused: stores count
//                    differently, so nobody should go near it
//   unknown result   a commit ends so; half of them took place, a quarter did not, and a quarter is
//                    still on its way and may arrive while others work
//   short page       a page of a range has fewer rows than were asked for
//
// Whoever passes his tests on it leans on nothing that only the embedded engine has.
//
// The n-th transaction of a store has its own random numbers, by seed and n: one thread gets the
// same failures from the same seed. Thread safety: as any Store.
#pragma once

#include <cstdint>
#include <memory>

#include <fulgur/store.h>

#include "os/clock.h"
#include "store/url.h"

namespace fulgur::store {

struct PortableOptions {
    std::uint64_t seed = 1;
    /// One commit in so many fails on purpose, and one read in eight times so many. 0: none.
    std::uint32_t one_in = 8;
    os::Clock* clock = &os::real_clock();
};

std::unique_ptr<Store> make_portable(std::unique_ptr<Store> under, const PortableOptions& options);

/// Options: seed, one_in, and those of the embedded engine. Without a path it is in memory.
Result<std::unique_ptr<Store>> open_portable(Url& url);

}  // namespace fulgur::store
