#include <pwlocks/pwlocks.h> // SPDX-License-Identifier: MIT
#include <cstdio>
struct counter { pw_lock_t lock; long hits; }; // one instance per CPU
void on(int cpu, auto call) { // calls it on that CPU's worker, or right here: PWLOCKS decides
    struct item : pw_struct { decltype(call) function; } work{{}, call}; // an item may carry what it needs
    INIT_PW(&work, [](pw_struct *self) { static_cast<item *>(self)->function(); }, cpu);
    if (pw_queue_on(cpu, nullptr, &work) == 1) pw_flush(&work);
}
int main() {
    auto *counters = static_cast<counter *>(pw_alloc_percpu(sizeof(counter), alignof(counter)));
    for (int i = 0; counters && i < 1'000'000; ++i) {
        int cpu = pw_lock_local(&counters->lock); // the hot path: no atomic instruction under queue
        ++pw_per_cpu_ptr(counters, cpu)->hits;
        pw_unlock_local(&counters->lock, cpu);
    }
    if (counters) pw_for_each_cpu(cpu) on(cpu, [&] { // the rare path: reach into every CPU's instance
        pw_lock(&counters->lock, cpu);
        std::printf("cpu %d: %ld hits\n", cpu, pw_per_cpu_ptr(counters, cpu)->hits);
        pw_unlock(&counters->lock, cpu); });
}
