// SPDX-License-Identifier: MIT
#pragma once

#include <pwlocks/pwlocks.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

// On the heap, and of no use once it is freed: what still follows links or flags in here has a hard time,
// also without AddressSanitizer.
struct loose_item : pw_struct {
    std::atomic<long> *runs;
    std::atomic<long> *freed;

    static loose_item *make(int cpu, pw_func_t function, std::atomic<long> *runs,
                            std::atomic<long> *freed = nullptr)
    {
        auto *item = static_cast<loose_item *>(malloc(sizeof(loose_item)));
        INIT_PW(item, function, cpu);
        item->runs = runs;
        item->freed = freed;
        return item;
    }
    static void release(loose_item *item)
    {
        memset(static_cast<void *>(item), 0xa5, sizeof *item);
        free(item);
    }
    static void count(pw_struct *work) { ++*static_cast<loose_item *>(work)->runs; }
    static void count_and_free(pw_struct *work)
    {
        auto *self = static_cast<loose_item *>(work);
        std::atomic<long> &runs = *self->runs, &freed = *self->freed;
        ++runs;
        release(self);
        ++freed;
    }
};
