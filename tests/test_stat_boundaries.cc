// SPDX-License-Identifier: MIT
// Processes on the other side of a boundary: namespaces, users, and names that many have.
#include "catch.h"
#include "child_process.h"
#include "stat.h"
#include "stat_segments.h"

#include "../tools/pw-stat/processes.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <grp.h>
#include <iterator>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <vector>

using namespace pw::detail;
using namespace pw::tool;

namespace {

// An address space of its own for each child: the segment stays for as long as that child.
stat_segment child_segment;

bool start_runtime(const char *source)
{
    sample_facts facts;
    facts.source = source;
    return child_segment.create(facts, true) == 0;
}

std::vector<int> pids(const survey &found)
{
    std::vector<int> all;
    for (const listed_process &each : found.processes)
        all.push_back(each.pid);
    return all;
}

bool contains(const std::vector<int> &all, int pid)
{
    return std::find(all.begin(), all.end(), pid) != all.end();
}

// Whether a child may have namespaces of its own; says so where not.
bool may_unshare(int namespaces)
{
    pid_t child = fork();
    if (child == 0)
        _exit(unshare(namespaces) == 0 ? 0 : errno);
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0)
        return true;
    WARN("skipped: no namespaces of our own here: " << strerror(WEXITSTATUS(status)));
    return false;
}

// fork() into new namespaces, where the child is the first process; the parent knows it by its own count.
template <int namespaces>
pid_t fork_into()
{
    int ids[2];
    REQUIRE(pipe2(ids, O_CLOEXEC) == 0);
    pid_t between = fork();
    if (between == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(namespaces) != 0)
            _exit(1);
        pid_t inner = fork();
        if (inner == 0) {
            close(ids[1]);
            return 0;
        }
        _exit(write(ids[1], &inner, sizeof inner) == sizeof inner ? 0 : 1);
    }
    close(ids[1]);
    pid_t inner = -1;
    REQUIRE(read(ids[0], &inner, sizeof inner) == sizeof inner);
    close(ids[0]);
    waitpid(between, nullptr, 0);
    return inner;
}

} // namespace

TEST_CASE("processes of other pid and mount namespaces are shown by the ids that they have here")
{
    constexpr int spaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS;
    if (!may_unshare(spaces))
        return;
    auto prepare = [] {
        // Its /proc is its own: nothing of ours is in its way.
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        mount("proc", "/proc", "proc", 0, nullptr);
        return getpid() == 1 && start_runtime("inside");
    };
    auto later = [] { return true; };
    child_process one(prepare, later, fork_into<spaces>), other(prepare, later, fork_into<spaces>);
    std::vector<int> all = pids(find_processes());
    for (int pid : {one.pid(), other.pid()}) {
        process seen = find_process(pid);
        CHECK((seen.pid == pid && pid != 1));
        CHECK(seen.stat.facts().pid == 1);
        CHECK(seen.stat.facts().source == "inside");
        CHECK(!look_again(seen));
        CHECK(contains(all, pid));
    }
}

TEST_CASE("every process of a name is found by it, and no other one")
{
    auto named = [](const char *name) {
        return [name] { return prctl(PR_SET_NAME, name) == 0 && start_runtime("program"); };
    };
    child_process one(named("twin\x1b[2J\n")), other(named("twin\x1b[2J\n")), third(named("twin")),
        longest(named("a-name-of-many-letters"));
    std::vector<int> twins = {one.pid(), other.pid()};
    std::sort(twins.begin(), twins.end());
    survey found = find_named("twin\x1b[2J\n");
    CHECK(pids(found) == twins);
    CHECK(found.processes.at(0).command == "twin?[2J?");
    CHECK(pids(find_named("twin")) == std::vector<int>{third.pid()});
    CHECK(pids(find_named("a-name-of-many-letters")) == std::vector<int>{longest.pid()});
    CHECK(pids(find_named("a-name-of-many-")) == std::vector<int>{longest.pid()});
    CHECK(pids(find_named("a-name-of-many")).empty());
    CHECK(pids(find_named("")).empty());
    // All of them, and none that runs it without a runtime, by the program's own name.
    std::string program = std::filesystem::read_symlink("/proc/self/exe").filename();
    std::vector<int> ours = pids(find_named(program));
    CHECK((ours.size() == 4 && contains(ours, third.pid()) && !contains(ours, getpid())));
}

