// SPDX-License-Identifier: MIT
// Operations at random from several threads: queue, flush, cancel, delay, mod, re-arm, free, workqueues that
// are created, drained and destroyed, calls on every CPU, and stops with work pending and armed. Every return
// value must be one that work.h allows there, and where nothing is pending any more each item must have run
// as often as it was accepted, less what was cancelled. Exit status 1 if any of that fails.
//
// Items of one thread have a full model: random_model.h. Shared items are used by everybody at any time, also
// by functions: their sums must be right, and what was posted before a queueing must have been seen when a
// flush behind it returns, if no cancelling came between. The run is a row of rounds, each from start to
// stop.
#include "random_model.h"
#include "random_shared.h"

#include <chrono>
#include <getopt.h>
#include <string>

using namespace stress;

namespace {

using clock_type = std::chrono::steady_clock;

constexpr int most_cpus = 8, shared_per_cpu = 8, items_per_lane = 3;
constexpr unsigned hang_s = 120; // a round takes two seconds

struct options {
    long seconds = 600;
    int threads = 8;
    std::string cpus;
    uint32_t seed = 1;
};

class client {
  public:
    client(int number, uint32_t seed) : number_(number), random_(seed), last_posts_(here->shared.size())
    {
        for (int cpu : here->cpus)
            for (way how : ways) {
                bool delayed = how == way::delayed;
                if (!delayed)
                    add_lane(lanes_, {&ledger_, cpu, how, nullptr, nullptr, false, true});
                add_lane(lanes_,
                         {&ledger_, cpu, how, here->normal, delayed ? nullptr : here->normal, false, true});
                add_lane(lanes_, {&ledger_, cpu, how, here->high, here->high, true, true});
            }
    }

    // Leaves things pending and armed, and goes on with shared items until a stop begins.
    void live(clock_type::time_point until)
    {
        while (clock_type::now() < until)
            for (int i = 0; i < 16; ++i)
                step();
        leave();
        here->waiting_for_stop.fetch_add(1, std::memory_order_relaxed);
        while (use_shared(false) != -ESHUTDOWN) {
        }
    }

    // After the stop: everything accepted has run, and nothing is accepted.
    void check()
    {
        for (lane &each : lanes_)
            for (private_item *item : each.items) {
                item->is_idle();
                queue_item(each.how, each.wq, item->timer, 0, shutdown);
                checked(flush, zero, item, [&] { return pw_flush(&item->timer.work); });
                cancel_item(item->timer, zero);
            }
        for (private_item *each : left_) {
            each->is_idle();
            each->by_function = false;
            each->cancel_sync();
        }
        if (long freed = ledger_.freed.load(std::memory_order_relaxed); freed != ledger_.given_away)
            fail(miscounted, "items that free themselves", this, freed, ledger_.given_away);
        for (size_t i = 0; i < last_posts_.size(); ++i) {
            const shared_item &item = here->shared[i];
            if (long seen = item.seen[number_]; !item.cancelable && seen < last_posts_[i])
                fail(not_seen, shared_name(item.how), &item, seen, last_posts_[i]);
        }
    }

    // After the workqueues are gone as well.
    void discard()
    {
        for (lane &each : lanes_)
            for (private_item *item : each.items)
                item->discard(random_.below(2));
        for (private_item *each : left_)
            each->discard(true);
    }

  private:
    void add_lane(std::deque<lane> &lanes, lane &&made)
    {
        lane &added = lanes.emplace_back(std::move(made));
        for (int i = 0; i < items_per_lane; ++i)
            added.items.push_back(new private_item(added, i != 0));
    }

    void step()
    {
        uint32_t dice = random_.below(1000);
        if (dice < 450)
            use_shared(true);
        else if (dice < 920)
            operate(any_lane(lanes_));
        else if (dice < 945)
            queue_itself();
        else if (dice < 955)
            use_workqueue();
        else if (dice < 962)
            call_everywhere(random_, zero);
        else if (dice < 968)
            empty_own(here->normal, lanes_);
        else if (dice < 974)
            empty_own(here->high, lanes_);
        else if (dice < 980)
            empty_own(nullptr, lanes_);
    }

