// SPDX-License-Identifier: MIT
// The stat segment: a sealed memfd named "pwlocks-stat" that pw-stat maps read-only through /proc/PID/fd.
// Shared by the writer (stat.cc) and tools/pw-stat. Fields, once released, are only added: readers use the
// offsets, strides and sizes of the header, not their own sizeof.
//
//   header | ignored options | function names | workqueues | per CPU with a worker: block, histograms, tallies, places
//          | one row per calling thread
//
// Every counter but those of locks has one writer at a time: a worker writes its CPU's block and what is named `here`, whoever holds
// the lane's mutex what is named `away` and the places, a calling thread its row. Plain stores of aligned words, so a reader sees
// old or new values, never torn ones. What locks cost and wake-ups are rare, and counted by any thread, known to the runtime or not:
// atomic additions.
//
// "Here": on the CPU's own worker, which disturbed that CPU. "Away": under the lock strategy, by a thread that took the CPU's lane,
// wherever that thread ran; the CPU was spared. Moments are of CLOCK_MONOTONIC, durations in ns.
//
// With stats=on a worker looks at the clock when it begins and ends a turn, and every 16 items (after each one, while they are not
// short): what ran in between shares the time by number. `away` is timed at the first run of a function, at each while they take
// 2.5 us in the mean, else at each 256th, for as many. With stats=full every item has its own two looks at the clock, and the
// histograms of items are kept.
//
// pending = queued - executed - cancelled is not negative for a reader that loads every `executed` and `cancelled` first
// (acquire) and every `queued` afterwards, because writers count in this order: `queued` before the item can be taken,
// `executed` (release) after it ran, `cancelled` after it was taken back; but for an item that is taken back by another thread before
// its own has counted it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pw::stat {

inline constexpr char segment_name[] = "pwlocks-stat";
inline constexpr uint64_t magic = 0x3154415453574c50; // "PLWSTAT1" in memory order
inline constexpr uint32_t layout_version = 1;

using counter = std::atomic<uint64_t>;
static_assert(sizeof(counter) == 8 && counter::is_always_lock_free);

enum lock_method : uint32_t { method_rseq = 1, method_atomic = 2 };

// Acquisitions of one CPU's locks that were not just taken. Written by any thread, atomically.
struct lock_events {
    counter remote;     // queue strategy: taken from another CPU, with membarrier(2)
    counter contended;  // had to wait
    counter waited_ns;  // for how long they did
    counter lost_races; // queue strategy: a remote attempt that a restartable sequence overtook, tried again
};
static_assert(sizeof(lock_events) == 32);

// Bucket 0 counts zeros, bucket i what is from 2^(i-1) up to 2^i - 1 ns; the last one all that is longer, too.
inline constexpr unsigned histogram_buckets = 48;
struct histogram {
    counter buckets[histogram_buckets];
};
static_assert(sizeof(histogram) == 384);

// The histograms of a CPU, in this order. Of items only with stats=full.
enum histogram_kind : uint32_t {
    wait_here, // from queueing to start
    run_here,  // run time
    wait_away,
    run_away,
    lock_wait, // contended acquisitions of the CPU's locks; written by any thread, atomically
    histogram_kinds
};

struct header {
    std::atomic<uint64_t> magic; // written last: a segment without it is not finished
    uint32_t version;
    uint32_t header_size;
    uint64_t segment_size; // bytes in use when created; rows may be added behind

    int32_t pid;          // in the process's own pid namespace
    uint32_t strategy;    // pw_strategy_t
    uint32_t lock_method; // the method in force, or that the first lock will use
    uint32_t full;        // stats=full
    uint64_t start_ns;    // CLOCK_BOOTTIME when the runtime started
    uint64_t start_monotonic_ns; // CLOCK_MONOTONIC at that moment
    char source[256];  // of the strategy, zero-terminated

    uint32_t ignored_count; // may exceed ignored_capacity: then the rest was not kept
    uint32_t ignored_capacity;
    uint32_t ignored_stride;
    uint32_t reserved1;
    uint64_t ignored_offset; // char[ignored_capacity][ignored_stride]

    uint32_t function_capacity; // power of two
    uint32_t function_stride;
    uint64_t function_offset; // function[function_capacity], open addressing

    uint32_t cpu_count;
    uint32_t cpu_stride;
    uint64_t cpu_offset; // cpu_block[cpu_count]

    uint32_t caller_capacity;
    uint32_t caller_stride;
    uint64_t caller_offset; // caller_row[caller_count]
    uint32_t cell_stride;
    uint32_t cell_offset; // of a row's first cell in the row
    std::atomic<uint32_t> caller_count;
    // Threads that share the last row because there were too many: it is inexact then.
    std::atomic<uint32_t> callers_unseen;
    lock_events elsewhere; // of CPUs that have no block

