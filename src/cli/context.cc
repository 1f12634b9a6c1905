#include "cli/context.h"

#include <cerrno>

#include <fmt/format.h>

#include "base/base64.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

/// What the user can do about `error`.
const char* advice_for(const Error& error) {
    switch (error.code()) {
        case ErrorCode::kIo:
            switch (error.os_error()) {
                case EACCES:
                case EPERM:
                    return "check who owns the directory and its files, and their rights";
                case EROFS:
                    return "the file system is read-only: use a writable one";
                case ENOENT:
                    return "check the path";
                default:
                    return "check the disk and the system's log";
            }
        case ErrorCode::kCorruption:
            return "restore a backup; keep the damaged directory for an examination";
        case ErrorCode::kConflict:
        case ErrorCode::kTooOld:
            return "try again";
        case ErrorCode::kUnknownResult:
            return "look whether it was done before you try again";
        case ErrorCode::kLimit:
            return "use less, or give more memory with --memory SIZE";
        case ErrorCode::kBusy:
            return "wait for that process to end, or end it";
        case ErrorCode::kUnsupported:
            return "use the version of fulgur that wrote it, or a newer one";
        case ErrorCode::kPoisoned:
            return "run the command again: opening recovers the database";
        case ErrorCode::kNoSpace:
            return "free space and run the command again; nothing was lost";
        case ErrorCode::kInvalid:
            return "check the path; `fulgur create DIR` makes a new database";
    }
    return "";
}

}  // namespace

ExitCode Context::fail(const Error& failure, const std::string& standing, const Json& more) {
    Json details = more;
    if (failure.os_error() != 0) details["os_error"] = failure.os_error();
    if (!failure.where().empty()) set_bytes(details, "where", failure.where());
    if (failure.offset() != Error::kNoOffset) details["offset"] = failure.offset();
    const std::string message =
        standing.empty() ? failure.message() : failure.message() + "; " + standing;
    return fail(exit_code_for(failure.code()), message, advice_for(failure), details);
}

ExitCode Context::fail(ExitCode code, const std::string& message, const std::string& advice) {
    return fail(code, message, advice, Json::object());
}

ExitCode Context::fail(ExitCode code, const std::string& message, const std::string& advice,
                       const Json& details) {
    std::string line;
    if (json) {
        Json object = {
            {"error", name_of(code)}, {"exit_code", static_cast<int>(code)}, {"message", message}};
        if (!advice.empty()) object["advice"] = advice;
        object.update(details);
        line = to_line(object) + "\n";
    } else {
        line = fmt::format("fulgur: {}\n", printable(message));
        if (!advice.empty()) line += fmt::format("        {}\n", printable(advice));
    }
    // Without standard error there is nobody to tell; the exit code still does.
    static_cast<void>(error.write(line).ok());
    return code;
}

void Context::note(const std::string& message) {
    const std::string line =
        json ? to_line(Json{{"note", message}}) + "\n" : "fulgur: " + printable(message) + "\n";
    static_cast<void>(error.write(line).ok());  // As in `fail`.
}

void Context::print_json(const Json& object) { out.write(to_line(object) + "\n"); }

void set_bytes(Json& object, const std::string& name, Bytes bytes) {
    if (is_utf8(bytes)) {
        object[name] = std::string(bytes);
        return;
    }
    std::string text;
    append_base64(bytes, text);
    object[name + "_base64"] = text;
}

std::string to_line(const Json& object) {
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fulgur::cli
