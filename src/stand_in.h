// SPDX-License-Identifier: MIT
// A place in a queue for an item whose own node is in that queue already: one that was cancelled and queued again before its worker
// had come past it. The item is in the queue once, at its old place, which does not count any more; a stand-in is at its new one.
// doc/MEMORY-ORDER.md, "Cancel".
//
// What is shared: the spare ones of the process, a stack from which everything is taken at once, so that no element can come back under
// the hands of who takes it (R. K. Treiber, 1986, has the pushes).
#pragma once

#include <atomic>
#include <cstdint>
#include <sys/mman.h>

#include <pwlocks/work.h>

namespace pw::detail {

struct alignas(PW_CACHE_LINE) stand_in {
    pw_struct node; // its function is null
    pw_struct *item;
    stand_in *next_spare;

    static stand_in *of(pw_struct *node) { return reinterpret_cast<stand_in *>(node); }
    // For the item's ticket. Even: what is odd says since when an item at its own node is queued; see submit.h.
    uint64_t mark() const { return reinterpret_cast<uintptr_t>(this); }
};

// The process's. Memory comes in chunks that are kept for the next time, from the kernel, since a program's allocator may be our caller.
class stand_in_pool {
  public:
    // Any thread. Null if no memory is left.
    stand_in *take()
    {
        // Acquire: pairs with the release in put_chain().
        stand_in *all = spare_.exchange(nullptr, std::memory_order_acquire);
        if (!all)
            all = fresh_chunk();
        if (all && all->next_spare)
            put_chain(all->next_spare);
        return all;
    }

    void put(stand_in *one)
    {
        one->next_spare = nullptr;
        put_chain(one);
    }

  private:
    static constexpr size_t chunk_bytes = 4096;

    static stand_in *fresh_chunk()
    {
        void *memory = mmap(nullptr, chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return nullptr;
        auto *all = static_cast<stand_in *>(memory);
        for (size_t i = 0; i + 1 < chunk_bytes / sizeof(stand_in); ++i)
            all[i].next_spare = &all[i + 1];
        return all;
    }

    void put_chain(stand_in *first)
    {
        stand_in *last = first;
        while (last->next_spare)
            last = last->next_spare;
        stand_in *before = spare_.load(std::memory_order_relaxed); // relaxed: the compare-and-swap decides
        do
            last->next_spare = before;
        while (!spare_.compare_exchange_weak(before, first, std::memory_order_release, std::memory_order_relaxed));
    }

    std::atomic<stand_in *> spare_{nullptr};
};
inline constinit stand_in_pool stand_ins;

} // namespace pw::detail
