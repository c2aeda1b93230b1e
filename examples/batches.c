/* SPDX-License-Identifier: MIT */
/* Batches of ids per CPU in front of one shared list, as the kernel keeps them for its LRU lists: adding
 * touches this CPU's batch only, and the list's mutex once a batch. What lies in batches is reached in two
 * ways: whoever wants the list to be complete now drains every CPU through a workqueue, and a delayed item
 * per CPU drains it ten times a second. */
#define _GNU_SOURCE 1 /* for CPU_ALLOC() */
#include <pwlocks/pwlocks.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { batch_size = 15, ids_a_thread = 20000 };
#define PERIOD_NS (100 * UINT64_C(1000000))

struct batch { /* one per CPU */
    pw_lock_t lock;
    unsigned count;
    unsigned ids[batch_size];
    struct pw_struct drain;     /* on demand */
    struct pw_delayed periodic; /* every PERIOD_NS */
};
static struct batch *batches;
static struct pw_workqueue *drains;

static struct {
    pthread_mutex_t mutex; /* behind a batch's lock, never before one */
    unsigned long count;
    unsigned char *times; /* how often each id came: once, unless something is wrong */
} list = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static atomic_ulong periodic_runs;

static void give_up(const char *what, int error)
{
    fprintf(stderr, "batches: %s: %s\n", what, strerror(-error));
    exit(1);
}

static int checked(const char *what, int result)
{
    if (result < 0)
        give_up(what, result);
    return result;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* The batch's lock is held. */
static void move_to_list(struct batch *batch)
{
    pthread_mutex_lock(&list.mutex);
    for (unsigned i = 0; i < batch->count; i++)
        list.times[batch->ids[i]]++;
    list.count += batch->count;
    pthread_mutex_unlock(&list.mutex);
    batch->count = 0;
}

static unsigned long listed(void)
{
    pthread_mutex_lock(&list.mutex);
    unsigned long count = list.count;
    pthread_mutex_unlock(&list.mutex);
    return count;
}

/* The hot path. The number that the lock returns selects the batch: the thread may be elsewhere by now. */
static void add(unsigned id)
{
    int cpu = pw_lock_local(&batches->lock);
    struct batch *batch = pw_per_cpu_ptr(batches, cpu);
    batch->ids[batch->count++] = id;
    if (batch->count == batch_size)
        move_to_list(batch);
    pw_unlock_local(&batches->lock, cpu);
}

/* On that CPU's worker, or right here: PWLOCKS decides. */
static void drain_batch(struct pw_struct *work)
{
    int cpu = pw_get_cpu(work);
    pw_lock(&batches->lock, cpu);
    move_to_list(pw_per_cpu_ptr(batches, cpu));
    pw_unlock(&batches->lock, cpu);
}

static void drain_periodically(struct pw_struct *work)
{
    struct pw_delayed *self = (struct pw_delayed *)work; /* its first member */
    drain_batch(work);
    atomic_fetch_add(&periodic_runs, 1);
    int result = pw_queue_delayed_on(pw_get_cpu(work), drains, self, PERIOD_NS);
    if (result < 0 && result != -ECANCELED) /* that is how it is told to end */
        give_up("pw_queue_delayed_on", result);
}

/* Afterwards every id whose add() had returned before the call is in the list. */
static void drain_all(void)
{
    pw_for_each_cpu (cpu)
        checked("pw_queue_on", pw_queue_on(cpu, drains, &pw_per_cpu_ptr(batches, cpu)->drain));
    checked("pw_workqueue_flush", pw_workqueue_flush(drains));
}

struct adder {
    pthread_t thread;
    unsigned first; /* of its ids */
    atomic_ulong added;
};

static void *add_ids(void *argument)
{
    struct adder *self = argument;
    for (unsigned i = 0; i < ids_a_thread; i++) {
        add(self->first + i);
        atomic_fetch_add(&self->added, 1);
        if (i % 100 == 99)
            sleep_ms(1);
    }
    return NULL;
}

/* On a CPU that has a worker, so that drain_all() reaches everything that it adds. */
static void start_adder(struct adder *adder, int cpu, unsigned first)
{
    size_t cpus = (size_t)pw_nr_cpus(), size = CPU_ALLOC_SIZE(cpus);
    cpu_set_t *set = CPU_ALLOC(cpus);
    if (!set)
        give_up("start", -ENOMEM);
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    pthread_attr_t pinned;
    pthread_attr_init(&pinned);
    adder->first = first;
    checked("pthread_attr_setaffinity_np", -pthread_attr_setaffinity_np(&pinned, size, set));
    checked("pthread_create", -pthread_create(&adder->thread, &pinned, add_ids, adder));
    pthread_attr_destroy(&pinned);
    CPU_FREE(set);
}

int main(void)
{
    checked("pw_runtime_start", pw_runtime_start(NULL));
    unsigned cpus = 0;
    pw_for_each_cpu (cpu)
        cpus++;
    unsigned long total = (unsigned long)cpus * ids_a_thread;
    batches = pw_alloc_percpu(sizeof *batches, PW_CACHE_LINE);
    drains = pw_workqueue_create("drains", 0);
    list.times = calloc(total, 1);
    struct adder *adders = calloc(cpus, sizeof *adders);
    if (!batches || !drains || !list.times || !adders)
        give_up("start", -ENOMEM);

    unsigned started = 0;
    pw_for_each_cpu (cpu) {
        struct batch *batch = pw_per_cpu_ptr(batches, cpu);
        INIT_PW(&batch->drain, drain_batch, cpu);
        INIT_PW_DELAYED(&batch->periodic, drain_periodically, cpu);
        checked("pw_queue_delayed_on", pw_queue_delayed_on(cpu, drains, &batch->periodic, PERIOD_NS));
        start_adder(&adders[started], cpu, started * ids_a_thread);
        started++;
    }

    /* Half of the time somebody wants a complete list. */
    int wrong = 0, rounds = 0;
    unsigned long before;
    do {
        before = 0;
        for (unsigned i = 0; i < cpus; i++)
            before += atomic_load(&adders[i].added);
        drain_all();
        wrong += listed() < before;
        rounds++;
        sleep_ms(1);
    } while (before < total / 2);

    /* The rest is left to the delayed items: a minute is far more than they need. */
    for (unsigned i = 0; i < cpus; i++)
        pthread_join(adders[i].thread, NULL);
    for (int waited = 0; listed() < total && waited < 60000; waited += 10)
        sleep_ms(10);
    unsigned long by_themselves = listed();
    pw_for_each_cpu (cpu)
        checked("pw_cancel_delayed_sync", pw_cancel_delayed_sync(&pw_per_cpu_ptr(batches, cpu)->periodic));

    unsigned long runs = atomic_load(&periodic_runs), once = 0;
    checked("pw_workqueue_destroy", pw_workqueue_destroy(drains));
    checked("pw_runtime_stop", pw_runtime_stop()); /* either would run at once what is still armed */
    for (unsigned long id = 0; id < total; id++)
        once += list.times[id] == 1;
    printf("%lu ids added, %lu listed exactly once\n", total, once);
    printf("%d drains of all %u cpus, %d of them incomplete; %lu periodic drains\n", rounds, cpus, wrong,
           runs);
    if (by_themselves != total || once != total || list.count != total || atomic_load(&periodic_runs) != runs)
        wrong++;
    pw_free_percpu(batches);
    free(list.times);
    free(adders);
    return wrong ? 1 : 0;
}
