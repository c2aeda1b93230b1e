// SPDX-License-Identifier: MIT
// A start that fails, for want of a descriptor or a thread: with what error, and how often it is tried.
#include "time_limit.h"

#include "capture.h"
#include "on_cpu.h"
#include "programs.h"
#include "somebody.h"
#include "tasks.h"
#include "this_process.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/resource.h>

TEST_CASE("child: no descriptor is left", "[.child]")
{
    pw_runtime_stop();
    // A process that has never started: the first use gets the error, and the next one tries again.
    rlimit few;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &few) == 0);
    rlimit none = few;
    none.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    std::vector<int> taken;
    for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;)
        taken.push_back(fd);
    int runs = 0;
    task item(given_cpus.front(), [&] { ++runs; });
    const int started = pw_runtime_start(nullptr);
    const int queued = item.queue();
    const bool online = pw_cpu_online(given_cpus.front());
    for (int fd : taken)
        close(fd);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK(started == -EMFILE);
    CHECK(queued == -EMFILE);
    CHECK_FALSE(online);
    CHECK(library_threads().empty());
    CHECK(runs == 0);
    // As if nothing had been.
    CHECK(worker_cpus() == given_cpus);
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("a start without a free descriptor fails with -EMFILE and leaves nothing behind")
{
    require_passes("child: no descriptor is left");
}

TEST_CASE("child: no thread is left", "[.child]")
{
    const bool alone = become_somebody();
    REQUIRE(pw_runtime_start(nullptr) == 0);
    REQUIRE(pw_runtime_stop() == 0);
    rlimit unlimited;
    REQUIRE(getrlimit(RLIMIT_NPROC, &unlimited) == 0);
    const size_t before = threads().size();
    REQUIRE(pw_runtime_start(nullptr) == 0);
    const size_t needed = threads().size() - before;
    REQUIRE(pw_runtime_stop() == 0);
    REQUIRE(needed >= worker_cpus().size());
    const std::vector<std::string> descriptors_before = descriptors();

    // Not even one; then one more each time, as long as it is one too few.
    for (size_t spare = 0; spare < (alone ? needed : 1); ++spare) {
        CAPTURE(spare, needed);
        rlimit limit = unlimited;
        limit.rlim_cur = alone ? threads().size() + spare : 0;
        REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
        int result;
        std::string text;
        {
            stderr_capture capture;
            result = pw_runtime_start(nullptr);
            text = capture.text();
        }
        REQUIRE(setrlimit(RLIMIT_NPROC, &unlimited) == 0);
        CHECK(result == -EAGAIN);
        CHECK(text.find("thread not created: Resource temporarily unavailable\n") != std::string::npos);
        CHECK(std::count(text.begin(), text.end(), '\n') == 1);
        CHECK(no_library_thread_stays());
        CHECK(descriptors() == descriptors_before);
        CHECK(pw_runtime_stop() == -ESRCH);
    }
    REQUIRE(pw_runtime_start(nullptr) == 0);
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; });
    CHECK(item.queue_to_worker() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("a start that gets no thread fails with -EAGAIN and ends those that it has")
{
    require_passes("child: no thread is left");
}

TEST_CASE("child: no thread is left for the first use", "[.child]")
{
    const bool alone = become_somebody();
    rlimit unlimited;
    REQUIRE(getrlimit(RLIMIT_NPROC, &unlimited) == 0);
    rlimit limit = unlimited;
    limit.rlim_cur = alone ? threads().size() : 0;
    REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
    int walked = 0, next;
    bool online;
    std::string text[3];
    {
        stderr_capture capture;
        next = pw_next_cpu(-1);
        text[0] = capture.text();
    }
    {
        stderr_capture capture;
        pw_for_each_cpu(cpu) walked += cpu + 1;
        text[1] = capture.text();
    }
    {
        stderr_capture capture;
        online = pw_cpu_online(given_cpus.front());
        text[2] = capture.text();
    }
    REQUIRE(setrlimit(RLIMIT_NPROC, &unlimited) == 0);
    CHECK(next == -1);
    CHECK(walked == 0);
    CHECK_FALSE(online);
    for (const std::string &each : text) {
        CAPTURE(each);
        CHECK(each.find("thread not created") != std::string::npos);
        CHECK(std::count(each.begin(), each.end(), '\n') == 1);
    }
    CHECK(no_library_thread_stays());
    // Then there are some.
    CHECK(worker_cpus() == given_cpus);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("where no thread can be started, a walk over the CPUs tries it once and ends")
{
    require_passes("child: no thread is left for the first use");
}
