// SPDX-License-Identifier: MIT
// Items as a program sees them: guarantees 1, 2, 3 and 6 of DESIGN.md section 6, and work that queues work. Order is in
// test_work_order.cc, refused calls in test_work_input.cc, where functions run in test_work_runner.cc.
#include "time_limit.h"

#include "on_cpu.h"
#include "tasks.h"

#include <array>
#include <cstring>
#include <memory>

namespace {

// Says with which item its function was called.
struct telling_item : pw_struct {
    pw_struct *received = nullptr;
    int runs = 0;

    static void run(pw_struct *work)
    {
        auto &self = *static_cast<telling_item *>(work);
        self.received = work;
        ++self.runs;
    }
};

} // namespace

TEST_CASE("an idle item is queued with 1 and its function receives it once")
{
    for (int cpu : worker_cpus()) {
        telling_item item;
        INIT_PW(&item, telling_item::run, cpu);
        CHECK(pw_get_cpu(&item) == cpu);
        REQUIRE(pw_queue_on(cpu, nullptr, &item) == 1);
        REQUIRE(pw_flush(&item) == 0);
        CHECK(item.received == &item);
        CHECK(item.runs == 1);
        CHECK(pw_get_cpu(&item) == cpu);
    }
}

TEST_CASE("an item fits into a cache line")
{
    CHECK(sizeof(pw_struct) <= PW_CACHE_LINE);
}

