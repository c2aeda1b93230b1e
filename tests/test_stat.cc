// SPDX-License-Identifier: MIT
#include "catch.h"
#include "in_child.h"
#include "stat.h"
#include "stat_segments.h"

#include "../tools/pw-stat/segment.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <fcntl.h>
#include <link.h>
#include <memory>
#include <set>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <vector>

using namespace pw::detail;
using pw::tool::segment;

namespace {

int only_descriptor()
{
    std::vector<int> found = segment_descriptors();
    REQUIRE(found.size() == 1);
    return found[0];
}

size_t file_size(int fd)
{
    struct stat now = {};
    fstat(fd, &now);
    return static_cast<size_t>(now.st_size);
}

// The header's plain fields, as another process would see them.
struct header_copy {
    alignas(pw::stat::header) char bytes[sizeof(pw::stat::header)] = {};
    explicit header_copy(int fd) { CHECK(pread(fd, bytes, sizeof bytes, 0) == sizeof bytes); }
    const pw::stat::header *operator->() const { return reinterpret_cast<const pw::stat::header *>(bytes); }
};

// The name under which a reader sees this function run.
std::string name_seen(stat_segment &writer, pw_func_t function)
{
    writer.cpu(0).running = reinterpret_cast<uintptr_t>(function);
    return segment(only_descriptor()).read().cpus[0].running;
}

pw_func_t at(uintptr_t address)
{
    return reinterpret_cast<pw_func_t>(address);
}

void work_of_this_file(pw_struct *) {}

} // namespace

TEST_CASE("a reader sees what the writer published")
{
    sample_facts facts;
    facts.ignored.add("PWLOCKS: invalid value \"2x\", ignored");
    facts.ignored.add("/etc/pwlocks.conf:3: unknown key \"spin\", ignored");
    stat_segment writer;
    REQUIRE(writer.create(facts, true) == 0);
    segment reader(only_descriptor());
    const auto &seen = reader.facts();
    CHECK(seen.pid == getpid());
    CHECK(seen.strategy == "lock");
    CHECK(seen.source == "PWLOCKS");
    CHECK(seen.lock_method == "rseq");
    CHECK(seen.cpus == std::vector<int>{3, 40, 41});
    CHECK(seen.ignored_count == 2);
    CHECK(seen.ignored == std::vector<std::string>{"PWLOCKS: invalid value \"2x\", ignored",
                                                   "/etc/pwlocks.conf:3: unknown key \"spin\", ignored"});
    auto cpus = reader.read().cpus;
    REQUIRE(cpus.size() == 3);
    CHECK((cpus[1].cpu == 40 && cpus[1].node == 1 && cpus[1].isolated));
    CHECK((cpus[2].cpu == 41 && cpus[2].node == -1 && !cpus[2].isolated));
}

TEST_CASE("more ignored options than are kept are counted")
{
    sample_facts facts;
    for (int i = 0; i < ignored_options::capacity + 5; ++i)
        facts.ignored.add(("line " + std::to_string(i)).c_str());
    stat_segment writer;
    REQUIRE(writer.create(facts, true) == 0);
    auto seen = segment(only_descriptor()).facts();
    CHECK(seen.ignored_count == ignored_options::capacity + 5);
    REQUIRE(seen.ignored.size() == ignored_options::capacity);
    CHECK(seen.ignored.back() == "line " + std::to_string(ignored_options::capacity - 1));
}

TEST_CASE("a source that is longer than its field is cut off, not left unterminated")
{
    std::string longest(400, 'x');
    sample_facts facts;
    facts.source = longest.c_str();
    stat_segment writer;
    REQUIRE(writer.create(facts, true) == 0);
    CHECK(segment(only_descriptor()).facts().source == std::string(255, 'x'));
}

