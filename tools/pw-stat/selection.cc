// SPDX-License-Identifier: MIT
#include "selection.h"

#include "print.h"
#include "text.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <string>

namespace pw::tool {
namespace {

constexpr int most_cpus = 8192;

std::optional<int> number_at_front(std::string_view &text)
{
    int number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number >= most_cpus)
        return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return number;
}

bool take(std::string_view &text, char wanted)
{
    if (!text.starts_with(wanted))
        return false;
    text.remove_prefix(1);
    return true;
}

std::optional<std::set<int>> parse(std::string_view text)
{
    std::set<int> numbers;
    do {
        std::optional<int> first = number_at_front(text), last = first;
        if (first && take(text, '-'))
            last = number_at_front(text);
        if (!first || !last || *last < *first)
            return std::nullopt;
        for (int number = *first; number <= *last; ++number)
            numbers.insert(number);
    } while (take(text, ','));
    if (!text.empty())
        return std::nullopt;
    return numbers;
}

} // namespace

std::vector<int> chosen_cpus(std::string_view text, const std::vector<int> &known)
{
    if (text == "ALL" || text == "all")
        return known;
    std::optional<std::set<int>> wanted = parse(text);
    if (!wanted)
        throw misuse(fmt::format("\"{}\": not a list of CPUs such as 0-3,8, or ALL", printable(text)));
    std::vector<int> cpus(wanted->begin(), wanted->end());
    for (int each : cpus)
        if (!std::binary_search(known.begin(), known.end(), each))
            throw misuse(
                fmt::format("{}: no worker on that CPU; there are workers on {}", each, cpu_list(known)));
    return cpus;
}

} // namespace pw::tool