    lane &any_lane(std::deque<lane> &lanes)
    {
        return lanes[random_.below(static_cast<uint32_t>(lanes.size()))];
    }

    // One operation on a shared item. Returns what its last queueing returned, or 0.
    int use_shared(bool drains)
    {
        shared_item &item = here->any(random_);
        uint32_t dice = random_.below(100);
        if (dice >= 70) {
            if (dice < 85)
                cancel_shared(item, dice < 75, 0);
            else
                flush_item(item.how, item.timer, zero);
            return 0;
        }
        pw_workqueue *wq = here->any_queue(item, random_);
        long ended = item.cancels_ended.load(std::memory_order_relaxed);
        item.posted[number_].store(++posted_, std::memory_order_relaxed);
        int returned = queue_shared(item, wq, random_);
        if (returned < 0)
            return returned;
        last_posts_[static_cast<size_t>(item.number)] = posted_;
        dice = random_.below(100);
        if (dice < 12)
            flush_item(item.how, item.timer, zero);
        else if (drains && dice == 12 && returned == 1 && item.how != way::delayed)
            empty(wq);
        else
            return returned;
        // Every cancelling that had begun by now had ended when we queued.
        if (item.cancels_begun.load(std::memory_order_relaxed) != ended)
            return returned;
        count(my_notes().posts_checked);
        if (long seen = item.seen[number_].load(std::memory_order_relaxed); seen < posted_)
            fail(not_seen, shared_name(item.how), &item, seen, posted_);
        return returned;
    }

    // One operation on an item of our own.
    void operate(lane &on)
    {
        private_item *&item = on.items[random_.below(static_cast<uint32_t>(on.items.size()))];
        bool delayed = on.how == way::delayed;
        uint64_t ns = short_or_long(random_);
        pw_workqueue *wq = random_.below(2) ? on.wq : on.other_wq;
        uint32_t dice = random_.below(20);
        if (dice < 10) {
            if (delayed && dice < 5 && item->may_mod())
                item->mod(ns, wq);
            else if (item->may_queue())
                item->queue(ns, wq);
        } else if (dice < 13) {
            item->cancel();
        } else if (dice < 14) {
            item->cancel_sync();
        } else if (dice < 17) {
            if (delayed && random_.below(2)) // does not wait for what is armed
                checked(flush, zero, item, [&] { return pw_flush(&item->timer.work); });
            else
                item->flush();
        } else if (dice < 18) {
            let_go(on, item, wq);
        } else if (dice < 19) {
            item->discard(random_.below(2));
            item = new private_item(on, random_.below(3));
        } else {
            item->misuse(here->any_cpu(random_), on.high ? here->normal : here->high);
        }
    }

