// SPDX-License-Identifier: MIT
// The public calls of <pwlocks/work.h> as they are: src/work.cc, workqueue.cc, timer.cc, waits.cc, the workers'
// loop and the lanes, in all schedules of a few threads with at most two preemptions. What src/item.h's orders
// are for is model_cancel.cc's; here memory is sequentially consistent, and what is looked for is a step in the
// wrong place. Threads may be overtaken before every read-modify-write of an item's state, before a mutex is
// taken, at the points of inject.h, and where they wait.
#include "model_threads.h"

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstring>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static long model_syscall(long number, ...);
static int model_clock(timespec *time);
static void model_point();
static void model_wait(std::function<bool()> ready);
static void model_state(const void *word, uint64_t before, uint64_t after);

namespace std {

class model_mutex {
  public:
    void lock()
    {
        model_point();
        while (held_)
            model_wait([this] { return !held_; });
        held_ = true;
    }
    void unlock() { held_ = false; }

  private:
    bool held_ = false;
};

// Only an item's words are of interest: others than 64-bit integers are as they were.
template <typename T>
class model_atomic_ref : public atomic_ref<T> {
  public:
    explicit model_atomic_ref(T &of) : atomic_ref<T>(of), at_(&of) {}

    T load(memory_order order) const
    {
        if (is_word && order != memory_order_relaxed)
            model_point();
        T value = atomic_ref<T>::load(order);
        told(value, value);
        return value;
    }
    void store(T value, memory_order order) const
    {
        model_point();
        told(atomic_ref<T>::load(order == memory_order_release ? memory_order_relaxed : order), value);
        atomic_ref<T>::store(value, order);
    }
    bool compare_exchange_strong(T &expected, T value, memory_order success, memory_order failure) const
    {
        model_point();
        bool done = atomic_ref<T>::compare_exchange_strong(expected, value, success, failure);
        if (done)
            told(expected, value);
        return done;
    }
    bool compare_exchange_weak(T &expected, T value, memory_order success, memory_order failure) const
    {
        return compare_exchange_strong(expected, value, success, failure);
    }
    T fetch_or(T value, memory_order order) const
    {
        model_point();
        T before = atomic_ref<T>::fetch_or(value, order);
        told(before, before | value);
        return before;
    }
    T fetch_and(T value, memory_order order) const
    {
        model_point();
        T before = atomic_ref<T>::fetch_and(value, order);
        told(before, before & value);
        return before;
    }

  private:
    static constexpr bool is_word = is_same_v<T, uint64_t>;
    void told(T before, T after) const
    {
        if constexpr (is_word)
            model_state(at_, before, after);
    }
    const void *at_;
};
template <typename T>
model_atomic_ref(T &) -> model_atomic_ref<T>;

} // namespace std

#include "inject.h"
#undef PW_INJECT
#define PW_INJECT() model_point()
#define syscall model_syscall
#define clock_gettime(clock, time) model_clock(time)
#include "futex_mutex.h"
#define mutex model_mutex
#define futex_mutex ::std::model_mutex
#define atomic_ref model_atomic_ref
#include "callers.h"
namespace pw::detail {
static thread_context *context_here;
}
#define this_thread (*::pw::detail::context_here)
#include "refusal.cc"
#include "waits.cc"

#include "lane.cc"
#include "lane_run.cc"
#include "lane_wait.cc"
#include "timer_heap.cc"
#include "timer.cc"
#include "work.cc"
#include "workqueue.cc"
#include "worker.cc"
#include "worker_stat.cc"
#include "each_cpu.cc"
#undef syscall
#undef mutex
#undef futex_mutex
#undef atomic_ref

