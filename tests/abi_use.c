/* SPDX-License-Identifier: MIT */
/* Uses everything that the public headers offer once, as a C11 program and as a C++20 one. Run as it is, built
 * against the installed library, and under valgrind. Exit status 0 if every answer is right. */
#include <pwlocks/pwlocks.h>

#include <stdio.h>
#include <string.h>

#define REQUIRE(condition)                                                                                      \
    do {                                                                                                        \
        if (!(condition)) {                                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                     \
            return 1;                                                                                           \
        }                                                                                                       \
    } while (0)

PW_STATIC_ASSERT(PW_PERCPU_MAX == (size_t)1 << PW_PERCPU_SHIFT, "the largest object");
PW_STATIC_ASSERT(PW_CACHE_LINE >= sizeof(struct pw_struct), "an item fits a cache line");

PW_BEGIN_DECLS
PW_EXPORT int exported_by_this_program(void);
PW_END_DECLS

struct cache {
    pw_lock_t lock;
    long objects;
    struct pw_struct drain;
    int drained;
};
static struct cache *caches; /* per-CPU pointer */
static int on_this_cpu;

PW_INLINE long objects_of(int cpu)
{
    return pw_per_cpu_ptr(caches, cpu)->objects;
}

int exported_by_this_program(void)
{
    return PW_VERSION_MAJOR * 10000 + PW_VERSION_MINOR * 100 + PW_VERSION_PATCH;
}

static void drain(struct pw_struct *work)
{
    int cpu = pw_get_cpu(work);
    struct cache *cache = pw_per_cpu_ptr(caches, cpu);
    pw_lock(&caches->lock, cpu);
    cache->objects = 0;
    pw_unlock(&caches->lock, cpu);
    ++cache->drained;
    on_this_cpu += pw_is_cpu_remote(cpu) ? 0 : 1;
}

static int use_locks(void)
{
    int cpu = pw_lock_local(&caches->lock);
    REQUIRE(cpu >= 0 && cpu < pw_nr_cpus());
    pw_per_cpu_ptr(caches, cpu)->objects = 5;
    REQUIRE(!pw_trylock(&caches->lock, cpu));
    pw_unlock_local(&caches->lock, cpu);
    {
        const volatile struct cache *looked_at = caches; /* a qualified pointer stays one */
        REQUIRE(pw_per_cpu_ptr(looked_at, cpu)->objects == 5);
    }

    cpu = pw_trylock_local(&caches->lock);
    REQUIRE(cpu >= 0);
    pw_unlock_local(&caches->lock, cpu);

    for (cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        REQUIRE(pw_trylock(&caches->lock, cpu));
        pw_per_cpu_ptr(caches, cpu)->objects = cpu + 1;
        pw_unlock(&caches->lock, cpu);
    }
    return 0;
}

static int use_irqsave(void)
{
    pw_trylock_t *lock = &caches->lock; /* the same type */
    unsigned long flags, outer = pw_local_irq_save();
    int cpu = pw_lock_local_irqsave(lock, flags);
    pw_lockdep_assert_held(lock, cpu);
    pw_unlock_local_irqrestore(lock, flags, cpu);
    cpu = pw_trylock_local_irqsave(lock, flags);
    REQUIRE(cpu >= 0);
    pw_unlock_local_irqrestore(lock, flags, cpu);
    pw_lock_irqsave(lock, flags, cpu);
    REQUIRE(!pw_trylock(lock, cpu));
    pw_unlock_irqrestore(lock, flags, cpu);
    REQUIRE(pw_trylock_irqsave(lock, flags, cpu));
    pw_unlock_irqrestore(lock, flags, cpu);
    pw_local_irq_restore(outer);
    pw_trylock_init(lock);
    return 0;
}

static int use_stat(int cpu)
{
    struct pw_stat one, all;
    REQUIRE(pw_stat_read(cpu, &one, sizeof one) == 0 && one.workers == 1);
    REQUIRE(pw_stat_read(PW_STAT_ALL, &all, sizeof all) == 0 && all.workers >= 1 && all.queued >= one.queued);
    REQUIRE(pw_stat_read(pw_nr_cpus(), &one, sizeof one) == -EINVAL);
    return 0;
}

