// SPDX-License-Identifier: MIT
#include "catch.h"
#include "in_child.h"
#include "percpu_machine.h"

#include <pwlocks/percpu.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace pw::detail;

namespace {

struct record {
    int number;
};
static_assert(std::is_same_v<decltype(pw_per_cpu_ptr(std::declval<record *>(), 1)), record *>);
static_assert(std::is_same_v<decltype(pw_per_cpu_ptr(std::declval<const record *>(), 1)), const record *>);
static_assert(std::is_same_v<decltype(pw_this_cpu_ptr(std::declval<record *>())), record *>);

void require_death(void *wrong, const std::string &why)
{
    outcome result = in_child([&] {
        pw_free_percpu(wrong);
        return 0;
    });
    CHECK(WIFSIGNALED(result.status));
    CHECK(WTERMSIG(result.status) == SIGABRT);
    char pointer[32];
    snprintf(pointer, sizeof pointer, "%p", wrong);
    CHECK(result.text == "pwlocks: pw_free_percpu: " + why + ": " + pointer + "\n");
}

// Runs before every constructor, of this program and of the library.
void *early_object;

void allocate_early(int, char **, char **)
{
    early_object = pw_alloc_percpu(100, 32);
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const before_constructors)(int, char **,
                                                                                char **) = allocate_early;

// Runs after every exit handler and static destructor; speaks only in the child that asks for it.
bool speak_at_exit = false;

[[gnu::destructor(101)]] void after_destructors()
{
    if (!speak_at_exit)
        return;
    pw_free_percpu(early_object);
    void *late = pw_alloc_percpu(100, 32);
    if (late == early_object && zero_everywhere(late, 100, pw_nr_cpus()))
        fputs("allocated late\n", stderr);
}

} // namespace

TEST_CASE("an object has a typed instance for every CPU, one stride apart")
{
    record *object = static_cast<record *>(pw_alloc_percpu(sizeof(record), alignof(record)));
    REQUIRE(object != nullptr);
    CHECK(pw_per_cpu_ptr(object, 0) == object);
    for (int cpu = 1; cpu < pw_nr_cpus(); ++cpu) {
        ptrdiff_t distance = reinterpret_cast<char *>(pw_per_cpu_ptr(object, cpu)) -
                             reinterpret_cast<char *>(pw_per_cpu_ptr(object, cpu - 1));
        CHECK(distance == ptrdiff_t{1} << PW_PERCPU_SHIFT);
        pw_per_cpu_ptr(object, cpu)->number = cpu;
    }
    record *here = pw_this_cpu_ptr(object);
    CHECK(reinterpret_cast<char *>(here) >= reinterpret_cast<char *>(object));
    CHECK(reinterpret_cast<char *>(here) <= instance(object, pw_nr_cpus() - 1));
    CHECK((reinterpret_cast<uintptr_t>(here) - reinterpret_cast<uintptr_t>(object)) % stride == 0);
    CHECK(object->number == 0);
    pw_free_percpu(object);
}

TEST_CASE("an object is zero for every CPU, also where an earlier one lay")
{
    constexpr size_t size = 3 * 4096 + 100;
    void *object = pw_alloc_percpu(size, 64);
    REQUIRE(object != nullptr);
    for (int round = 0; round < 4; ++round) {
        CHECK(zero_everywhere(object, size, pw_nr_cpus()));
        for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
            memset(instance(object, cpu), 0xa5, size);
        void *former = object;
        pw_free_percpu(object);
        object = pw_alloc_percpu(size, 64);
        CHECK(object == former);
    }
    pw_free_percpu(object);
}

TEST_CASE("every power of two up to the stride is an alignment")
{
    percpu_space space(machine_of<2>);
    for (size_t align = 1; align <= stride; align *= 2) {
        void *odd = space.allocate(1, 1);
        void *object = space.allocate(3, align);
        REQUIRE(object != nullptr);
        CHECK(reinterpret_cast<uintptr_t>(object) % std::max(align, size_t{8}) == 0);
        CHECK(space.release(odd) == nullptr);
    }
    CHECK(space.usage().objects == PW_PERCPU_SHIFT + 1);
}

