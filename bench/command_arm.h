// Commands of others as something to measure: their time, or their instructions. What a command
// prints is kept for the message when it fails, and a command that fails or exceeds its limit ends
// the comparison: times of failures are no figures. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/paired.h"

namespace fulgur::bench {

using CommandLine = std::vector<std::string>;

/// "a b 'c d'": for people.
std::string show(const CommandLine& command);

class CommandArm final : public Arm {
public:
    enum class Measure : std::uint8_t {
        kWall,
        kProcessor,  ///< User and system time, of its children too.
    };

    CommandArm(CommandLine command, Measure measure, std::uint64_t limit_ms)
        : command_(std::move(command)), measure_(measure), limit_ms_(limit_ms) {}

    /// Runs the command `operations` times. Throws BenchError when it fails.
    double run(std::uint64_t operations) override;

private:
    CommandLine command_;
    Measure measure_;
    std::uint64_t limit_ms_;
};

struct CountPlan {
    /// Counts only inside this function and what it calls (callgrind's --toggle-collect); empty:
    /// all of the program.
    std::string marker = {};
    std::uint64_t limit_ms = 600'000;
    std::size_t repeats = 2;  ///< Of the side before; their spread is the A/A line.
};

/// Instructions that `command` executes, by callgrind, with a fixed environment and, where the
/// system allows it, without random addresses.
double count_instructions(const CommandLine& command, const CountPlan& plan);

/// Mode `counts`. There is no chance in it: the interval is the spread of the repeats, or a
/// thirtieth of a per cent, which is what counts were seen to vary by, if that is more.
PairedOutcome compare_counts(const std::string& name, const CommandLine& before,
                             const CommandLine& after, const CountPlan& plan);

}  // namespace fulgur::bench
