// SPDX-License-Identifier: MIT
#include "workqueue.h"

#include "lane.h"
#include "submit.h"
#include "timer.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <vector>

pw_workqueue pw::detail::no_workqueue;

namespace pw::detail {
namespace {

// Guards the list, the names and who drains; never held while waiting.
constinit std::mutex registry;
constinit pw_workqueue *registered = nullptr; // every one there ever was
constinit unsigned registered_count = 0;
constinit uint64_t last_id = 0;
constinit stat_segment *shown_in = nullptr;

// In chunks that are never given back, like a thread's place.
pw_workqueue *new_workqueue()
{
    constexpr size_t chunk = 32;
    void *memory = mmap(nullptr, chunk * sizeof(pw_workqueue), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return nullptr;
    auto *all = static_cast<pw_workqueue *>(memory);
    for (size_t i = 0; i < chunk; ++i) {
        ::new (&all[i]) pw_workqueue;
        all[i].index = registered_count++;
        all[i].next_registered = registered;
        registered = &all[i];
    }
    return &all[0];
}

void show(const pw_workqueue &wq)
{
    if (shown_in)
        shown_in->show_workqueue(wq.index, wq.live.load(std::memory_order_relaxed) ? wq.name : "", // relaxed: the mutex orders
                                 wq.priority == item_state::high, wq.id);
}

// Whether the calling thread, a worker, runs one of the workqueue's functions. Under lock the lanes know.
bool runs_item_of(const pw_workqueue *wq)
{
    const worker *self = this_thread.worker_here;
    return self && (this_thread.wq == wq || (self->wq_now == wq && !self->through));
}

// What a flush waits for on one CPU.
struct wait_place {
    worker *on = nullptr;
    uint64_t priority = 0;
    queue_barrier barrier;
    lane *through = nullptr;
    lane::waiter waiter;
    bool waits = false;
};

// Everything that is to be waited for, in a passage. 0 or -EDEADLK. Sparing: a worker that has nothing to do is not woken, and a lane
// without items of the workqueue is not waited for.
int find_places(const pw_workqueue *wq, std::vector<wait_place> &places, size_t &count)
{
    count = 0;
    int result = 0;
    for_each_active([&](worker &each) {
        if (this_thread.worker_here == &each) {
            // Nobody but the functions that this thread runs keeps it from serving its queue.
            if (each.wq_now == wq || holds_items_of(each, wq))
                result = -EDEADLK;
        } else if (!has_finished(each)) {
            places[count].on = &each;
            places[count++].priority = priority_of(wq) & item_state::high;
        }
        if (gate.strategy == PW_STRATEGY_LOCK) {
            lane *through = lane_of(each.cpu);
            if (through->look_for(wq, places[count].waiter.key))
                places[count++].through = through;
        }
    });
    return result;
}

int flush_everywhere(const pw_workqueue *wq)
{
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    if (runs_item_of(wq))
        return -EDEADLK;
    try {
        std::vector<wait_place> places(static_cast<size_t>(2 * possible_cpus()));
        std::vector<wait_edge> edges;
        edges.reserve(places.size());
        size_t count = 0;
        passage inside(self);
        if (inside.state() != gate_state::open && inside.state() != gate_state::draining)
            return 0;
        if (int error = find_places(wq, places, count))
            return error;
        for (size_t i = 0; i < count; ++i)
            edges.push_back(places[i].on ? wait_edge(*places[i].on, false)
                                         : wait_edge(*places[i].through, places[i].waiter.key));
        bool listed = in_work();
        if (listed && !begin_waits(edges.data(), count))
            return -EDEADLK;
        for (size_t i = 0; i < count; ++i) {
            if (places[i].on)
                places[i].barrier.queue(*places[i].on, places[i].priority, listed ? &edges[i] : nullptr);
            else
                places[i].waits = places[i].through->begin_wait(places[i].waiter);
        }
        inside.leave();
        for (size_t i = 0; i < count; ++i) {
            if (places[i].on)
                places[i].barrier.wait(flush_spins());
            else if (places[i].waits)
                places[i].waiter.done.wait(flush_spins());
            if (listed)
                end_wait(edges[i]);
        }
        return 0;
    } catch (const std::bad_alloc &) {
        return -ENOMEM;
    }
}

// While it exists, only the workqueue's own functions queue to it.
class draining {
  public:
    explicit draining(pw_workqueue &wq) : wq_(wq)
    {
        std::lock_guard guard(registry);
        wq_.drains.fetch_add(1, std::memory_order_seq_cst);
    }
    ~draining()
    {
        std::lock_guard guard(registry);
        wq_.drains.fetch_sub(1, std::memory_order_release);
    }
    draining(const draining &) = delete;
    draining &operator=(const draining &) = delete;

    // Whoever saw no drain has queued by the end of this.
    static void settle() { wait_for_passages(); }

  private:
    pw_workqueue &wq_;
};

// Delayed items of the workqueue, now. 0 or -ENOMEM.
int queue_armed(pw_workqueue &wq)
{
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    passage inside(self);
    if (inside.state() != gate_state::open) {
        inside.leave();
        sleep_ns(100'000); // a stop is doing it
        return 0;
    }
    int result = 0;
    for_each_active([&](worker &each) {
        if (result == 0 && queue_armed_items(each, &wq, inside) < 0)
            result = -ENOMEM;
    });
    return result;
}

// Flushes until nothing was queued meanwhile. What is left then could only have been queued by an execution that the last flush waited
// for, or by a timer: either is counted behind its enqueue, and so between our two looks, or else the flush has waited for what it
// queued. Without that order: 1. a function counts; 2. we look at the count, and our flush goes by; 3. the function enqueues.
// `disarm`: until nothing is armed either; that is looked at first, since a timer counts before it says that an item is armed no more.
int drain(pw_workqueue &wq, bool disarm)
{
    for (;;) {
        uint64_t before = wq.chained.load(std::memory_order_acquire); // pairs with queued_while_draining()
        if (int error = flush_everywhere(&wq))
            return error;
        if (disarm && wq.armed.load(std::memory_order_acquire) != 0) { // pairs with the release in disarmed()
            if (int error = queue_armed(wq))
                return error;
            continue;
        }
        if (wq.chained.load(std::memory_order_acquire) == before)
            return 0;
    }
}

bool usable(const pw_workqueue *wq)
{
    return wq && wq->live.load(std::memory_order_acquire);
}

} // namespace

int may_queue(const pw_workqueue *wq, bool &chained)
{
    chained = false;
    if (pw_likely(!wq))
        return 0;
    // In this order: who sees no drain any more, since the workqueue is destroyed, sees that.
    bool drains = wq->drains.load(std::memory_order_acquire) != 0;
    if (pw_unlikely(!wq->live.load(std::memory_order_acquire))) // pairs with the releases in create and destroy
        return -EINVAL;
    if (pw_likely(!drains))
        return 0;
    if (this_thread.wq != wq)
        return -ECANCELED;
    chained = true;
    return 0;
}

void show_workqueues(stat_segment *segment)
{
    std::lock_guard guard(registry);
    shown_in = segment;
    for (const pw_workqueue *each = registered; each; each = each->next_registered)
        if (each->name[0])
            show(*each);
}

void workqueues_before_fork()
{
    registry.lock();
}

void workqueues_after_fork(bool child)
{
    if (child) {
        shown_in = nullptr;
        // Who drained them, and what was armed, is the parent's.
        for (pw_workqueue *each = registered; each; each = each->next_registered) {
            each->drains.store(0, std::memory_order_relaxed);
            each->armed.store(0, std::memory_order_relaxed);
        }
    }
    registry.unlock();
}

} // namespace pw::detail

using namespace pw::detail;

struct pw_workqueue *pw_workqueue_create(const char *name, unsigned flags)
{
    if (!name || !name[0] || (flags & ~PW_WQ_HIGHPRI)) {
        errno = EINVAL;
        return nullptr;
    }
    if (strnlen(name, PW_WQ_NAME_MAX + 1) > PW_WQ_NAME_MAX) {
        errno = ENAMETOOLONG;
        return nullptr;
    }
    std::lock_guard guard(registry);
    pw_workqueue *wq = nullptr;
    for (pw_workqueue *each = registered; each; each = each->next_registered)
        if (!each->live.load(std::memory_order_relaxed) && !each->drains.load(std::memory_order_relaxed)) // relaxed: the mutex orders
            wq = each;
    if (!wq)
        wq = new_workqueue();
    if (!wq) {
        errno = ENOMEM;
        return nullptr;
    }
    strncpy(wq->name, name, sizeof wq->name - 1);
    wq->name[sizeof wq->name - 1] = '\0';
    wq->priority = flags & PW_WQ_HIGHPRI ? item_state::high : item_state::normal;
    wq->id = ++last_id;
    wq->live.store(true, std::memory_order_release); // pairs with the acquire in may_queue()
    show(*wq);
    return wq;
}

int pw_workqueue_flush(struct pw_workqueue *wq)
{
    if (wq && !usable(wq))
        return -EINVAL;
    return flush_everywhere(wq);
}

int pw_workqueue_drain(struct pw_workqueue *wq)
{
    if (!usable(wq))
        return -EINVAL;
    if (runs_item_of(wq))
        return -EDEADLK;
    draining now(*wq);
    draining::settle();
    return drain(*wq, false);
}

int pw_workqueue_destroy(struct pw_workqueue *wq)
{
    if (!wq)
        return 0;
    if (!usable(wq))
        return -EINVAL;
    if (runs_item_of(wq))
        return -EDEADLK;
    draining now(*wq);
    draining::settle();
    if (int error = drain(*wq, true))
        return error;
    std::lock_guard guard(registry);
    wq->live.store(false, std::memory_order_release);
    show(*wq);
    return 0;
}
