/* SPDX-License-Identifier: MIT */
/* A program written with nothing but the names of the kernel series' version 3, as a C11 program and as a C++20 one, and what
 * allocates and reaches the memory of other CPUs. A per-CPU page cache: filled locally, drained from elsewhere. Exit status 0 if all
 * pages are accounted for. */
#include <pwlocks/percpu.h>
#include <pwlocks/qpw.h>
#include <pwlocks/runtime.h>

#include <stdio.h>

#define REQUIRE(condition)                                                                                      \
    do {                                                                                                        \
        if (!(condition)) {                                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                     \
            return 1;                                                                                           \
        }                                                                                                       \
    } while (0)

struct page_cache {
    qpw_lock_t lock;
    qpw_trylock_t stat_lock;
    long pages, drained, drains;
    struct qpw_struct work;
};
static struct page_cache *caches; /* per-CPU pointer */
static int remote_drains;

static void drain(struct qpw_struct *work)
{
    int cpu = qpw_get_cpu(work);
    struct page_cache *cache = pw_per_cpu_ptr(caches, cpu);
    unsigned long flags;
    qpw_lock_irqsave(&caches->lock, flags, cpu);
    qpw_lockdep_assert_held(&caches->lock);
    cache->drained += cache->pages;
    cache->pages = 0;
    qpw_unlock_irqrestore(&caches->lock, flags, cpu);
    if (qpw_trylock(&caches->stat_lock, cpu)) {
        ++cache->drains;
        qpw_unlock(&caches->stat_lock, cpu);
    }
    remote_drains += qpw_is_cpu_remote(cpu) ? 1 : 0;
}

static int fill(int pages)
{
    unsigned long flags;
    int i;
    for (i = 0; i < pages; ++i) {
        switch (i % 3) {
        case 0:
            local_qpw_lock(&caches->lock);
            qpw_lockdep_assert_held(&caches->lock);
            qpw_this_cpu_ptr(caches)->pages++;
            /* Another lock inside, released out of order. */
            REQUIRE(local_qpw_trylock(&caches->stat_lock));
            local_qpw_unlock(&caches->lock);
            qpw_this_cpu_ptr(caches)->drains += 0;
            local_qpw_unlock(&caches->stat_lock);
            break;
        case 1:
            local_qpw_lock_irqsave(&caches->lock, flags);
            qpw_this_cpu_ptr(caches)->pages++;
            local_qpw_unlock_irqrestore(&caches->lock, flags);
            break;
        default:
            REQUIRE(local_qpw_trylock(&caches->lock));
            qpw_this_cpu_ptr(caches)->pages++;
            local_qpw_unlock(&caches->lock);
        }
    }
    return 0;
}

int main(void)
{
    const long pages = 3000;
    long found = 0;
    unsigned long flags;
    caches = (struct page_cache *)pw_alloc_percpu(sizeof(struct page_cache), PW_CACHE_LINE);
    REQUIRE(caches != NULL);
    qpw_lock_init(&caches->lock);
    qpw_trylock_init(&caches->stat_lock);
    if (fill((int)pages) != 0)
        return 1;
    pw_for_each_cpu(cpu)
    {
        struct page_cache *cache = pw_per_cpu_ptr(caches, cpu);
        INIT_QPW(&cache->work, drain, cpu);
        REQUIRE(queue_percpu_work_on(cpu, NULL, &cache->work) == 1);
        REQUIRE(flush_percpu_work(&cache->work) == 0);
        REQUIRE(cache->drains == 1 && cache->pages == 0);
        qpw_lock(&caches->lock, cpu);
        qpw_lockdep_assert_held(&caches->lock); /* from whichever CPU */
        REQUIRE(!qpw_trylock_irqsave(&caches->lock, flags, cpu));
        qpw_unlock(&caches->lock, cpu);
        REQUIRE(qpw_trylock_irqsave(&caches->lock, flags, cpu));
        qpw_unlock_irqrestore(&caches->lock, flags, cpu);
        found += cache->drained;
    }
    REQUIRE(found == pages);
    REQUIRE(pw_strategy() == PW_STRATEGY_LOCK || remote_drains == 0);
    pw_free_percpu(caches);
    printf("abi_qpw: %ld pages drained, %d times from another CPU\n", found, remote_drains);
    return 0;
}