namespace explore {

using namespace pw::detail;
namespace stat = pw::stat;

constexpr int most_threads = 10, most_cpus = 2, most_items = 4;

thread_context contexts[most_threads];
caller callers[callers_a_page];
alignas(64) char row_memory[most_threads][sizeof(stat::caller_row) + most_cpus * sizeof(stat::caller_cell)];
stat::cpu_block blocks[most_cpus];
stat::tally tallies[most_cpus][4];
stat_segment segment;
model::schedules *threads;
unsigned bound = 2;
const char *only;
uint64_t clock_now;
bool in_schedule;

struct work {
    union {
        pw_struct base;
        pw_delayed delayed;
    };
    int id;
};

// What is accepted, by what becomes of the item's state.
struct accepted {
    int thread, item;
    bool by_timer, high, cancelled = false;
    int begin = -1, end = -1; // of its execution
};
struct record {
    int pending = -1, runs = -1; // which of what was accepted
    bool gone = false;           // nobody may touch it any more
    bool frees = false;          // its function frees it
    bool inside = false;
    int count = 0;
    std::function<void(work &, int run)> body;
};
struct place_in_order {
    int thread;
    size_t which;
    bool chosen; // by the thread itself: the item was not pending
};

work items[most_items];
record records[most_items];
std::vector<accepted> all;
std::vector<place_in_order> order;
int now;

work &x = items[0], &y = items[1], &z = items[2];

char name(const work &item)
{
    return static_cast<char>('X' + item.id);
}

bool is_lane()
{
    return gate.strategy == PW_STRATEGY_LOCK;
}

void end_of(record &log, bool cancelled)
{
    all[static_cast<size_t>(log.pending)].cancelled = cancelled;
    log.pending = -1;
}

// An item's state was looked at or changed.
void state_changed(const void *word, uint64_t before, uint64_t after)
{
    using namespace item_state;
    work *item = nullptr;
    for (work &each : items)
        if (word == &each.base.state)
            item = &each;
    if (!item)
        return;
    record &log = records[item->id];
    if (log.gone)
        threads->fail("an item is touched that is gone");
    if (is_lane())
        return;
    bool was = before & pending, is = after & pending;
    if (is && (!was || (!(before & armed) && (after & armed)))) {
        if (was)
            end_of(log, true); // armed anew
        log.pending = static_cast<int>(all.size());
        all.push_back({threads->self(), item->id, bool(after & armed), bool(after & high)});
        if (!(after & armed))
            order.push_back({threads->self(), all.size() - 1, true});
    } else if (was && !is) {
        if (log.pending < 0)
            threads->fail("what was not accepted is over");
        bool cancelled = (before & armed) || (after & item_state::cancelled);
        if (!cancelled)
            log.runs = log.pending;
        end_of(log, cancelled);
    } else if (is && log.pending >= 0 && before == after && !(after & armed)) {
        order.push_back({threads->self(), static_cast<size_t>(log.pending), false});
    }
}

void function(pw_struct *base)
{
    work &item = *reinterpret_cast<work *>(base);
    int id = item.id;
    record &log = records[id];
    threads->note("start", name(item));
    if (log.gone)
        threads->fail("an item runs that is gone");
    size_t which = static_cast<size_t>(log.runs);
    if (!is_lane()) {
        if (log.runs < 0)
            threads->fail("an item runs that was not queued, or was cancelled, or runs already");
        all[which].begin = now++;
    }
    int run = ++log.count;
    log.inside = true;
    if (log.frees) {
        log.gone = true;
        memset(base, 0xa5, sizeof *base);
    }
    threads->point();
    if (log.body)
        log.body(items[id], run);
    threads->point();
    threads->note("end", static_cast<char>('X' + id));
    if (!is_lane())
        all[which].end = now++;
    log.inside = false;
    log.runs = -1;
}

int queue(work &item, pw_workqueue *wq = nullptr)
{
    threads->point();
    threads->note("queue", name(item));
    int result = pw_queue_on(item.base.cpu, wq, &item.base);
    return result;
}

int arm(work &item, pw_workqueue *wq = nullptr)
{
    threads->note("arm", name(item));
    return pw_queue_delayed_on(item.base.cpu, wq, &item.delayed, 1);
}

int mod(work &item, pw_workqueue *wq = nullptr)
{
    threads->point();
    threads->note("arm anew", name(item));
    return pw_mod_delayed_on(item.base.cpu, wq, &item.delayed, 1);
}

int flush(work &item)
{
    threads->point();
    threads->note("flush", name(item));
    std::vector<size_t> before;
    for (size_t i = 0; i < all.size(); ++i)
        if (all[i].item == item.id && !all[i].by_timer)
            before.push_back(i);
    int result = pw_flush(&item.base);
    threads->note(result == 0 ? "flushed" : "not flushed", name(item));
    if (result == 0)
        for (size_t i : before)
            if (!all[i].cancelled && all[i].end < 0)
                threads->fail("a flush returned before what was queued before it has ended");
    return result;
}

int cancel(work &item)
{
    threads->point();
    threads->note("cancel", name(item));
    return pw_cancel(&item.base);
}

int cancel_sync(work &item)
{
    threads->point();
    threads->note("cancel, wait", name(item));
    int result = pw_cancel_sync(&item.base);
    threads->note(result >= 0 ? "cancelled" : "not cancelled", name(item));
    if (result < 0)
        return result;
    if (records[item.id].pending >= 0 || records[item.id].runs >= 0)
        threads->fail("an item is pending or runs when pw_cancel_sync() returns");
    return result;
}

// Nobody queues it any more.
void free_item(work &item)
{
    threads->note("free", name(item));
    records[item.id].gone = true;
}

void drained(const char *what, std::initializer_list<work *> of)
{
    threads->note(what);
    for (work *each : of)
        if ((each->base.state & (item_state::pending | item_state::armed)) == item_state::pending ||
            records[each->id].runs >= 0 || records[each->id].inside)
            threads->fail("a workqueue is drained, and something of it is pending or runs");
}

// As worker_main().
void serve_for_ever(worker &self)
{
    this_thread.worker_here = &self;
    self.context.store(&this_thread);
    for (;;) {
        if (self.through && timer_is_due(self))
            run_due_items(self);
        else if (!serve(self, 0))
            wait_for_work(self);
    }
}

void add_worker(worker &self)
{
    threads->add([&self] { serve_for_ever(self); }, true, [&self] {
        // Under lock most of them have nothing to do.
        return !is_lane() || something_arrived(self) || self.timers.earliest() != timer_queue::never;
    });
}

void set_up(pw_strategy_t strategy, int cpus)
{
    now = 1;
    clock_now = 0;
    all.clear();
    order.clear();
    waits_after_fork_child();
    gate.strategy = strategy;
    gate.cpus = cpus;
    gate.state.store(gate_state::open);
    caller_pages[0] = callers;
    for (int i = 0; i < most_threads; ++i) {
        memset(row_memory[i], 0, sizeof row_memory[i]);
        ::new (&callers[i]) caller;
        callers[i].index = static_cast<uint32_t>(i);
        callers[i].row = reinterpret_cast<stat::caller_row *>(row_memory[i]);
        ::new (&contexts[i]) thread_context;
        contexts[i].self = &callers[i];
    }
    for (int cpu = 0; cpu < cpus; ++cpu) {
        worker &each = *worker_of(cpu);
        ::new (&each) worker;
        each.active = true;
        each.cpu = cpu;
        each.index = static_cast<size_t>(cpu);
        each.block = &blocks[cpu];
        each.segment = &segment;
        each.ledger.init(segment, static_cast<size_t>(cpu), stats_choice::off);
        add_worker(each);
        if (strategy == PW_STRATEGY_LOCK) {
            ::new (lane_of(cpu)) lane;
            lane_of(cpu)->init(cpu, static_cast<size_t>(cpu), cpu, {}, segment);
            add_worker(lane_of(cpu)->deputy());
        }
    }
    for (int i = 0; i < most_items; ++i) {
        items[i] = {};
        items[i].id = i;
        pw_init_work(&items[i].base, function, 0);
        records[i] = {};
    }
}

void check()
{
    for (const accepted &each : all)
        if (!each.cancelled && each.end < 0)
            threads->fail("something that was accepted has not run");
    for (work &each : items)
        if (!records[each.id].gone && (each.base.state & (item_state::pending | item_state::unusual)))
            threads->fail("an item is left pending, linked or cancelled");
    for (size_t i = 0; i < order.size(); ++i)
        for (size_t k = i + 1; k < order.size(); ++k) {
            const accepted &first = all[order[i].which], &second = all[order[k].which];
            if (order[i].thread == order[k].thread && order[k].chosen && !first.by_timer && !first.cancelled &&
                !second.cancelled && items[first.item].base.cpu == items[second.item].base.cpu && first.high == second.high &&
                first.begin > second.begin)
                threads->fail("a thread's items start out of order");
        }
}

void switched(int, int to)
{
    in_schedule = to >= 0;
    if (to >= 0)
        context_here = &contexts[to];
}

void scenario(const char *what, pw_strategy_t strategy, int cpus, const std::function<void()> &program,
              unsigned preemptions = bound)
{
    if (only && !strstr(what, only))
        return;
    model::schedules every(preemptions, switched);
    threads = &every;
    every.explore(
        [&] {
            in_schedule = false;
            set_up(strategy, cpus);
            program();
        },
        check);
    printf("calls: %s: holds in %lu schedules\n", what, every.count());
    fflush(stdout);
}

constexpr pw_strategy_t by_queue = PW_STRATEGY_QUEUE, by_lock = PW_STRATEGY_LOCK;

void cancelled_and_queued_again()
{
    scenario("cancelled and queued again", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            cancel(x);
            queue(y);
            queue(x);
        });
        threads->add([] {
            queue(x);
            flush(x);
        });
    });
    scenario("cancelled twice, and freed by its function", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            if (cancel(x)) {
                queue(x);
                if (cancel(x)) {
                    queue(y);
                    records[x.id].frees = true;
                    queue(x);
                }
            }
        });
        threads->add([] { queue(y); });
    });
}

