// SPDX-License-Identifier: MIT
#include "callers.h"

#include "futex.h"

#include <linux/membarrier.h>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/mman.h>

namespace pw::detail {

constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};
thread_local constinit thread_context this_thread __attribute__((tls_model("initial-exec")));

namespace {

// Guards everything below. Nobody takes it inside a passage, so whoever closes the gate may hold it while callers leave.
constinit std::mutex registry_mutex;
constinit caller *registered = nullptr; // every caller there ever was
constinit caller *unused = nullptr;     // those whose thread has ended
constinit uint32_t caller_count = 0;
constinit stat_segment *rows = nullptr;
constinit bool key_created = false;
constinit pthread_key_t key;

// A thread ends: its place goes to the next one. If a later destructor of the same thread calls in again, it registers
// again, and the key's destructor runs again.
void release_caller(void *place)
{
    this_thread.self = nullptr;
    unreserve_caller(static_cast<caller *>(place));
}

// Callers come in pages that are never given back: a thread that ends without its destructor having run leaves a place that
// stays readable.
caller *new_caller()
{
    if (caller_count == most_callers)
        return nullptr;
    caller *&page = caller_pages[caller_count / callers_a_page];
    if (!page) {
        void *fresh = mmap(nullptr, callers_a_page * sizeof(caller), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fresh == MAP_FAILED)
            return nullptr;
        // Who reads it got an index in it from an item's state, which was released behind this.
        page = static_cast<caller *>(fresh);
    }
    auto *place = ::new (&page[caller_count % callers_a_page]) caller;
    place->index = caller_count++;
    place->next_registered = registered;
    registered = place;
    return place;
}

} // namespace

caller *reserve_caller()
{
    std::lock_guard guard(registry_mutex);
    if (!key_created) {
        if (pthread_key_create(&key, release_caller) != 0)
            return nullptr;
        key_created = true;
    }
    caller *place = unused;
    if (place)
        unused = place->next_free;
    else
        place = new_caller();
    if (place)
        place->row = rows ? rows->row(place->index) : nullptr;
    return place;
}

void unreserve_caller(caller *place)
{
    std::lock_guard guard(registry_mutex);
    place->next_free = unused;
    unused = place;
}

void adopt_caller(caller *place)
{
    // Without memory for the key's value the place is only lost when the thread ends.
    pthread_setspecific(key, place);
    this_thread.self = place;
}

caller *register_caller()
{
    caller *place = reserve_caller();
    if (place)
        adopt_caller(place);
    return place;
}

void wait_until_claimant_left_slow(uint64_t state)
{
    backoff wait;
    while (claimant_is_inside(state))
        wait.pause();
}

void wait_for_passages()
{
    native_barriers::heavy_fence();
    std::lock_guard guard(registry_mutex);
    for (caller *each = registered; each; each = each->next_registered) {
        backoff wait;
        for (uint64_t now = each->flag.now(); each->flag.still(now);)
            wait.pause();
    }
}

void attach_rows(stat_segment &segment)
{
    std::lock_guard guard(registry_mutex);
    rows = &segment;
    for (caller *each = registered; each; each = each->next_registered)
        each->row = segment.row(each->index);
}

void detach_rows()
{
    std::lock_guard guard(registry_mutex);
    rows = nullptr;
    for (caller *each = registered; each; each = each->next_registered)
        each->row = nullptr;
}

void native_barriers::heavy_fence()
{
    // Ours covers the case without membarrier, where the callers' light fence is a full one.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (gate.expedited.load(std::memory_order_relaxed))
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void close_gate_and_wait(gate_state closed)
{
    close_gate<native_barriers>(gate.state, closed);
    // A caller that registers from now on takes the registry's mutex behind us and sees the gate closed.
    std::lock_guard guard(registry_mutex);
    for (caller *each = registered; each; each = each->next_registered) {
        backoff wait;
        while (!each->flag.outside())
            wait.pause();
    }
}

void prepare_gate()
{
    bool ready = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    gate.expedited.store(ready, std::memory_order_relaxed); // relaxed: published with the gate
}

void callers_before_fork()
{
    registry_mutex.lock();
}

void callers_after_fork_parent()
{
    registry_mutex.unlock();
}

void callers_after_fork_child()
{
    rows = nullptr;
    unused = nullptr;
    for (caller *each = registered; each; each = each->next_registered) {
        each->row = nullptr;
        if (each == this_thread.self)
            continue;
        each->flag.reset();
        each->next_free = unused;
        unused = each;
    }
    this_thread.worker_here = nullptr;
    this_thread.running = nullptr;
    registry_mutex.unlock();
}

} // namespace pw::detail
