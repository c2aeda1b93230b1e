// SPDX-License-Identifier: MIT
// Locks as a single program sees them: return values, and whose lock it is. Waiting is in test_lock_wait.cc,
// mutual exclusion under load in test_lock_exclusion.cc.
#include "catch.h"
#include "lock_memory.h"

#include <cerrno>
#include <string>
#include <vector>

namespace {

int other_than(int cpu)
{
    for (int each : given_cpus)
        if (each != cpu)
            return each;
    return -1;
}

} // namespace

TEST_CASE("zeroed memory is an unlocked lock on every CPU that can occur")
{
    lock_memory lock;
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        CHECK(pw_trylock(lock.get(), cpu));
        CHECK(owner_of(lock, cpu) == my_id());
        pw_unlock(lock.get(), cpu);
        CHECK(owner_of(lock, cpu) == 0);
    }
}

TEST_CASE("pw_lock_init makes whatever the memory held an unlocked lock")
{
    per_cpu_memory<char[64]> memory;
    auto *lock = reinterpret_cast<pw_lock_t *>(memory.get());
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        *pw_per_cpu_ptr(lock, cpu) = {0xdeadbeef, 77};
    pw_lock_init(lock);
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        CHECK(pw_per_cpu_ptr(lock, cpu)->owner == 0);
        CHECK(pw_per_cpu_ptr(lock, cpu)->waiters == 0);
        CHECK(pw_trylock(lock, cpu));
        pw_unlock(lock, cpu);
    }
}

TEST_CASE("the owner of a held lock is the kernel's id of its thread")
{
    lock_memory lock;
    int cpu = given_cpus.front();
    holder other(lock, cpu, cpu);
    CHECK(other.id() != 0);
    CHECK(other.id() != my_id());
    CHECK(owner_of(lock, cpu) == other.id());
}

TEST_CASE("pw_lock_local and pw_trylock_local return the CPU whose instance they hold, and hold no other")
{
    lock_memory lock;
    for (int cpu : given_cpus) {
        pinned here(cpu);
        REQUIRE(here);
        for (bool try_only : {false, true}) {
            CHECK((try_only ? pw_trylock_local(lock.get()) : pw_lock_local(lock.get())) == cpu);
            for (int each = 0; each < pw_nr_cpus(); ++each)
                CHECK(owner_of(lock, each) == (each == cpu ? my_id() : 0));
            pw_unlock_local(lock.get(), cpu);
            CHECK(free_everywhere(lock));
        }
    }
}

TEST_CASE("trying a held lock fails for its holder and for others, on its CPU and from elsewhere, and "
          "changes nothing")
{
    lock_memory lock;
    for (int cpu : given_cpus) {
        pinned here(cpu);
        REQUIRE(here);
        REQUIRE(pw_lock_local(lock.get()) == cpu);
        for (int repeat = 0; repeat < 3; ++repeat) {
            CHECK(pw_trylock_local(lock.get()) == -EBUSY);
            CHECK_FALSE(pw_trylock(lock.get(), cpu));
        }
        CHECK(on_cpu(cpu, [&] { return pw_trylock_local(lock.get()); }) == -EBUSY);
        for (int from : given_cpus)
            CHECK(on_cpu(from, [&] { return pw_trylock(lock.get(), cpu); }) == false);
        CHECK(owner_of(lock, cpu) == my_id());
        pw_unlock_local(lock.get(), cpu);
        CHECK(on_cpu(cpu, [&] {
                  int held = pw_trylock_local(lock.get());
                  pw_unlock_local(lock.get(), cpu);
                  return held;
              }) == cpu);
    }
}

TEST_CASE("any CPU's lock can be taken from any CPU, whether it has a worker or not")
{
    lock_memory lock;
    for (int from : given_cpus) {
        pinned here(from);
        REQUIRE(here);
        for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
            pw_lock(lock.get(), cpu);
            CHECK(owner_of(lock, cpu) == my_id());
            CHECK_FALSE(pw_trylock(lock.get(), cpu));
            pw_unlock(lock.get(), cpu);
            CHECK(pw_trylock(lock.get(), cpu));
            CHECK(owner_of(lock, cpu) == my_id());
            pw_unlock(lock.get(), cpu);
            CHECK(free_everywhere(lock));
        }
    }
}