void claimed_and_not_queued()
{
    // Who claimed it first may not have queued it when another one cancels it.
    scenario("cancelled and queued by another", by_queue, 1, [] {
        threads->add([] { queue(x); });
        threads->add([] {
            if (cancel(x)) {
                records[x.id].frees = true;
                queue(x);
            }
        });
    });
    scenario("cancelled and freed by another", by_queue, 1, [] {
        threads->add([] { queue(x); });
        threads->add([] {
            threads->point();
            if (cancel_sync(x) > 0)
                free_item(x);
        });
    });
}

void cancelled_for_good()
{
    scenario("cancelling waits, and the item is freed", by_queue, 1, [] {
        records[x.id].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
        };
        threads->add([] {
            queue(x);
            cancel(x);
            queue(x);
            cancel_sync(x);
            free_item(x);
        });
        threads->add([] { queue(y); });
    });
    scenario("two cancel, one queues", by_queue, 1, [] {
        threads->add([] {
            queue(x);
            cancel_sync(x);
        });
        threads->add([] { cancel_sync(x); });
        threads->add([] {
            queue(x);
            queue(y);
        });
    }, bound - 1);
    scenario("a timer's item is cancelled", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel_sync(x);
            arm(x);
        });
        threads->add([] { queue(y); });
    });
    scenario("a timer's item is cancelled, and queued by another", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel_sync(x);
        });
        threads->add([] { pw_queue_delayed_on(0, nullptr, &x.delayed, 0); });
    });
    scenario("a timer's item is cancelled by two", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            cancel(x);
            arm(x);
            cancel_sync(x);
        });
        threads->add([] {
            cancel_sync(x);
            arm(x);
        });
    });
}

