#pragma once

/// One line on standard error that tells how far long work is: files, rows, bytes, rate, time left.
///
/// It is shown on a terminal, redrawn at most ten times a second; elsewhere only when asked for, as
/// plain lines, one a second. Work shorter than that shows nothing on a terminal. Not thread-safe.

#include <cstdint>
#include <optional>
#include <string>

#include "os/clock.h"
#include "os/stream.h"

namespace fulgur::cli {

class Progress {
public:
    /// What the user asked for; without a word it depends on the terminal.
    enum class Wish : std::uint8_t { kWhenTerminal, kAlways, kNever };

    /// Zero totals are unknown.
    struct Totals {
        std::uint64_t files = 0;
        std::uint64_t bytes = 0;
    };
    struct Counts {
        std::uint64_t files = 0;  ///< The one being worked on, from 1; 0 when there are no files.
        std::uint64_t rows = 0;
        std::uint64_t bytes = 0;
    };

    Progress(std::string verb, Wish wish, os::OutputStream& stream, os::Clock& clock);
    /// Clears an unfinished line, so that an error message stands alone.
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void set_totals(const Totals& totals) { totals_ = totals; }

    /// Cheap: looks at the clock once in 64 calls.
    void update(const Counts& counts) {
        if (shown_ && ++calls_ % 64 == 0) draw_when_due(counts);
    }
    /// For work that reports rarely: looks at the clock each time.
    void update_now(const Counts& counts) {
        if (shown_) draw_when_due(counts);
    }
    /// For work that knows its share: "verb 42% [###...] doing, 12 s left".
    void update_share(double done, const std::string& doing);
    /// Removes the line from the terminal; the next update draws it again.
    void clear();
    /// The last state, as a line that stays (only where plain lines are shown).
    void finish(const Counts& counts);

    std::uint64_t elapsed_ns() { return clock_.now_ns() - start_ns_; }

private:
    void draw_when_due(const Counts& counts);
    bool due(std::uint64_t now);
    void draw(const std::string& text);
    std::string describe(const Counts& counts, std::uint64_t elapsed_ns) const;

    std::string verb_;
    os::OutputStream& stream_;
    os::Clock& clock_;
    Totals totals_;
    bool terminal_;
    bool shown_;
    bool drawn_ = false;
    std::uint64_t calls_ = 0;
    std::uint64_t start_ns_;
    std::uint64_t due_ns_;
};

}  // namespace fulgur::cli