    uint32_t workqueue_capacity; // those created later than so many are not shown
    uint32_t workqueue_stride;
    uint64_t workqueue_offset; // workqueue[workqueue_capacity]

    uint64_t histogram_offset; // histogram[cpu_count][histogram_kinds]
    uint32_t histogram_stride; // of one histogram
    uint32_t histogram_count;  // for each CPU

    uint64_t tally_offset; // tally[cpu_count][tally_capacity]
    uint32_t tally_stride;
    uint32_t tally_capacity; // for each CPU

    // Lock strategy, and no more CPUs than most_place_cpus: place_count is cpu_count + 1, else 0.
    uint64_t place_offset; // counter[cpu_count][place_count], a CPU's ones place_stride apart
    uint32_t place_stride;
    uint32_t place_count;
};
static_assert(sizeof(header) <= 4096);
inline constexpr uint32_t most_place_cpus = 1024; // their number is squared

// A function's name, resolved by the process itself. Empty while address is 0, being filled while it is
// `claimed`; the address is published last (release).
struct function {
    std::atomic<uint64_t> address;
    // As the linker knows it (mangled), zero-terminated; "module+0x..." where there is no symbol.
    char name[248];
};
static_assert(sizeof(function) == 256);
inline constexpr uint64_t claimed = 1; // no function's address

// A workqueue other than the system one. Written under the library's mutex.
struct workqueue {
    std::atomic<uint32_t> state; // 0: none, 1: exists; stored last (release)
    uint32_t high;               // PW_WQ_HIGHPRI
    uint64_t id;                 // never given to another one; the system workqueue's is 0
    char name[48];               // zero-terminated
};
static_assert(sizeof(workqueue) == 64);

// Written by one worker only, but for the second part.
struct alignas(128) cpu_block {
    int32_t cpu;
    int32_t node;      // -1: unknown
    uint32_t isolated; // 0 or 1
    uint32_t worker_tid;
    counter executed;      // items whose function this worker ran to the end
    counter batches;       // times it took everything that was queued
    counter wakeups;       // times it was woken from sleep
    counter sleeping;      // since when it sleeps, 0 while it is awake
    counter running;       // address of the function that runs now, 0 if none
    counter running_since; // with stats=on up to 16 short items early, or by as long as it was kept from its CPU, waiting awake
    counter turn_since;    // of the turn that it is in, from taking something until nothing is left; 0 between turns
    counter idle_since;    // 0 in a turn
    counter busy_ns;       // in turns that have ended
    counter idle_ns;       // between them
    counter asleep_ns;     // of that, asleep
    counter calls;         // of pw_on_each_cpu(), made by this worker
    counter seen_cpu;      // where it found itself when its last turn began, plus one; 0: it had none

    alignas(128) lock_events locks; // any thread, and what follows
    counter wakes_sent;             // system calls that woke this worker, or were to
};
static_assert(sizeof(cpu_block) == 256);

// What a CPU did on behalf of one function and workqueue: the ledger of its interference, and of what was spared to it. In a table
// with open addressing; one that finds no place is in the last element, whose function is `other_functions`. Two elements may be of
// the same function and workqueue: they are to be added.
struct tally {
    counter function;  // address, published last (release); 0: none yet, `claimed`: being filled
    counter workqueue; // id
    counter here;      // how often its function ran to the end on the CPU's worker; calls of pw_on_each_cpu() among them
    counter here_ns;
    counter here_longest_ns;
    counter away;
    counter away_ns;
    counter away_longest_ns;
};
static_assert(sizeof(tally) == 64);
inline constexpr uint64_t other_functions = 2; // no function's address

// What one calling thread did for one CPU.
struct caller_cell {
    counter queued;    // calls that returned 1
    counter executed;  // lock strategy: functions that this thread ran for that CPU
    counter cancelled; // of those queued, by whomever: taken back before they started
    counter coalesced; // calls that returned 0: it was pending already
};
static_assert(sizeof(caller_cell) == 32);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" // a flexible array member: an extension that both compilers know

// Written by one calling thread at a time; a row is handed on, counts and all, when its thread ends.
struct caller_row {
    counter running;     // lock strategy: address of the function that this thread runs now, 0 if none
    counter running_cpu; // for this CPU
    counter started;     // lock strategy: functions that this thread began to run
    counter running_since; // 0: this run is not timed
    caller_cell cells[]; // one per cpu_block, same order
};
static_assert(sizeof(caller_row) == 32);

#pragma GCC diagnostic pop

} // namespace pw::stat
