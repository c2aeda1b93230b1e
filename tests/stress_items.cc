// SPDX-License-Identifier: MIT
// Many items from several producers to every CPU, with flushes between: none may be lost, none may run
// concurrently with itself, and every return value must mean what work.h says. Exit status 1 if any of that
// fails.
//
// Two kinds of item. Each producer has rings of items of its own for every CPU: plain fields are written
// before such an item is queued and read after it is flushed, and sequence numbers show the order of starts.
// Shared items are queued by everybody at any time, also while they run, and by their own function: what each
// producer posted before a call must have been seen by an execution when the item has been flushed.
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <getopt.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "small_random.h"

namespace {

constexpr int ring_size = 64, shared_per_cpu = 16, most_producers = 16;

struct options {
    long items = 100'000'000;
    int producers = 4;
    int lives = 8; // threads that each producer is, one after the other
    std::string cpus;
    uint32_t seed = 1;
};

// What can go wrong, counted; the first few are printed.
enum error { refused, concurrent, out_of_order, not_executed, not_visible, miscounted, error_kinds };
constexpr const char *error_names[] = {"refused",
                                       "ran concurrently with itself",
                                       "started out of order",
                                       "accepted but not executed",
                                       "flushed but not visible",
                                       "miscounted"};
std::atomic<long> errors[error_kinds];

void fail(error what, int cpu, long seen, long expected)
{
    if (errors[what].fetch_add(1, std::memory_order_relaxed) < 5)
        fprintf(stderr, "stress_items: %s: cpu %d: %ld instead of %ld\n", error_names[what], cpu, seen,
                expected);
}

// Every item starts with this. Only its executions write here, and plainly: two at once would lose counts.
struct counted_item {
    pw_struct work;
    volatile int inside;
    long executions;
    long accepted; // calls of its own producer that returned 1
};

// One execution, from start to end.
class execution {
  public:
    explicit execution(counted_item &item) : item_(item)
    {
        if (item_.inside)
            fail(concurrent, item_.work.cpu, item_.inside, 0);
        item_.inside = 1;
        ++item_.executions;
    }
    ~execution() { item_.inside = 0; }
    execution(const execution &) = delete;
    execution &operator=(const execution &) = delete;

  private:
    counted_item &item_;
};

// What a producer last posted to a shared item, in the thread that it is now: `seen` is the item's answer to
// it.
struct last_post {
    const std::atomic<long> *seen = nullptr;
    long posted = 0;
};

// A producer's items for one CPU, by one of the two calls. `started` is the executions': they follow one
// another.
struct ring {
    struct item : counted_item {
        ring *home;
        long sequence;    // written before the item is queued
        last_post behind; // this as well: what the same thread queued to the same CPU before
        long result;      // read after it was flushed
    };
    item items[ring_size] = {};
    int cpu = -1;
    bool by_worker = false; // pw_queue_work_on()
    long sequence = 0;
    long started = 0;

    static void execute(pw_struct *work)
    {
        auto &self = *reinterpret_cast<item *>(work);
        execution now(self);
        if (self.sequence != self.home->started + 1)
            fail(out_of_order, self.home->cpu, self.sequence, self.home->started + 1);
        self.home->started = self.sequence;
        if (self.behind.seen) {
            long seen = self.behind.seen->load(std::memory_order_relaxed);
            if (seen < self.behind.posted)
                fail(out_of_order, self.home->cpu, seen, self.behind.posted);
        }
        self.result = ~self.sequence;
    }

    void init(int target, bool worker)
    {
        cpu = target;
        by_worker = worker;
        for (item &each : items) {
            INIT_PW(&each.work, execute, cpu);
            each.home = this;
        }
    }
};

// An item for everybody. Relaxed atomics: they order nothing, so it is the library that makes a post visible.
struct shared_item : counted_item {
    counted_item echo; // queued to the next CPU by this item's function, now and then
    long accepted_by_itself;
    std::atomic<long> posted[most_producers];
    std::atomic<long> seen[most_producers];

    static void execute_echo(pw_struct *work) { execution now(*reinterpret_cast<counted_item *>(work)); }

