#include "cli/progress.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cli/text.h"

namespace fulgur::cli {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRedrawNs = kSecond / 10;
constexpr std::size_t kBarCells = 12;

std::string bar(double done) {
    const auto filled = static_cast<std::size_t>(done * static_cast<double>(kBarCells));
    return fmt::format("[{:#<{}}{:.<{}}]", "", filled, "", kBarCells - filled);
}

}  // namespace

Progress::Progress(std::string verb, Wish wish, os::OutputStream& stream, os::Clock& clock)
    : verb_(std::move(verb)),
      stream_(stream),
      clock_(clock),
      terminal_(stream.is_terminal()),
      shown_(wish == Wish::kAlways || (wish == Wish::kWhenTerminal && terminal_)),
      start_ns_(clock.now_ns()),
      due_ns_(start_ns_ + (terminal_ ? 3 * kRedrawNs : kSecond)) {}

void Progress::draw_when_due(const Counts& counts) {
    const std::uint64_t now = clock_.now_ns();
    if (due(now)) draw(describe(counts, now - start_ns_));
}

void Progress::update_share(double done, const std::string& doing) {
    if (!shown_) return;
    const std::uint64_t now = clock_.now_ns();
    if (!due(now)) return;
    std::string text = fmt::format("{} {:3.0f}% {} {}", verb_, done * 100, bar(done), doing);
    if (done > 0) {
        const double left = static_cast<double>(now - start_ns_) / 1e9 * (1 - done) / done;
        text += fmt::format(", {} left", show_seconds(static_cast<std::uint64_t>(left + 0.5)));
    }
    draw(text);
}

bool Progress::due(std::uint64_t now) {
    if (now < due_ns_) return false;
    due_ns_ = now + (terminal_ ? kRedrawNs : kSecond);
    return true;
}

void Progress::draw(const std::string& text) {
    // Progress that cannot be shown must not stop the work.
    static_cast<void>(stream_.write(terminal_ ? "\r" + text + "\x1b[K" : text + "\n").ok());
    drawn_ = terminal_;
}

std::string Progress::describe(const Counts& counts, std::uint64_t elapsed_ns) const {
    const double seconds = static_cast<double>(std::max<std::uint64_t>(elapsed_ns, 1)) / 1e9;
    std::string text = verb_;
    const bool known = totals_.bytes > 0;
    const double done =
        known
            ? std::min(1.0, static_cast<double>(counts.bytes) / static_cast<double>(totals_.bytes))
            : 0;
    if (known) text += fmt::format(" {:3.0f}% {}", done * 100, bar(done));
    if (totals_.files > 1) text += fmt::format(" file {}/{}", counts.files, totals_.files);
    if (counts.rows > 0) {
        text += fmt::format(" {} rows", show_count(counts.rows));
    }
    text += fmt::format(" {}", show_bytes(counts.bytes));
    if (counts.rows > 0) {
        const double rate = static_cast<double>(counts.rows) / seconds;
        text += fmt::format(" {}/s", show_count(static_cast<std::uint64_t>(rate)));
    } else {
        const double rate = static_cast<double>(counts.bytes) / seconds;
        text += fmt::format(" {}/s", show_bytes(static_cast<std::uint64_t>(rate)));
    }
    if (known && counts.bytes > 0) {
        const double left = seconds * (1 - done) / std::max(done, 1e-9);
        text += fmt::format(" {} left", show_seconds(static_cast<std::uint64_t>(left + 0.5)));
    }
    return text;
}

void Progress::clear() {
    if (drawn_) static_cast<void>(stream_.write("\r\x1b[K").ok());  // As in draw_when_due.
    drawn_ = false;
}

void Progress::finish(const Counts& counts) {
    clear();
    if (shown_ && !terminal_) {
        static_cast<void>(stream_.write(describe(counts, elapsed_ns()) + "\n").ok());
    }
    shown_ = false;
}

}  // namespace fulgur::cli
