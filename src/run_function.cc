// SPDX-License-Identifier: MIT
#include "run_function.h"

#include "report.h"
#include "symbol.h"
#include "worker.h"

#include <cxxabi.h>
#include <exception>

namespace pw::detail {
namespace {

// A forced unwinding is no C++ object: its handler's reference is to nothing, which UBSan would report.
template <typename Call>
[[gnu::always_inline, gnu::no_sanitize("undefined")]] inline void guarded(pw_func_t function, const pw_workqueue *wq, Call call)
{
    pw_func_t outer = this_thread.function;
    const pw_workqueue *outer_wq = this_thread.wq;
    this_thread.function = function;
    this_thread.wq = wq;
    try {
        call();
        this_thread.function = outer;
        this_thread.wq = outer_wq;
    } catch (abi::__forced_unwind &) {
        if (this_thread.worker_here)
            die("work function %s: ended its worker's thread, which serves cpu %d: return instead",
                symbol_name(function).text(), this_thread.worker_here->cpu);
        this_thread.function = outer;
        this_thread.wq = outer_wq;
        throw;
    } catch (const std::exception &error) {
        die("work function %s: threw an exception: %s", symbol_name(function).text(), error.what());
    } catch (...) {
        die("work function %s: threw an exception", symbol_name(function).text());
    }
}

} // namespace

[[gnu::no_sanitize("undefined")]] void run_function(pw_func_t function, pw_struct *item, const pw_workqueue *wq)
{
    guarded(function, wq, [=] { function(item); });
}

[[gnu::no_sanitize("undefined")]] void run_call(void (*function)(int, void *), int cpu, void *arg)
{
    // Only its name is wanted of it.
    guarded(reinterpret_cast<pw_func_t>(reinterpret_cast<void *>(function)), this_thread.wq, [=] { function(cpu, arg); });
}

} // namespace pw::detail
