#include <pwlocks/pwlocks.h> /* SPDX-License-Identifier: MIT */
#include <stdio.h>
static struct counter { pw_lock_t lock; long hits; } *counter; /* one instance per CPU */
static void fold(struct pw_struct *work) { /* on that CPU's worker, or right here: PWLOCKS decides */
    pw_lock(&counter->lock, pw_get_cpu(work));
    printf("cpu %d: %ld hits\n", pw_get_cpu(work), pw_per_cpu_ptr(counter, pw_get_cpu(work))->hits);
    pw_unlock(&counter->lock, pw_get_cpu(work));
}
int main(void) {
    if (!(counter = pw_alloc_percpu(sizeof *counter, PW_CACHE_LINE))) return 1;
    for (int i = 0; i < 1000000; i++) { /* the hot path: this CPU's, no atomic instruction under queue */
        int cpu = pw_lock_local(&counter->lock);
        pw_per_cpu_ptr(counter, cpu)->hits++;
        pw_unlock_local(&counter->lock, cpu);
    }
    pw_for_each_cpu(cpu) { /* the rare path: reach into every CPU's instance */
        struct pw_struct work; INIT_PW(&work, fold, cpu);
        if (pw_queue_on(cpu, NULL, &work) < 0 || pw_flush(&work) < 0) return 1;
    }
}
