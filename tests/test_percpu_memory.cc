// SPDX-License-Identifier: MIT
// What per-CPU memory costs and where it lies: address space, pages, nodes.
#include "capture.h"
#include "catch.h"
#include "in_child.h"
#include "percpu_machine.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <numaif.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace pw::detail;

namespace {

// What the kernel says about reading a byte there, without a fault.
bool accessible(const char *where)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    bool readable = write(ends[1], where, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return readable;
}

// Whether a page belongs to some mapping, with or without access.
bool mapped(char *page)
{
    unsigned char present;
    return mincore(page, 1, &present) == 0;
}

// Bytes of memory that a range of whole mappings holds; the shared page of zeros does not count.
size_t resident(const void *start, size_t length)
{
    uintptr_t begin = reinterpret_cast<uintptr_t>(start);
    std::ifstream maps("/proc/self/smaps");
    size_t sum = 0;
    bool inside = false;
    for (std::string line; std::getline(maps, line);) {
        unsigned long first, last, kib;
        if (sscanf(line.c_str(), "%lx-%lx ", &first, &last) == 2)
            inside = first >= begin && last <= begin + length;
        else if (inside && sscanf(line.c_str(), "Anonymous: %lu kB", &kib) == 1)
            sum += kib * 1024;
    }
    return sum;
}

} // namespace

TEST_CASE("a chunk that has no place left makes another one open")
{
    percpu_space space(machine_of<3>);
    errno = 7;
    void *whole = space.allocate(stride, stride);
    REQUIRE(whole != nullptr);
    CHECK(errno == 7);
    CHECK(space.usage().chunks == 1);
    CHECK(space.usage().free_extents == 0);
    void *other = space.allocate(8, 8);
    REQUIRE(other != nullptr);
    CHECK(space.usage().chunks == 2);
    // The last CPU's stride is usable to the end, and what lies behind it is held, for nobody.
    CHECK(accessible(instance(whole, 2) + stride - 1));
    CHECK(mapped(instance(whole, 3)));
    CHECK_FALSE(accessible(instance(whole, 3)));
    CHECK_FALSE(accessible(instance(whole, 3) + stride - 1));
    CHECK(space.release(whole) == nullptr);
    CHECK(space.allocate(8, 8) == whole);
}

TEST_CASE("no memory means ENOMEM, and the space stays usable")
{
    outcome result = in_child([] {
        percpu_space space(machine_of<64>);
        rlimit none = {0, RLIM_INFINITY}, before;
        getrlimit(RLIMIT_AS, &before);
        none.rlim_max = before.rlim_max;
        setrlimit(RLIMIT_AS, &none);
        errno = 0;
        bool refused = space.allocate(8, 8) == nullptr && errno == ENOMEM;
        setrlimit(RLIMIT_AS, &before);
        return refused && space.usage().chunks == 0 && space.allocate(8, 8) != nullptr ? 0 : 1;
    });
    CHECK(result.status == 0);
}

