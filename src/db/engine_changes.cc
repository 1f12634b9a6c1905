// The engine's part of a change feed: the log's records, when others may see them, and the values
// that the log only names.
//
// A record is given when it is on the disk and visible. It may be on the disk first: it was
// appended, and somebody else's sync came before its operations were applied. Both happen under the
// commit mutex, so whoever has held it since sees the record as visible.
//
// A value in the data file may have been moved by a compaction, and once it is superseded its place
// may be used for something else. So the tree is asked first, under a pin: when the key's newest
// record is of this very commit, its value is ours, wherever it is by now, and cannot go meanwhile.
// Otherwise a later commit superseded it. Then what stands in its old place is taken if it has the
// length and the checksum, of 64 bits, that the log tells; it is read once and whole, so nothing
// can change between the check and the use.
#include "base/hash.h"
#include "base/planted.h"
#include "db/engine.h"
#include "db/reader_state.h"
#include "storage/tree_node.h"

namespace fulgur::db {

using storage::to_number;

namespace {

/// Whether the record's value is the one that was logged, wherever it lies by now.
bool is_value_at(const storage::Record& record, const LoggedExtent& place) {
    if (!record.large()) return false;
    const storage::LargeValue& value = *storage::large_value_of(record);
    return value.length == place.length && value.checksum == place.checksum;
}

}  // namespace

Result<std::unique_ptr<storage::LogFollower>> Engine::follow_log(Sequence from) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (to_number(from) > to_number(versions_.visible()) + 1) {
        return Error(ErrorCode::kInvalid,
                     "this sequence is beyond the database's next one: what was followed was "
                     "another database, or a newer copy of it");
    }
    auto follower = std::make_unique<storage::LogFollower>(*options_.files, options_.path,
                                                           superblock_.database_id, *log_);
    // The first commit has sequence 1.
    if (Result<void> done = follower->start(std::max(from, Sequence{1})); !done) {
        return done.error();
    }
    return follower;
}

Result<std::optional<storage::LoggedRecord>> Engine::next_logged(storage::LogFollower& follower) {
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    const bool stopped = log_->stopped();
    Result<std::optional<storage::LoggedRecord>> found = follower.next();
    if (!found) return found;
    if (*found) {
        if ((*found)->sequence > versions_.visible()) {
            os::MutexLock lock(commit_mutex_);
        }
        return found;
    }
    const bool all_given = follower.next_sequence() > versions_.visible();
    if (stopped || all_given) {
        if (Result<void> writable = check_writable(); !writable) return writable.error();
    }
    return found;
}

bool Engine::wait_for_log(const storage::LogFollower& follower, std::uint64_t ms) {
    return log_->wait_for_more(follower.seen(), ms);
}

Result<Sequence> Engine::oldest_change() const {
    if (Result<void> open = check_open(); !open) return open.error();
    return log_->oldest_sequence();
}

KeyspaceState* Engine::find_keyspace(std::uint32_t id) {
    os::MutexLock lock(commit_mutex_);
    const auto it = keyspaces_.find(id);
    return it == keyspaces_.end() ? nullptr : it->second.get();
}

Result<std::optional<std::string>> Engine::load_logged(const std::shared_ptr<Engine>& self,
                                                       std::uint32_t keyspace_id, Bytes key,
                                                       Sequence sequence,
                                                       const LoggedExtent& place) {
    using Value = std::optional<std::string>;
    const GatePass pass(gate_);
    if (!pass) return closed_error();
    if (KeyspaceState* keyspace = find_keyspace(keyspace_id)) {
        Result<ReaderHandle> reader = ReaderState::make(self, nullptr);
        if (!reader) return reader.error();
        if (keyspace->visible_at((*reader)->sequence)) {
            Result<std::optional<storage::Record>> found =
                find(*keyspace, key, (*reader)->sequence);
            if (!found) return found.error();
            if (*found && (*found)->sequence() == sequence && is_value_at(**found, place)) {
                std::string bytes(place.length, '\0');
                Result<std::size_t> read = read_part(**found, 0, bytes);
                if (!read) return read.error();
                return Value(std::move(bytes));
            }
        }
    }
    Result<std::uint64_t> size = data_->size_bytes();
    if (!size) return size.error();
    const std::uint64_t begin = place.sector * storage::kSectorBytes;
    if (begin > *size || place.length > *size - begin) return Value();
    std::string bytes(place.length, '\0');
    Result<void> read = data_->read(place.sector, bytes);
    // Somebody may have cut the file meanwhile.
    if (!read && read.error().code() == ErrorCode::kCorruption) return Value();
    if (!read) return read.error();
    if (hash64(bytes) != place.checksum && !FULGUR_PLANTED("feed_trusts_old_places")) {
        return Value();
    }
    return Value(std::move(bytes));
}

}  // namespace fulgur::db
