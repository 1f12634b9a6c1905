#include "cli/walk.h"

#include <utility>

#include <fulgur/options.h>

namespace fulgur::cli {

namespace {

constexpr std::uint64_t kRowsHeldMax = 16'384;
constexpr std::uint64_t kBytesHeldMax = 1_MiB;
/// Values above this are copied piece by piece: in one piece the engine may refuse them when its
/// memory budget is small.
constexpr std::uint64_t kWholeValueMax = 512_KiB;

}  // namespace

Result<std::unique_ptr<Walk>> Walk::start(const Snapshot& snapshot, const Keyspace& keyspace,
                                          KeyRange range, Direction direction) {
    Result<Reader> reader = snapshot.reader();
    if (!reader.ok()) return reader.error();
    std::unique_ptr<Walk> walk(
        new Walk(std::move(reader).value(), keyspace, std::move(range), direction));
    walk->cursor_.emplace(walk->reader_.cursor(walk->keyspace_, walk->range_));
    if (direction == Direction::kReverse) walk->cursor_->seek_to_last();
    return walk;
}

Bytes Walk::value() {
    if (cursor_->value_size() > kWholeValueMax) return read_large();
    const Bytes value = cursor_->value();
    if (value.size() != cursor_->value_size()) {
        if (const Result<void> status = cursor_->status(); !status.ok()) failure_ = status.error();
    }
    bytes_held_ += value.size();
    return value;
}

Bytes Walk::read_large() {
    large_.resize(cursor_->value_size());
    const auto count = reader_.read(keyspace_, cursor_->key(), 0, {large_.data(), large_.size()});
    if (!count.ok()) {
        failure_ = count.error();
        return {};
    }
    large_.resize(count->value_or(0));
    return large_;
}

void Walk::next() {
    bytes_held_ += cursor_->key().size();
    if (++rows_held_ >= kRowsHeldMax || bytes_held_ >= kBytesHeldMax) renew();
    if (cursor_->valid()) step();  // Not after a failed renewal.
}

void Walk::step() {
    if (direction_ == Direction::kForward) {
        cursor_->next();
    } else {
        cursor_->previous();
    }
}

void Walk::renew() {
    const std::string key(cursor_->key());
    cursor_.reset();
    reader_.refresh();
    rows_held_ = bytes_held_ = 0;
    cursor_.emplace(reader_.cursor(keyspace_, range_));
    cursor_->seek(key);  // The key is there: the moment is the same.
}

Result<void> Walk::status() const {
    if (failure_) return *failure_;
    return cursor_->status();
}

}  // namespace fulgur::cli
