// SPDX-License-Identifier: MIT
// Mutual exclusion for long: threads that migrate at random, and are moved by another at any instruction,
// take every CPU's lock from everywhere. Plain counters must come out right. Exit status 1 if they do not.
#include "lock_arena.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <getopt.h>

namespace {

long number(const char *text, long least, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most) {
        fprintf(stderr, "stress_locks: %s: a number from %ld to %ld is needed\n", text, least, most);
        exit(2);
    }
    return value;
}

// One mix of lockers. Returns the errors.
long run(const char *name, const arena_plan &plan)
{
    auto began = std::chrono::steady_clock::now();
    arena_result result = lock_arena(plan).run();
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    long errors = result.errors() + (result.acquired != plan.acquisitions);
    printf("%-6s %ld acquired, %ld of them remotely, %ld refused, %ld migrations; %.1f s; %ld errors\n", name,
           result.acquired, result.remote, result.refused, result.migrations, seconds, errors);
    if (errors)
        printf("%-6s overlaps %ld, wrong cpu %ld, miscounted %ld\n", name, result.overlaps, result.wrong_cpu,
               result.miscounted);
    return errors;
}

} // namespace

int main(int argc, char **argv)
{
    long acquisitions = 100'000'000;
    arena_plan plan;
    plan.shaken = true;
    const option known[] = {{"acquisitions", required_argument, nullptr, 'a'},
                            {"threads", required_argument, nullptr, 't'},
                            {"seed", required_argument, nullptr, 's'},
                            {nullptr, 0, nullptr, 0}};
    for (int each; (each = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (each) {
        case 'a':
            acquisitions = number(optarg, 100, 1'000'000'000'000);
            break;
        case 't':
            plan.threads = static_cast<int>(number(optarg, 1, 1000));
            break;
        case 's':
            plan.seed = static_cast<uint32_t>(number(optarg, 0, 1'000'000));
            break;
        default:
            fprintf(stderr, "usage: stress_locks [--acquisitions N] [--threads N] [--seed N]\n");
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "stress_locks: %s: no such argument\n", argv[optind]);
        return 2;
    }
    printf("strategy %s, %d threads\n", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", plan.threads);

    // Local lockers do most of it; remote ones and those that sleep cost a thousand times as much each.
    plan.acquisitions = acquisitions - acquisitions / 50 - acquisitions / 200;
    long errors = run("local", plan);
    plan.acquisitions = acquisitions / 50;
    plan.remote = 200;
    plan.tried = 300;
    errors += run("remote", plan);
    plan.acquisitions = acquisitions / 200;
    plan.migrate = 20;
    plan.dwell = 10;
    errors += run("mixed", plan);
    return errors != 0;
}
