#include "cli/completion.h"

#include <vector>

#include <fmt/format.h>

namespace fulgur::cli {

namespace {

/// The words of an option that takes one of a few ("LEVEL:{sync,os,buffered}"), with spaces
/// between.
std::string choices(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const std::size_t open = type.find('{');
    const std::size_t close = type.find('}', open == std::string::npos ? 0 : open);
    if (open == std::string::npos || close == std::string::npos) return {};
    std::string words = type.substr(open + 1, close - open - 1);
    for (char& c : words) {
        if (c == ',') c = ' ';
    }
    return words;
}

std::vector<std::string> long_names(const CLI::Option& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    return names;
}

}  // namespace

std::string bash_completion(const CLI::App& root) {
    std::string commands;
    std::string values;   // Case arms: what follows an option.
    std::string options;  // Case arms: the options of a command.
    std::string takes_value;
    for (const CLI::App* const command : root.get_subcommands({})) {
        commands += (commands.empty() ? "" : " ") + command->get_name();
        std::string names;
        for (const CLI::Option* const option : command->get_options()) {
            for (const std::string& name : long_names(*option)) {
                names += (names.empty() ? "" : " ") + name;
                if (option->get_items_expected_max() == 0) continue;
                if (takes_value.find("|" + name + "|") == std::string::npos) {
                    takes_value += "|" + name + "|";
                    values += fmt::format("        {}) words='{}' ;;\n", name, choices(*option));
                }
            }
        }
        options += fmt::format("        {}) words='{}' ;;\n", command->get_name(), names);
    }
    return fmt::format(
        R"(# Completion of fulgur for bash. To use it: source <(fulgur completion bash)
_fulgur() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    local command="${{COMP_WORDS[1]}}" words=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{0}' -- "$current"))
        return
    fi
    case "$previous" in
{1}    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        return
    fi
    case "$command" in
        help) [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W '{0}' -- "$current")); return ;;
        completion) COMPREPLY=($(compgen -W 'bash' -- "$current")); return ;;
{2}    esac
    if [[ "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    elif [ "$COMP_CWORD" -eq 2 ]; then
        COMPREPLY=($(compgen -d -- "$current"))  # DIR comes first.
    fi
}}
complete -o bashdefault -o default -F _fulgur fulgur
)",
        commands, values, options);
}

}  // namespace fulgur::cli