/* Drains every CPU's cache with one of the two calls. */
static int use_work(int (*queue)(int, struct pw_workqueue *, struct pw_struct *))
{
    int cpus = 0;
    pw_for_each_cpu(cpu)
    {
        struct cache *cache = pw_per_cpu_ptr(caches, cpu);
        int drained = cache->drained;
        INIT_PW(&cache->drain, drain, cpu);
        cache->objects = 7;
        REQUIRE(queue(cpu, NULL, &cache->drain) == 1);
        REQUIRE(pw_flush(&cache->drain) == 0);
        REQUIRE(objects_of(cpu) == 0 && cache->drained == drained + 1);
        pw_init_work(&cache->drain, NULL, cpu);
        REQUIRE(queue(cpu, NULL, &cache->drain) == -EINVAL);
        ++cpus;
    }
    REQUIRE(cpus > 0);
    return 0;
}

static void drain_nothing(struct pw_struct *work)
{
    (void)work;
}

static void count_call(int cpu, void *calls)
{
    __atomic_fetch_add((int *)calls, cpu >= 0, __ATOMIC_RELAXED);
}

/* Workqueues, cancelling, delayed work, and a call on every CPU. */
static int use_workqueue(unsigned flags)
{
    char longest[PW_WQ_NAME_MAX + 2];
    int cpus = 0, calls = 0;
    struct pw_workqueue *wq = pw_workqueue_create("abi_use", flags);
    REQUIRE(wq != NULL && PW_WQ_HIGHPRI_BURST >= 1);
    memset(longest, 'x', sizeof longest);
    longest[PW_WQ_NAME_MAX + 1] = 0;
    REQUIRE(pw_workqueue_create(longest, flags) == NULL && errno == ENAMETOOLONG);
    pw_for_each_cpu(cpu)
    {
        struct pw_struct item;
        struct pw_delayed later;
        INIT_PW(&item, drain_nothing, cpu);
        REQUIRE(pw_queue_on(cpu, wq, &item) == 1 && pw_workqueue_flush(wq) == 0);
        REQUIRE(pw_cancel(&item) == 0 && pw_cancel_sync(&item) == 0);
        INIT_PW_DELAYED(&later, drain_nothing, cpu);
        pw_init_delayed(&later, drain_nothing, cpu);
        REQUIRE(pw_queue_delayed_on(cpu, wq, &later, 3600000000000u) == 1);
        REQUIRE(pw_mod_delayed_on(cpu, wq, &later, 7200000000000u) == 1);
        REQUIRE(pw_flush_delayed(&later) == 0);
        REQUIRE(pw_cancel_delayed_sync(&later) == 0);
        ++cpus;
    }
    REQUIRE(pw_on_each_cpu(count_call, &calls) == 0 && calls == cpus);
    REQUIRE(pw_workqueue_drain(wq) == 0 && pw_workqueue_destroy(wq) == 0);
    return 0;
}

int main(void)
{
    int first, round;
    struct pw_stat stat;
    void *memory = pw_alloc_percpu(sizeof(struct cache), PW_CACHE_LINE);
    REQUIRE(memory != NULL);
    caches = (struct cache *)memory;
    pw_lock_init(&caches->lock);
    REQUIRE(pw_this_cpu() >= 0 && pw_this_cpu() < pw_nr_cpus());
    REQUIRE(pw_likely(pw_this_cpu_ptr(caches)->objects == 0));

    for (round = 0; round < 3; ++round) {
        REQUIRE(pw_runtime_start(round == 1 ? "idle_spin_us=0" : NULL) == 0);
        REQUIRE(pw_runtime_start(NULL) == -EALREADY);
        first = pw_next_cpu(-1);
        REQUIRE(first >= 0 && pw_cpu_online(first) && !pw_cpu_online(pw_nr_cpus()));
        if (use_locks() != 0 || use_irqsave() != 0 || use_work(pw_queue_on) != 0 || use_work(pw_queue_work_on) != 0 ||
            use_workqueue(0) != 0 || use_workqueue(PW_WQ_HIGHPRI) != 0 || use_stat(first) != 0)
            return 1;
        REQUIRE(pw_runtime_stop() == 0);
        REQUIRE(pw_runtime_stop() == -ESRCH);
        REQUIRE(pw_stat_read(first, &stat, sizeof stat) == -ESRCH);
        INIT_PW(&caches->drain, drain, first);
        REQUIRE(pw_queue_on(first, NULL, &caches->drain) == -ESHUTDOWN);
    }
    if (pw_unlikely(exported_by_this_program() < 0) || strlen(pw_strategy_source()) == 0)
        return 1;
    pw_free_percpu(caches);
    printf("abi_use: strategy %s from %s, %d of the functions ran on their CPU\n",
           pw_strategy() == PW_STRATEGY_QUEUE ? "queue" : "lock", pw_strategy_source(), on_this_cpu);
    return 0;
}