void due()
{
    static pw_workqueue *wq;
    scenario("armed anew", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        threads->add([] {
            arm(x);
            mod(x);
            queue(y);
        });
        threads->add([] {
            mod(x);
            cancel(x);
            mod(x);
        });
    });
    wq = pw_workqueue_create("due", 0);
    scenario("armed for another workqueue, then another item", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        wq->armed.store(0);
        static auto queue_now = [](pw_workqueue *to) { return pw_queue_delayed_on(0, to, &x.delayed, 0); };
        threads->add([] {
            queue_now(nullptr);
            cancel(x);
            threads->note("queue", 'X');
            queue_now(nullptr);
        });
        threads->add([] {
            threads->point();
            arm(x, wq);
            queue(y);
        });
    });
    scenario("armed anew for another workqueue", by_queue, 1, [] {
        pw_init_delayed(&x.delayed, function, 0);
        wq->armed.store(0);
        static auto queue_now = [](pw_workqueue *to) { return pw_queue_delayed_on(0, to, &x.delayed, 0); };
        threads->add([] {
            queue_now(nullptr);
            cancel(x);
            threads->note("queue", 'X');
            queue_now(nullptr);
        });
        threads->add([] { mod(x, wq); });
        threads->add([] { threads->block_until([] { return wq->armed.load() == 0 && records[0].count > 0; }); });
    });
    pw_workqueue_destroy(wq);
}

