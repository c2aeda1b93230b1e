// SPDX-License-Identifier: MIT
#include "symbol.h"

#include <cstdio>
#include <cstring>
#include <mutex>
#include <sys/auxv.h>

namespace pw::detail {
namespace {

constinit std::mutex resolving; // held across fork: see symbols_before_fork()

} // namespace

void symbols_before_fork()
{
    resolving.lock();
}

void symbols_after_fork()
{
    resolving.unlock();
}

symbol_name::symbol_name(pw_func_t function) : address_(reinterpret_cast<uintptr_t>(function)) {
    std::lock_guard guard(resolving);
    if (dl_iterate_phdr(look_into_module, this) == 0)
        snprintf(text_, sizeof text_, "0x%zx", address_); // code that belongs to no module
}

int symbol_name::look_into_module(dl_phdr_info *module, size_t, void *self) {
    return static_cast<symbol_name *>(self)->found_in(*module);
}

bool symbol_name::found_in(const dl_phdr_info &module) {
    const ElfW(Dyn) *dynamic = nullptr;
    bool ours = false;
    for (int i = 0; i < module.dlpi_phnum; ++i) {
        const auto &segment = module.dlpi_phdr[i];
        if (segment.p_type == PT_LOAD)
            ours |= address_ - module.dlpi_addr - segment.p_vaddr < segment.p_memsz;
        else if (segment.p_type == PT_DYNAMIC)
            dynamic = reinterpret_cast<const ElfW(Dyn) *>(module.dlpi_addr + segment.p_vaddr);
    }
    if (!ours)
        return false;
    const char *symbol = dynamic ? find_symbol(module.dlpi_addr, dynamic) : nullptr;
    if (symbol && strlen(symbol) < sizeof text_) {
        strcpy(text_, symbol);
        return true;
    }
    const char *path = module.dlpi_name;
    if (!path || !*path)
        path = reinterpret_cast<const char *>(getauxval(AT_EXECFN));
    const char *slash = path ? strrchr(path, '/') : nullptr;
    const char *base = slash ? slash + 1 : path ? path : "?";
    snprintf(text_, sizeof text_, "%.200s+0x%zx", base, address_ - module.dlpi_addr);
    return true;
}

const char *symbol_name::find_symbol(ElfW(Addr) load_address, const ElfW(Dyn) * dynamic) const {
    // Most loaders turn these values into addresses, some leave them relative.
    auto at = [load_address](ElfW(Addr) value) {
        return reinterpret_cast<const void *>(value < load_address ? load_address + value : value);
    };
    const ElfW(Sym) *symbols = nullptr;
    const char *strings = nullptr;
    const uint32_t *table = nullptr;
    for (; dynamic->d_tag != DT_NULL; ++dynamic) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = static_cast<const ElfW(Sym) *>(at(dynamic->d_un.d_ptr));
        else if (dynamic->d_tag == DT_STRTAB)
            strings = static_cast<const char *>(at(dynamic->d_un.d_ptr));
        else if (dynamic->d_tag == DT_GNU_HASH)
            table = static_cast<const uint32_t *>(at(dynamic->d_un.d_ptr));
    }
    if (!symbols || !strings || !table)
        return nullptr;
    // The hash table is what tells how many symbols there are: header, filter words, buckets, then one
    // chain word for each symbol from `first` on, the last of a bucket being odd.
    uint32_t bucket_count = table[0], first = table[1], filter_words = table[2];
    const uint32_t *buckets = table + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chain = buckets + bucket_count;
    for (uint32_t bucket = 0; bucket < bucket_count; ++bucket) {
        if (buckets[bucket] < first)
            continue;
        for (uint32_t i = buckets[bucket];; ++i) {
            if (symbols[i].st_value == address_ - load_address && symbols[i].st_shndx != SHN_UNDEF &&
                ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC)
                return strings + symbols[i].st_name;
            if (chain[i - first] & 1)
                break;
        }
    }
    return nullptr;
}

} // namespace pw::detail
