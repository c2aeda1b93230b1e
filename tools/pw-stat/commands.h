// SPDX-License-Identifier: MIT
// What pw-stat can be asked for: the subcommands, and what is shown without one.
#pragma once

#include "completion.h"

#include <span>
#include <string>
#include <vector>

namespace pw::tool {

// A command line, taken apart.
struct request {
    std::string who;                      // a process's id or name; empty: none was given
    std::string color = "auto";           // or "always", "never"
    std::string shell;                    // whose completion script is wanted
    std::vector<offered_command> offered; // what can be asked for, if that is so
    std::string cpus;                     // a list, or ALL; empty: none was given
    std::string interval;                 // in seconds; empty: none was given
    std::string count;                    // of lines; empty: none was given
    bool explain = false;
    bool json = false;
    bool openmetrics = false;
    std::string textfile;   // a folder; empty: none was given
    std::string watch_file; // empty: none was given
};

// Whether a command is about a process.
enum class subject { none, optional, required };

// Options that several commands have; main() knows how they are written.
enum option : unsigned {
    option_color = 1,
    option_json = 2,
    option_shell = 4,
    option_cpus = 8,
    option_interval = 16,
    option_explain = 32,
    option_metrics = 64, // --openmetrics, --textfile
    option_watch_file = 128,
};

// To add one: write its function, which throws what main() knows, and add a line to the table in commands.cc.
struct command {
    const char *name; // nullptr: what pw-stat does without a subcommand
    const char *what;
    const char *help; // what stands below the options: the columns
    subject about;
    unsigned options;                 // of enum option
    int (*run)(const request &asked); // returns the exit status
};

// The one without a name first.
std::span<const command> commands();

} // namespace pw::tool
