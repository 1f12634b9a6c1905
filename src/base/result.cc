#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <fulgur/result.h>

namespace fulgur {

const char* to_string(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::kIo:
            return "I/O error";
        case ErrorCode::kCorruption:
            return "corruption";
        case ErrorCode::kConflict:
            return "conflict";
        case ErrorCode::kLimit:
            return "over a limit";
        case ErrorCode::kBusy:
            return "busy";
        case ErrorCode::kUnsupported:
            return "unsupported";
        case ErrorCode::kPoisoned:
            return "poisoned";
        case ErrorCode::kNoSpace:
            return "no space";
        case ErrorCode::kInvalid:
            return "invalid";
        case ErrorCode::kTooOld:
            return "too old";
        case ErrorCode::kUnknownResult:
            return "unknown result";
    }
    return "unknown error";  // A code from a newer library.
}

std::string Error::message() const {
    std::string text = to_string(code_);
    text += ": ";
    text += what_;
    if (where_size_ != 0) {
        text += " (";
        if (where_size_ == sizeof where_) text += "...";  // Cut, most likely.
        text += where();
        if (offset_ != kNoOffset) text += " at byte " + std::to_string(offset_);
        text += ')';
    } else if (offset_ != kNoOffset) {
        text += " (at byte " + std::to_string(offset_) + ")";
    }
    if (os_error_ != 0) text += ": " + std::generic_category().message(os_error_);
    return text;
}

void detail::value_of_error(const Error& error) noexcept {
    // The program ends here, and must not end without a word.
    std::FILE* const out = stderr;  // tidy-allow: printing (the last words before abort)
    const std::string text = error.message();
    std::fprintf(  // tidy-allow: printing (the last words before abort)
        out, "fulgur: the value of a failed Result was used: %s\n", text.c_str());
    std::abort();
}

}  // namespace fulgur
