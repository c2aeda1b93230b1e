// SPDX-License-Identifier: MIT
// The process's own strategy. Who does not refer to it has no constructor of ours: pw-stat resolves without.
//
// Shared, and who writes it:
//   process                    the one thread that `once` lets in, before it says done; read-only afterwards
//   in_force                   settle(): that same thread; choose(), use(): any thread
// At the same time may run: anything with anything. A second thread that needs what is being resolved waits
// for the first; see once.h.
//
// Nothing here may allocate, and nothing may rely on a constructor having run.
#include "once.h"
#include "report.h"
#include "small_file.h"
#include "strategy.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sys/auxv.h>
#include <unistd.h>

namespace pw::detail {
namespace {

// False until the library's constructor runs, which is after libc's.
constinit std::atomic<bool> libc_ready{false};

// The process's environment. A function in the program's .preinit_array runs before libc has set `environ`;
// the kernel's copy serves then.
class environment {
  public:
    environment()
    {
        // relaxed: nothing is published through it, and where a constructor races with us both answers are
        // right
        if (environ != nullptr || libc_ready.load(std::memory_order_relaxed))
            return;
        too_early_ = true;
        // What the kernel grants arguments and environment together.
        constexpr size_t longest = size_t{6} << 20;
        if (getauxval(AT_SECURE) != 0 || initial_.read("/proc/self/environ", longest) != 0)
            unreadable_ = true;
    }

    const char *find(std::string_view name) const
    {
        if (!too_early_)
            return secure_getenv(name.data());
        std::string_view rest = unreadable_ ? std::string_view() : initial_.text();
        while (!rest.empty()) {
            std::string_view entry = rest.substr(0, rest.find('\0'));
            if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
                return entry.data() + name.size() + 1;
            rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
        }
        return nullptr;
    }

  private:
    bool too_early_ = false;
    bool unreadable_ = false;
    small_file initial_;
};

constinit once process_once;
constinit resolution process;
constinit strategy_word in_force;

void resolve_process()
{
    environment texts;
    resolve({texts.find("PWLOCKS"), texts.find("PWLOCKS_OPTIONS"), texts.find("PWLOCKS_CONF")},
            system_roots{}, launch_affinity(), process);
    in_force.settle(process);
}

// Before ordinary constructors, which may take locks.
[[gnu::constructor(101)]] void settle_before_constructors()
{
    libc_ready.store(true, std::memory_order_relaxed); // relaxed: see environment
    resolved();
}

} // namespace

const resolution &resolved()
{
    process_once.run(resolve_process);
    return process;
}

int strategy_from_program(strategy_choice choice)
{
    const resolution &found = resolved();
    return in_force.choose(choice, found);
}

pw_strategy_t use_strategy()
{
    if (!in_force.settled())
        resolved();
    return in_force.use();
}

// Every access to the word is relaxed: it stands for itself, nothing else is published
// through it, and all changes of one word have one order. So a choice comes before the first use, or sees it.

void strategy_word::settle(const resolution &found)
{
    word_.store(word_of(found), std::memory_order_relaxed);
}

int strategy_word::choose(strategy_choice choice, const resolution &found)
{
    if (choice == strategy_choice::lock && !found.lock_built)
        report("program: the lock strategy is not compiled in, ignored");
    if (choice == strategy_choice::unset || found.by_operator || !found.lock_built)
        return 0;
    uint32_t wanted = word_of(found);
    if (choice != strategy_choice::automatic)
        wanted = settled_bit | program_bit | (choice == strategy_choice::lock ? lock_bit : 0);
    uint32_t now = word_.load(std::memory_order_relaxed);
    do {
        if ((now & used_bit) != 0)
            return ((now ^ wanted) & lock_bit) != 0 ? -EBUSY : 0;
    } while (!word_.compare_exchange_weak(now, wanted, std::memory_order_relaxed));
    return 0;
}

pw_strategy_t strategy_word::use()
{
    uint32_t now = word_.load(std::memory_order_relaxed);
    if ((now & used_bit) == 0)
        now = word_.fetch_or(used_bit, std::memory_order_relaxed);
    return strategy_in(now);
}

} // namespace pw::detail

using namespace pw::detail;

extern "C" pw_strategy_t pw_strategy(void)
{
    if (!in_force.settled())
        resolved();
    return in_force.strategy();
}

extern "C" const char *pw_strategy_source(void)
{
    const resolution &found = resolved();
    return in_force.by_program() ? "program" : found.source;
}