    void let_go(lane &on, private_item *&item, pw_workqueue *wq)
    {
        if (item->may_let_go() && item->let_go(random_.below(200'000), wq))
            item = new private_item(on, random_.below(3));
    }

    // One way or the other.
    int empty(pw_workqueue *wq) { return wq && random_.below(2) ? drain_wq(wq, zero) : flush_wq(wq, zero); }
    void empty_own(pw_workqueue *wq, std::deque<lane> &lanes)
    {
        if (empty(wq) == 0)
            settle(wq, lanes);
    }
    void settle(pw_workqueue *wq, std::deque<lane> &lanes)
    {
        for (lane &each : lanes)
            if (each.wq == wq && each.how != way::delayed)
                for (private_item *item : each.items)
                    item->is_idle();
    }

    // Through the system workqueue: whoever drains another one waits for its end, and we may do so before we
    // end it.
    private_item *start_rearming(lane &on, long rearms)
    {
        auto *item = new private_item(on, false);
        item->by_function = true;
        item->rearms = rearms;
        item->queue(0, on.other_wq);
        return item;
    }

    // Ended by its cancelling. By pw_queue_on() only so often: under lock we run it, here.
    void queue_itself()
    {
        lane &on = any_lane(lanes_);
        if (on.other_wq)
            return;
        private_item *item = start_rearming(on, on.how == way::on ? 10 : 1'000'000'000);
        for (uint32_t i = random_.below(4); i > 0; --i)
            use_shared(true);
        if (random_.below(2))
            std::this_thread::sleep_for(std::chrono::microseconds(random_.below(200)));
        if (random_.below(4) == 0)
            item->cancel();
        item->cancel_sync();
        item->discard(false);
    }

    // A workqueue's life.
    void use_workqueue()
    {
        bool high = random_.below(2);
        pw_workqueue *wq = create_wq("stress_random", high ? PW_WQ_HIGHPRI : 0);
        std::deque<lane> lanes;
        for (int cpu : here->cpus)
            for (way how : ways)
                add_lane(lanes, {&ledger_, cpu, how, wq, wq, high, false});
        if (random_.below(2))
            hold_worker(lanes);
        for (uint32_t i = random_.below(60); i > 0; --i)
            operate(any_lane(lanes));
        if (random_.below(2))
            empty_own(wq, lanes);
        for (uint32_t i = random_.below(30); i > 0; --i)
            operate(any_lane(lanes));
        relay token(wq, random_.below(2) ? way::on : way::worker, random_.below(20));
        token.pass_on();
        if (random_.below(2) && drain_wq(wq, zero) == 0) {
            token.is_over();
            settle(wq, lanes);
        }
        for (lane &each : lanes)
            if (each.how == way::delayed)
                for (private_item *item : each.items)
                    item->run_early();
        destroy_wq(wq, zero);
        token.is_over();
        for (lane &each : lanes)
            for (private_item *item : each.items) {
                item->is_idle();
                item->discard(false);
            }
    }

    // What is queued while its worker stands still is pending for sure, so every return value is known. No
    // call here may wait for that worker.
    void hold_worker(std::deque<lane> &lanes)
    {
        lane &on = any_lane(lanes);
        if (on.how != way::worker)
            return;
        blocker hold;
        hold.init(way::worker, blocker::execute, on.cpu);
        queue_item(hold.how, nullptr, hold.timer, 0, one);
        {
            at now("waiting for a worker that is to be held", &hold);
            while (!hold.started.load(std::memory_order_relaxed))
                std::this_thread::yield();
        }
        on.held = true;
        for (uint32_t i = random_.below(40); i > 0; --i) {
            private_item *&item = on.items[random_.below(items_per_lane)];
            uint32_t dice = random_.below(8);
            if (dice < 4 && item->may_queue())
                item->queue(0, on.wq);
            else if (dice == 4)
                let_go(on, item, on.wq);
            else
                item->cancel();
        }
        on.held = false;
        for (private_item *item : on.items)
            item->let_loose();
        hold.released.store(true, std::memory_order_relaxed);
        flush_item(hold.how, hold.timer, zero);
    }

    // What a stop finds: pending, armed, queueing itself.
    void leave()
    {
        for (lane &each : lanes_)
            for (private_item *&item : each.items) {
                pw_workqueue *wq = random_.below(2) ? each.wq : each.other_wq;
                if (random_.below(4) == 0)
                    let_go(each, item, wq);
                if (item->may_queue())
                    item->queue(short_or_long(random_), wq);
            }
        for (lane &each : lanes_)
            if (each.how != way::on && !each.other_wq && random_.below(4) == 0)
                left_.push_back(start_rearming(each, 1'000'000'000));
    }

    int number_;
    small_random random_;
    ledger ledger_;
    std::deque<lane> lanes_;
    std::vector<private_item *> left_;
    long posted_ = 0;
    std::vector<long> last_posts_; // that were accepted
};

void prepare(world &made, uint32_t seed)
{
    pw_for_each_cpu (cpu)
        made.all_cpus.push_back(cpu);
    made.cpus = made.all_cpus;
    if (made.cpus.size() > most_cpus)
        made.cpus.resize(most_cpus);
    made.normal = create_wq("normal", 0);
    made.high = create_wq("high", PW_WQ_HIGHPRI);
    for (size_t i = 0; i < made.cpus.size() * shared_per_cpu; ++i) {
        shared_item &item = made.shared.emplace_back();
        size_t cpu = i / shared_per_cpu;
        item.number = static_cast<int>(i);
        item.high = i % 8 == 3 || i % 8 == 6;
        item.cancelable = i % 2;
        item.random = small_random(seed + static_cast<uint32_t>(i));
        item.init(ways[i % 3], shared_item::execute, made.cpus[cpu]);
        item.echo.init(ways[i % 2], shared_item::execute_echo, made.cpus[(cpu + 1) % made.cpus.size()]);
    }
}

void check_shared(world &of)
{
    for (shared_item &item : of.shared) {
        long expected = item.accepted - item.cancelled;
        if (item.executions != expected)
            fail(miscounted, shared_name(item.how), &item, item.executions, expected);
        if (item.echo.executions != item.echo_accepted)
            fail(miscounted, "echo", &item.echo, item.echo.executions, item.echo_accepted);
        cancel_item_sync(item.how, item.timer, zero);
    }
}

// From start to stop. False if it could not start.
bool round(const options &chosen, uint32_t seed, clock_type::time_point until)
{
    alarm(hang_s);
    stopping = false;
    std::string start = chosen.cpus.empty() ? "" : "cpus=" + chosen.cpus;
    if (int error = pw_runtime_start(start.c_str())) {
        fprintf(stderr, "stress_random: pw_runtime_start(\"%s\"): %s\n", start.c_str(), strerror(-error));
        return false;
    }
    world made;
    here = &made;
    prepare(made, seed);
    std::deque<client> clients;
    for (int i = 0; i < chosen.threads; ++i)
        clients.emplace_back(i, seed + static_cast<uint32_t>(i));
    std::vector<std::thread> threads;
    for (client &each : clients)
        threads.emplace_back([&] { each.live(until); });
    while (made.waiting_for_stop.load(std::memory_order_relaxed) < chosen.threads)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    std::this_thread::sleep_for(std::chrono::microseconds(small_random(seed).below(3000)));
    stopping = true;
    {
        at now("pw_runtime_stop", nullptr);
        if (int error = pw_runtime_stop())
            fail(not_allowed, "pw_runtime_stop", nullptr, error, 0);
    }
    for (std::thread &each : threads)
        each.join();
    for (client &each : clients)
        each.check();
    check_shared(made);
    destroy_wq(made.normal, zero);
    destroy_wq(made.high, zero);
    for (client &each : clients)
        each.discard();
    return true;
}

int run(const options &chosen)
{
    auto began = clock_type::now(), end = began + std::chrono::seconds(chosen.seconds);
    long rounds = 0;
    while (clock_type::now() < end && failures() == 0) {
        auto until = std::min(end, clock_type::now() + std::chrono::seconds(2));
        if (!round(chosen, chosen.seed * 1'000'000 + static_cast<uint32_t>(rounds) * most_threads, until))
            return 1;
        ++rounds;
    }
    printf("strategy %s, %d threads, seed %u, %ld rounds, %.1f s\n",
           pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", chosen.threads, chosen.seed, rounds,
           std::chrono::duration<double>(clock_type::now() - began).count());
    print_totals();
    for (int kind = 0; kind < error_kinds; ++kind)
        if (long count = errors[kind])
            printf("%s: %ld times\n", error_names[kind], count);
    printf("%ld errors\n", failures());
    return failures() != 0;
}

long number(const char *text, long least, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most) {
        fprintf(stderr, "stress_random: %s: a number from %ld to %ld is needed\n", text, least, most);
        exit(2);
    }
    return value;
}

} // namespace

int main(int argc, char **argv)
{
    options chosen;
    const option known[] = {{"seconds", required_argument, nullptr, 't'},
                            {"threads", required_argument, nullptr, 'n'},
                            {"cpus", required_argument, nullptr, 'c'},
                            {"seed", required_argument, nullptr, 's'},
                            {nullptr, 0, nullptr, 0}};
    for (int each; (each = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (each) {
        case 't':
            chosen.seconds = number(optarg, 1, 1'000'000);
            break;
        case 'n':
            chosen.threads = static_cast<int>(number(optarg, 1, most_threads));
            break;
        case 'c':
            chosen.cpus = optarg;
            break;
        case 's':
            chosen.seed = static_cast<uint32_t>(number(optarg, 0, 4000));
            break;
        default:
            fprintf(stderr, "usage: stress_random [--seconds N] [--threads N] [--cpus LIST] [--seed N]\n");
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "stress_random: %s: no such argument\n", argv[optind]);
        return 2;
    }
    start_watchdog();
    return run(chosen);
}
