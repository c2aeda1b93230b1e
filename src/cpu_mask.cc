// SPDX-License-Identifier: MIT
#include "cpu_mask.h"

#include <charconv>
#include <cstring>
#include <iterator>

namespace pw::detail {
namespace {

std::string_view without_blanks(std::string_view text)
{
    size_t first = text.find_first_not_of(" \t");
    if (first == text.npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// -1 unless the text is one decimal number below max_cpus and nothing else.
int parse_cpu(std::string_view text)
{
    text = without_blanks(text);
    unsigned cpu = 0;
    const char *end = text.data() + text.size();
    auto [stopped, error] = std::from_chars(text.data(), end, cpu);
    if (error != std::errc{} || stopped != end || cpu >= unsigned{max_cpus})
        return -1;
    return static_cast<int>(cpu);
}

} // namespace

bool parse_cpu_list(std::string_view text, cpu_mask &mask)
{
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    cpu_mask parsed;
    bool more = !without_blanks(text).empty();
    while (more) {
        size_t comma = text.find(',');
        more = comma != text.npos;
        std::string_view range = text.substr(0, comma);
        if (more)
            text.remove_prefix(comma + 1);
        size_t dash = range.find('-');
        int first = parse_cpu(range.substr(0, dash));
        int last = dash == range.npos ? first : parse_cpu(range.substr(dash + 1));
        if (first < 0 || last < first)
            return false;
        for (int cpu = first; cpu <= last; ++cpu)
            parsed.insert(cpu);
    }
    mask = parsed;
    return true;
}

std::string_view format_cpu_list(const cpu_mask &mask, char *buffer, size_t size)
{
    size_t length = 0;
    for (int first = mask.next(-1), last; first >= 0; first = mask.next(last)) {
        last = first;
        while (mask.contains(last + 1))
            ++last;
        char range[16]; // ",8190-8191"
        char *end = range;
        if (length > 0)
            *end++ = ',';
        end = std::to_chars(end, std::end(range), first).ptr;
        if (last > first) {
            *end++ = '-';
            end = std::to_chars(end, std::end(range), last).ptr;
        }
        size_t wanted = static_cast<size_t>(end - range);
        if (wanted > size - length)
            break;
        memcpy(buffer + length, range, wanted);
        length += wanted;
    }
    return {buffer, length};
}

} // namespace pw::detail
