// SPDX-License-Identifier: MIT
#include "cache.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>

namespace object_cache {

priority_mutex::priority_mutex()
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    int error = pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    if (error == 0)
        error = pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (error != 0)
        throw std::system_error(error, std::generic_category(), "priority-inheriting mutex");
}

void depot::carve()
{
    slabs_.push_back(std::make_unique<object[]>(slab_objects));
    for (object &made : std::span(slabs_.back().get(), slab_objects)) {
        made.next = free_;
        free_ = &made;
    }
}

void depot::take(std::span<object *> out)
{
    std::lock_guard guard(mutex_);
    for (object *&slot : out) {
        if (free_ == nullptr)
            carve();
        slot = std::exchange(free_, free_->next);
        ++issued_;
    }
}

void depot::give(std::span<object *const> objects)
{
    std::lock_guard guard(mutex_);
    for (object *returned : objects) {
        returned->next = free_;
        free_ = returned;
        ++returned_;
    }
}

depot::totals depot::count()
{
    std::lock_guard guard(mutex_);
    totals sum = {slabs_.size() * slab_objects, issued_, returned_, 0};
    // A list that an object entered twice may be a circle: one step past the end of a good one is enough to
    // tell.
    for (const object *stored = free_; stored != nullptr && sum.stored <= sum.carved; stored = stored->next)
        ++sum.stored;
    return sum;
}

cache::cache() : cpus_(static_cast<per_cpu *>(pw_alloc_percpu(sizeof(per_cpu), alignof(per_cpu))))
{
    if (!cpus_)
        throw std::bad_alloc();
    pw_for_each_cpu (cpu) {
        drain_item &item = pw_per_cpu_ptr(cpus_.get(), cpu)->drain;
        INIT_PW(&item, run_drain, cpu);
        item.owner = this;
    }
}

object *cache::alloc()
{
    object *found = nullptr;
    int cpu = pw_lock_local(&cpus_->lock);
    per_cpu &mine = *pw_per_cpu_ptr(cpus_.get(), cpu);
    if (mine.count > 0) {
        found = mine.slots[--mine.count];
        ++mine.allocated;
    }
    pw_unlock_local(&cpus_->lock, cpu);
    return found != nullptr ? found : alloc_from_depot();
}

object *cache::alloc_from_depot()
{
    std::array<object *, batch> taken;
    depot_.take(taken);

    int cpu = pw_lock_local(&cpus_->lock);
    per_cpu &mine = *pw_per_cpu_ptr(cpus_.get(), cpu);
    ++mine.allocated;
    ++mine.refills;
    size_t left = batch - 1; // the last one is the caller's
    while (left > 0 && mine.count < capacity)
        mine.slots[mine.count++] = taken[--left];
    pw_unlock_local(&cpus_->lock, cpu);

    if (left > 0) // somebody else filled this magazine meanwhile
        depot_.give(std::span(taken).first(left));
    return taken.back();
}

void cache::free(object *freed)
{
    std::array<object *, batch> spilled;
    size_t spill = 0;

    int cpu = pw_lock_local(&cpus_->lock);
    per_cpu &mine = *pw_per_cpu_ptr(cpus_.get(), cpu);
    if (mine.count == capacity) {
        ++mine.spills;
        while (spill < batch)
            spilled[spill++] = mine.slots[--mine.count];
    }
    mine.slots[mine.count++] = freed;
    ++mine.freed;
    pw_unlock_local(&cpus_->lock, cpu);

    if (spill > 0)
        depot_.give(spilled);
}

// The remote operation, the same code under both strategies. Under queue the worker of that CPU runs it
// there; under lock the thread that called drain() runs it, wherever that thread is.
void cache::run_drain(pw_struct *work)
{
    cache &self = *static_cast<drain_item *>(work)->owner;
    int cpu = pw_get_cpu(work);
    std::array<object *, capacity> drained;

    pw_lock(&self.cpus_->lock, cpu);
    per_cpu &target = *pw_per_cpu_ptr(self.cpus_.get(), cpu);
    size_t count = std::exchange(target.count, 0);
    std::copy_n(target.slots.begin(), count, drained.begin());
    pw_unlock(&self.cpus_->lock, cpu);

    self.depot_.give(std::span(drained).first(count));
}

int cache::drain(int cpu)
{
    pw_struct &item = pw_per_cpu_ptr(cpus_.get(), cpu)->drain;
    int queued = pw_queue_on(cpu, nullptr, &item);
    return queued < 0 ? queued : pw_flush(&item);
}

cache::totals cache::count()
{
    totals sum = {};
    pw_for_each_cpu (cpu) {
        pw_lock(&cpus_->lock, cpu);
        const per_cpu &counted = *pw_per_cpu_ptr(cpus_.get(), cpu);
        sum.allocated += counted.allocated;
        sum.freed += counted.freed;
        sum.refills += counted.refills;
        sum.spills += counted.spills;
        sum.cached += counted.count;
        pw_unlock(&cpus_->lock, cpu);
    }
    return sum;
}

} // namespace object_cache