    static void execute(pw_struct *work)
    {
        auto &self = *reinterpret_cast<shared_item *>(work);
        execution now(self);
        for (int i = 0; i < most_producers; ++i)
            self.seen[i].store(self.posted[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
        if (self.executions % 64 == 0)
            self.accepted_by_itself += must_accept(pw_queue_on(work->cpu, nullptr, work), work->cpu);
        if (self.executions % 256 == 0)
            self.echo.accepted +=
                must_accept(pw_queue_on(self.echo.work.cpu, nullptr, &self.echo.work), work->cpu);
    }

    // 1 or 0, whatever the call returned.
    static long must_accept(int returned, int cpu)
    {
        if (returned != 0 && returned != 1)
            fail(refused, cpu, returned, 1);
        return returned == 1;
    }
};

struct totals {
    long ring = 0, shared = 0, already = 0, flushes = 0;

    long accepted() const { return ring + shared; }
};

struct stress {
    options chosen;
    std::vector<int> cpus;
    std::deque<shared_item> shared; // shared_per_cpu for each of cpus
};

class producer {
  public:
    producer(stress &all, int number)
        : all_(all), number_(number), random_(all.chosen.seed * 1000 + static_cast<uint32_t>(number))
    {
        for (int cpu : all.cpus)
            for (bool worker : {false, true})
                rings_.emplace_back().init(cpu, worker);
        shared_accepted_.resize(all.shared.size());
    }

    // In one thread, until that many more were accepted. Leaves with shared items pending.
    void produce(long share)
    {
        last_posts_.assign(all_.shared.size() / shared_per_cpu, {});
        long goal = done_.accepted() + share;
        while (done_.accepted() < goal)
            if (random_.below(2))
                fill_and_flush(random_.below(static_cast<uint32_t>(rings_.size())));
            else
                for (uint32_t i = random_.below(ring_size); i > 0; --i)
                    post(random_.below(static_cast<uint32_t>(all_.shared.size())));
    }

    // When nothing is pending any more: what each item of ours should have counted.
    long executed() const
    {
        long sum = 0;
        for (const ring &home : rings_)
            for (const ring::item &each : home.items) {
                if (each.executions != each.accepted)
                    fail(miscounted, home.cpu, each.executions, each.accepted);
                sum += each.executions;
            }
        return sum;
    }

    const totals &done() const { return done_; }
    long accepted_of(size_t shared) const { return shared_accepted_[shared]; }
    long posted() const { return posted_; }

  private:
    void fill_and_flush(uint32_t which)
    {
        ring &home = rings_[which];
        uint32_t count = 1 + random_.below(ring_size);
        for (uint32_t i = 0; i < count; ++i) {
            ring::item &each = home.items[i];
            each.sequence = ++home.sequence;
            // The two calls go different ways under the lock strategy: there is no order between them.
            each.behind = home.by_worker ? last_post() : last_posts_[which / 2];
            int returned = home.by_worker ? pw_queue_work_on(home.cpu, nullptr, &each.work)
                                          : pw_queue_on(home.cpu, nullptr, &each.work);
            // It was flushed, and nobody else queues it: it cannot be pending.
            if (returned != 1)
                fail(refused, home.cpu, returned, 1);
            ++each.accepted;
        }
        done_.ring += count;
        // One somewhere in the middle first: what was queued behind it need not have run.
        flush_own(home.items[random_.below(count)]);
        for (uint32_t i = 0; i < count; ++i)
            flush_own(home.items[i]);
    }

    void flush_own(ring::item &item)
    {
        flush(item);
        if (item.executions != item.accepted)
            fail(not_executed, item.work.cpu, item.executions, item.accepted);
        if (item.result != ~item.sequence)
            fail(not_visible, item.work.cpu, ~item.result, item.sequence);
    }

    void post(size_t index)
    {
        shared_item &item = all_.shared[index];
        item.posted[number_].store(++posted_, std::memory_order_relaxed);
        if (shared_item::must_accept(pw_queue_on(item.work.cpu, nullptr, &item.work), item.work.cpu)) {
            ++shared_accepted_[index];
            ++done_.shared;
        } else {
            ++done_.already;
        }
        last_posts_[index / shared_per_cpu] = {&item.seen[number_], posted_};
        if (random_.below(16) == 0) {
            flush(item);
            long seen = item.seen[number_].load(std::memory_order_relaxed);
            if (seen < posted_)
                fail(not_executed, item.work.cpu, seen, posted_);
        }
    }

    void flush(counted_item &item)
    {
        ++done_.flushes;
        if (int returned = pw_flush(&item.work))
            fail(refused, item.work.cpu, returned, 0);
    }

    stress &all_;
    int number_;
    small_random random_;
    std::deque<ring> rings_;
    std::vector<long> shared_accepted_;
    std::vector<last_post> last_posts_; // by CPU
    long posted_ = 0;
    totals done_;
};

void prepare(stress &all)
{
    pw_for_each_cpu (cpu)
        all.cpus.push_back(cpu);
    for (size_t i = 0; i < all.cpus.size(); ++i)
        for (int n = 0; n < shared_per_cpu; ++n) {
            shared_item &item = all.shared.emplace_back();
            INIT_PW(&item.work, shared_item::execute, all.cpus[i]);
            INIT_PW(&item.echo.work, shared_item::execute_echo, all.cpus[(i + 1) % all.cpus.size()]);
        }
}

// A producer is several threads, one after the other, each ending with items of its own pending.
void live(producer &self, const options &chosen)
{
    long share = chosen.items / chosen.producers + 1;
    for (int life = 0; life < chosen.lives; ++life)
        std::thread([&] { self.produce(share / chosen.lives + 1); }).join();
}

// The shared items, when nothing is pending any more.
long shared_executed(const stress &all, const std::deque<producer> &producers, long &by_themselves)
{
    long sum = 0;
    for (size_t i = 0; i < all.shared.size(); ++i) {
        const shared_item &item = all.shared[i];
        long accepted = item.accepted_by_itself;
        for (const producer &each : producers)
            accepted += each.accepted_of(i);
        if (item.executions != accepted)
            fail(miscounted, item.work.cpu, item.executions, accepted);
        if (item.echo.executions != item.echo.accepted)
            fail(miscounted, item.echo.work.cpu, item.echo.executions, item.echo.accepted);
        for (int p = 0; p < most_producers; ++p)
            if (long seen = item.seen[p], posted = item.posted[p]; seen != posted)
                fail(not_executed, item.work.cpu, seen, posted);
        by_themselves += item.accepted_by_itself + item.echo.accepted;
        sum += item.executions + item.echo.executions;
    }
    return sum;
}

int run(const options &chosen)
{
    std::string start = chosen.cpus.empty() ? "" : "cpus=" + chosen.cpus;
    if (int error = pw_runtime_start(start.c_str())) {
        fprintf(stderr, "stress_items: pw_runtime_start(\"%s\"): %s\n", start.c_str(), strerror(-error));
        return 1;
    }
    stress all;
    all.chosen = chosen;
    prepare(all);
    std::deque<producer> producers;
    for (int i = 0; i < chosen.producers; ++i)
        producers.emplace_back(all, i);
    auto began = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (producer &each : producers)
        threads.emplace_back([&] { live(each, chosen); });
    for (std::thread &each : threads)
        each.join();
    // What the producers left pending runs before this returns.
    if (int error = pw_runtime_stop())
        fail(refused, -1, error, 0);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();

    totals sum;
    long by_themselves = 0, executed = shared_executed(all, producers, by_themselves);
    for (const producer &each : producers) {
        executed += each.executed();
        sum.ring += each.done().ring;
        sum.shared += each.done().shared;
        sum.already += each.done().already;
        sum.flushes += each.done().flushes;
    }
    long accepted = sum.accepted() + by_themselves, failures = 0;
    if (executed != accepted)
        fail(miscounted, -1, executed, accepted);
    printf("strategy %s, %zu cpus, %d producers of %d threads\n",
           pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", all.cpus.size(), chosen.producers,
           chosen.lives);
    printf("accepted %ld: own %ld, shared %ld, from work %ld; already pending %ld\n", accepted, sum.ring,
           sum.shared, by_themselves, sum.already);
    printf("executed %ld; flushes %ld; %.1f s, %.0f ns an item\n", executed, sum.flushes, seconds,
           seconds * 1e9 / static_cast<double>(accepted));
    for (int kind = 0; kind < error_kinds; ++kind)
        if (long count = errors[kind]) {
            printf("%s: %ld times\n", error_names[kind], count);
            failures += count;
        }
    printf("%ld errors\n", failures);
    return failures != 0;
}

long number(const char *text, long least, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most) {
        fprintf(stderr, "stress_items: %s: a number from %ld to %ld is needed\n", text, least, most);
        exit(2);
    }
    return value;
}

} // namespace

int main(int argc, char **argv)
{
    options chosen;
    const option known[] = {
        {"items", required_argument, nullptr, 'i'}, {"producers", required_argument, nullptr, 'p'},
        {"lives", required_argument, nullptr, 'l'}, {"cpus", required_argument, nullptr, 'c'},
        {"seed", required_argument, nullptr, 's'},  {nullptr, 0, nullptr, 0}};
    for (int each; (each = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (each) {
        case 'i':
            chosen.items = number(optarg, 1, 1'000'000'000'000);
            break;
        case 'p':
            chosen.producers = static_cast<int>(number(optarg, 1, most_producers));
            break;
        case 'l':
            chosen.lives = static_cast<int>(number(optarg, 1, 1000));
            break;
        case 'c':
            chosen.cpus = optarg;
            break;
        case 's':
            chosen.seed = static_cast<uint32_t>(number(optarg, 0, 1'000'000));
            break;
        default:
            fprintf(stderr,
                    "usage: stress_items [--items N] [--producers N] [--lives N] [--cpus LIST] [--seed N]\n");
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "stress_items: %s: no such argument\n", argv[optind]);
        return 2;
    }
    return run(chosen);
}
