#include "cli/output.h"

namespace fulgur::cli {

void Output::flush() {
    if (!error_ && !buffer_.empty()) {
        if (const auto written = stream_.write(buffer_); !written.ok()) error_ = written.error();
    }
    buffer_.clear();
}

Result<void> Output::finish() {
    flush();
    if (error_ && !os::is_broken_pipe(*error_)) return *error_;
    if (error_) return {};
    return stream_.finish();
}

}  // namespace fulgur::cli
