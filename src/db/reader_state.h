// What stands behind the public Reader, Cursor and Snapshot.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include <fulgur/reader.h>

#include "db/engine.h"

namespace fulgur::db {

/// In builds with assertions every view is a copy that ends with its reader: the address sanitizer
/// then names any later use, and without it the bytes have become 0xDB.
class ViewGuard {
public:
    ~ViewGuard() { end(); }
    Bytes show(Bytes view) {
#if defined(NDEBUG)
        return view;
#else
        copies_.emplace_back(view.size(), '\0');
        std::copy(view.begin(), view.end(), copies_.back().begin());
        return {copies_.back().data(), view.size()};
#endif
    }
    void end() {
#if !defined(NDEBUG)
        for (std::vector<char>& copy : copies_) {
            for (volatile char& byte : copy) byte = static_cast<char>(0xDB);
        }
        copies_.clear();
#endif
    }

private:
#if !defined(NDEBUG)
    std::vector<std::vector<char>> copies_;
#endif
};

/// What the readers of one slot have counted, one after the other: see metrics.h. What a get counts
/// comes first, so that it shares the line that a get reads anyway.
struct ReadCounts {
    OwnedCounter gets;
    OwnedCounter gets_absent;

    OwnedCounter gets_failed;
    OwnedCounter gets_cold;
    OwnedCounter get_many_calls;
    OwnedCounter get_many_keys;
    OwnedCounter get_many_absent;
    OwnedCounter part_reads;
    OwnedCounter cursors;
    OwnedCounter cursor_rows;
};

/// Each slot has one for all its readers, made with the first and freed with the engine: a new
/// reader allocates nothing, and what it counts is there when it is not any more.
struct alignas(64) ReaderState {
    std::shared_ptr<Engine> engine;  ///< null between two readers
    storage::Versions::Slot* slot = nullptr;
    Sequence sequence{};
    ReadCounts counts;
    bool at_snapshot = false;  ///< holds a registration of its own
    std::size_t stripe = 0;    ///< of the histograms
    ViewGuard views;

    /// @param snapshot  null: at the newest visible commit.
    static Result<ReaderHandle> make(const std::shared_ptr<Engine>& engine,
                                     const Sequence* snapshot);
    /// Whether `check` would be content.
    bool may_read(const Engine* of, const KeyspaceState& keyspace) const {
        return of == engine.get() && keyspace.readable_at(sequence);
    }
    /// Counts an error on its way out.
    const Error& failed(const Error& error) const {
        engine->read_metrics().errors.add(error.code());
        return error;
    }
    /// kInvalid: closed, another database's keyspace, or one that was dropped before this moment.
    Result<void> check(const Engine* of, const KeyspaceState& keyspace) const;
};

struct CursorState {
    CursorState(ReaderState& of, KeyspaceState& in, KeyRange range)
        : reader(of),
          keyspace(&in),
          cursor(std::in_place, *in.tree, of.sequence, std::move(range)) {}
    /// A cursor that never was valid.
    CursorState(ReaderState& of, const Error& error) : reader(of), value_error(error) {}

    /// The walk stands on no row: at an end, or at an error, which counts once.
    void count_end() {
        if (!cursor || !cursor->error() || error_counted) return;
        reader.failed(*cursor->error());
        error_counted = true;
    }

    ReaderState& reader;
    KeyspaceState* keyspace = nullptr;
    bool error_counted = false;
    std::optional<storage::TreeCursor> cursor;
    std::optional<Error> value_error;
};

}  // namespace fulgur::db