TEST_CASE("memory is taken only when it is touched")
{
    constexpr int cpus = 5;
    percpu_space space(machine_of<cpus>);
    char *small = static_cast<char *>(space.allocate(8, 8));
    REQUIRE(small != nullptr);
    CHECK(space.usage().committed == 64 * 1024);
    CHECK(accessible(instance(small, cpus - 1) + 64 * 1024 - 1));
    CHECK_FALSE(accessible(instance(small, cpus - 1) + 64 * 1024));
    char *large = static_cast<char *>(space.allocate(stride, 8));
    REQUIRE(large != nullptr);
    CHECK(resident(large, cpus * stride) == 0);
    *instance(large, 3) = 1;
    size_t page = resident(large, cpus * stride);
    CHECK(page == static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    // A large object goes back to the kernel.
    CHECK(space.release(large) == nullptr);
    CHECK(resident(large, cpus * stride) == 0);
    CHECK(space.allocate(stride, 8) == large);
    CHECK(zero_everywhere(large, stride, cpus));
    // Of a small one every instance is looked at when its space is used again, and only the one written takes
    // memory.
    percpu_space other(machine_of<cpus>);
    char *page_sized = static_cast<char *>(other.allocate(page, page));
    *instance(page_sized, 2) = 1;
    CHECK(other.release(page_sized) == nullptr);
    CHECK(other.allocate(page, page) == page_sized);
    CHECK(zero_everywhere(page_sized, page, cpus));
    CHECK(resident(page_sized, cpus * stride) == page);
}

TEST_CASE("a program that locks its future memory pays for what objects reach, not for what is reserved")
{
    enum { fine, not_permitted, too_large, not_locked, not_zero };
    outcome result = in_child([] {
        if (syscall(SYS_mlockall, MCL_FUTURE) != 0)
            return not_permitted;
        constexpr int cpus = 4;
        constexpr size_t size = 128 * 1024;
        percpu_space space(machine_of<cpus>);
        char *object = static_cast<char *>(space.allocate(64, 64));
        if (object == nullptr)
            return not_permitted;
        size_t taken = resident(object, cpus * stride);
        if (taken > cpus * 64 * 1024)
            return too_large;
        if (taken == 0)
            return not_locked; // and the test has tested nothing
        // Locked pages cannot be given back: reuse has to clear them.
        char *large = static_cast<char *>(space.allocate(size, 64));
        if (large == nullptr)
            return not_permitted;
        for (int cpu = 0; cpu < cpus; ++cpu)
            memset(instance(large, cpu), 1, size);
        space.release(large);
        return space.allocate(size, 64) == large && zero_everywhere(large, size, cpus) ? fine : not_zero;
    });
    REQUIRE(WIFEXITED(result.status));
    if (WEXITSTATUS(result.status) == not_permitted)
        WARN("not permitted to lock memory: not tested");
    else
        CHECK(WEXITSTATUS(result.status) == fine);
}

namespace {

struct binding {
    size_t start, length; // in strides; start behind the first one
    int node;
    bool operator==(const binding &) const = default;
};
std::vector<std::pair<char *, binding>> bindings;

int note_binding(void *start, size_t length, int node)
{
    bindings.push_back({static_cast<char *>(start), {0, length / stride, node}});
    return -EINVAL; // the answer does not matter
}

std::vector<binding> bindings_from(void *base)
{
    std::vector<binding> relative;
    for (auto &[start, each] : bindings)
        relative.push_back(
            {static_cast<size_t>(start - static_cast<char *>(base)) / stride, each.length, each.node});
    return relative;
}

// A folder in place of /sys, with these files about nodes.
class fake_sys {
  public:
    explicit fake_sys(const std::map<std::string, std::string> &files)
    {
        for (auto &[file, text] : files)
            folder_.write("devices/system/node/" + file, text + "\n");
    }
    system_roots roots() const { return {root_.c_str(), no_sys}; }

  private:
    scratch_folder folder_;
    std::string root_ = folder_.path("");
};

} // namespace

TEST_CASE("each CPU's stride is placed on its own node, in one piece for CPUs in a row")
{
    bindings.clear();
    fake_sys sys({{"online", "0,2-3"},
                  {"node0/cpulist", "0-3,8"},
                  {"node1/cpulist", "0"}, // not online: not looked at
                  {"node2/cpulist", "4-6,96-200"},
                  {"node3/cpulist", ""}}); // memory only
    percpu_space space({[] { return 97; }, sys.roots(), note_binding});
    void *base = space.allocate(8, 8);
    REQUIRE(base != nullptr);
    CHECK(bindings_from(base) == std::vector<binding>{{0, 4, 0}, {8, 1, 0}, {4, 3, 2}, {96, 1, 2}});
    CHECK(zero_everywhere(base, 8, 97));
}

TEST_CASE("a machine with one node, or with files that make no sense, needs no placement")
{
    bindings.clear();
    auto files =
        GENERATE(table<std::string, std::string>({{"0", "0-3"}, {"", ""}, {"0-1", "x"}, {"1-", "0"}}));
    fake_sys sys({{"online", std::get<0>(files)}, {"node0/cpulist", std::get<1>(files)}});
    percpu_space space({[] { return 4; }, sys.roots(), note_binding});
    CHECK(space.allocate(8, 8) != nullptr);
    CHECK(bindings.empty());
}

TEST_CASE("the kernel takes the placement as a preference")
{
    fake_sys sys({{"online", "0-1"}, {"node0/cpulist", "1"}, {"node1/cpulist", ""}});
    percpu_space space({[] { return 3; }, sys.roots(), bind_to_node});
    void *base = space.allocate(8, 8);
    REQUIRE(base != nullptr);
    unsigned long nodes[1024 / (8 * sizeof(unsigned long))] = {};
    int policy = -1;
    if (get_mempolicy(&policy, nodes, 1024, instance(base, 1), MPOL_F_ADDR) != 0) {
        WARN("no NUMA policy in this kernel or sandbox: not tested");
        return;
    }
    CHECK(policy == MPOL_PREFERRED);
    CHECK(nodes[0] == 1);
    REQUIRE(get_mempolicy(&policy, nullptr, 0, instance(base, 0), MPOL_F_ADDR) == 0);
    CHECK(policy == MPOL_DEFAULT);
    CHECK(bind_to_node(base, stride, 1024) == -EINVAL);
    CHECK(bind_to_node(base, stride, -1) == -EINVAL);
}
