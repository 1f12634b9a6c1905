#include "store/conformance.h"

#include <array>

#include "store/trial.h"

namespace fulgur::store {

std::span<const ConformanceCheck> conformance_checks() {
    static constexpr auto kChecks = std::to_array<ConformanceCheck>({
        {"SeesItsOwnWrites", sees_its_own_writes},
        {"KeepsItsMoment", keeps_its_moment},
        {"RefusesALostUpdate", refuses_a_lost_update},
        {"RefusesTwoInsertsOfOneKey", refuses_two_inserts_of_one_key},
        {"RefusesWriteSkew", refuses_write_skew},
        {"RefusesAPhantomInARange", refuses_a_phantom_in_a_range},
        {"RefusesAPhantomInAnEmptyRange", refuses_a_phantom_in_an_empty_range},
        {"RefusesTheReadOnlyAnomaly", refuses_the_read_only_anomaly},
        {"ForgetsWhatIsNotCommitted", forgets_what_is_not_committed},
        {"EndsWithItsCommit", ends_with_its_commit},
        {"PagesBothWays", pages_both_ways},
        {"GoesOnBehindTheLastRow", goes_on_behind_the_last_row},
        {"PagesWithItsOwnWrites", pages_with_its_own_writes},
        {"ErasesRanges", erases_ranges},
        {"GetsMany", gets_many},
        {"TakesAnyBytes", takes_any_bytes},
        {"TakesTheEmptyKey", takes_the_empty_key},
        {"HoldsItsLimits", holds_its_limits},
        {"RefusesWhatIsTooLarge", refuses_what_is_too_large},
        {"RefusesWhatIsTooOld", refuses_what_is_too_old},
        {"CountsByAtomics", counts_by_atomics},
        {"RunsAgainAfterConflicts", runs_again_after_conflicts},
        {"RunsEachWorkOnce", runs_each_work_once},
        {"AddsInManyThreads", adds_in_many_threads},
        {"MovesMoneyInManyThreads", moves_money_in_many_threads},
        {"EqualsAModel", equals_a_model},
    });
    return kChecks;
}

std::optional<std::string> run_check(const ConformanceCheck& check, Store& store,
                                     const ConformanceOptions& options) {
    // Random, so that nobody's rows are met, and two who check one server do not meet.
    os::Random random(os::random_seed());
    Trial trial(store, options,
                "fulgur-conformance/" + std::to_string(random.next()) + "/" + check.name + "/");
    check.run(trial);
    if (!trial.failed()) trial.clean_up();
    return trial.failure();
}

}  // namespace fulgur::store