TEST_CASE("a pending item is queued with 0 and runs once for all who found it pending")
{
    busy_item busy(last_cpu());
    task &item = busy.item();
    // It runs: so it becomes pending again, and only once.
    CHECK(item.queue() == 1);
    CHECK(item.queue() == 0);
    CHECK(item.queue() == 0);
    CHECK(busy.runs() == 1);
    busy.let_go();
    CHECK(busy.returned() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(busy.runs() == 2);
    CHECK(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(busy.runs() == 3);
}

TEST_CASE("guarantee 1: after a return of 1 an execution sees every write made before the call")
{
    for (int cpu : worker_cpus()) {
        long input = 0, seen = 0;
        task item(cpu, [&] { seen = input; });
        bool every_one = true;
        for (long i = 1; i <= 20'000 / scale; ++i) {
            input = i;
            every_one &= item.queue() == 1 && item.flush() == 0 && seen == i;
        }
        CHECK(every_one);
    }
}

TEST_CASE("guarantee 1: after a return of 0 an execution starts that sees every write made before the call")
{
    for (int cpu : worker_cpus()) {
        long input = 0, seen = 0;
        std::atomic<bool> look{false};
        busy_item busy(cpu, busy_item::by_strategy, [&] {
            // Not in the first execution, which started before the write.
            if (look.load(std::memory_order_relaxed))
                seen = input;
        });
        // Somebody else makes the item pending; our own call finds it so. Nothing but the two calls orders us.
        int first = 0;
        std::thread([&] { first = busy.item().queue(); }).join();
        REQUIRE(first == 1);
        input = 42;
        REQUIRE(busy.item().queue() == 0);
        std::thread([&] {
            // The execution that follows is the other thread's as much as ours.
            look.store(true, std::memory_order_relaxed);
            busy.let_go();
        }).join();
        REQUIRE(busy.item().flush() == 0);
        CHECK(busy.runs() == 2);
        CHECK(seen == 42);
    }
}

TEST_CASE("guarantee 1: with many producers of one item each one's last write is seen after its call")
{
    constexpr int producers = 6;
    for (int cpu : worker_cpus()) {
        // Relaxed: what orders them is queueing and flushing.
        std::array<std::atomic<long>, producers> input = {}, seen = {};
        task item(cpu, [&] {
            for (int i = 0; i < producers; ++i)
                seen[i].store(input[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
        });
        std::atomic<long> missed{0}, refused{0}, already_pending{0};
        on_threads(producers, [&](int i) {
            for (long n = 1; n <= 5'000 / scale; ++n) {
                input[i].store(n, std::memory_order_relaxed);
                int result = item.queue();
                refused += result < 0;
                already_pending += result == 0;
                refused += item.flush() != 0;
                missed += seen[i].load(std::memory_order_relaxed) != n;
            }
        });
        CHECK(refused == 0);
        CHECK(missed == 0);
        INFO(already_pending << " calls found the item pending");
    }
}

TEST_CASE("guarantee 2: an item never runs concurrently with itself and runs once for every return of 1")
{
    for (int cpu : worker_cpus()) {
        // Plain on purpose: lost updates, or a race for ThreadSanitizer, if two executions overlap.
        long runs = 0;
        std::atomic<int> inside{0};
        std::atomic<long> overlaps{0}, accepted{0}, refused{0};
        task item(cpu, [&] {
            overlaps += inside.exchange(1) != 0;
            ++runs;
            if (runs % 64 == 0)
                std::this_thread::yield();
            inside = 0;
        });
        on_threads(8, [&](int) {
            for (int n = 0; n < 25'000 / scale; ++n) {
                int result = item.queue();
                accepted += result == 1;
                refused += result < 0;
            }
        });
        REQUIRE(item.flush() == 0);
        CHECK(refused == 0);
        CHECK(overlaps == 0);
        CHECK(runs == accepted);
        CHECK(runs >= 1);
    }
}

TEST_CASE("guarantee 2: the thread that runs an item runs it once more for whoever found it running")
{
    std::vector<pid_t> runners;
    busy_item busy(last_cpu(), busy_item::by_strategy, [&] { runners.push_back(gettid()); });
    int found = 0;
    std::thread([&] { found = busy.item().queue(); }).join();
    CHECK(found == 1);
    busy.let_go();
    REQUIRE(busy.item().flush() == 0);
    REQUIRE(runners.size() == 2);
    CHECK(runners[0] == runners[1]);
}

TEST_CASE("guarantee 3: pending is cleared before the function starts, which may queue its own item")
{
    const long rounds = 100'000 / scale;
    for (int cpu : worker_cpus()) {
        long runs = 0, refused = 0, nested = 0;
        bool inside = false;
        std::atomic<bool> over{false};
        task item(cpu, [&] {
            nested += inside;
            inside = true;
            if (++runs < rounds)
                refused += item.queue() != 1;
            else
                over = true;
            inside = false;
        });
        REQUIRE(item.queue() == 1);
        REQUIRE(eventually([&] { return over.load(); }));
        REQUIRE(item.flush() == 0);
        CHECK(runs == rounds);
        CHECK(refused == 0);
        CHECK(nested == 0);
    }
}

TEST_CASE("guarantee 3: a function may queue its own item only once at a time")
{
    std::vector<int> results;
    task item(last_cpu(), [&] {
        if (results.empty()) {
            results.push_back(item.queue());
            results.push_back(item.queue());
        } else {
            results.push_back(-1);
        }
    });
    REQUIRE(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    // Flushing waited for the first execution; the second was queued behind it or before the flush.
    REQUIRE(item.flush() == 0);
    CHECK(results == std::vector<int>{1, 0, -1});
}

TEST_CASE("guarantee 3: a function may free its item")
{
    struct loose_item : pw_struct {
        std::atomic<long> *freed;
        static void run(pw_struct *work)
        {
            auto *self = static_cast<loose_item *>(work);
            std::atomic<long> &count = *self->freed;
            // What still follows links or flags in here has a hard time, also without AddressSanitizer.
            memset(static_cast<void *>(self), 0xa5, sizeof *self);
            free(self);
            ++count;
        }
    };
    std::atomic<long> freed{0}, refused{0};
    const std::vector<int> cpus = worker_cpus();
    const long each = 20'000 / scale;
    on_threads(4, [&](int thread) {
        for (long n = 0; n < each; ++n) {
            auto *item = static_cast<loose_item *>(malloc(sizeof(loose_item)));
            int cpu = cpus[static_cast<size_t>(n + thread) % cpus.size()];
            INIT_PW(item, loose_item::run, cpu);
            item->freed = &freed;
            refused += pw_queue_on(cpu, nullptr, item) != 1;
        }
    });
    CHECK(refused == 0);
    CHECK(eventually([&] { return freed == 4 * each; }));
}

TEST_CASE("guarantee 3: nothing touches an item behind the start of its function")
{
    struct marked_item : pw_struct {
        std::atomic<long> *left;
        static void run(pw_struct *work)
        {
            std::atomic<long> &count = *static_cast<marked_item *>(work)->left;
            memset(static_cast<void *>(work), 0xa5, sizeof(marked_item));
            --count;
        }
    };
    const size_t many = 20'000 / scale;
    for (int cpu : worker_cpus()) {
        std::vector<marked_item> items(many);
        std::atomic<long> left{static_cast<long>(many)};
        on_threads(2, [&](int thread) {
            for (size_t i = static_cast<size_t>(thread); i < many; i += 2) {
                INIT_PW(&items[i], marked_item::run, cpu);
                items[i].left = &left;
                if (pw_queue_on(cpu, nullptr, &items[i]) != 1)
                    left += static_cast<long>(many);
            }
        });
        REQUIRE(eventually([&] { return left == 0; }));
        // Behind everything that the runners still do.
        task last(cpu);
        REQUIRE(last.queue() == 1);
        REQUIRE(last.flush() == 0);
        std::vector<unsigned char> bytes(many * sizeof(marked_item));
        memcpy(bytes.data(), static_cast<void *>(items.data()), bytes.size());
        CHECK(std::count(bytes.begin(), bytes.end(), 0xa5) == static_cast<long>(bytes.size()));
    }
}

TEST_CASE("guarantee 3: a function may free its item and queue a new one that gets the same memory")
{
    struct chained_item : pw_struct {
        long left;
        std::atomic<long> *runs;
        std::atomic<long> *refused;
        static void make(int cpu, long left, std::atomic<long> *runs, std::atomic<long> *refused)
        {
            auto *item = static_cast<chained_item *>(malloc(sizeof(chained_item)));
            INIT_PW(item, run, cpu);
            item->left = left;
            item->runs = runs;
            item->refused = refused;
            *refused += pw_queue_on(cpu, nullptr, item) != 1;
        }
        static void run(pw_struct *work)
        {
            auto *self = static_cast<chained_item *>(work);
            long left = self->left;
            int cpu = pw_get_cpu(self);
            std::atomic<long> *runs = self->runs, *refused = self->refused;
            free(self);
            // Nested under lock, if the memory is not the same; so not too deep.
            if (left > 1)
                make(cpu, left - 1, runs, refused);
            ++*runs;
        }
    };
    for (int cpu : worker_cpus()) {
        std::atomic<long> runs{0}, refused{0};
        for (int chain = 0; chain < 100; ++chain)
            chained_item::make(cpu, 20, &runs, &refused);
        CHECK(eventually([&] { return runs == 2'000; }));
        CHECK(refused == 0);
    }
}

TEST_CASE("guarantee 6: a function that sleeps delays only its CPU's later items, or only its caller")
{
    const int here = last_cpu();
    busy_item busy(here);
    for (int cpu : worker_cpus()) {
        if (cpu == here)
            continue;
        int runs = 0;
        task elsewhere(cpu, [&] { ++runs; });
        REQUIRE(elsewhere.queue() == 1);
        REQUIRE(elsewhere.flush() == 0);
        CHECK(runs == 1);
    }
    std::atomic<int> later_runs{0};
    task later(here, [&] { ++later_runs; });
    REQUIRE(later.queue() == 1);
    if (under_lock()) {
        CHECK(later_runs == 1);
    } else {
        // Its worker is asleep in the other function: it cannot have run.
        CHECK(later_runs == 0);
    }
    busy.let_go();
    REQUIRE(later.flush() == 0);
    CHECK(later_runs == 1);
}

TEST_CASE("work queues work: back and forth between two items loses no turn")
{
    const long turns = 20'000 / scale;
    const int a_cpu = first_cpu(), b_cpu = last_cpu();
    std::atomic<long> a_runs{0}, b_runs{0}, refused{0};
    task *to_b = nullptr;
    task a(a_cpu, [&] {
        if (++a_runs < turns)
            refused += to_b->queue() != 1;
    });
    task b(b_cpu, [&] {
        ++b_runs;
        refused += a.queue() != 1;
    });
    to_b = &b;
    REQUIRE(a.queue() == 1);
    REQUIRE(eventually([&] { return a_runs == turns; }));
    CHECK(b.flush() == 0);
    CHECK(a.flush() == 0);
    CHECK(a_runs == turns);
    CHECK(b_runs == turns - 1);
    CHECK(refused == 0);
}

TEST_CASE("work queues work: a chain through every CPU, several at once")
{
    const std::vector<int> cpus = worker_cpus();
    const int length = 24, chains = 8;
    std::atomic<long> runs{0}, refused{0}, ends{0};
    std::vector<std::vector<std::unique_ptr<task>>> all(chains);
    for (auto &chain : all)
        for (int i = 0; i < length; ++i)
            chain.push_back(std::make_unique<task>(cpus[static_cast<size_t>(i) % cpus.size()], [&, i] {
                ++runs;
                if (i + 1 < length)
                    refused += chain[static_cast<size_t>(i) + 1]->queue() != 1;
                else
                    ++ends;
            }));
    on_threads(chains, [&](int i) { refused += all[static_cast<size_t>(i)][0]->queue() != 1; });
    CHECK(eventually([&] { return ends == chains; }));
    CHECK(runs == chains * length);
    CHECK(refused == 0);
}

TEST_CASE("what one CPU queues to another is seen there under that CPU's lock, once it is flushed")
{
    // F. Weisbecker's question to the kernel series: CPU 0 queues "A = 1" to CPU 1 and flushes; CPU 1 reads A under its lock.
    struct data {
        pw_lock_t lock;
        long a;
    };
    per_cpu_memory<data> memory;
    pw_lock_t *lock = &memory.get()->lock;
    const int from = first_cpu(), to = last_cpu();
    const long rounds = 2'000 / scale;
    long value = 0;
    task store(to, [&] {
        pw_lock(lock, to);
        memory.of(to).a = value;
        pw_unlock(lock, to);
    });
    // Relaxed: the reader must see A by the lock's doing, not by this word's.
    std::atomic<long> flushed{0}, read{0};
    long wrong = 0, refused = 0;
    bool writer_in_place = false, reader_in_place = false;
    std::thread writer([&] {
        writer_in_place = pin(0, from);
        for (long i = 1; i <= rounds; ++i) {
            value = i;
            refused += store.queue() != 1 || store.flush() != 0;
            flushed.store(i, std::memory_order_relaxed);
            while (read.load(std::memory_order_relaxed) != i)
                std::this_thread::yield();
        }
    });
    std::thread reader([&] {
        reader_in_place = pin(0, to);
        for (long i = 1; i <= rounds; ++i) {
            while (flushed.load(std::memory_order_relaxed) != i)
                std::this_thread::yield();
            int cpu = pw_lock_local(lock);
            wrong += cpu != to || memory.of(cpu).a != i;
            pw_unlock_local(lock, cpu);
            read.store(i, std::memory_order_relaxed);
        }
    });
    reader.join();
    writer.join();
    REQUIRE(writer_in_place);
    REQUIRE(reader_in_place);
    CHECK(refused == 0);
    CHECK(wrong == 0);
}
