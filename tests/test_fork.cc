// SPDX-License-Identifier: MIT
// Fork: the child has none of the parent's workers and none of its pending items, and starts afresh when it uses
// the runtime.
#include "time_limit.h"

#include "in_fork.h"
#include "programs.h"

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sys/stat.h>

namespace {

// The stat segment as a file.
std::filesystem::path segment_path()
{
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry.path(), gone).string().find("pwlocks-stat") != std::string::npos)
            return entry.path();
    }
    return {};
}

ino_t inode_of(const std::filesystem::path &path)
{
    struct stat facts = {};
    return stat(path.c_str(), &facts) == 0 ? facts.st_ino : 0;
}

std::string contents_of(const std::filesystem::path &path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("a fork's child starts afresh")
{
    if (!possible_with_threads())
        return;
    SECTION("of a parent that runs")
    {
        first_cpu();
        pw_runtime_start(nullptr);
        CHECK(in_fork(use_everything) == 0);
    }
    SECTION("of a parent that has stopped")
    {
        first_cpu();
        pw_runtime_start(nullptr);
        REQUIRE(pw_runtime_stop() == 0);
        CHECK(in_fork(use_everything) == 0);
        // The parent itself stays stopped.
        task item(given_cpus.front());
        CHECK(item.queue() == -ESHUTDOWN);
        REQUIRE(pw_runtime_start(nullptr) == 0);
    }
    SECTION("with options of its own")
    {
        first_cpu();
        CHECK(in_fork([] {
                  EXPECT(pw_runtime_stop() == -ESRCH);
                  EXPECT(pw_runtime_start(("cpus=" + std::to_string(given_cpus.back())).c_str()) == 0);
                  EXPECT(worker_cpus() == std::vector<int>{given_cpus.back()});
                  EXPECT(pw_runtime_start(nullptr) == -EALREADY);
                  EXPECT(pw_runtime_stop() == 0);
                  return 0;
              }) == 0);
        CHECK(worker_cpus() == given_cpus);
    }
    SECTION("from a thread that never called in")
    {
        first_cpu();
        int status = -1;
        std::thread([&] { status = in_fork(use_everything); }).join();
        CHECK(status == 0);
    }
    SECTION("with threads of its own that call in")
    {
        first_cpu();
        CHECK(in_fork([] {
                  std::atomic<int> wrong{0}, runs{0};
                  on_threads(6, [&](int i) {
                      task item(given_cpus[static_cast<size_t>(i) % given_cpus.size()], [&] { ++runs; });
                      for (int n = 0; n < 20; ++n)
                          wrong += item.queue() != 1 || item.flush() != 0;
                  });
                  EXPECT(wrong == 0);
                  EXPECT(runs == 120);
                  return 0;
              }) == 0);
    }
    // The parent has noticed nothing.
    int runs = 0;
    task item(first_cpu(), [&] { ++runs; });
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
}

TEST_CASE("child: forked before the first use", "[.child]")
{
    REQUIRE(in_fork(use_everything) == 0);
    CHECK(library_threads().empty());
    CHECK(in_fork(use_everything) == 0);
    CHECK(pw_runtime_start(nullptr) == 0);
    CHECK(in_fork(use_everything) == 0);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("a child of a process that has not used the runtime starts it for itself alone")
{
    if (!possible_with_threads())
        return;
    require_passes("child: forked before the first use");
}

TEST_CASE("a child of a child starts afresh as well")
{
    if (!possible_with_threads())
        return;
    first_cpu();
    CHECK(in_fork([] {
              task item(given_cpus.front());
              EXPECT(item.queue() == 1);
              EXPECT(in_fork(use_everything) == 0);
              EXPECT(in_fork([] { return in_fork(use_everything) != 0; }) == 0);
              // Here it still runs.
              EXPECT(item.flush() == 0);
              EXPECT(item.queue() == 1);
              EXPECT(item.flush() == 0);
              EXPECT(pw_runtime_stop() == 0);
              return 0;
          }) == 0);
}

TEST_CASE("items pending in the parent stay the parent's")
{
    if (!possible_with_threads())
        return;
    const int cpu = last_cpu();
    shared_count runs;
    std::vector<std::unique_ptr<task>> items;
    {
        busy_item busy(cpu);
        // The other worker as well; the one of `cpu` is busy already, unless it is under lock.
        std::optional<busy_item> busy_worker;
        if (under_lock() || first_cpu() != cpu)
            busy_worker.emplace(first_cpu(), busy_item::by_worker);
        // Under lock these wait in the list behind the busy item.
        REQUIRE(busy.item().queue() == 1);
        for (int i = 0; i < 20; ++i) {
            items.push_back(std::make_unique<task>(cpu, [&] { ++*runs; }));
            REQUIRE(items.back()->queue() == 1);
            items.push_back(std::make_unique<task>(first_cpu(), [&] { ++*runs; }));
            REQUIRE(items.back()->queue_to_worker() == 1);
        }
        CHECK(in_fork([&] {
                  // Nothing is left to wait for, neither before nor behind the child's own start.
                  for (const auto &each : items)
                      EXPECT(each->flush() == 0);
                  EXPECT(busy.item().flush() == 0);
                  EXPECT(use_everything() == 0);
                  EXPECT(pw_runtime_start(nullptr) == 0);
                  for (const auto &each : items)
                      EXPECT(each->flush() == 0);
                  EXPECT(busy.item().flush() == 0);
                  // The child's copies are its own once it has initialized them.
                  int own_runs = 0;
                  task again(cpu, [&] { ++own_runs; });
                  *static_cast<pw_struct *>(&again) = *items[0];
                  INIT_PW(&again, again.func, cpu);
                  EXPECT(again.queue() == 1);
                  EXPECT(again.flush() == 0);
                  EXPECT(own_runs == 1);
                  EXPECT(pw_runtime_stop() == 0);
                  EXPECT(*runs == 0);
                  return 0;
              }) == 0);
        CHECK(*runs == 0);
    }
    for (const auto &each : items)
        CHECK(each->flush() == 0);
    CHECK(*runs == 40);
}

TEST_CASE("an item that is idle in the parent is ready in the child")
{
    if (!possible_with_threads())
        return;
    int runs = 0;
    task item(last_cpu(), [&] { ++runs; });
    REQUIRE(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(in_fork([&] {
              EXPECT(item.flush() == 0);
              EXPECT(item.queue() == 1);
              EXPECT(item.flush() == 0);
              EXPECT(runs == 2);
              return 0;
          }) == 0);
    CHECK(runs == 1);
}

TEST_CASE("an item that runs in the parent is ready in the child")
{
    if (!possible_with_threads())
        return;
    busy_item busy(last_cpu());
    CHECK(in_fork([&] {
              EXPECT(busy.item().queue() == 1);
              EXPECT(busy.item().flush() == 0);
              EXPECT(busy.runs() == 2);
              return 0;
          }) == 0);
    CHECK(busy.runs() == 1);
}

TEST_CASE("the child's locks are its own thread's")
{
    per_cpu_memory<pw_lock_t> lock;
    const auto owner = [&](int cpu) { return __atomic_load_n(&lock.of(cpu).owner, __ATOMIC_RELAXED); };
    // This thread has had its id looked up.
    int held = pw_lock_local(lock.get());
    REQUIRE(owner(held) == static_cast<uint32_t>(gettid()));
    CHECK(in_fork([&] {
              // Forked by its holder: the child releases it like any other.
              pw_unlock_local(lock.get(), held);
              for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
                  pw_lock(lock.get(), cpu);
                  EXPECT(owner(cpu) == static_cast<uint32_t>(gettid()));
                  EXPECT(!pw_trylock(lock.get(), cpu));
                  pw_unlock(lock.get(), cpu);
                  EXPECT(pw_trylock(lock.get(), cpu));
                  EXPECT(owner(cpu) == static_cast<uint32_t>(gettid()));
                  pw_unlock(lock.get(), cpu);
              }
              int here = pw_lock_local(lock.get());
              EXPECT(owner(here) == static_cast<uint32_t>(gettid()));
              pw_unlock_local(lock.get(), here);
              return 0;
          }) == 0);
    CHECK(owner(held) == static_cast<uint32_t>(gettid()));
    pw_unlock_local(lock.get(), held);
}

TEST_CASE("child: a self-deadlock in a fork's child", "[.child]")
{
    per_cpu_memory<pw_lock_t> lock;
    pw_lock(lock.get(), 0);
    pw_unlock(lock.get(), 0);
    std::array<int, 2> pipe_ends;
    REQUIRE(pipe(pipe_ends.data()) == 0);
    pid_t forked = fork();
    if (forked == 0) {
        become_child();
        dup2(pipe_ends[1], STDERR_FILENO);
        pw_lock(lock.get(), 0);
        pw_lock(lock.get(), 0);
        _exit(0);
    }
    close(pipe_ends[1]);
    int status = status_of(forked);
    std::string text(4096, '\0');
    ssize_t length = read(pipe_ends[0], text.data(), text.size());
    close(pipe_ends[0]);
    text.resize(length > 0 ? static_cast<size_t>(length) : 0);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    CHECK(text.find("self-deadlock: thread " + std::to_string(forked) + " holds it already\n") != std::string::npos);
}

TEST_CASE("a self-deadlock in the child names the child's thread")
{
    require_passes("child: a self-deadlock in a fork's child");
}

TEST_CASE("a child uses no byte of its parent's stat segment")
{
    if (!possible_with_threads())
        return;
    first_cpu();
    const std::filesystem::path path = segment_path();
    REQUIRE_FALSE(path.empty());
    const ino_t inode = inode_of(path);
    // Until the workers sleep their counters move.
    std::string before = contents_of(path);
    REQUIRE(eventually([&] {
        std::string now = contents_of(path);
        return std::exchange(before, now) == now;
    }));
    REQUIRE(before.size() > 1000);
    CHECK(in_fork([&] {
              EXPECT(segment_path().empty());
              task item(given_cpus.back());
              for (int i = 0; i < 100; ++i) {
                  EXPECT(item.queue() == 1);
                  EXPECT(item.flush() == 0);
              }
              EXPECT(!segment_path().empty());
              EXPECT(inode_of(segment_path()) != inode);
              EXPECT(pw_runtime_stop() == 0);
              return 0;
          }) == 0);
    CHECK(inode_of(segment_path()) == inode);
    CHECK(contents_of(path) == before);
}
