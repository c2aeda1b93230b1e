// SPDX-License-Identifier: MIT
// Uses the runtime at the edges of a program's life: from a static constructor, in atexit handlers, in a static destructor, and while
// other threads go on. The words in LIFETIME say which; every line on stdout is one result.
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>

namespace {

bool asked(const char *word)
{
    const char *words = getenv("LIFETIME");
    return words && (std::string(" ") + words + " ").find(std::string(" ") + word + " ") != std::string::npos;
}

void tell(const char *what, long result)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s %ld\n", what, result);
    [[maybe_unused]] ssize_t written = write(STDOUT_FILENO, line, static_cast<size_t>(length));
}

// No destructors: what still runs at the end may use them.
std::atomic<long> runs{0};
pw_struct counting, at_exit_item;

void count(pw_struct *)
{
    ++runs;
}

void queue_and_flush(const char *when, pw_struct *item)
{
    long before = runs;
    int queued = pw_queue_on(pw_get_cpu(item), nullptr, item);
    int flushed = pw_flush(item);
    tell((std::string(when) + " queued").c_str(), queued);
    tell((std::string(when) + " flushed").c_str(), flushed);
    tell((std::string(when) + " runs").c_str(), runs - before);
}

int some_cpu()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(static_cast<size_t>(cpu), &set))
            return cpu;
    return 0;
}

struct early_user {
    early_user()
    {
        INIT_PW(&counting, count, some_cpu());
        INIT_PW(&at_exit_item, count, some_cpu());
        if (asked("constructor-start"))
            tell("constructor start", pw_runtime_start(nullptr));
        if (asked("constructor-queue"))
            queue_and_flush("constructor", &counting);
    }
    ~early_user()
    {
        if (asked("destructor-queue"))
            queue_and_flush("destructor", &counting);
        if (asked("destructor-stop")) {
            tell("destructor stop", pw_runtime_stop());
            tell("destructor late", pw_queue_on(pw_get_cpu(&counting), nullptr, &counting));
        }
    }
} user;

void at_exit()
{
    if (asked("atexit-queue"))
        queue_and_flush("atexit", &at_exit_item);
    if (asked("atexit-stop")) {
        tell("atexit stop", pw_runtime_stop());
        tell("atexit late", pw_queue_on(pw_get_cpu(&counting), nullptr, &counting));
    }
}

// Goes on until the process is gone.
void keep_queueing()
{
    pw_struct items[2];
    for (pw_struct &each : items)
        INIT_PW(&each, count, some_cpu());
    for (size_t n = 0;; ++n) {
        pw_queue_on(pw_get_cpu(&items[n % 2]), nullptr, &items[n % 2]);
        if (n % 8 == 0)
            pw_flush(&items[n % 2]);
    }
}

void sleep_for_ever(pw_struct *)
{
    ++runs;
    for (;;)
        pause();
}

} // namespace

int main()
{
    atexit(at_exit);
    if (asked("main-queue"))
        queue_and_flush("main", &counting);
    if (asked("threads"))
        for (int i = 0; i < 3; ++i)
            std::thread(keep_queueing).detach();
    static pw_struct endless;
    if (asked("endless")) {
        INIT_PW(&endless, sleep_for_ever, some_cpu());
        std::thread([] { pw_queue_work_on(pw_get_cpu(&endless), nullptr, &endless); }).detach();
    }
    while ((asked("threads") || asked("endless")) && runs == 0)
        std::this_thread::yield();
    tell("main ends", 0);
}
