#include <pwlocks/pwlocks.h> /* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
static struct share { pw_lock_t lock; long folds; struct pw_delayed tick; } *share; /* one instance per CPU */
static struct pw_workqueue *ticks;
static void fold(struct pw_struct *work) { /* every 10 ms for each CPU, until it is cancelled */
    int cpu = pw_get_cpu(work);
    pw_lock(&share->lock, cpu);
    pw_per_cpu_ptr(share, cpu)->folds++;
    pw_unlock(&share->lock, cpu);
    pw_queue_delayed_on(cpu, ticks, (struct pw_delayed *)work, 10000000);
}
static void add(int cpu, void *sum) { /* on every CPU's worker at once, or one after the other right here */
    pw_lock(&share->lock, cpu);
    atomic_fetch_add((atomic_long *)sum, pw_per_cpu_ptr(share, cpu)->folds);
    pw_unlock(&share->lock, cpu);
}
int main(void) {
    atomic_long sum = 0;
    share = pw_alloc_percpu(sizeof *share, PW_CACHE_LINE);
    if (!(ticks = pw_workqueue_create("ticks", 0)) || !share) return 1;
    pw_for_each_cpu(cpu) {
        INIT_PW_DELAYED(&pw_per_cpu_ptr(share, cpu)->tick, fold, cpu);
        if (pw_queue_delayed_on(cpu, ticks, &pw_per_cpu_ptr(share, cpu)->tick, 10000000) < 0) return 1;
    }
    sleep(1);
    pw_for_each_cpu(cpu) if (pw_cancel_delayed_sync(&pw_per_cpu_ptr(share, cpu)->tick) < 0) return 1;
    if (pw_on_each_cpu(add, &sum) < 0) return 1;
    printf("%ld folds\n", (long)sum);
    return pw_workqueue_destroy(ticks) < 0 || sum == 0;
}