TEST_CASE("those whom we may not look into count only if they have the name that is asked for")
{
    if (geteuid() != 0) {
        WARN("skipped: only root can take another user's place");
        return;
    }
    child_process secret([] { return prctl(PR_SET_NAME, "secret") == 0 && start_runtime("program"); });
    child_process child([&] {
        if (setuid(65534) != 0)
            return false;
        survey named = find_named("secret"), others = find_named("nobody-has-it");
        // Nor do the kernel's own threads count, of which nothing is hidden from us.
        survey kernel = find_named("kthreadd");
        return named.denied == 1 && named.processes.empty() && others.denied == 0 && kernel.denied == 0;
    });
    CHECK(child.pid() > 0);
}

TEST_CASE("a process of ours that protects itself is refused with a hint of its own")
{
    if (geteuid() != 0) {
        WARN("skipped: only root can take another user's place");
        return;
    }
    child_process child([] {
        if (setuid(65534) != 0)
            return false;
        pid_t parent = getpid(), inner = fork();
        if (inner == 0) {
            // Neither has been dumpable since it changed its user.
            std::string what;
            try {
                find_process(parent);
            } catch (const cannot_show &failure) {
                what = failure.what();
            }
            _exit(what == "permission denied: it protects itself (try as root)" ? 0 : 1);
        }
        int status = 1;
        return waitpid(inner, &status, 0) == inner && status == 0;
    });
    CHECK(child.pid() > 0);
}

TEST_CASE("a process that /proc hides from us is not said to be missing")
{
    if (geteuid() != 0 || !may_unshare(CLONE_NEWNS)) {
        WARN("skipped: only root can take another user's place, with a /proc of its own");
        return;
    }
    int parent = getpid();
    child_process child([parent] {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("proc", "/proc", "proc", 0, "hidepid=2") != 0 || setgroups(0, nullptr) != 0 ||
            setgid(65534) != 0 || setuid(65534) != 0) // nothing is hidden from root's group
            return false;
        try {
            find_process(parent);
        } catch (const cannot_show &failure) {
            return failure.kind == obstacle::denied &&
                   std::string(failure.what()) == "hidden from us by how /proc is mounted (try as root)";
        }
        return false;
    });
    CHECK(child.pid() > 0);
}

TEST_CASE("a stopped process is seen, and stays stopped")
{
    child_process child([] { return start_runtime("stopped"); });
    REQUIRE(kill(child.pid(), SIGSTOP) == 0);
    siginfo_t info = {};
    REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WSTOPPED | WNOWAIT) == 0);
    process seen = find_process(child.pid());
    CHECK(seen.stat.facts().source == "stopped");
    CHECK(seen.stat.read().cpus.size() == 3);
    CHECK(!look_again(seen));
    std::ifstream status("/proc/" + std::to_string(child.pid()) + "/status");
    std::string text(std::istreambuf_iterator<char>(status), {});
    CHECK_THAT(text, Catch::Matchers::Contains("State:\tT") && Catch::Matchers::Contains("TracerPid:\t0"));
}

TEST_CASE("processes that come, become others and go while we look are no obstacle")
{
    child_process user([] { return start_runtime("program"); });
    constexpr size_t many = 300;
    void *shared =
        mmap(nullptr, many * sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    auto *ids = static_cast<pid_t *>(shared);
    child_process storm([] { return true; },
                        [ids] {
                            for (size_t i = 0; i < many; ++i) {
                                pid_t made = ids[i] = fork();
                                if (made == 0) {
                                    bool started = i % 2 == 0 && start_runtime("storm");
                                    if (!started || i % 3 == 0)
                                        execl("/bin/true", "true", nullptr);
                                    _exit(0);
                                }
                                if (made < 0 || waitpid(made, nullptr, 0) != made)
                                    return false;
                            }
                            return true;
                        });
    storm.tell();
    std::vector<std::string> problems;
    size_t looks = 0;
    do {
        survey found = find_processes();
        CHECK(contains(pids(found), user.pid()));
        problems.insert(problems.end(), found.problems.begin(), found.problems.end());
        ++looks;
    } while (!storm.has_answered());
    CHECK(looks > 1);
    // Others may have some.
    for (const std::string &each : problems)
        if (std::find(ids, ids + many, std::stoi(each)) != ids + many)
            FAIL_CHECK(each);
    munmap(shared, many * sizeof(pid_t));
}

TEST_CASE("a process that holds segments without end is looked through in bounded time")
{
    child_process child([] {
        for (int i = 0; i < 500; ++i) {
            int fd = memfd_create(pw::stat::segment_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
            if (fd < 0 || ftruncate(fd, 1) != 0)
                return false;
        }
        return start_runtime("last");
    });
    survey found = find_processes();
    std::string problem =
        std::to_string(child.pid()) + ": its stat segment is malformed: shorter than its header";
    CHECK(std::count(found.problems.begin(), found.problems.end(), problem) == 1);
    CHECK(!contains(pids(found), child.pid()));
}
