// Proves on this machine, now, that comparisons find what is there and nothing else: a kernel that
// does 0, 1, 3 and 5 % more work is compared with itself in mode `fine`, and in mode `counts` where
// valgrind is installed. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/command_arm.h"
#include "bench/verdict.h"

namespace fulgur::bench {

struct SelfTestLine {
    std::string mode;
    double injected = 0;  ///< A share: 0.03 is 3 % more work.
    Comparison found;
    bool passed = false;
};

struct SelfTest {
    std::vector<SelfTestLine> lines;
    std::vector<Comparison> same;
    std::vector<std::string> notes;
    bool deceived = false;  ///< A/A differed: the machine is too busy to say anything.

    /// kOk; kInconclusive when the machine deceives; kValidationFailed when something was missed,
    /// or found where there was nothing.
    Exit exit() const;
};

struct SelfTestPlan {
    /// Runs the kernel in a process: the percentage follows as the last argument. Empty: no counts.
    CommandLine kernel = {};
    std::uint64_t seed = 1;
    std::function<void(std::size_t, std::size_t)> progress = {};
};
SelfTest run_self_test(const SelfTestPlan& plan, os::Clock& clock);

std::string to_text(const SelfTest& test);
Json to_json(const SelfTest& test);

/// The kernel's work of one process of mode `counts`, `percent` more than usual. @return what it
/// computed, so that no compiler leaves it out.
std::uint64_t run_self_test_kernel(unsigned percent);
/// The function to count inside of.
inline constexpr const char* kSelfTestMarker = "fulgur_bench_counted_kernel";

/// The arm of mode `fine` that does `percent` more.
class KernelArm final : public FineArm {
public:
    KernelArm(unsigned percent, os::Clock& clock) : percent_(percent), clock_(clock) {}
    double run(std::uint64_t operations) override;
    std::uint64_t result() const { return result_; }

private:
    unsigned percent_;
    os::Clock& clock_;
    std::uint64_t result_ = 1;
};

}  // namespace fulgur::bench