void inside_work()
{
    scenario("functions cancel and flush each other", by_queue, 2, [] {
        y.base.cpu = 1;
        records[x.id].body = [](work &, int run) {
            if (run == 1)
                cancel_sync(y);
        };
        records[y.id].body = [](work &, int run) {
            if (run == 1)
                flush(x);
        };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
    scenario("functions cancel each other", by_queue, 2, [] {
        y.base.cpu = 1;
        records[x.id].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(y);
        };
        records[y.id].body = [](work &, int) { cancel_sync(x); };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
}

void high_priority()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("high", PW_WQ_HIGHPRI);
    scenario("items of high priority", by_queue, 1, [] {
        threads->add([] {
            queue(x, wq);
            queue(y);
        });
        threads->add([] {
            queue(z);
            cancel(x);
            queue(x, wq);
            flush(x);
        });
    });
    pw_workqueue_destroy(wq);
}

void calls_between()
{
    scenario("a call between two items cancels the first", by_queue, 1, [] {
        static pw_workqueue *none = nullptr;
        threads->add([] {
            queue(x);
            queue(y);
        });
        threads->add([] {
            threads->point();
            pw_on_each_cpu(
                [](int, void *) {
                    threads->note("call");
                    if (records[x.id].runs < 0 && cancel_sync(x) < 0)
                        threads->fail("a circle is imagined");
                },
                nullptr);
        });
    });
    scenario("workers that call each other at once", by_queue, 2, [] {
        y.base.cpu = 1;
        for (work *each : {&x, &y})
            records[each->id].body = [](work &, int) {
                if (pw_on_each_cpu([](int, void *) { threads->point(); }, nullptr) != 0)
                    threads->fail("a circle is imagined");
            };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
    scenario("functions that call all CPUs", by_queue, 2, [] {
        y.base.cpu = 1;
        static auto call = [](work &) {
            pw_on_each_cpu([](int, void *) { threads->point(); }, nullptr);
        };
        records[x.id].body = [](work &self, int) { call(self); };
        records[y.id].body = [](work &self, int) {
            call(self);
            flush(x);
        };
        threads->add([] { queue(x); });
        threads->add([] { queue(y); });
    });
}

void drains()
{
    static pw_workqueue *wq;
    for (pw_strategy_t strategy : {by_queue, by_lock}) {
        wq = pw_workqueue_create("drained", 0);
        scenario(strategy == by_queue ? "drain, queue" : "drain, lock", strategy, 2, [strategy] {
            y.base.cpu = 1;
            records[x.id].body = [](work &, int run) {
                if (run == 1)
                    queue(y, wq);
            };
            records[y.id].body = [](work &, int run) {
                if (run == 1)
                    queue(x, wq);
            };
            threads->add([] { queue(x, wq); });
            threads->add([] {
                threads->point();
                if (pw_workqueue_drain(wq) == 0)
                    drained("drained", {&x, &y});
            });
        });
        scenario(strategy == by_queue ? "destroy, queue" : "destroy, lock", strategy, 2, [strategy] {
            wq->live.store(true);
            wq->armed.store(0);
            pw_init_delayed(&y.delayed, function, 1);
            records[x.id].body = [](work &, int run) {
                if (run == 1)
                    arm(y, wq);
            };
            records[y.id].body = [](work &, int run) {
                if (run == 1)
                    queue(x, wq);
            };
            threads->add([] { queue(x, wq); });
            threads->add([] {
                threads->point();
                if (pw_workqueue_destroy(wq) == 0) {
                    drained("destroyed", {&x, &y});
                    if (wq->armed.load() != 0)
                        threads->fail("a workqueue is destroyed, and something of it is armed");
                }
            });
        });
    }
}

void drains_of_what_is_armed()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("armed", 0);
    scenario("destroy what is armed", by_queue, 1, [] {
        wq->live.store(true);
        wq->armed.store(0);
        pw_init_delayed(&y.delayed, function, 0);
        threads->add([] {
            arm(y, wq);
            if (pw_workqueue_destroy(wq) == 0)
                drained("destroyed", {&y});
        });
    });
}

void drains_of_what_is_handed_over()
{
    static pw_workqueue *wq;
    wq = pw_workqueue_create("handed over", 0);
    scenario("drain what is handed over", by_lock, 2, [] {
        static bool goes_on;
        goes_on = false;
        y.base.cpu = 1;
        records[x.id].body = [](work &, int) {
            threads->block_until([] { return wq->drains.load() > 0; });
            queue(y, wq);
        };
        records[y.id].body = [](work &, int run) {
            threads->block_until([run] { return run == 1 ? records[0].count > 0 && !records[0].inside : goes_on; });
        };
        threads->add([] {
            queue(x, wq);
            threads->block_until([] { return records[1].count == 2; });
            goes_on = true;
        });
        threads->add([] { queue(y, wq); });
        threads->add([] {
            threads->block_until([] { return records[0].inside && records[1].inside; });
            if (pw_workqueue_drain(wq) == 0)
                drained("drained", {&x, &y});
        });
    });
}

} // namespace explore

// What the calls need of the rest of the library.
struct pw_detail_globals pw_detail_globals;
int pw_this_cpu_slow(void)
{
    return 0;
}
namespace pw::detail {
constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};
void stat_segment::name_function(pw_func_t) {}
stat::cpu_block &stat_segment::cpu(size_t index) const
{
    return explore::blocks[index];
}
std::span<stat::tally> stat_segment::tallies(size_t index) const
{
    return explore::tallies[index];
}
stat::histogram &stat_segment::histogram(size_t, stat::histogram_kind) const
{
    static stat::histogram unused;
    return unused;
}
void stat_segment::destroy() {}
void stat_segment::show_workqueue(size_t, const char *, bool, uint64_t) {}
void note_refusal() {}
int start_on_first_use()
{
    abort();
}
int possible_cpus()
{
    return explore::most_cpus;
}
int topology::pin(pthread_attr_t &, int) const
{
    abort();
}
caller *reserve_caller()
{
    abort();
}
void unreserve_caller(caller *) {}
void adopt_caller(caller *) {}
caller *register_caller()
{
    return this_thread.self;
}
void report(const char *, ...) {}
void run_function(pw_func_t run, pw_struct *item, const pw_workqueue *wq)
{
    pw_func_t outer = this_thread.function;
    const pw_workqueue *outer_wq = this_thread.wq;
    this_thread.function = run;
    this_thread.wq = wq;
    run(item);
    this_thread.function = outer;
    this_thread.wq = outer_wq;
}
void run_call(void (*function)(int, void *), int cpu, void *argument)
{
    function(cpu, argument);
}
void wait_until_claimant_left_slow(uint64_t state)
{
    model_wait([=] { return !claimant_is_inside(state); });
}
void wait_for_passages()
{
    using namespace explore;
    std::vector<uint64_t> then(most_threads);
    for (size_t i = 0; i < most_threads; ++i)
        then[i] = explore::callers[i].flag.now();
    model_wait([then] {
        for (size_t i = 0; i < most_threads; ++i)
            if (explore::callers[i].flag.still(then[i]))
                return false;
        return true;
    });
}
} // namespace pw::detail
#undef this_thread
thread_local constinit pw::detail::thread_context pw::detail::this_thread;
__thread struct pw_detail_thread pw_detail_thread;

int pw_next_cpu(int cpu)
{
    return cpu + 1 < pw::detail::gate.cpus ? cpu + 1 : -1;
}

void *pw_alloc_percpu(size_t, size_t)
{
    return mmap(nullptr, PW_PERCPU_MAX * explore::most_cpus, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void model_point()
{
    if (explore::in_schedule)
        explore::threads->point();
}

static void model_wait(std::function<bool()> ready)
{
    if (explore::in_schedule)
        explore::threads->block_until(std::move(ready));
}

static void model_state(const void *word, uint64_t before, uint64_t after)
{
    if (explore::in_schedule)
        explore::state_changed(word, before, after);
}

// Time goes by with every look.
static int model_clock(timespec *time)
{
    explore::clock_now += 1000;
    *time = {0, static_cast<long>(explore::clock_now)};
    return 0;
}

static long model_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    if (number == SYS_futex) {
        auto *word = va_arg(arguments, std::atomic<uint32_t> *);
        int operation = va_arg(arguments, int);
        uint32_t expected = va_arg(arguments, uint32_t);
        // Who sleeps until a time sleeps for a moment: that has come then.
        if (operation == FUTEX_WAIT_PRIVATE)
            model_wait([=] { return word->load() != expected; });
        else if (operation == FUTEX_WAIT_BITSET_PRIVATE)
            model_point();
    } else {
        model_point(); // a moment of sleep
    }
    va_end(arguments);
    return 0;
}

int main(int count, char **arguments)
{
    using namespace explore;
    if (count > 1)
        bound = static_cast<unsigned>(atoi(arguments[1]));
    if (count > 2)
        only = arguments[2];
    create_workers();
    create_lanes();
    context_here = &contexts[0];
    cancelled_and_queued_again();
    claimed_and_not_queued();
    cancelled_for_good();
    due();
    inside_work();
    high_priority();
    calls_between();
    drains();
    drains_of_what_is_armed();
    drains_of_what_is_handed_over();
}
