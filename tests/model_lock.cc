// SPDX-License-Identifier: MIT
// Locks, include/pwlocks/lock.h and src/lock.cc themselves: mutual exclusion, and each holder sees what the
// one before wrote, with compare-and-swap, and with restartable sequences that other CPUs' threads come
// between. The words of the one lock are model atomics; what the kernel does, futex, membarrier and the
// restart of a sequence, is written down here.
#include "model.h"

#include <cstdarg>
#include <sys/syscall.h>
#include <unistd.h>

#include <pwlocks/base.h>

// In place of <pwlocks/rseq.h>, whose sequences are in assembly.
#define PWLOCKS_RSEQ_H
#define PW_DETAIL_HAVE_RSEQ 1
#define PW_DETAIL_RSEQ_REFUSED (-1)
#define PW_DETAIL_RSEQ_ABORTED (-2)
#define PW_PERCPU_SHIFT 20
static int32_t pw_detail_rseq_cpu();
static int pw_detail_rseq_acquire_local(void *lock, uint32_t tid);
static int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid);

static long model_syscall(long number, ...);
#define syscall model_syscall

// All that lock.cc includes, but for lock.h, still with true atomics.
#include "callers.h"
#include "clock.h"
#include "futex.h"
#include "inject.h"
#include "lock_events.h"
#include "report.h"
#include "strategy.h"
#include "symbol.h"
#include "topology.h"

#include <linux/membarrier.h>
#include <sched.h>

namespace {

struct lock_words {
    model::atomic<uint32_t> owner, waiters;
};
lock_words *words;       // of the iteration that runs
uint32_t *owner_address; // where the program sees them
uint32_t *waiters_address;

// A thread of the model. Each one's id is its number plus one, so that none is 0.
struct locker {
    int cpu;
    bool ended;
    bool interrupted; // membarrier's interrupt is on its way
    bool restarted;   // it came while a sequence ran
    bool debugged;    // every sequence is interrupted
};
constexpr unsigned most_threads = 3;
locker lockers[most_threads];
unsigned wakes; // by futex

locker &self()
{
    return lockers[rl::thread_index()];
}

// Threads change at every access: the thread's id is as thread-local as in the library.
void back_in_thread();

// Between two instructions: where an interrupt comes in.
void boundary()
{
    if (!self().interrupted)
        return;
    self().restarted = true;
    model::atomics::fence(std::memory_order_seq_cst);
    self().interrupted = false;
    back_in_thread();
}

model::atomic<uint32_t> &word_at(const void *address)
{
    RL_ASSERT(address == owner_address || address == waiters_address);
    return address == owner_address ? words->owner : words->waiters;
}

template <typename T>
class model_ref {
  public:
    explicit model_ref(T &word) : word_(word_at(&word)) {}

    T load(std::memory_order order) const
    {
        boundary();
        T value = word_.load(order);
        back_in_thread();
        return value;
    }
    void store(T value, std::memory_order order) const
    {
        boundary();
        word_.store(value, order);
        back_in_thread();
    }
    bool compare_exchange_strong(T &expected, T value, std::memory_order success,
                                 std::memory_order failure) const
    {
        boundary();
        bool done = word_.compare_exchange_strong(expected, value, success, failure);
        back_in_thread();
        return done;
    }
    T fetch_add(T value, std::memory_order order) const
    {
        boundary();
        T before = word_.fetch_add(value, order);
        back_in_thread();
        return before;
    }
    T fetch_sub(T value, std::memory_order order) const { return fetch_add(0 - value, order); }

  private:
    model::atomic<T> &word_;
};

std::memory_order order(int builtin)
{
    return static_cast<std::memory_order>(builtin);
}

} // namespace

namespace std {
using ::model_ref;
}
#define atomic_ref model_ref
#define __atomic_load_n(word, builtin) (model_ref(*(word)).load(order(builtin)))
#define __atomic_store_n(word, value, builtin) (model_ref(*(word)).store((value), order(builtin)))
#define __atomic_compare_exchange_n(word, expected, value, weak, success, failure) \
    (model_ref(*(word)).compare_exchange_strong(*(expected), (value), order(success), order(failure)))
#include "lock.cc"
#include "workqueue.h"
#undef atomic_ref
#undef syscall

namespace {

pw_lock_t the_lock;

void back_in_thread()
{
    uint32_t mode = pw_detail_globals.lock_mode, tid = rl::thread_index() + 1;
    pw_detail_thread = {mode == PW_DETAIL_MODE_QUEUE ? tid : 0, mode == PW_DETAIL_MODE_LOCK ? tid : 0, tid, 0};
}

void pass()
{
    boundary();
    model::pause();
    back_in_thread();
}

template <uint32_t mode>
struct lockers_of_one_lock : rl::test_suite<lockers_of_one_lock<mode>, most_threads> {
    lock_words fresh;
    rl::var<unsigned> counter;
    unsigned acquired = 0;
    bool held = false;

