#pragma once

/// What every sub-command works with: the streams, the clock, and the one way to report a failure.

#include <string>

#include <nlohmann/json.hpp>

#include <fulgur/bytes.h>
#include <fulgur/result.h>

#include "cli/exit_codes.h"
#include "cli/output.h"
#include "os/clock.h"
#include "os/stream.h"

namespace fulgur::cli {

/// Members keep the order in which they were set.
using Json = nlohmann::ordered_json;

struct Context {
    os::InputStream& input;
    Output& out;
    os::OutputStream& error;
    os::Clock& clock;
    bool json = false;  ///< Output for programs.

    /// Reports `failure` with what to do about it. `standing` says how far the work had come;
    /// `more` are members for programs. @return the exit code that belongs to it.
    ExitCode fail(const Error& failure, const std::string& standing = {},
                  const Json& more = Json::object());
    /// Reports a failure that the engine does not know.
    ExitCode fail(ExitCode code, const std::string& message, const std::string& advice = {});
    /// The same, with members more for programs.
    ExitCode fail(ExitCode code, const std::string& message, const std::string& advice,
                  const Json& details);

    /// Something the user should know that is no failure: a line on standard error.
    void note(const std::string& message);

    /// One JSON object on a line of standard output.
    void print_json(const Json& object);
};

/// Sets `name`, or `name`_base64 when `bytes` are not UTF-8.
void set_bytes(Json& object, const std::string& name, Bytes bytes);

/// The text of `object` on one line. Never fails: what is not UTF-8 is replaced.
std::string to_line(const Json& object);

}  // namespace fulgur::cli
