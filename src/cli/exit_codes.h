#pragma once

/// What the command's exit code says. Scripts rely on these numbers: they never change their
/// meaning. `fulgur help` prints this table.

#include <array>
#include <cstdint>

#include <fulgur/result.h>

namespace fulgur::cli {

enum class ExitCode : std::uint8_t {
    kOk = 0,
    kNotFound = 1,    ///< The key (or the named keyspace) is not there.
    kUsage = 2,       ///< The call is wrong: arguments, or a path that is no database.
    kBadInput = 3,    ///< Input data is malformed, or a key or value is over its limit.
    kIo = 4,          ///< The system refused a read, write or sync.
    kCorruption = 5,  ///< Stored bytes are not what was written.
    kBusy = 6,        ///< Another process holds the database.
    kNoSpace = 7,     ///< The disk is full.
    kOther = 8,       ///< Anything else, for example over the memory budget.
};

struct ExitCodeMeaning {
    ExitCode code;
    const char* name;  ///< The word under "code" in JSON errors.
    const char* meaning;
};
inline constexpr std::array<ExitCodeMeaning, 9> kExitCodes = {{
    {ExitCode::kOk, "ok", "done"},
    {ExitCode::kNotFound, "not_found", "the key, or the named keyspace, is not there"},
    {ExitCode::kUsage, "usage", "wrong arguments, or the path is no database"},
    {ExitCode::kBadInput, "bad_input", "malformed input, or a key or value over its limit"},
    {ExitCode::kIo, "io", "the system refused a read, write or sync"},
    {ExitCode::kCorruption, "corruption", "stored bytes are not what was written"},
    {ExitCode::kBusy, "busy", "another process holds the database"},
    {ExitCode::kNoSpace, "no_space", "the disk is full"},
    {ExitCode::kOther, "other", "anything else, for example over the memory budget"},
}};

constexpr const char* name_of(ExitCode code) {
    return kExitCodes[static_cast<std::size_t>(code)].name;
}

constexpr ExitCode exit_code_for(ErrorCode code) {
    switch (code) {
        case ErrorCode::kIo:
        case ErrorCode::kPoisoned:
            return ExitCode::kIo;  // A write failed, now or before.
        case ErrorCode::kCorruption:
            return ExitCode::kCorruption;
        case ErrorCode::kBusy:
            return ExitCode::kBusy;
        case ErrorCode::kNoSpace:
            return ExitCode::kNoSpace;
        case ErrorCode::kInvalid:
            return ExitCode::kUsage;
        case ErrorCode::kConflict:
        case ErrorCode::kLimit:
        case ErrorCode::kUnsupported:
        case ErrorCode::kTooOld:
        case ErrorCode::kUnknownResult:
            break;
    }
    return ExitCode::kOther;
}

}  // namespace fulgur::cli
