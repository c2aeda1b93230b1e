// SPDX-License-Identifier: MIT
#include "text.h"

#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <cwchar>
#include <cxxabi.h>
#include <memory>

namespace pw::tool {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, and its code point; 0 if there is none.
size_t decode(std::string_view text, char32_t &point)
{
    auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    unsigned char first = byte(0);
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;
    if (length == 0 || length > text.size())
        return 0;
    point = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (byte(i) & 0x3f);
    }
    bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    bool surrogate = point >= 0xd800 && point < 0xe000;
    return overlong || surrogate || point > 0x10ffff ? 0 : length;
}

bool steers_terminal(char32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           point == 0x61c || // controls, Arabic letter mark
           (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) ||                  // marks, separators, overrides
           (point >= 0x2060 && point <= 0x206f) || point == 0xfeff; // joiners, isolates
}

// wcwidth() knows only the characters of the locale in force, which may be "C".
size_t columns_of(char32_t point)
{
    if (point < 0x80)
        return 1;
    static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (!unicode)
        return 1;
    locale_t before = uselocale(unicode);
    int columns = wcwidth(static_cast<wchar_t>(point));
    uselocale(before);
    return columns < 0 ? 1 : static_cast<size_t>(columns); // unassigned ones: most terminals show a box
}

// How many places of a mangled name may stand for an earlier part of it. Each can double the demangled text.
int references(std::string_view symbol)
{
    int count = 0;
    for (size_t i = 0; i + 1 < symbol.size(); ++i) {
        if (symbol[i] != 'S' && symbol[i] != 'T')
            continue;
        size_t end = symbol.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", i + 1);
        count += end != std::string_view::npos && symbol[end] == '_';
    }
    return count;
}

} // namespace

std::string printable(std::string_view text)
{
    std::string safe;
    while (!text.empty()) {
        char32_t point = 0;
        size_t length = decode(text, point);
        if (length == 0 || steers_terminal(point))
            safe += '?';
        else
            safe += text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return safe;
}

size_t width(std::string_view text)
{
    size_t columns = 0;
    while (!text.empty()) {
        char32_t point = 0;
        size_t length = std::max<size_t>(decode(text, point), 1);
        columns += columns_of(point);
        text.remove_prefix(length);
    }
    return columns;
}

size_t prefix_of_width(std::string_view text, size_t columns)
{
    size_t bytes = 0, used = 0;
    while (bytes < text.size()) {
        char32_t point = 0;
        size_t length = std::max<size_t>(decode(text.substr(bytes), point), 1);
        used += columns_of(point);
        if (used > columns)
            break;
        bytes += length;
    }
    return bytes;
}

std::string shortened(std::string text, size_t most)
{
    if (text.size() <= most)
        return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80)
        --most;
    text.resize(most);
    return text;
}

std::string readable_symbol(const std::string &symbol)
{
    if (!symbol.starts_with("_Z") || references(symbol) > 12)
        return symbol;
    int status = 0;
    std::unique_ptr<char, decltype(&free)> demangled(
        abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), free);
    if (!demangled)
        return symbol;
    std::string name = demangled.get();
    constexpr std::string_view parameter = "(pw_struct*)";
    if (name.ends_with(parameter))
        name.resize(name.size() - parameter.size());
    return name;
}

std::string cpu_list(const std::vector<int> &cpus)
{
    std::string list;
    for (size_t i = 0; i < cpus.size(); ++i) {
        size_t first = i;
        while (i + 1 < cpus.size() && cpus[i + 1] == cpus[i] + 1)
            ++i;
        if (!list.empty())
            list += ',';
        list += std::to_string(cpus[first]);
        if (i > first)
            list += '-' + std::to_string(cpus[i]);
    }
    return list;
}

std::string duration(uint64_t seconds)
{
    auto two_units = [](uint64_t large, char large_unit, uint64_t small, char small_unit) {
        std::string text = std::to_string(large) + large_unit;
        if (small < 10)
            text += '0';
        return text + std::to_string(small) + small_unit;
    };
    if (seconds < 60)
        return std::to_string(seconds) + 's';
    uint64_t minutes = seconds / 60;
    if (minutes < 60)
        return two_units(minutes, 'm', seconds % 60, 's');
    uint64_t hours = minutes / 60;
    if (hours < 24)
        return two_units(hours, 'h', minutes % 60, 'm');
    return two_units(hours / 24, 'd', hours % 24, 'h');
}

} // namespace pw::tool