TEST_CASE("bad sizes and alignments are refused with EINVAL, and nothing is opened for them")
{
    percpu_space space(machine_of<2>);
    auto [size, align] = GENERATE(table<size_t, size_t>({{0, 8},
                                                         {8, 0},
                                                         {8, 3},
                                                         {8, 24},
                                                         {8, 2 * stride},
                                                         {stride + 1, 8},
                                                         {SIZE_MAX, 8},
                                                         {SIZE_MAX - 6, 1},
                                                         {8, SIZE_MAX},
                                                         {8, size_t{1} << (8 * sizeof(size_t) - 1)}}));
    errno = 0;
    CHECK(space.allocate(size, align) == nullptr);
    CHECK(errno == EINVAL);
    errno = 0;
    CHECK(pw_alloc_percpu(size, align) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(space.usage().chunks == 0);
}

TEST_CASE("freed neighbours become one extent again, in whatever order they are freed")
{
    percpu_space space(machine_of<2>);
    std::mt19937 random(7);
    for (int round = 0; round < 20; ++round) {
        std::vector<void *> objects;
        for (int i = 0; i < 200; ++i)
            objects.push_back(space.allocate(1 + random() % 3000, size_t{1} << random() % 8));
        CHECK(space.usage().objects == 200);
        std::shuffle(objects.begin(), objects.end(), random);
        for (void *object : objects)
            REQUIRE(space.release(object) == nullptr);
        percpu_usage usage = space.usage();
        CHECK(usage.chunks == 1);
        CHECK(usage.free_extents == 1);
        CHECK(usage.allocated == 0);
    }
    CHECK(space.allocate(stride, stride) != nullptr);
    CHECK(space.usage().chunks == 1);
}

TEST_CASE("objects never overlap, are zero, keep their contents, and lie in the first place that fits")
{
    struct object {
        char *start;
        size_t size, end; // end: offset in the chunk
        char fill;
    };
    constexpr int cpus = 3;
    percpu_space space(machine_of<cpus>);
    std::vector<std::map<size_t, object>> model; // per chunk, by offset
    std::vector<char *> bases;
    std::mt19937 random(GENERATE(1u, 2u, 3u));
    size_t live = 0;
    int wrong_place = 0, not_zero = 0, overwritten = 0;
    for (int step = 0; step < 4000; ++step) {
        unsigned kind = random() % 100;
        if (live > 0 && (kind < 48 || live > 600)) {
            size_t victim = random() % live--;
            size_t chunk = 0;
            for (; victim >= model[chunk].size(); ++chunk)
                victim -= model[chunk].size();
            auto gone = std::next(model[chunk].begin(), static_cast<ptrdiff_t>(victim));
            object &old = gone->second;
            for (int cpu = 0; cpu < cpus; ++cpu)
                overwritten += !all_bytes_are(instance(old.start, cpu), old.size, cpu == 1 ? 0 : old.fill);
            REQUIRE(space.release(old.start) == nullptr);
            model[chunk].erase(gone);
            continue;
        }
        size_t size = 1 + random() % (kind < 90 ? 512 : kind < 98 ? 20000 : stride);
        size_t align = size_t{1} << random() % (kind < 95 ? 7 : PW_PERCPU_SHIFT + 1);
        char *start = static_cast<char *>(space.allocate(size, align));
        REQUIRE(start != nullptr);
        ++live;
        size_t padded = (size + 7) / 8 * 8, step_size = std::max(align, size_t{8});
        size_t chunk = 0, at = 0;
        for (; chunk < model.size(); ++chunk) {
            at = 0;
            for (auto &[offset, taken] : model[chunk]) {
                if (at + padded <= offset)
                    break;
                at = (taken.end + step_size - 1) / step_size * step_size;
            }
            if (at + padded <= stride)
                break;
        }
        if (chunk == model.size()) {
            model.emplace_back();
            bases.push_back(start);
            at = 0;
        }
        wrong_place += start != bases[chunk] + at;
        not_zero += !zero_everywhere(start, size, cpus);
        object fresh = {start, size, at + padded, static_cast<char>(1 + step % 250)};
        for (int cpu = 0; cpu < cpus; cpu += 2) // CPU 1's instance is only ever read
            memset(instance(start, cpu), fresh.fill, size);
        model[chunk].emplace(at, fresh);
    }
    CHECK(wrong_place == 0);
    CHECK(not_zero == 0);
    CHECK(overwritten == 0);
    CHECK(space.usage().chunks == model.size());
    CHECK(space.usage().objects == live);
}

TEST_CASE("many threads allocate and free at the same time")
{
    constexpr int threads = 8;
    int wrong[threads] = {};
    auto work = [&wrong](int self) {
        std::mt19937 random(static_cast<unsigned>(self));
        std::vector<std::pair<void *, size_t>> mine;
        const char fill = static_cast<char>(self + 1);
        int last = pw_nr_cpus() - 1;
        for (int step = 0; step < 3000; ++step) {
            if (mine.size() > 20 || (!mine.empty() && random() % 2 == 0)) {
                std::swap(mine[random() % mine.size()], mine.back());
                auto [object, size] = mine.back();
                mine.pop_back();
                wrong[self] += !all_bytes_are(instance(object, last), size, fill);
                pw_free_percpu(object);
            } else {
                size_t size = 1 + random() % 2000;
                void *object = pw_alloc_percpu(size, 64);
                wrong[self] += object == nullptr || !zero_everywhere(object, size, last + 1);
                memset(instance(object, last), fill, size);
                mine.emplace_back(object, size);
            }
        }
        for (auto [object, size] : mine)
            pw_free_percpu(object);
    };
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i)
        running.emplace_back(work, i);
    for (std::thread &thread : running)
        thread.join();
    CHECK(std::count(std::begin(wrong), std::end(wrong), 0) == threads);
}

