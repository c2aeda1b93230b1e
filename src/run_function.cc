// SPDX-License-Identifier: MIT
#include "run_function.h"

#include "report.h"
#include "symbol.h"
#include "worker.h"

#include <cxxabi.h>
#include <exception>

namespace pw::detail {

// A forced unwinding is no C++ object: its handler's reference is to nothing, which UBSan would report.
[[gnu::no_sanitize("undefined")]] void run_function(pw_func_t function, pw_struct *item)
{
    pw_func_t outer = this_thread.function;
    this_thread.function = function;
    try {
        function(item);
        this_thread.function = outer;
    } catch (abi::__forced_unwind &) {
        if (this_thread.worker_here)
            die("work function %s: ended its worker's thread, which serves cpu %d: return instead",
                symbol_name(function).text(), this_thread.worker_here->cpu);
        this_thread.function = outer;
        throw;
    } catch (const std::exception &error) {
        die("work function %s: threw an exception: %s", symbol_name(function).text(), error.what());
    } catch (...) {
        die("work function %s: threw an exception", symbol_name(function).text());
    }
}

} // namespace pw::detail
