// What is built on transactions: the loop that runs one again after a conflict, and durable reads.
#include <algorithm>

#include "base/planted.h"
#include "db/reader_state.h"
#include "db/transaction.h"
#include "os/random.h"
#include "os/thread.h"

namespace fulgur {

namespace db {

namespace {

/// Between two attempts of one transaction: a random part of a time that doubles, so that those who
/// met do not meet again. All attempts together wait a third of a second on average.
void back_off(std::uint32_t failures) {
    constexpr std::uint64_t kFirstUs = 40, kMostUs = 10'000;
    constexpr std::uint32_t kDoublings = 8;
    thread_local os::Random random(os::random_seed());
    const std::uint64_t most = std::min(kMostUs, kFirstUs << std::min(failures, kDoublings));
    os::sleep_us(random.below(most));
}

}  // namespace

Result<Sequence> TransactionAccess::transact(const std::shared_ptr<Engine>& engine,
                                             const Work& work, const TransactOptions& options,
                                             const Durability& durability) {
    for (std::uint32_t failures = 0;;) {
        Result<Transaction> transaction = begin(engine, options.isolation);
        if (!transaction) return transaction.error();
        const Result<void> worked = work(*transaction);
        if (worked && transaction->ended()) {
            return Error(ErrorCode::kInvalid, "the function of transact ended the transaction");
        }
        Result<Sequence> done =
            worked ? transaction->commit(durability) : Result<Sequence>(worked.error());
        if (done || done.error().code() != ErrorCode::kConflict) return done;
        transaction->rollback();
        if (++failures >= options.attempts_max && !FULGUR_PLANTED("conflicts_retried_for_ever")) {
            return done;
        }
        // Without threads of its own the engine is a simulation's, where nobody else comes first.
        if (engine->options().background) back_off(failures);
    }
}

Result<void> Engine::wait_until_durable(Sequence sequence) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (log_->durable_sequence() >= sequence || FULGUR_PLANTED("durable_read_does_not_wait")) {
        return {};
    }
    return log_->sync_all();
}

}  // namespace db

Result<Transaction> Database::begin(Isolation isolation) const {
    return db::TransactionAccess::begin(engine_, isolation);
}

Result<Sequence> Database::transact(const std::function<Result<void>(Transaction&)>& work,
                                    const TransactOptions& options) const {
    const Durability durability = options.durability.value_or(engine_->options().user.durability);
    return db::TransactionAccess::transact(engine_, work, options, durability);
}

Result<Reader> Database::durable_reader() const {
    Result<db::ReaderHandle> state = db::ReaderState::make(engine_, nullptr);
    if (!state) return state.error();
    Result<void> durable = engine_->wait_until_durable((*state)->sequence);
    if (!durable) return durable.error();
    return Reader(*std::move(state));
}

}  // namespace fulgur