TEST_CASE("counts of all rows and the worker add up, CPU by CPU")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    segment reader(only_descriptor());
    writer.row(0)->cells[1].queued = 10;
    writer.row(7)->cells[1].queued = 5;
    writer.row(7)->cells[1].executed = 3;
    writer.row(7)->cells[2].executed = 4;
    writer.row(9)->cells[1].cancelled = 2; // whoever queued them
    writer.row(7)->cells[1].cancelled = 1;
    writer.cpu(1).executed = 2;
    writer.cpu(1).batches = 6;
    writer.cpu(1).wakeups = 8;
    writer.cpu(2).sleeping = 1;
    auto cpus = reader.read().cpus;
    CHECK((cpus[0].queued == 0 && cpus[0].executed == 0 && cpus[0].cancelled == 0 && cpus[0].pending == 0));
    CHECK((cpus[1].queued == 15 && cpus[1].executed == 5 && cpus[1].cancelled == 3 && cpus[1].pending == 7));
    CHECK((cpus[1].batches == 6 && cpus[1].wakeups == 8 && !cpus[1].sleeping));
    // More executed than queued, as only an inexact row gives: nothing is pending.
    CHECK((cpus[2].queued == 0 && cpus[2].executed == 4 && cpus[2].pending == 0 && cpus[2].sleeping));

    // A row that the file had no room for when it was mapped.
    writer.row(5000)->cells[1].queued = 1;
    CHECK(reader.read().cpus[1].queued == 15);
    CHECK(segment(only_descriptor()).read().cpus[1].queued == 16);
}

TEST_CASE("workqueues are shown where they are put, until they are taken away")
{
    bool visible = GENERATE(true, false);
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), visible) == 0);
    const std::string longest(PW_WQ_NAME_MAX, 'x');
    writer.show_workqueue(5, "flusher", false, 7);
    writer.show_workqueue(0, longest.c_str(), true, 7);
    writer.show_workqueue(63, "last", false, 7);
    writer.show_workqueue(64, "one too many", false, 7);
    writer.show_workqueue(7, "", true, 7);
    if (!visible)
        return;
    segment reader(only_descriptor());
    auto seen = reader.read().workqueues;
    REQUIRE(seen.size() == 3);
    CHECK((seen[0].name == longest && seen[0].high));
    CHECK((seen[1].name == "flusher" && !seen[1].high));
    CHECK((seen[2].name == "last" && !seen[2].high));
    writer.show_workqueue(5, "", false, 7);
    writer.show_workqueue(0, "short", false, 7); // nothing of the longer name is left
    writer.show_workqueue(63, "last", true, 7);
    seen = reader.read().workqueues;
    REQUIRE(seen.size() == 2);
    CHECK((seen[0].name == "short" && !seen[0].high));
    CHECK((seen[1].name == "last" && seen[1].high));
}

TEST_CASE("what callers run is shown with the CPU that they run it for")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    for (size_t row = 0; row < 12; ++row) {
        writer.row(row)->running_cpu = 40;
        writer.row(row)->running = row < 3 ? 0x1000 : 0x1000 * row;
    }
    writer.row(12)->running_cpu = 3; // runs nothing
    writer.row(13)->running_cpu = 5; // no CPU of ours
    writer.row(13)->running = 0x1000;
    auto cpus = segment(only_descriptor()).read().cpus;
    CHECK((cpus[0].caller_running.empty() && cpus[2].caller_running.empty()));
    uint64_t threads = 0, of_first = 0;
    for (const auto &each : cpus[1].caller_running) {
        threads += each.threads;
        of_first += each.name == "0x1000" ? each.threads : 0;
    }
    CHECK(cpus[1].caller_running.size() == 5); // four functions, and the others together
    CHECK(threads == 12);
    CHECK(of_first == 3);
}

