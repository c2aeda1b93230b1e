// SPDX-License-Identifier: MIT
// The one parser of option texts: PWLOCKS, PWLOCKS_OPTIONS, the configuration file, the string given to
// pw_runtime_start(). Allocates nothing: it runs before constructors, possibly inside a program's own
// allocator.
#pragma once

#include "cpu_mask.h"

#include <cstddef>
#include <initializer_list>
#include <string_view>

namespace pw::detail {

enum class strategy_choice { unset, queue, lock, automatic };
enum class cpus_choice { unset, allowed, housekeeping, isolated, list };
enum class sched_class { unset, other, nice, fifo };
enum class stats_choice { unset, on, off, full };

struct option_set {
    strategy_choice strategy = strategy_choice::unset;
    cpus_choice cpus = cpus_choice::unset;
    cpu_mask cpu_list;     // for cpus_choice::list
    int idle_spin_us = -1; // -1: unset
    sched_class sched = sched_class::unset;
    int sched_value = 0; // the nice value or the FIFO priority

    stats_choice stats = stats_choice::unset;
    int watchdog_ms = -1; // -1: unset; 0: off

    // Takes from `other` what is unset here: *this has precedence.
    void fill_from(const option_set &other);
};

// What was ignored, for pw-stat. Fixed size; further ones are only counted.
struct ignored_options {
    static constexpr int capacity = 8;
    static constexpr int text_size = 120;
    char text[capacity][text_size];
    int count; // how many there were, also beyond capacity

    void add(const char *line);
};

// A value from outside as messages show it: in quotation marks, and cut, with dots, where it is very long.
class quoted {
  public:
    explicit quoted(std::string_view value);
    operator std::string_view() const { return {text_, length_}; }

  private:
    static constexpr size_t longest = 40;
    char text_[longest + 5] = {};
    size_t length_ = 0;
};

// Composes the line about something that is ignored; what does not fit is cut off, control characters become
// '?'.
class ignored_line {
  public:
    void append(std::initializer_list<std::string_view> parts);

    // On stderr, and into `ignored` unless that is null.
    void publish(ignored_options *ignored) const;

  private:
    char text_[400] = {};
    size_t length_ = 0;
};

// Parses the value of PWLOCKS itself: 0, 1, off, on, n, y, auto. False if it is none of these.
bool parse_strategy(std::string_view value, strategy_choice &choice);

// Parses "key=value" pairs into `options`; a key given twice counts the first time and is reported. Pairs are
// separated by blanks, or, in a file (`lines`), stand one a line, with # comments and blank lines. Each
// problem becomes one line on stderr and in `ignored` (may be null): "<source>: <key>: invalid value
// "<value>", ignored", "<source>: unknown key ..."; in a file the source is followed by the line number.
// Returns the number of problems.
int parse_options(std::string_view text, std::string_view source, bool lines, option_set &options,
                  ignored_options *ignored);

} // namespace pw::detail