TEST_CASE("a thread may hold every CPU's instance of a lock at once")
{
    lock_memory lock;
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        pw_lock(lock.get(), cpu);
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        CHECK(owner_of(lock, cpu) == my_id());
    for (int from : given_cpus)
        CHECK(on_cpu(from, [&] { return pw_trylock_local(lock.get()); }) == -EBUSY);
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        pw_unlock(lock.get(), cpu);
    CHECK(free_everywhere(lock));
}

TEST_CASE(
    "a lock inside a structure guards the instance of the CPU that it returns, and touches nothing beside it")
{
    struct cache {
        uint64_t before;
        pw_lock_t lock;
        uint64_t objects;
    };
    per_cpu_memory<cache> memory;
    cache *shared = memory.get();
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        memory.of(cpu).before = memory.of(cpu).objects = ~0ull;
    pw_lock_init(&shared->lock);
    std::vector<int> expected(static_cast<size_t>(pw_nr_cpus()), 0);
    for (int cpu : given_cpus) {
        pinned here(cpu);
        REQUIRE(here);
        int held = pw_lock_local(&shared->lock);
        REQUIRE(held == cpu);
        pw_per_cpu_ptr(shared, held)->objects -= static_cast<uint64_t>(cpu) + 1;
        CHECK(pw_per_cpu_ptr(&shared->lock, held) == &pw_per_cpu_ptr(shared, held)->lock);
        pw_unlock_local(&shared->lock, held);
        expected[static_cast<size_t>(cpu)] = cpu + 1;
    }
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        CHECK(memory.of(cpu).before == ~0ull);
        CHECK(memory.of(cpu).objects == ~0ull - static_cast<uint64_t>(expected[static_cast<size_t>(cpu)]));
    }
}

TEST_CASE("a lock that is held across a migration stays the lock of the CPU that was returned")
{
    if (given_cpus.size() < 2) {
        WARN("skipped: needs two CPUs");
        return;
    }
    lock_memory lock;
    for (int from : given_cpus) {
        int to = other_than(from);
        pinned here(from);
        REQUIRE(here);
        int held = pw_lock_local(lock.get());
        REQUIRE(held == from);
        REQUIRE(pin(0, to));
        CHECK(pw_this_cpu() == to);
        CHECK(owner_of(lock, from) == my_id());
        CHECK(on_cpu(from, [&] { return pw_trylock_local(lock.get()); }) == -EBUSY);
        // The instance of the CPU that we are on now is another lock, and free.
        CHECK(pw_trylock_local(lock.get()) == to);
        pw_unlock_local(lock.get(), to);
        pw_unlock_local(lock.get(), held);
        CHECK(free_everywhere(lock));
        CHECK(on_cpu(from, [&] {
                  int taken = pw_lock_local(lock.get());
                  pw_unlock_local(lock.get(), taken);
                  return taken;
              }) == from);
    }
}

TEST_CASE("locks work before the runtime starts, while it runs without a worker for their CPU, and when it "
          "has stopped")
{
    pw_runtime_stop();
    lock_memory lock;
    auto every_cpu_from_everywhere = [&] {
        for (int from : given_cpus) {
            pinned here(from);
            for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
                pw_lock(lock.get(), cpu);
                bool held = owner_of(lock, cpu) == my_id();
                pw_unlock(lock.get(), cpu);
                if (!held)
                    return false;
            }
            int cpu = pw_lock_local(lock.get());
            pw_unlock_local(lock.get(), cpu);
            if (cpu != from)
                return false;
        }
        return true;
    };
    CHECK(every_cpu_from_everywhere());
    for (int only : given_cpus) {
        REQUIRE(pw_runtime_start(("cpus=" + std::to_string(only)).c_str()) == 0);
        for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
            CHECK(pw_cpu_online(cpu) == (cpu == only));
        CHECK(every_cpu_from_everywhere());
        REQUIRE(pw_runtime_stop() == 0);
    }
    CHECK(every_cpu_from_everywhere());
    REQUIRE(pw_runtime_start(nullptr) == 0);
}
