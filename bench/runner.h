// Lets the sides take turns on each workload, and measures.
//
// Turns. A workload that goes once over all rows (a fill) is run by one side at a time, each round
// in another random order, with nothing else open but what that side keeps open itself. All others
// run in slices of some 50 ms, one side after the other, in a new random order each round: what the
// machine does to one side's slices it does to the others'. The first slice of each side only finds
// out how many operations fill a slice, and warms the caches.
//
// Time per operation is a slice's wall time divided by its operations, all threads' together. No
// clock is read inside a slice; latencies are sampled afterwards, in slices of their own, one
// operation of sixteen. With a rate (`open_loop.h`) each operation is timed from its intended
// start.
//
// Each value that is read is checked; a wrong one ends that side's part with a note instead of
// figures.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/open_loop.h"
#include "bench/result.h"
#include "bench/workload.h"
#include "os/clock.h"
#include "os/random.h"

namespace fulgur::bench {

class MemoryLimit;

struct Plan {
    std::vector<const Workload*> workloads;
    std::vector<const Side*> sides;
    Parameters parameters;
    std::string directory;  ///< exists; databases are made below it and removed
    double seconds = 3;     ///< of measured time, for each side and workload
    unsigned rounds = 3;    ///< of the workloads that go once over all rows
    std::uint64_t slice_ms = 50;
    OpenLoop open_loop;  ///< rate 0: closed loop
    /// Lifted while a store is loaded, held while it is measured; none by default.
    MemoryLimit* memory_limit = nullptr;
};

class Runner {
public:
    /// How far the work has come: of all the workloads and sides.
    struct Progress {
        std::string doing;
        double done = 0;  ///< share of the whole, 0 to 1
    };
    using Report = std::function<void(const Progress&)>;
    using Sink = std::function<void(const Result&)>;

    Runner(Plan plan, os::Clock& clock, Report report, Sink sink);
    ~Runner();
    /// Results reach the sink as soon as they exist, workload by workload.
    void run();

private:
    /// A side with its store and its threads' sessions.
    struct Arm;
    /// One workload's state on one arm.
    struct Part;

    void run_workload(const Workload& workload);
    void run_pass(const Workload& workload, std::deque<Part>& parts);
    void run_opening(const Workload& workload, std::deque<Part>& parts);
    void open_once(Part& part);
    void run_turns(std::deque<Part>& parts);
    void run_open(std::deque<Part>& parts);
    void sample_latencies(Part& part);
    void open_arm(Arm& arm, const Parameters& parameters);
    void load_arm(Arm& arm, const Part& part);
    void close_arm(Arm& arm);
    void begin_tasks(Part& part);
    void end_tasks(Part& part);
    /// @return nanoseconds of wall time.
    std::uint64_t run_slice(Part& part, std::uint64_t operations);
    void finish(Part& part);
    /// Runs `work`; a Failure becomes the part's note.
    void guarded(Part& part, const std::function<void()>& work);
    void shuffle(std::vector<Part*>& order);
    void report(const std::string& doing);

    Plan plan_;
    os::Clock& clock_;
    Report report_;
    Sink sink_;
    os::Random random_;
    std::vector<std::unique_ptr<Arm>> arms_;
    double steps_done_ = 0;
    double steps_ = 1;
};

}  // namespace fulgur::bench
