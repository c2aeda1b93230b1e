// SPDX-License-Identifier: MIT
// The name of a function of the program, for messages and for the stat segment.
#pragma once

#include "stat_layout.h"

#include <pwlocks/work.h>

#include <link.h>

namespace pw::detail {

// A function's name: its symbol, or "module+0x..." (what addr2line takes) if its module exports none. Not
// with dladdr(): that waits for the loader's lock, which a dlopen() holds while it runs constructors; one
// that flushes work of ours would wait for us. dl_iterate_phdr() takes another lock, never held across
// foreign code. Allocates nothing.
class symbol_name {
  public:
    explicit symbol_name(pw_func_t function);
    const char *text() const { return text_; }

  private:
    static int look_into_module(dl_phdr_info *module, size_t, void *self);
    bool found_in(const dl_phdr_info &module);
    const char *find_symbol(ElfW(Addr) load_address, const ElfW(Dyn) * dynamic) const;

    uintptr_t address_;
    char text_[sizeof stat::function::name] = {};
};

// Fork: nobody is in dl_iterate_phdr() on our behalf, or its lock would stay taken in the child.
void symbols_before_fork();
void symbols_after_fork();

} // namespace pw::detail
