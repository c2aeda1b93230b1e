// SPDX-License-Identifier: MIT
// Which strategy, from which source; see DESIGN 3. Resolved once, before ordinary constructors, or earlier by
// the first lock taken; fixed for good by the first lock taken or item queued.
#pragma once

#include "options.h"

#include <pwlocks/runtime.h>

#include <atomic>
#include <cstdint>

namespace pw::detail {

// Where the operating system's files are; tests give folders of their own.
struct system_roots {
    const char *sys = "/sys";
    const char *etc = "/etc";
};

// What resolving found. All strings are in the object or static.
struct resolution {
    pw_strategy_t strategy = PW_STRATEGY_QUEUE;
    bool lock_built = true; // false: the lock strategy is compiled out, it is queue whatever anyone asks for
    bool by_operator = false; // PWLOCKS, PWLOCKS_OPTIONS or the file decided it: the program cannot
    char source[256] = "build";
    option_set options; // what the operator set: PWLOCKS_OPTIONS, then the file
    char cpus_source[256] = ""; // who set options.cpus
    ignored_options ignored = {};
};

// The environment as three texts, null when unset, so that tests need not change their own.
struct operator_texts {
    const char *pwlocks;
    const char *pwlocks_options;
    const char *pwlocks_conf;
};

// Resolves from the given texts and roots. `ours` are the CPUs of this process, for the isolation rule.
// Allocates nothing.
void resolve(const operator_texts &texts, const system_roots &roots, const cpu_mask &ours, resolution &out);

// The same for a library built with other options.
struct build_facts {
    bool lock_strategy; // Meson option pwlocks
    bool default_lock;  // Meson option pwlocks_default
};
void resolve_in_build(const build_facts &build, const operator_texts &texts, const system_roots &roots,
                      const cpu_mask &ours, resolution &out);

// Reads isolated and nohz_full under roots.sys/devices/system/cpu: their union. Missing files are empty sets.
cpu_mask read_isolated(const system_roots &roots);

// The affinity that the process was launched with, read once in the library's constructor before main() can
// pin itself.
const cpu_mask &launch_affinity();

// The strategy in force and whether somebody relies on it, in one word: a choice and the first use cannot
// cross. Any thread may call any of these at any time once settle() has returned.
class strategy_word {
  public:
    // Starts with what was resolved; once, before anything else.
    void settle(const resolution &found);
    bool settled() const { return (load() & settled_bit) != 0; }

    pw_strategy_t strategy() const { return strategy_in(load()); }
    bool by_program() const { return (load() & program_bit) != 0; }

    // As strategy_from_program(), for the resolution that it was settled with.
    int choose(strategy_choice choice, const resolution &found);

    // As use_strategy(). Also from a signal handler.
    pw_strategy_t use();

  private:
    static constexpr uint32_t settled_bit = 1, lock_bit = 2, used_bit = 4, program_bit = 8;

    static pw_strategy_t strategy_in(uint32_t word)
    {
        return (word & lock_bit) != 0 ? PW_STRATEGY_LOCK : PW_STRATEGY_QUEUE;
    }
    static uint32_t word_of(const resolution &found)
    {
        return settled_bit | (found.strategy == PW_STRATEGY_LOCK ? lock_bit : 0);
    }
    uint32_t load() const { return word_.load(std::memory_order_relaxed); } // relaxed: it stands for itself

    std::atomic<uint32_t> word_{0};
};

// The process's own resolution; resolves on the first call. Any thread, also before constructors.
const resolution &resolved();

// Applies pwlocks= from pw_runtime_start(). 0, or -EBUSY if it would change a strategy that is in use.
// Ignored (0) if the operator decided, or, with one line, if it asks for a lock strategy that is not compiled
// in. Any thread.
int strategy_from_program(strategy_choice choice);

// The strategy in force, fixing it for good: called by the first lock taken and the first item queued.
pw_strategy_t use_strategy();

} // namespace pw::detail