TEST_CASE("freeing NULL does nothing, freeing a wrong pointer ends the program with one line")
{
    pw_free_percpu(nullptr);
    char *object = static_cast<char *>(pw_alloc_percpu(64, 8));
    char *freed = static_cast<char *>(pw_alloc_percpu(32, 8));
    REQUIRE(freed != nullptr);
    pw_free_percpu(freed);
    int local = 0;
    require_death(freed, "freed before");
    require_death(freed + 8, "not from pw_alloc_percpu");
    require_death(&local, "not from pw_alloc_percpu");
    require_death(object + 8, "not the start of an object");
    require_death(object + 4, "not the start of an object");
    if (pw_nr_cpus() > 1)
        require_death(instance(object, 1), "one CPU's instance, not the per-CPU pointer");
    require_death(instance(object, pw_nr_cpus()), "not from pw_alloc_percpu");
    pw_free_percpu(object);
    require_death(object, "freed before");
    // Where an object started, another one now reaches over.
    percpu_space space(machine_of<1>);
    void *first = space.allocate(8, 8);
    char *second = static_cast<char *>(space.allocate(8, 8));
    CHECK(space.release(second) == nullptr);
    CHECK(space.release(first) == nullptr);
    CHECK(space.allocate(16, 8) == first);
    CHECK(space.release(second) == std::string("not the start of an object"));
    CHECK(space.release(first) == nullptr);
    CHECK(space.release(first) == std::string("freed before"));
}

TEST_CASE("memory can be had before constructors run and after exit handlers have")
{
    REQUIRE(early_object != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(early_object) % 32 == 0);
    CHECK(zero_everywhere(early_object, 100, pw_nr_cpus()));
    outcome result = in_child([]() -> int {
        speak_at_exit = true;
        exit(0);
    });
    CHECK(result.status == 0);
    CHECK(result.text == "allocated late\n");
}

#if !PW_DETAIL_TSAN // whose runtime does not survive a fork that its handlers do not see
TEST_CASE("the child of a fork in the middle of other threads' allocations can allocate")
{
    std::atomic<bool> stop{false};
    std::thread busy([&stop] {
        while (!stop)
            pw_free_percpu(pw_alloc_percpu(100, 8));
    });
    record *object = static_cast<record *>(pw_alloc_percpu(sizeof(record), 8));
    REQUIRE(object != nullptr);
    object->number = 5;
    int failed = 0;
    for (int i = 0; i < 100; ++i) {
        // _Fork() runs no handlers: these here are the ones under test, whether or not the library registered
        // them.
        percpu_before_fork();
        pid_t child = _Fork();
        if (child == 0) {
            percpu_after_fork_child();
            void *fresh = pw_alloc_percpu(100, 8);
            bool good = fresh != nullptr && zero_everywhere(fresh, 100, pw_nr_cpus()) && object->number == 5;
            object->number = 6;
            pw_free_percpu(object);
            _exit(good ? 0 : 1);
        }
        percpu_after_fork_parent();
        int status = -1;
        failed += child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    stop = true;
    busy.join();
    CHECK(failed == 0);
    CHECK(object->number == 5);
    pw_free_percpu(object);
}
#endif
