// SPDX-License-Identifier: MIT
#include "function_names.h"

#include "stat_layout.h"
#include "text.h"

#include <cstdio>

namespace pw::tool {
namespace {

constexpr uint64_t longest_symbol = 255;           // bytes of a name as the linker knows it
constexpr size_t longest_label = 500;              // of one as people read it
constexpr size_t most_demangled = size_t{1} << 20; // bytes of readable names in one snapshot

std::string hexadecimal(uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "0x%llx", static_cast<unsigned long long>(number));
    return digits;
}

} // namespace

segment::function_names::function_names(const segment &from) : from_(from)
{
    for (uint64_t i = 0; i < from.functions_.count; ++i)
        if (uint64_t address = from.load(from.functions_, i, 0); address > stat::other_functions)
            places_.emplace(address, i);
}

const std::string &segment::function_names::of(uint64_t address)
{
    auto [known, is_new] = labels_.try_emplace(address);
    if (is_new)
        known->second = label(address);
    return known->second;
}

std::string segment::function_names::label(uint64_t address)
{
    if (address == stat::other_functions)
        return "(others)";
    auto place = places_.find(address);
    if (place == places_.end())
        return hexadecimal(address);
    std::string symbol =
        from_.text(from_.functions_, place->second, offsetof(stat::function, name), longest_symbol);
    // Short symbols can stand for long texts, and there may be many of them.
    std::string name = demangled_ < most_demangled ? readable_symbol(symbol) : symbol;
    demangled_ += name.size();
    name = shortened(printable(name), longest_label);
    return name.empty() ? hexadecimal(address) : name;
}

} // namespace pw::tool
