// SPDX-License-Identifier: MIT
// Which process a segment belongs to, and what stands in the way of seeing it.
#include "capture.h"
#include "catch.h"
#include "child_process.h"
#include "stat.h"
#include "stat_segments.h"

#include "../tools/pw-stat/processes.h"

#include <algorithm>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

using namespace pw::detail;
using namespace pw::tool;

namespace {

std::pair<obstacle, std::string> why_not(int pid)
{
    try {
        find_process(pid);
    } catch (const cannot_show &failure) {
        return {failure.kind, failure.what()};
    }
    FAIL("process " << pid << " was found");
    return {};
}

bool is_listed(int pid)
{
    survey found = find_processes();
    return std::any_of(found.processes.begin(), found.processes.end(),
                       [pid](const listed_process &each) { return each.pid == pid; });
}

} // namespace

TEST_CASE("a process is found with its command by its id, or by one of its threads'")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    writer.row(0)->cells[0].queued = 12;
    int thread_id = 0;
    std::string by_thread;
    std::thread([&] {
        thread_id = gettid();
        process seen = find_process(thread_id);
        by_thread = std::to_string(seen.pid) + seen.command;
    }).join();
    process seen = find_process(getpid());
    CHECK(seen.pid == getpid());
    CHECK(seen.stat.read().cpus[0].queued == 12);
    std::string name = std::filesystem::read_symlink("/proc/self/exe").filename();
    CHECK(seen.command == name.substr(0, 15));
    CHECK(seen.command_line.find(name) != std::string::npos);
    CHECK(thread_id != getpid());
    CHECK(by_thread == std::to_string(getpid()) + seen.command);
    CHECK(is_listed(getpid()));
    writer.destroy();
    CHECK(why_not(getpid()).first == obstacle::not_a_user);
    CHECK(!is_listed(getpid()));
}

TEST_CASE("a child that only inherited the segment does not count as a user")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    child_process child([] { return segment_descriptors().size() == 1; });
    CHECK(why_not(child.pid()).first == obstacle::not_a_user);
    CHECK(!is_listed(child.pid()));
    CHECK(find_process(getpid()).pid == getpid());
}

TEST_CASE("a child that starts afresh shows its own segment and leaves its parent's alone")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    writer.row(0)->cells[0].queued = 5;
    bool dropped_first = GENERATE(true, false);
    stat_segment second;
    child_process child([&] {
        if (dropped_first)
            writer.destroy();
        sample_facts facts;
        facts.source = "program";
        if (second.create(facts, true) != 0)
            return false;
        second.row(0)->cells[0].queued = 8;
        return true;
    });
    process seen = find_process(child.pid());
    CHECK(seen.stat.facts().pid == child.pid());
    CHECK(seen.stat.facts().source == "program");
    CHECK(seen.stat.read().cpus[0].queued == 8);
    process parent = find_process(getpid());
    CHECK(parent.stat.facts().source == "PWLOCKS");
    CHECK(parent.stat.read().cpus[0].queued == 5);
    CHECK((is_listed(child.pid()) && is_listed(getpid())));
}

TEST_CASE("of two segments the later one is shown")
{
    sample_facts facts;
    facts.source = "first";
    stat_segment first, second;
    REQUIRE(first.create(facts, true) == 0);
    facts.source = "second";
    REQUIRE(second.create(facts, true) == 0);
    CHECK(find_process(getpid()).stat.facts().source == "second");
}

TEST_CASE("a broken segment is reported with its process, and does not hide a good one")
{
    int broken = memfd_create(pw::stat::segment_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(broken >= 0);
    CHECK(why_not(getpid()) ==
          std::pair(obstacle::not_a_user, std::string("its stat segment is not finished yet")));
    REQUIRE(write(broken, "?", 1) == 1);
    auto [kind, text] = why_not(getpid());
    CHECK(kind == obstacle::unreadable);
    CHECK(text == "its stat segment is malformed: shorter than its header");
    survey found = find_processes();
    std::string problem = std::to_string(getpid()) + ": " + text;
    CHECK(std::count(found.problems.begin(), found.problems.end(), problem) == 1);

    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    CHECK(find_process(getpid()).stat.facts().source == "PWLOCKS");
    close(broken);
}

TEST_CASE("other files with a similar name are not opened")
{
    // A link's text is all that they have in common with a segment.
    scratch_folder folder;
    std::string path = folder.path("memfd:pwlocks-stat");
    int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    int other = memfd_create("pwlocks-stat2", MFD_CLOEXEC);
    REQUIRE((file >= 0 && other >= 0));
    CHECK(why_not(getpid()).first == obstacle::not_a_user);
    close(file);
    close(other);
}

TEST_CASE("a file that only has a segment's name is not mapped")
{
    int huge = memfd_create(pw::stat::segment_name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (huge < 0) {
        WARN("skipped: no file of huge pages can be made here");
        return;
    }
    auto [kind, text] = why_not(getpid());
    CHECK(kind == obstacle::unreadable);
    CHECK(text == "its stat segment is not an ordinary memfd");
    close(huge);
}

TEST_CASE("what cannot be shown says why")
{
    CHECK(why_not(0x7fffffff) == std::pair(obstacle::no_process, std::string("no such process")));
    CHECK(why_not(getpid()) == std::pair(obstacle::not_a_user, std::string("does not use the pwlocks runtime "
                                                                           "(or it is not running)")));
    pid_t ended = fork();
    if (ended == 0)
        _exit(0);
    siginfo_t info;
    REQUIRE(waitid(P_PID, static_cast<id_t>(ended), &info, WEXITED | WNOWAIT) == 0);
    CHECK(why_not(ended).first == obstacle::not_a_user);
    waitpid(ended, nullptr, 0);
}

TEST_CASE("another user's process is refused with a hint")
{
    if (geteuid() != 0) {
        WARN("skipped: only root can take another user's place");
        return;
    }
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    int parent = getpid();
    child_process child([parent] {
        if (setuid(65534) != 0)
            return false;
        try {
            find_process(parent);
        } catch (const cannot_show &failure) {
            survey found = find_processes();
            return failure.kind == obstacle::denied && found.denied > 0 && !is_listed(parent) &&
                   std::string(failure.what()) == "permission denied (try as its user or as root)";
        }
        return false;
    });
    CHECK(child.pid() > 0);
}
