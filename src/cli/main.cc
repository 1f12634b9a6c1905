#include <exception>
#include <new>

#include "cli/app.h"
#include "cli/context.h"

namespace {

using fulgur::cli::Context;
using fulgur::cli::ExitCode;

ExitCode guarded(std::span<char* const> arguments, Context& context) {
    // The engine throws nothing; the libraries around it may.
    try {
        return fulgur::cli::run_command_line(arguments, context);
    } catch (const std::bad_alloc&) {
        return context.fail(ExitCode::kOther, "out of memory",
                            "give less memory to the engine with --memory SIZE");
    } catch (const std::exception& error) {
        return context.fail(ExitCode::kOther, error.what());
    }
}

}  // namespace

int main(int argc, char** argv) {
    namespace os = fulgur::os;
    os::prepare_standard_streams();
    const auto input = os::standard_input();
    const auto output = os::standard_output();
    const auto error = os::standard_error();
    fulgur::cli::Output out(*output);
    Context context{*input, out, *error, os::real_clock()};
    return static_cast<int>(guarded({argv, static_cast<std::size_t>(argc)}, context));
}
