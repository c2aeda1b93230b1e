// SPDX-License-Identifier: MIT
// The stat segment: a sealed memfd named "pwlocks-stat" that pw-stat maps read-only through /proc/PID/fd.
// Shared by the writer (stat.cc) and tools/pw-stat. Fields, once released, are only added: readers use the
// offsets, strides and sizes of the header, not their own sizeof.
//
//   header | ignored options | function names | workqueues | one block per CPU with a worker | one row per calling thread
//
// Every counter but those of locks has one writer: a worker writes its CPU's block, a calling thread writes its row. Plain
// stores of aligned words, so a reader sees old or new values, never torn ones. What locks cost is rare, and counted by any thread,
// known to the runtime or not: atomic additions.
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
    counter remote;    // queue strategy: taken from another CPU, with membarrier(2)
    counter contended; // had to wait
};
static_assert(sizeof(lock_events) == 16);

struct header {
    std::atomic<uint64_t> magic; // written last: a segment without it is not finished
    uint32_t version;
    uint32_t header_size;
    uint64_t segment_size; // bytes in use when created; rows may be added behind

    int32_t pid;          // in the process's own pid namespace
    uint32_t strategy;    // pw_strategy_t
    uint32_t lock_method; // the method in force, or that the first lock will use
    uint32_t reserved0;
    uint64_t start_ns; // CLOCK_BOOTTIME when the runtime started
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
};
static_assert(sizeof(header) <= 4096);

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
    char name[56];               // zero-terminated
};
static_assert(sizeof(workqueue) == 64);

// Written by one worker only, but for the second line.
struct alignas(128) cpu_block {
    int32_t cpu;
    int32_t node;      // -1: unknown
    uint32_t isolated; // 0 or 1
    uint32_t worker_tid;
    counter executed; // functions that this worker ran to the end
    counter batches;  // times it took everything that was queued
    counter wakeups;  // times it was woken from sleep
    counter sleeping; // 1 while it sleeps
    counter running;  // address of the function that runs now, 0 if none
    alignas(128) lock_events locks;
};
static_assert(sizeof(cpu_block) == 256);

// What one calling thread did for one CPU.
struct caller_cell {
    counter queued;   // calls that returned 1
    counter executed; // lock strategy: functions that this thread ran for that CPU
    counter cancelled; // of those queued, by whomever: taken back before they started
    uint64_t reserved;
};
static_assert(sizeof(caller_cell) == 32);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" // a flexible array member: an extension that both compilers know

// Written by one calling thread at a time; a row is handed on, counts and all, when its thread ends.
struct caller_row {
    counter running;     // lock strategy: address of the function that this thread runs now, 0 if none
    counter running_cpu; // for this CPU
    counter started;     // lock strategy: functions that this thread began to run
    uint64_t reserved;
    caller_cell cells[]; // one per cpu_block, same order
};
static_assert(sizeof(caller_row) == 32);

#pragma GCC diagnostic pop

} // namespace pw::stat
