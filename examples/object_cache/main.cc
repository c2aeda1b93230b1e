// SPDX-License-Identifier: MIT
// object_cache: a per-CPU object cache under load, with a real-time loop on the last CPU and a thread
// elsewhere that drains every CPU's magazine 1,000 times a second. The strategy is not this program's
// business: set PWLOCKS=0 or PWLOCKS=1.
#include "report.h"
#include "run.h"

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <getopt.h>

namespace {

constexpr int max_seconds = 86400;

constexpr char usage[] = "usage: object_cache [--seconds N] [--json]\n"
                         "  --seconds N  run for N seconds, 1 to 86400 (5)\n"
                         "  --json       print one JSON object\n"
                         "the environment chooses the strategy: PWLOCKS=0 queue, PWLOCKS=1 lock\n";

bool parse_seconds(const char *text, int &seconds)
{
    const char *end = text + strlen(text);
    auto [stopped, error] = std::from_chars(text, end, seconds);
    return error == std::errc() && stopped == end && seconds >= 1 && seconds <= max_seconds;
}

} // namespace

int main(int argc, char **argv)
{
    int seconds = 5;
    bool json = false;
    const option options[] = {{"seconds", required_argument, nullptr, 's'},
                              {"json", no_argument, nullptr, 'j'},
                              {"help", no_argument, nullptr, 'h'},
                              {nullptr, 0, nullptr, 0}};
    for (int chosen; (chosen = getopt_long(argc, argv, "s:jh", options, nullptr)) != -1;) {
        if (chosen == 's' && !parse_seconds(optarg, seconds)) {
            fprintf(stderr, "object_cache: --seconds wants a whole number from 1 to %d, not \"%s\"\n",
                    max_seconds, optarg);
            return 2;
        }
        if (chosen == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (chosen == '?')
            return 2; // getopt has said what is wrong
        json = json || chosen == 'j';
    }
    if (optind < argc) {
        fprintf(stderr, "object_cache: unexpected argument \"%s\", see --help\n", argv[optind]);
        return 2;
    }

    try {
        object_cache::run_result result = object_cache::run_for(seconds);
        bool balanced = object_cache::check_balance(result);
        (json ? object_cache::print_json : object_cache::print_text)(result, balanced);
        return balanced && fflush(stdout) == 0 ? 0 : 1;
    } catch (const std::exception &problem) {
        fprintf(stderr, "object_cache: %s\n", problem.what());
        return 1;
    }
}
