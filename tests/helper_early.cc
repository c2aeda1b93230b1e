// SPDX-License-Identifier: MIT
// Says, at each stage of a program's life, which strategy is in force and where it comes from, and uses locks at that stage:
// before any constructor of a library has run, in a static constructor, in main().
#include <pwlocks/pwlocks.h>

#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace {

// Zeroed memory is an unlocked lock. In a static variable there is one instance: CPU 0's.
pw_lock_t static_lock;

void say(const char *text)
{
    [[maybe_unused]] ssize_t written = write(STDOUT_FILENO, text, strlen(text));
}

// Standard I/O may not be ready.
void tell(const char *stage)
{
    pw_lock(&static_lock, 0);
    bool excludes = !pw_trylock(&static_lock, 0);
    pw_unlock(&static_lock, 0);
    auto *lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    int cpu = lock ? pw_lock_local(lock) : -1;
    bool local = cpu >= 0 && cpu < pw_nr_cpus() && !pw_trylock(lock, cpu);
    if (lock) {
        pw_unlock_local(lock, cpu);
        pw_free_percpu(lock);
    }
    say(stage);
    say(pw_strategy() == PW_STRATEGY_LOCK ? " lock " : " queue ");
    say(pw_strategy_source());
    say(excludes && local ? "\n" : " but its locks do not work\n");
}

void before_constructors(int, char **, char **)
{
    tell("preinit");
}
[[gnu::section(".preinit_array"), gnu::used]] void (*preinit_entry)(int, char **, char **) = before_constructors;

struct teller {
    teller() { tell("constructor"); }
} static_object;

} // namespace

int main()
{
    tell("main");
}
