// SPDX-License-Identifier: MIT
// The stat segment's writer where something lacks: descriptors, memory that may be locked, file size,
// privileges.
#include "catch.h"
#include "in_child.h"
#include "stat.h"
#include "stat_segments.h"

#include "../tools/pw-stat/segment.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace pw::detail;
using pw::tool::segment;

namespace {

bool set_limit(decltype(RLIMIT_FSIZE) which, rlim_t value)
{
    rlimit limit;
    if (getrlimit(which, &limit) != 0)
        return false;
    limit.rlim_cur = value;
    return setrlimit(which, &limit) == 0;
}

constexpr size_t megabyte_in_pages = (size_t{1} << 20) / 4096;

} // namespace

TEST_CASE("a file size limit hides the segment, with one line, and does not end the program")
{
    outcome result = in_child([] {
        stat_segment writer, other;
        if (!set_limit(RLIMIT_FSIZE, 4096))
            return 1;
        if (writer.create(sample_facts(), true) != 0 || other.create(sample_facts(), true) != 0)
            return 2;
        if (!segment_descriptors().empty())
            return 3;
        writer.row(1000)->cells[0].queued = 1;
        return 0;
    });
    CHECK(result.status == 0);
    CHECK(result.text == "pwlocks: stat: no sealed memfd: File too large: pw-stat cannot see this process\n");
}

TEST_CASE("a file that cannot grow any more makes callers share its last row")
{
    outcome result = in_child([] {
        stat_segment writer;
        if (writer.create(sample_facts(), true) != 0)
            return 1;
        int fd = segment_descriptors().at(0);
        struct stat now;
        if (fstat(fd, &now) != 0 || !set_limit(RLIMIT_FSIZE, static_cast<rlim_t>(now.st_size)))
            return 2;
        pw::stat::caller_row *first = writer.row(0), *shared = writer.row(5000);
        if (shared != writer.row(6000) || shared == first)
            return 3;
        shared->cells[2].queued = 4;
        segment reader(fd);
        if (reader.facts().callers_unseen != 2 || reader.read().cpus[2].queued != 4)
            return 4;
        return 0;
    });
    CHECK(result.status == 0);
    CHECK(result.text.empty());
}

TEST_CASE("a descriptor that the program closed and gave to a file of its own is left alone")
{
    outcome result = in_child([] {
        stat_segment writer;
        if (writer.create(sample_facts(), true) != 0)
            return 1;
        int fd = segment_descriptors().at(0);
        FILE *file = tmpfile();
        if (!file || dup2(fileno(file), fd) != fd)
            return 2;
        pw::stat::caller_row *shared = writer.row(5000);
        shared->cells[0].queued = 1;
        struct stat now;
        if (fstat(fd, &now) != 0 || now.st_size != 0)
            return 3;
        writer.destroy();
        return fcntl(fd, F_GETFD) >= 0 ? 0 : 4;
    });
    CHECK(result.status == 0);
}

TEST_CASE("a segment never takes the place of a standard descriptor")
{
    outcome result = in_child([] {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        stat_segment writer;
        if (writer.create(sample_facts(), true) != 0)
            return 1;
        return fcntl(STDIN_FILENO, F_GETFD) < 0 && fcntl(STDOUT_FILENO, F_GETFD) < 0 &&
                       fcntl(STDERR_FILENO, F_GETFD) < 0 && segment_descriptors().size() == 1
                   ? 0
                   : 2;
    });
    CHECK(result.status == 0);
}

TEST_CASE("without a descriptor to be had nothing is created")
{
    outcome result = in_child([] {
        size_t pages = memory_use().total;
        if (!set_limit(RLIMIT_NOFILE, 3))
            return 1;
        stat_segment writer;
        if (writer.create(sample_facts(), true) != -EMFILE || writer.created())
            return 2;
        if (writer.create(sample_facts(), false) != 0)
            return 3;
        writer.destroy();
        if (!set_limit(RLIMIT_NOFILE, 100))
            return 4;
        return memory_use().total < pages + megabyte_in_pages ? 0 : 5;
    });
    CHECK(result.status == 0);
    CHECK(result.text.empty());
}

TEST_CASE("little address space means fewer rows, none of it an error")
{
    outcome result = in_child([] {
        bool visible = true;
        do {
            stat_segment writer;
            if (!set_limit(RLIMIT_AS, memory_use().total * 4096 + (size_t{4} << 20)))
                return 1;
            if (writer.create(sample_facts(), visible) != 0)
                return 2;
            pw::stat::caller_row *last = writer.row(100000);
            if (last == writer.row(0) || last != writer.row(200000))
                return 3;
            last->cells[0].queued = 1;
            visible = !visible;
        } while (!visible);
        return 0;
    });
    CHECK(result.status == 0);
}

TEST_CASE("locking all future memory does not make the reserved rows resident")
{
    for (bool visible : {true, false}) {
        outcome result = in_child([visible] {
            if (mlockall(MCL_FUTURE) != 0)
                return errno == EPERM ? 77 : 1;
            size_t resident = memory_use().resident;
            stat_segment writer;
            if (writer.create(sample_facts(), visible) != 0)
                return 2;
            for (size_t i = 0; i < 300; ++i)
                writer.row(i)->cells[0].queued = 1;
            return memory_use().resident < resident + 4 * megabyte_in_pages ? 0 : 3;
        });
        if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == 77) {
            WARN("skipped: mlockall() is not permitted here");
            return;
        }
        CAPTURE(visible);
        CHECK(result.status == 0);
    }
}

TEST_CASE("little lockable memory means fewer rows, none of it an error")
{
    constexpr size_t limit = size_t{2} << 20;
    rlimit lockable;
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &lockable) == 0);
    if (lockable.rlim_max < limit) {
        WARN("skipped: RLIMIT_MEMLOCK is below 2 MiB");
        return;
    }
    for (bool visible : {true, false}) {
        outcome result = in_child([visible] {
            // Root may lock whatever it wants.
            if (geteuid() == 0 && setuid(65534) != 0)
                return 1;
            if (!set_limit(RLIMIT_MEMLOCK, limit) || mlockall(MCL_FUTURE) != 0)
                return 2;
            stat_segment writer;
            if (writer.create(sample_facts(), visible) != 0)
                return 3;
            pw::stat::caller_row *last = writer.row(100000);
            if (last == writer.row(0))
                return 4;
            last->cells[0].queued = 1;
            return 0;
        });
        CAPTURE(visible);
        CHECK(result.status == 0);
    }
}