    void before()
    {
        words = &fresh;
        owner_address = &the_lock.owner;
        waiters_address = &the_lock.waiters;
        pw_detail_globals.lock_mode = mode;
        wakes = 0;
        counter(RL_INFO) = 0u;
        for (unsigned i = 0; i < most_threads; ++i)
            lockers[i] = {i == 0 ? 0 : 1, false, false, false, false};
    }

    void critical_section()
    {
        RL_ASSERT(!held);
        held = true;
        pass();
        counter(RL_INFO) = counter(RL_INFO) + 1;
        back_in_thread();
        held = false;
        ++acquired;
    }

    void thread(unsigned index)
    {
        back_in_thread();
        for (int i = 0; i < 2; ++i) {
            self().debugged = i == 1;
            if (index == 0 && i == 0) {
                int cpu = pw_lock_local(&the_lock);
                RL_ASSERT(cpu == 0);
            } else if (index == 2 && i == 0) {
                if (!pw_trylock(&the_lock, 0))
                    continue;
            } else {
                pw_lock(&the_lock, 0);
            }
            critical_section();
            pw_unlock(&the_lock, 0);
        }
        model::atomics::fence(std::memory_order_seq_cst); // as a switch to another thread
        self().ended = true;
    }

    void after()
    {
        RL_ASSERT(counter(RL_INFO) == acquired);
        RL_ASSERT(words->owner.load(std::memory_order_relaxed) == 0);
        RL_ASSERT(words->waiters.load(std::memory_order_relaxed) == 0);
    }
};

} // namespace

static int32_t pw_detail_rseq_cpu()
{
    return self().cpu;
}

// The last instruction is the store: an interrupt before it ends the sequence, one behind it does not. The
// load acquires, as x86's do.
static int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    if (self().cpu != cpu)
        return PW_DETAIL_RSEQ_REFUSED;
    boundary();
    if (self().debugged)
        return PW_DETAIL_RSEQ_ABORTED;
    self().restarted = false;
    uint32_t seen = words->owner.load(std::memory_order_acquire);
    back_in_thread();
    boundary();
    if (self().restarted)
        return PW_DETAIL_RSEQ_ABORTED;
    if (seen != 0)
        return PW_DETAIL_RSEQ_REFUSED;
    word_at(owner).store(tid, std::memory_order_relaxed);
    back_in_thread();
    boundary();
    return 0;
}

static int pw_detail_rseq_acquire_local(void *lock, uint32_t tid)
{
    int result = pw_detail_rseq_acquire_on(static_cast<uint32_t *>(lock), self().cpu, tid);
    return result < 0 ? result : self().cpu;
}

// membarrier: an interrupt on that CPU, which has come and gone when the call returns. futex: the wait looks
// at the newest value; without a timeout only a wake-up ends it.
static long model_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    if (number == SYS_membarrier) {
        va_arg(arguments, int);
        va_arg(arguments, int);
        int cpu = va_arg(arguments, int);
        model::atomics::fence(std::memory_order_seq_cst);
        for (locker &each : lockers)
            if (each.cpu == cpu && !each.ended) {
                each.interrupted = true;
                while (each.interrupted && !each.ended)
                    pass();
            }
        model::atomics::fence(std::memory_order_seq_cst);
    } else if (number == SYS_futex) {
        const void *address = va_arg(arguments, const void *);
        int operation = va_arg(arguments, int);
        uint32_t expected = va_arg(arguments, uint32_t);
        if (operation == FUTEX_WAKE_PRIVATE) {
            ++wakes;
        } else {
            bool for_ever = va_arg(arguments, const timespec *) == nullptr;
            unsigned before = wakes;
            uint32_t newest = word_at(address).newest();
            back_in_thread();
            for (int i = 0; newest == expected && wakes == before && (for_ever || i < 3); ++i)
                pass();
        }
    }
    va_end(arguments);
    return 0;
}

// What lock.cc needs of the rest of the library.
pw_workqueue pw::detail::no_workqueue;
namespace pw::detail {
constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};
thread_local constinit thread_context this_thread __attribute__((tls_model("initial-exec")));
void native_barriers::heavy_fence() {}
int possible_cpus()
{
    return 1;
}
pw_strategy_t use_strategy()
{
    return PW_STRATEGY_QUEUE;
}
symbol_name::symbol_name(pw_func_t) {}
void count_lock_event(int, stat::counter stat::lock_events::*) {}
void count_lock_wait(int, uint64_t) {}
void report(const char *, ...) {}
void die(const char *, ...)
{
    RL_ASSERT(!"the library aborts");
    abort();
}
} // namespace pw::detail

pw_strategy_t pw_strategy()
{
    return PW_STRATEGY_QUEUE;
}

int main()
{
    bool swapping = model::holds<lockers_of_one_lock<PW_DETAIL_MODE_LOCK>>(
        "lock: compare-and-swap excludes and publishes", 60000);
    bool sequences = model::holds<lockers_of_one_lock<PW_DETAIL_MODE_QUEUE>>(
        "lock: sequences and remote acquires exclude each other and publish", 100000);
    return !(swapping && sequences);
}
