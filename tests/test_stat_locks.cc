// SPDX-License-Identifier: MIT
// What the stat segment says of locks that were not just taken.
#include "time_limit.h"

#include "counted.h"
#include "lock_memory.h"

TEST_CASE("whoever waits for a lock is counted, with how long it took")
{
    fresh_runtime runtime;
    lock_memory lock;
    int cpu = last_cpu();
    pw_lock(lock.get(), cpu);
    std::thread waiter([&] {
        pw_lock(lock.get(), cpu);
        pw_unlock(lock.get(), cpu);
    });
    REQUIRE(eventually([&] { return own_segment().block(cpu).locks.contended == 1; }));
    CHECK(total(own_segment().histogram(cpu, histogram_kind::lock_wait)) == 0); // it waits still
    stay();
    pw_unlock(lock.get(), cpu);
    waiter.join();
    own_segment seen;
    const auto &waits = seen.histogram(cpu, histogram_kind::lock_wait);
    CHECK(seen.block(cpu).locks.contended == 1);
    CHECK(seen.block(cpu).locks.waited_ns >= long_ns);
    CHECK(total(waits) == 1);
    CHECK(from_bucket_of(waits, long_ns) == 1);
    CHECK(from_bucket_of(waits, 2 * seen.block(cpu).locks.waited_ns) == 0);
}

TEST_CASE("a lock that is free, or only tried, has nobody wait for it")
{
    fresh_runtime runtime;
    lock_memory lock;
    int cpu = last_cpu();
    pw_lock(lock.get(), cpu);
    std::thread([&] { CHECK_FALSE(pw_trylock(lock.get(), cpu)); }).join();
    pw_unlock(lock.get(), cpu);
    own_segment seen;
    CHECK(seen.block(cpu).locks.contended == 0);
    CHECK(seen.block(cpu).locks.waited_ns == 0);
    CHECK(total(seen.histogram(cpu, histogram_kind::lock_wait)) == 0);
}

TEST_CASE("each attempt from another CPU either takes the lock or loses a race for it")
{
    if (given_cpus.size() < 2) {
        WARN("skipped: one CPU only");
        return;
    }
    fresh_runtime runtime;
    lock_memory lock;
    int cpu = given_cpus.back();
    std::atomic<bool> over{false};
    std::thread local([&] {
        pinned here(cpu);
        for (long round = 0; !over; ++round) {
            pw_unlock(lock.get(), pw_lock_local(lock.get()));
            // Where a line takes long to get from CPU to CPU, nobody else would ever find the lock free.
            if (round % 1024 == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(10));
        }
    });
    uint64_t taken = 0;
    {
        pinned here(given_cpus.front());
        for (int i = 0; i < 200'000 / scale; ++i)
            if (pw_trylock(lock.get(), cpu)) {
                pw_unlock(lock.get(), cpu);
                ++taken;
            }
    }
    over = true;
    local.join();
    own_segment seen;
    const auto &events = seen.block(cpu).locks;
    bool by_sequences = seen.head().lock_method == pw::stat::method_rseq;
    CHECK(events.remote == (by_sequences ? taken + events.lost_races : 0));
    CHECK((by_sequences || events.lost_races == 0));
    CHECK(taken > 0);
}
