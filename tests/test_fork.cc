// SPDX-License-Identifier: MIT
// Fork: the child has none of the parent's workers and none of its pending items, starts afresh when it uses the runtime, and never
// hangs, wherever and whenever it was forked.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "settle.h"
#include "tasks.h"
#include "this_process.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace {

// In a fork's child, which has no use for Catch2: says what went wrong and gives up.
#define EXPECT(condition)                                                                                                  \
    do {                                                                                                                   \
        if (!(condition)) {                                                                                                \
            dprintf(STDERR_FILENO, "child: line %d: %s\n", __LINE__, #condition);                                          \
            return 1;                                                                                                      \
        }                                                                                                                  \
    } while (false)

// Seconds that a child has.
constexpr unsigned child_limit = sanitized ? 120 : 60;

// What every child begins with.
void become_child()
{
    for (int number : {SIGABRT, SIGSEGV, SIGALRM, SIGTERM})
        signal(number, SIG_DFL);
    sigset_t none; // a worker's are blocked
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    alarm(child_limit);
}

int status_of(pid_t forked)
{
    int status = -1;
    while (waitpid(forked, &status, 0) != forked && errno == EINTR) {
    }
    return status;
}

// Runs a function in a child, which ends with what it returns; its wait status.
template <typename Function>
int in_fork_at_once(Function function)
{
    pid_t forked = fork();
    if (forked == 0) {
        become_child();
        _exit(function());
    }
    return status_of(forked);
}

template <typename Function>
int in_fork(Function function)
{
    let_threads_settle();
    return in_fork_at_once(function);
}

// Whether sanitizers leave a case possible; says why if not.
bool possible_with_threads()
{
    if (thread_sanitized)
        WARN("skipped: ThreadSanitizer does not support new threads in a fork's child");
    return !thread_sanitized;
}
bool possible_while_threads_start()
{
    if (sanitized && !thread_sanitized)
        WARN("skipped: AddressSanitizer's allocator may be locked when another thread forks");
    return possible_with_threads() && !sanitized;
}

// Turns of a loop: so many, or fewer where the machine is slow, but some.
class turns {
  public:
    explicit turns(int most) : most_(most) {}
    bool next()
    {
        bool in_time = std::chrono::steady_clock::now() < deadline_;
        return ++taken_ <= (in_time ? most_ : few);
    }

  private:
    static constexpr int few = 5;
    int most_, taken_ = 0;
    std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(15);
};

// A number that parent and child share.
class shared_count {
  public:
    shared_count()
        : memory_(mmap(nullptr, sizeof(std::atomic<long>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    {
        if (memory_ == MAP_FAILED)
            throw std::bad_alloc();
        new (memory_) std::atomic<long>(0);
    }
    ~shared_count() { munmap(memory_, sizeof(std::atomic<long>)); }
    shared_count(const shared_count &) = delete;
    shared_count &operator=(const shared_count &) = delete;

    std::atomic<long> &operator*() const { return *static_cast<std::atomic<long> *>(memory_); }

  private:
    void *memory_;
};

// Uses everything once, in a child: 0 if all went well.
int use_everything()
{
    // Nothing of the parent's runs here. The thread itself may be a copy of a worker.
    EXPECT(threads() == std::vector<pid_t>{gettid()});
    pthread_setname_np(pthread_self(), "child");
    for (int cpu : worker_cpus()) {
        int runs = 0;
        pid_t runner = 0;
        task item(cpu, [&] { ++runs; }), on_worker(cpu, [&] { runner = gettid(); });
        EXPECT(item.queue() == 1);
        EXPECT(on_worker.queue_to_worker() == 1);
        EXPECT(item.flush() == 0);
        EXPECT(on_worker.flush() == 0);
        EXPECT(runs == 1);
        EXPECT(runner == worker_thread(cpu));
    }
    per_cpu_memory<pw_lock_t> lock;
    int cpu = pw_lock_local(lock.get());
    EXPECT(lock.of(cpu).owner == static_cast<uint32_t>(gettid()));
    pw_unlock_local(lock.get(), cpu);
    EXPECT(pw_runtime_stop() == 0);
    EXPECT(threads() == std::vector<pid_t>{gettid()});
    return 0;
}

// Less than that, for many children.
int use_a_little()
{
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; }), on_worker(given_cpus.front(), [&] { ++runs; });
    EXPECT(item.queue() == 1);
    EXPECT(item.flush() == 0);
    EXPECT(on_worker.queue_to_worker() == 1);
    EXPECT(on_worker.flush() == 0);
    EXPECT(runs == 2);
    EXPECT(pw_runtime_stop() == 0);
    EXPECT(item.queue() == -ESHUTDOWN);
    return 0;
}

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

// An item whose function forks. What its child does there decides the test.
struct forking_item : pw_struct {
    std::function<int()> in_child;
    std::atomic<pid_t> child{0};

    forking_item(int on, std::function<int()> function) : in_child(std::move(function)) { INIT_PW(this, run, on); }

    static void run(pw_struct *work)
    {
        auto &self = *static_cast<forking_item *>(work);
        pid_t forked = fork();
        if (forked == 0) {
            become_child();
            _exit(self.in_child());
        }
        self.child = forked;
    }
};

using queue_call = int (*)(int, pw_workqueue *, pw_struct *);

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
              EXPECT(in_fork([] { return in_fork(use_everything); }) == 0);
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

TEST_CASE("a function may fork, and the child uses the runtime from inside the function")
{
    if (!possible_with_threads())
        return;
    for (queue_call queue : {&pw_queue_on, &pw_queue_work_on})
        for (int cpu : worker_cpus()) {
            forking_item item(cpu, use_everything);
            let_threads_settle();
            REQUIRE(queue(cpu, nullptr, &item) == 1);
            REQUIRE(pw_flush(&item) == 0);
            REQUIRE(item.child > 0);
            CHECK(status_of(item.child) == 0);
            // The parent's worker goes on.
            int runs = 0;
            task next(cpu, [&] { ++runs; });
            CHECK(next.queue() == 1);
            CHECK(next.flush() == 0);
            CHECK(runs == 1);
        }
}

TEST_CASE("a function that forks may be nested in another one")
{
    if (!possible_with_threads())
        return;
    const int outer_cpu = first_cpu(), inner_cpu = last_cpu();
    forking_item inner(inner_cpu, use_everything);
    task outer(outer_cpu, [&] { pw_queue_on(inner_cpu, nullptr, &inner); });
    let_threads_settle();
    REQUIRE(outer.queue() == 1);
    REQUIRE(outer.flush() == 0);
    REQUIRE(pw_flush(&inner) == 0);
    REQUIRE(inner.child > 0);
    CHECK(status_of(inner.child) == 0);
}

TEST_CASE("under lock, the child of a function returns from it and goes on")
{
    if (!possible_with_threads())
        return;
    if (!under_lock()) {
        WARN("skipped: under queue the function returns to a worker");
        return;
    }
    pid_t forked = -1;
    int runs = 0;
    task item(last_cpu(), [&] {
        ++runs;
        forked = fork();
    });
    const pid_t parent = getpid();
    let_threads_settle();
    int result = item.queue();
    if (getpid() != parent) {
        become_child();
        _exit([&] {
            EXPECT(result == 1);
            EXPECT(runs == 1);
            EXPECT(item.flush() == 0);
            return use_everything();
        }());
    }
    CHECK(result == 1);
    REQUIRE(forked > 0);
    CHECK(status_of(forked) == 0);
}

TEST_CASE("the child of a worker that returns from the function ends, whatever it has started")
{
    if (!possible_with_threads())
        return;
    // Leaks are none of its business: it lacks the parent's stacks.
    for (const char *way : {"idle", "use", "use-and-stop"}) {
        CAPTURE(way);
        ended result = run_program({helper("fork"), way}, {{"ASAN_OPTIONS", "detect_leaks=0"}});
        INFO(shown(result));
        CHECK(result.exited(0));
        CHECK(result.out == (way == std::string("idle") ? "child ended with 0\n" : "child used it\nchild ended with 0\n"));
        CHECK(result.err == "");
    }
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

TEST_CASE("forks while other threads queue and flush")
{
    if (!possible_with_threads())
        return;
    std::atomic<bool> enough{false};
    std::atomic<long> wrong{0}, done{0};
    std::vector<std::unique_ptr<task>> items;
    for (int cpu : worker_cpus())
        for (int i = 0; i < 2; ++i)
            items.push_back(std::make_unique<task>(cpu, [&] { ++done; }));
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (size_t n = static_cast<size_t>(t); !enough; ++n) {
                // The first of each CPU by the strategy, the other one by the worker.
                task &item = *items[n % items.size()];
                wrong += (n % 2 ? item.queue_to_worker() : item.queue()) < 0;
                if (n % 3 == 0)
                    wrong += item.flush() != 0;
                // The children need some of the processors too.
                if (n % 16 == 0)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
    int bad_children = 0;
    REQUIRE(eventually([&] { return done > 100; }));
    for (turns left(100 / scale); left.next();)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    for (std::thread &each : threads)
        each.join();
    CHECK(bad_children == 0);
    CHECK(wrong == 0);
    CHECK(done > 0);
}

TEST_CASE("forks from several threads at once")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<int> bad_children{0};
    on_threads(3, [&](int) {
        for (turns left(25); left.next();) {
            task item(given_cpus.back());
            bad_children += item.queue() != 1;
            bad_children += in_fork_at_once(use_a_little) != 0;
            bad_children += item.flush() != 0;
        }
    });
    CHECK(bad_children == 0);
}

TEST_CASE("forks while another thread starts and stops")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<bool> enough{false};
    std::atomic<long> cycles{0};
    std::thread cycler([&] {
        while (!enough) {
            pw_runtime_stop();
            pw_runtime_start(nullptr);
            if (++cycles % 8 == 0)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    int bad_children = 0;
    for (turns left(100); left.next() || cycles < 3;)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    cycler.join();
    CHECK(bad_children == 0);
    CHECK(cycles >= 3);
    int runs = 0;
    task item(first_cpu(), [&] { ++runs; });
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
}

TEST_CASE("forks while threads come and go")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<bool> enough{false};
    std::thread spawner([&] {
        while (!enough)
            std::thread([] {
                task item(given_cpus.front());
                item.queue();
            }).join();
    });
    int bad_children = 0;
    for (turns left(60); left.next();)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    spawner.join();
    CHECK(bad_children == 0);
}
