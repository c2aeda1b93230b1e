// SPDX-License-Identifier: MIT
// Whether restartable sequences are in force, are interrupted, and then end in their abort handler: a timer
// signal every 50 us and another thread on the same CPU, while one thread takes a lock by the sequence alone.
// Exit status 0 if so.
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <sys/time.h>
#include <thread>
#include <unistd.h>

int main()
{
    auto *lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    pw_unlock_local(lock, pw_lock_local(lock));
    if (!PW_DETAIL_HAVE_RSEQ || pw_detail_mode() != PW_DETAIL_MODE_QUEUE) {
        fprintf(stderr, "stress_sequences: sequences are not in force: mode %u\n", pw_detail_mode());
        return 1;
    }
    signal(SIGALRM, [](int) {});
    itimerval soon = {{0, 50}, {0, 50}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    std::atomic<bool> over{false};
    std::thread other([&] { // wants a CPU now and then
        while (!over)
            usleep(20);
    });
    auto tid = static_cast<uint32_t>(gettid());
    long taken = 0, aborted = 0, refused = 0, wrong = 0;
    for (time_t end = time(nullptr) + 20; time(nullptr) < end && (aborted < 20 || taken < 100'000);)
        for (int i = 0; i < 1000; ++i) {
            int cpu = pw_detail_rseq_acquire_local(&lock->owner, tid);
            if (cpu == PW_DETAIL_RSEQ_ABORTED) {
                ++aborted;
                // Nothing was written.
                for (int each = 0; each < pw_nr_cpus(); ++each)
                    wrong += pw_per_cpu_ptr(lock, each)->owner != 0;
            } else if (cpu < 0) {
                ++refused;
            } else {
                wrong += pw_per_cpu_ptr(lock, cpu)->owner != tid;
                pw_unlock_local(lock, cpu);
                ++taken;
            }
        }
    over = true;
    other.join();
    printf("sequences: %ld took the lock, %ld were aborted, %ld refused, %ld wrong\n", taken, aborted,
           refused, wrong);
    return taken > 0 && aborted > 0 && refused == 0 && wrong == 0 ? 0 : 1;
}
