#include "os/module.h"

#include <dlfcn.h>

namespace fulgur::os {

Result<void*> load_function(const std::string& path, const char* name) {
    // A name without a slash would be looked for in the system's folders.
    const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
    void* const module = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    // dlerror's text lives only until the next call: it is copied into the error's place, which
    // keeps the end of it, the reason.
    if (module == nullptr) {
        return Error(ErrorCode::kInvalid, "the module cannot be loaded").at(::dlerror());
    }
    void* const found = ::dlsym(module, name);
    if (found == nullptr) {
        return Error(ErrorCode::kInvalid, "the module lacks a function").at(::dlerror());
    }
    return found;
}

}  // namespace fulgur::os