TEST_CASE("a run that is not timed began, for all that is known, when it was first seen")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    for (size_t row : {1, 2}) {
        writer.row(row)->running_cpu = 40;
        writer.row(row)->running = 0x4000;
        writer.row(row)->started = 7;
    }
    segment reader(only_descriptor());
    auto since = [](const pw::tool::snapshot &seen) { return seen.cpus[1].caller_running.at(0).since_ns; };
    pw::tool::snapshot first = reader.read(), second = reader.read();
    CHECK(since(first) == 0);
    CHECK(since(second) == first.taken_ns);
    CHECK(since(reader.read()) == first.taken_ns);
    // Another run of the one, another function of the other.
    writer.row(1)->started = 8;
    writer.row(2)->running = 0x5000;
    pw::tool::snapshot third = reader.read();
    CHECK(third.cpus[1].caller_running.size() == 2);
    CHECK(since(third) == 0);
    CHECK(since(reader.read()) == third.taken_ns);
    // One that is timed beside one that is not.
    writer.row(2)->running = 0x4000;
    writer.row(2)->running_since = second.taken_ns;
    CHECK(since(reader.read()) == second.taken_ns);
    // None is remembered that has ended meanwhile.
    for (size_t row : {1, 2})
        writer.row(row)->running = 0;
    CHECK(reader.read().cpus[1].caller_running.empty());
    writer.row(1)->running = 0x4000;
    CHECK(since(reader.read()) == 0);
}

TEST_CASE("a function has its symbol's name, or its place in its module")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    auto terminate = reinterpret_cast<pw_func_t>(&std::terminate);
    CHECK(name_seen(writer, terminate).starts_with("0x"));
    writer.name_function(terminate);
    CHECK(name_seen(writer, terminate) == "std::terminate()");

    writer.name_function(work_of_this_file);
    Dl_info info;
    void *map = nullptr;
    REQUIRE(dladdr1(reinterpret_cast<void *>(&work_of_this_file), &info, &map, RTLD_DL_LINKMAP) != 0);
    char expected[256];
    snprintf(expected, sizeof expected, "%s+0x%zx",
             std::filesystem::read_symlink("/proc/self/exe").filename().c_str(),
             reinterpret_cast<uintptr_t>(&work_of_this_file) - static_cast<link_map *>(map)->l_addr);
    CHECK(name_seen(writer, work_of_this_file) == expected);

    writer.name_function(at(0x10)); // belongs to no module
    CHECK(name_seen(writer, at(0x10)) == "0x10");
}

TEST_CASE("functions named from several threads at once are all named")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (uintptr_t n = 1; n <= 200; ++n)
                writer.name_function(at(n * 0x40));
        });
    for (auto &each : threads)
        each.join();
    header_copy header(only_descriptor());
    std::set<uint64_t> named;
    for (uint32_t i = 0; i < header->function_capacity; ++i) {
        pw::stat::function *slot = nullptr;
        alignas(8) char copy[sizeof *slot];
        REQUIRE(pread(only_descriptor(), copy, sizeof copy,
                      static_cast<off_t>(header->function_offset + i * header->function_stride)) ==
                sizeof copy);
        slot = reinterpret_cast<pw::stat::function *>(copy);
        if (slot->address == 0)
            continue;
        named.insert(slot->address);
        char expected[32];
        snprintf(expected, sizeof expected, "0x%llx", static_cast<unsigned long long>(slot->address));
        CHECK(std::string(slot->name) == expected);
    }
    CHECK(named.size() == 200);
}

TEST_CASE("a full function table keeps what it has")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    auto terminate = reinterpret_cast<pw_func_t>(&std::terminate);
    writer.name_function(terminate);
    for (uintptr_t n = 1; n <= 5000; ++n)
        writer.name_function(at(n * 0x40));
    CHECK(name_seen(writer, terminate) == "std::terminate()");
    CHECK(name_seen(writer, at(5000 * 0x40)) == "0x4e200");
}

