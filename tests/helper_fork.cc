// SPDX-License-Identifier: MIT
// Forks inside a worker's function. The child returns from it: at once (idle), or behind a use of the runtime that it leaves running
// (use) or stops (use-and-stop). Says how the child ended.
#include "settle.h"

#include <pwlocks/pwlocks.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace {

std::string way;
pid_t child = -1;

void do_nothing(pw_struct *)
{
}

void fork_and_return(pw_struct *work)
{
    child = fork();
    if (child != 0)
        return;
    sigset_t none; // workers block all
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    alarm(60);
    if (way == "idle")
        return;
    int cpu = pw_get_cpu(work);
    static pw_struct own;
    INIT_PW(&own, do_nothing, cpu);
    bool used = pw_queue_on(cpu, nullptr, &own) == 1 && pw_flush(&own) == 0;
    if (way == "use-and-stop")
        used &= pw_runtime_stop() == 0;
    std::printf(used ? "child used it\n" : "child could not use it\n");
    std::fflush(stdout);
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    way = arguments[1];
    static pw_struct item;
    int cpu = pw_next_cpu(-1);
    INIT_PW(&item, fork_and_return, cpu);
    let_threads_settle();
    if (pw_queue_work_on(cpu, nullptr, &item) != 1 || pw_flush(&item) != 0)
        return 1;
    int status = -1;
    if (waitpid(child, &status, 0) != child)
        return 1;
    if (WIFEXITED(status))
        std::printf("child ended with %d\n", WEXITSTATUS(status));
    else
        std::printf("child was killed by signal %d\n", WTERMSIG(status));
    return 0;
}
