// SPDX-License-Identifier: MIT
// Looking at the same process twice: what may have happened to it in between.
#include "catch.h"
#include "child_process.h"
#include "stat.h"
#include "stat_segments.h"

#include "../tools/pw-stat/processes.h"

#include <cstring>
#include <linux/sched.h>
#include <optional>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

using namespace pw::detail;
using namespace pw::tool;

namespace {

// What hinders us from seeing that process again.
std::string obstacle_again(process &shown, obstacle kind)
{
    try {
        look_again(shown);
    } catch (const cannot_show &failure) {
        CHECK(failure.kind == kind);
        return failure.what();
    }
    return "none";
}

// A runtime's segment whose writer stays for as long as its process, with a source to tell it by.
bool start_runtime(stat_segment &writer, const char *source)
{
    sample_facts facts;
    facts.source = source;
    return writer.create(facts, true) == 0;
}

// fork(), with an id of our choice; -1 and errno where that is not allowed.
pid_t fork_as(pid_t pid)
{
    clone_args how = {};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<uint64_t>(&pid);
    how.set_tid_size = 1;
    return static_cast<pid_t>(syscall(SYS_clone3, &how, sizeof how));
}

} // namespace

TEST_CASE("a process that goes on is seen as it is now, with rows that came after the first look")
{
    stat_segment writer;
    child_process child([&] { return start_runtime(writer, "first"); },
                        [&] {
                            writer.row(0)->cells[1].queued = 3;
                            writer.row(5000)->cells[1].queued = 4;
                            return true;
                        });
    process seen = find_process(child.pid());
    CHECK(seen.stat.read().cpus[1].queued == 0);
    CHECK(!look_again(seen));
    child.go_on();
    CHECK(!look_again(seen));
    CHECK(seen.stat.read().cpus[1].queued == 7);
}

TEST_CASE("a process that has ended is not seen again, reaped or not")
{
    stat_segment writer;
    child_process child([&] { return start_runtime(writer, "first"); });
    process seen = find_process(child.pid());
    child.end();
    if (GENERATE(true, false))
        child.reap();
    CHECK(obstacle_again(seen, obstacle::ended) == "has ended");
}

TEST_CASE("a process that took over another one's id is not taken for it")
{
    std::optional<stat_segment> writer;
    std::optional<child_process> child;
    child.emplace([&] { return start_runtime(writer.emplace(), "first"); });
    int pid = child->pid();
    process seen = find_process(pid);
    child.reset();
    child.emplace([&] { return start_runtime(writer.emplace(), "second"); }, [] { return true; },
                  [pid] { return fork_as(pid); });
    if (child->pid() < 0) {
        WARN("skipped: a process's id cannot be chosen here: " << strerror(errno));
        return;
    }
    REQUIRE(child->pid() == pid);
    CHECK(obstacle_again(seen, obstacle::ended) == "has ended; its id belongs to another process now");
    CHECK(find_process(pid).stat.facts().source == "second");
}

TEST_CASE("a runtime that was started again is picked up, one that was stopped is not shown")
{
    stat_segment writer, second;
    int steps = 0;
    child_process child([&] { return start_runtime(writer, "first"); },
                        [&] {
                            ++steps;
                            writer.destroy();
                            bool done = steps != 1 || start_runtime(writer, "second");
                            return done && (steps != 3 || start_runtime(second, "third"));
                        });
    process seen = find_process(child.pid());
    child.go_on();
    CHECK(look_again(seen));
    CHECK(seen.stat.facts().source == "second");
    CHECK(!look_again(seen));
    child.go_on();
    CHECK(obstacle_again(seen, obstacle::not_a_user) ==
          "does not use the pwlocks runtime (or it is not running)");
    child.go_on();
    CHECK(look_again(seen));
    CHECK(seen.stat.facts().source == "third");
}

TEST_CASE("a process that became another program is no user any more")
{
    stat_segment writer;
    child_process child([&] { return start_runtime(writer, "first"); },
                        [] {
                            execl("/bin/sleep", "sleep", "600", nullptr);
                            return false;
                        });
    process seen = find_process(child.pid());
    child.tell();
    // Until then it is what it was.
    std::string what;
    do
        what = obstacle_again(seen, obstacle::not_a_user);
    while (what == "none");
    CHECK(what == "does not use the pwlocks runtime (or it is not running)");
}

TEST_CASE("a process lives for as long as one of its threads does")
{
    stat_segment writer;
    child_process child([&] { return start_runtime(writer, "first"); },
                        [] {
                            std::thread([] {
                                for (;;)
                                    pause();
                            }).detach();
                            syscall(SYS_exit, 0); // of this thread only
                            return false;
                        });
    process before = find_process(child.pid());
    child.tell();
    // Its first thread ends in a moment.
    while (!before.place.starts_with("task/")) {
        before = find_process(child.pid());
        std::this_thread::yield();
    }
    CHECK(before.stat.facts().source == "first");
    CHECK(!look_again(before));
    child.end();
    CHECK(obstacle_again(before, obstacle::ended) == "has ended");
}
