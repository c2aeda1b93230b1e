// SPDX-License-Identifier: MIT
#include "completion.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <set>

namespace pw::tool {
namespace {

using value = offered_option::value;

// Ids and names of the processes that use the runtime, for the shells to choose from: "1234 name", the name
// only if no shell needs quotes for it.
constexpr char list_processes[] = R"(pw-stat list 2>/dev/null | awk '
        $1 ~ /^[0-9]+$/ { print $1, $3 ~ /^(queue|lock)$/ && $2 ~ /^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$/ ? $2 : "" }')";

std::string joined(const std::vector<std::string> &words, const char *separator)
{
    return fmt::format("{}", fmt::join(words, separator));
}

// Of all commands, each once: what they take does not depend on the command.
std::vector<offered_option> options_with_value(const std::vector<offered_command> &offered)
{
    std::vector<offered_option> found;
    std::set<std::string> seen;
    for (const offered_command &command : offered)
        for (const offered_option &option : command.options)
            if (option.takes != value::none && seen.insert(option.names.front()).second)
                found.push_back(option);
    return found;
}

std::string bash_values(const offered_option &option)
{
    switch (option.takes) {
    case value::word:
        return fmt::format("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\")",
                           joined(option.words, " "));
    case value::file:
        return "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -f -- "
               "\"$word\")";
    case value::folder:
        return "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -d -- "
               "\"$word\")";
    case value::any:
    case value::none:
        break;
    }
    return "";
}

// What one command can go on with.
std::string bash_words(const offered_command &command)
{
    std::vector<std::string> names;
    for (const offered_option &option : command.options)
        names.insert(names.end(), option.names.begin(), option.names.end());
    std::string words =
        command.about_process ? "processes=1" : fmt::format("words='{}'", joined(command.words, " "));
    return fmt::format("options='{}' {}", joined(names, " "), words);
}

// Within single quotes, and within brackets or before a colon of a specification.
std::string zsh_text(const std::string &text)
{
    std::string safe;
    for (char each : text) {
        if (each == '\'')
            safe += "'\\'";
        else if (each == '[' || each == ']' || each == ':' || each == '\\')
            safe += '\\';
        safe += each;
    }
    return safe;
}

std::string zsh_action(const offered_option &option)
{
    switch (option.takes) {
    case value::word:
        return fmt::format(":when:({})", joined(option.words, " "));
    case value::file:
        return ":file:_files";
    case value::folder:
        return ":folder:_files -/";
    case value::any:
        return ":value: ";
    case value::none:
        break;
    }
    return "";
}

// An option's specifications for _arguments, one for each of its names, which exclude one another.
std::string zsh_option(const offered_option &option)
{
    std::string text;
    for (const std::string &name : option.names) {
        bool is_long = name.starts_with("--");
        const char *joint = option.takes == value::none ? "" : is_long ? "=" : "+";
        text += fmt::format(" \\\n            '({}){}{}[{}]{}'", joined(option.names, " "), name, joint,
                            zsh_text(option.what), zsh_action(option));
    }
    return text;
}

std::string zsh_options(const offered_command &command)
{
    std::string text;
    for (const offered_option &option : command.options)
        text += zsh_option(option);
    return text;
}

} // namespace

std::string bash_completion(const std::vector<offered_command> &offered)
{
    std::vector<std::string> subcommands, valued;
    std::string values, commands;
    for (const offered_option &option : options_with_value(offered)) {
        valued.insert(valued.end(), option.names.begin(), option.names.end());
        std::string give = bash_values(option);
        values += fmt::format("        {})\n", joined(option.names, " | "));
        values += give.empty() ? "" : fmt::format("            {}\n", give);
        values += "            return\n            ;;\n";
    }
    for (size_t i = 1; i < offered.size(); ++i) {
        subcommands.push_back(offered[i].name);
        commands += fmt::format("        {}) {} ;;\n", offered[i].name, bash_words(offered[i]));
    }
    return fmt::format(R"script(# bash completion for pw-stat; written by "pw-stat completion bash"
_pw_stat_processes() {{
    {}
}}

_pw_stat() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    local subcommand='' given=0 only_names=0 options='' words='' processes=0 i
    COMPREPLY=()
    # "--option=value" is three words here.
    if [[ $word == = ]]; then
        word=''
    elif [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    case $previous in
{}    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --) only_names=1 ;;
            {})
                [[ ${{COMP_WORDS[i + 1]}} == = ]] && ((i++))
                ((i++))
                ;;
            -*) ;;
            {})
                if ((given == 0 && only_names == 0)) && [[ -z $subcommand ]]; then
                    subcommand=${{COMP_WORDS[i]}}
                else
                    ((given++))
                fi
                ;;
            *) ((given++)) ;;
        esac
    done
    case $subcommand in
{}        *)
            {}
            ((only_names)) || words='{}'
            ;;
    esac
    ((given)) && words='' processes=0
    [[ $word == -* ]] && ((only_names == 0)) && words=$options processes=0
    ((processes)) && words+=" $(_pw_stat_processes)"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}

complete -F _pw_stat pw-stat
)script",
                       list_processes, values, joined(valued, " | "), joined(subcommands, " | "), commands,
                       bash_words(offered.front()), joined(subcommands, " "));
}

std::string zsh_completion(const std::vector<offered_command> &offered)
{
    std::string subcommands, commands;
    for (size_t i = 1; i < offered.size(); ++i) {
        const offered_command &each = offered[i];
        subcommands += fmt::format("        '{}:{}'\n", each.name, zsh_text(each.what));
        std::string first = each.about_process ? " \\\n            '1:process:_pw_stat_processes'"
                            : !each.words.empty()
                                ? fmt::format(" \\\n            '1:word:({})'", joined(each.words, " "))
                                : "";
        commands += fmt::format("        {})\n            _arguments -S{}{}\n            ;;\n", each.name,
                                zsh_options(each), first);
    }
    commands += fmt::format("        *) _arguments -S{} ;;\n", zsh_options(offered.front()));
    return fmt::format(R"script(#compdef pw-stat
# zsh completion for pw-stat; written by "pw-stat completion zsh"
_pw_stat_processes() {{
    local -a ids names
    local id name
    {} | while read -r id name; do
        ids+=("$id:$name")
        [[ -n $name ]] && names+=("$name")
    done
    _describe -t processes 'process id' ids
    compadd -J names -a names
}}

_pw_stat_first() {{
    local -a subcommands=(
{}    )
    _describe -t subcommands subcommand subcommands
    _pw_stat_processes
}}

_pw_stat() {{
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C -S{} \
            '1: :_pw_stat_first' \
            '*:: :->rest' && return
    [[ $state == rest ]] || return
    case $words[1] in
{}    esac
}}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pw_stat "$@"
else
    compdef _pw_stat pw-stat
fi
)script",
                       list_processes, subcommands, zsh_options(offered.front()), commands);
}

} // namespace pw::tool
