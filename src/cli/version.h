#pragma once

namespace fulgur::cli {

/// The same as in CMakeLists.txt; tests/cli/cli_test.py compares them.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace fulgur::cli
