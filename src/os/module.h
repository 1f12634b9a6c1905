#pragma once

#include <string>

#include <fulgur/result.h>

namespace fulgur::os {

/// Loads a shared library of code, for the rest of the process's life, and finds one of its
/// functions. Its own copies of what it shares with this program stay its own.
/// @return the function's address; kInvalid: no such file, no library, or not in it.
Result<void*> load_function(const std::string& path, const char* name);

}  // namespace fulgur::os
