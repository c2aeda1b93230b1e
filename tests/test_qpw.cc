// SPDX-License-Identifier: MIT
// Version 3's names: sections whose CPU the library remembers. That all names exist, in C and in C++, is
// abi_qpw.c's to show.
#include "catch.h"
#include "dies.h"
#include "lock_memory.h"

#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <pwlocks/qpw.h>

TEST_CASE("inside a section this CPU is the one whose lock is held, wherever the thread runs by then")
{
    lock_memory lock;
    for (int first : given_cpus)
        for (int second : given_cpus) {
            pinned here(first);
            local_qpw_lock(lock.get());
            CHECK(owner_of(lock, first) == my_id());
            pin(0, second);
            CHECK(qpw_this_cpu_ptr(lock.get()) == &lock.of(first));
            qpw_lockdep_assert_held(lock.get());
            local_qpw_unlock(lock.get());
            CHECK(free_everywhere(lock));
            CHECK(qpw_this_cpu_ptr(lock.get()) == &lock.of(second));
        }
}

TEST_CASE("sections nest sixteen deep and end in any order")
{
    std::vector<std::unique_ptr<lock_memory>> locks;
    for (int i = 0; i < 16; ++i)
        locks.push_back(std::make_unique<lock_memory>());
    auto held = [&] {
        int count = 0;
        for (const auto &each : locks)
            count += !free_everywhere(*each);
        return count;
    };
    for (size_t step : {1u, 3u, 5u, 7u, 15u}) {
        for (size_t i = 0; i < 16; ++i) {
            pinned here(given_cpus[i % given_cpus.size()]);
            if (i % 2)
                CHECK(local_qpw_trylock(locks[i]->get()) != 0);
            else
                local_qpw_lock(locks[i]->get());
        }
        CHECK(held() == 16);
        for (size_t i = 0; i < 16; ++i) {
            local_qpw_unlock(locks[i * step % 16]->get());
            CHECK(free_everywhere(*locks[i * step % 16]));
            CHECK(held() == static_cast<int>(15 - i));
        }
    }
}

TEST_CASE("a section's try fails on a lock that another thread holds, and enters none")
{
    lock_memory lock;
    int cpu = given_cpus.back();
    pinned here(cpu);
    holder other(lock, cpu, cpu);
    CHECK(local_qpw_trylock(lock.get()) == 0);
    CHECK(qpw_trylock(lock.get(), cpu) == 0);
    other.release();
    local_qpw_lock(lock.get());
    local_qpw_unlock(lock.get());
    CHECK(free_everywhere(lock));
}

namespace {

struct {
    pw_lock_t *lock = nullptr;
    std::atomic<long> handled{0};
} nested;

void section_in_handler(int)
{
    int saved = errno;
    local_qpw_lock(nested.lock);
    pw_lock_t *instance = qpw_this_cpu_ptr(nested.lock);
    if (__atomic_load_n(&instance->owner, __ATOMIC_RELAXED) == static_cast<uint32_t>(gettid()))
        nested.handled.fetch_add(1, std::memory_order_relaxed);
    local_qpw_unlock(nested.lock);
    errno = saved;
}

} // namespace

TEST_CASE("a signal handler's sections leave those of its thread as they were")
{
    if (PW_DETAIL_TSAN) {
        WARN("skipped: ThreadSanitizer puts signals off until its thread blocks");
        return;
    }
    lock_memory outer, middle, inner;
    nested.lock = inner.get();
    nested.handled = 0;
    signal(SIGUSR1, section_in_handler);
    std::atomic<bool> over{false};
    std::atomic<long> rounds{0};
    long wrong = 0;
    std::thread sections([&] {
        while (!over) {
            local_qpw_lock(outer.get());
            pw_lock_t *at_outer = qpw_this_cpu_ptr(outer.get());
            local_qpw_lock(middle.get());
            pw_lock_t *at_middle = qpw_this_cpu_ptr(middle.get());
            wrong += at_outer->owner != my_id() || at_middle->owner != my_id();
            local_qpw_unlock(outer.get()); // the lower one
            wrong += qpw_this_cpu_ptr(middle.get()) != at_middle;
            local_qpw_unlock(middle.get());
            ++rounds;
        }
    });
    for (int i = 0; i < 20'000 / scale; ++i) {
        pthread_kill(sections.native_handle(), SIGUSR1);
        if (i % 16 == 0)
            std::this_thread::yield();
    }
    eventually([&] { return rounds > 100 && nested.handled > 0; });
    over = true;
    sections.join();
    signal(SIGUSR1, SIG_DFL);
    CHECK(wrong == 0);
    CHECK(nested.handled > 0);
    CHECK(free_everywhere(outer));
    CHECK(free_everywhere(middle));
    CHECK(free_everywhere(inner));
}

TEST_CASE("dies: a seventeenth section", "[.]")
{
    lock_memory lock[17];
    pinned here(given_cpus.back());
    expect_death(lock[16], given_cpus.back());
    for (lock_memory &each : lock)
        local_qpw_lock(each.get());
}

TEST_CASE("dies: a local unlock without a local lock", "[.]")
{
    lock_memory lock;
    expect_death(lock, 0);
    qpw_lock(lock.get(), 0); // is no section
    local_qpw_unlock(lock.get());
}

TEST_CASE("dies: version 3's assertion on a lock that is not held", "[.]")
{
    lock_memory lock;
    holder other(lock, given_cpus.back(), given_cpus.back());
    expect_death(lock, 0);
    qpw_lockdep_assert_held(lock.get());
}

TEST_CASE("misused sections abort with one line")
{
    last_words deep(aborts("dies: a seventeenth section"));
    CHECK(deep.line == std::string("pwlocks: qpw: lock ") + deep.lock + " of cpu " +
                           std::to_string(given_cpus.back()) + ": more than 16 sections at once\n");
    last_words without(aborts("dies: a local unlock without a local lock"));
    CHECK(without.line == std::string("pwlocks: qpw: lock ") + without.lock +
                              ": local unlock without a local lock by this thread\n");
    last_words assertion(aborts("dies: version 3's assertion on a lock that is not held"));
    CHECK(assertion.line == std::string("pwlocks: qpw_lockdep_assert_held: lock ") + assertion.lock +
                                ": thread " + std::to_string(assertion.pid) +
                                " does not hold it for any cpu\n");
}
