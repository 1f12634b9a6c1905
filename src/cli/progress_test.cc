#include "cli/progress.h"

#include <gtest/gtest.h>

#include "cli/memory_stream.h"
#include "os/sim_clock.h"

namespace fulgur::cli {
namespace {

TEST(ProgressTest, IsSilentOffATerminalUnlessAsked) {
    os::SimClock clock;
    MemoryOutput stream;
    Progress progress("loading", Progress::Wish::kWhenTerminal, stream, clock);
    clock.advance_ms(60'000);
    progress.update_now({.rows = 5});
    progress.finish({.rows = 5});
    EXPECT_EQ(stream.text, "");
}

TEST(ProgressTest, ShowsShareRateAndTimeLeft) {
    os::SimClock clock;
    MemoryOutput stream;
    Progress progress("loading", Progress::Wish::kAlways, stream, clock);
    progress.set_totals({.files = 2, .bytes = 4096});
    clock.advance_ms(10'000);
    progress.update_now({.files = 1, .rows = 20'000, .bytes = 1024});
    EXPECT_EQ(stream.text,
              "loading  25% [###.........] file 1/2 20,000 rows 1.0 KiB 2,000/s 0:30 left\n");
}

TEST(ProgressTest, IsThrottled) {
    os::SimClock clock;
    MemoryOutput stream(true);
    Progress progress("counting", Progress::Wish::kWhenTerminal, stream, clock);
    for (int i = 0; i < 10'000; ++i) {  // Ten seconds in all.
        clock.advance_ms(1);
        progress.update_now({.rows = 1, .bytes = 1});
    }
    const auto drawn = std::ranges::count(stream.text, '\r');
    EXPECT_GE(drawn, 90);
    EXPECT_LE(drawn, 100);
    progress.clear();
    EXPECT_TRUE(stream.text.ends_with("\r\x1b[K"));
}

TEST(ProgressTest, SaysNothingAboutShortWork) {
    os::SimClock clock;
    MemoryOutput stream(true);
    Progress progress("counting", Progress::Wish::kWhenTerminal, stream, clock);
    clock.advance_ms(200);
    progress.update_now({.rows = 1});
    progress.finish({.rows = 1});
    EXPECT_EQ(stream.text, "");
}

TEST(ProgressTest, FitsATerminalOf80Columns) {
    os::SimClock clock;
    MemoryOutput stream;
    Progress progress("verifying", Progress::Wish::kAlways, stream, clock);
    progress.set_totals({.files = 0, .bytes = std::uint64_t{1000} << 40});
    clock.advance_ms(100'000'000);
    progress.update_now({.rows = 0, .bytes = std::uint64_t{999} << 40});
    EXPECT_LE(stream.text.size(), 80u);
}

}  // namespace
}  // namespace fulgur::cli