TEST_CASE("rows are apart, zeroed and stay where they are while the file grows")
{
    bool visible = GENERATE(true, false);
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), visible) == 0);
    pw::stat::caller_row *first = writer.row(0);
    size_t size = visible ? file_size(only_descriptor()) : 0;
    first->cells[2].executed = 77;
    constexpr size_t count = 2000;
    auto previous = reinterpret_cast<uintptr_t>(first);
    for (size_t i = 1; i < count; ++i) {
        pw::stat::caller_row *row = writer.row(i);
        REQUIRE((row->running == 0 && row->cells[0].queued == 0 && row->cells[2].executed == 0));
        row->cells[2].executed = i;
        // No two rows share a pair of cache lines.
        REQUIRE(reinterpret_cast<uintptr_t>(row) % 128 == 0);
        REQUIRE(reinterpret_cast<uintptr_t>(row) >= previous + 128);
        previous = reinterpret_cast<uintptr_t>(row);
    }
    CHECK(writer.row(0) == first);
    CHECK(first->cells[2].executed == 77);
    CHECK(writer.row(count - 1)->cells[2].executed == count - 1);
    if (visible) {
        CHECK(file_size(only_descriptor()) > size);
        CHECK(header_copy(only_descriptor())->caller_count == count);
    } else {
        CHECK(segment_descriptors().empty());
    }
}

TEST_CASE("callers beyond the last row share it and are counted")
{
    sample_facts facts;
    facts.cpus.resize(1);
    stat_segment writer;
    REQUIRE(writer.create(facts, true) == 0);
    size_t capacity = header_copy(only_descriptor())->caller_capacity;
    CHECK(capacity >= 256);
    pw::stat::caller_row *last = writer.row(capacity - 1);
    CHECK(segment(only_descriptor()).facts().callers_unseen == 0);
    CHECK(writer.row(capacity) == last);
    CHECK(writer.row(capacity + 1000) == last);
    last->cells[0].queued = 9;
    segment reader(only_descriptor());
    CHECK(reader.facts().callers_unseen == 2);
    CHECK(reader.read().cpus[0].queued == 9);
}

TEST_CASE("a machine of thousands of CPUs has rows for hundreds of threads")
{
    sample_facts facts;
    facts.cpus.clear();
    for (int cpu = 0; cpu < 2 * 4096; cpu += 2)
        facts.cpus.push_back({cpu, cpu / 64, false});
    stat_segment writer;
    REQUIRE(writer.create(facts, true) == 0);
    writer.row(255)->cells[4095].queued = 1;
    segment reader(only_descriptor());
    CHECK(reader.facts().callers_unseen == 0);
    CHECK(reader.facts().cpus.size() == 4096);
    CHECK(reader.read().cpus[4095].queued == 1);
}

TEST_CASE("nobody can shrink the segment or map it for writing")
{
    stat_segment writer;
    REQUIRE(writer.create(sample_facts(), true) == 0);
    int fd = only_descriptor();
    auto size = static_cast<off_t>(file_size(fd));
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    int again = open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(again >= 0);
    for (int each : {fd, again}) {
        errno = 0;
        CHECK((ftruncate(each, size - 4096) == -1 && errno == EPERM));
        errno = 0;
        CHECK((mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, each, 0) == MAP_FAILED &&
               errno == EPERM));
        errno = 0;
        CHECK((pwrite(each, "x", 1, 0) == -1 && errno == EPERM));
        errno = 0;
        CHECK((fallocate(each, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1 && errno == EPERM));
        errno = 0;
        CHECK((fcntl(each, F_ADD_SEALS, F_SEAL_GROW) == -1 && errno == EPERM));
    }
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(again);
    writer.row(1000)->cells[0].queued = 1; // the writer still grows and writes it
    CHECK(segment(fd).read().cpus[0].queued == 1);
}

TEST_CASE("destroying a segment gives back its descriptor and its mapping")
{
    bool visible = GENERATE(true, false);
    sample_facts facts;
    {
        stat_segment warm_up;
        REQUIRE(warm_up.create(facts, visible) == 0);
    }
    size_t descriptors = descriptor_count();
    size_t pages = memory_use().total;
    stat_segment writer;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(writer.create(facts, visible) == 0);
        writer.row(500)->running = 1;
        REQUIRE(writer.created());
        if (i % 2 == 0) // creating again gives back as well
            writer.destroy();
    }
    writer.destroy();
    CHECK(!writer.created());
    CHECK(descriptor_count() == descriptors);
    CHECK(memory_use().total < pages + (size_t{32} << 20) / 4096); // one leaked mapping is larger
    CHECK(segment_descriptors().empty());
}
