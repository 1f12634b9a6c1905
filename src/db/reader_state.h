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

struct ReaderState {
    std::shared_ptr<Engine> engine;
    storage::Versions::Slot* slot = nullptr;
    Sequence sequence{};
    bool at_snapshot = false;  ///< holds a registration of its own
    ViewGuard views;

    /// @param snapshot  null: at the newest visible commit.
    static Result<std::unique_ptr<ReaderState>> make(const std::shared_ptr<Engine>& engine,
                                                     const Sequence* snapshot);
    ~ReaderState();
    /// Whether `check` would be content.
    bool may_read(const Engine* of, const KeyspaceState& keyspace) const {
        return of == engine.get() && keyspace.visible_at(sequence) && engine->is_open();
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

    ReaderState& reader;
    KeyspaceState* keyspace = nullptr;
    std::optional<storage::TreeCursor> cursor;
    std::optional<Error> value_error;
};

}  // namespace fulgur::db
