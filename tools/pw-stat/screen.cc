// SPDX-License-Identifier: MIT
#include "screen.h"

#include "text.h"

#include <algorithm>
#include <charconv>
#include <clocale>
#include <cstdlib>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace pw::tool {
namespace {

constexpr size_t usual_columns = 80;
constexpr size_t usual_lines = 24;
constexpr size_t most_columns = 1000; // of a line that we compose for a terminal

std::string_view setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

// As users of terminals without a size set it: COLUMNS, LINES.
size_t size_from(const char *name, size_t otherwise)
{
    std::string_view text = setting(name);
    size_t size = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    return error == std::errc() && end == text.data() + text.size() && size > 0 ? size : otherwise;
}

bool writes_unicode()
{
    locale_t users = newlocale(LC_CTYPE_MASK, "", nullptr);
    if (!users)
        return false;
    bool unicode = std::string_view(nl_langinfo_l(CODESET, users)) == "UTF-8";
    freelocale(users);
    return unicode;
}

std::string_view colour_of(tone how)
{
    switch (how) {
    case tone::heading:
        return "\033[1m";
    case tone::notice:
        return "\033[33m";
    case tone::alarm:
        return "\033[1;31m";
    case tone::plain:
        break;
    }
    return "";
}

} // namespace

screen screen_of(int fd)
{
    screen found;
    found.unicode = writes_unicode();
    if (!isatty(fd))
        return found;
    winsize size = {};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0)
        size = {};
    found.columns = size.ws_col > 0 ? size.ws_col : size_from("COLUMNS", usual_columns);
    found.columns = std::clamp(found.columns, least_columns, most_columns);
    found.lines = size.ws_row > 0 ? size.ws_row : size_from("LINES", usual_lines);
    found.colours = setting("NO_COLOR").empty() && setting("TERM") != "dumb" && !setting("TERM").empty();
    return found;
}

std::string toned(std::string_view text, tone how, const screen &to)
{
    std::string_view colour = colour_of(how);
    if (!to.colours || colour.empty() || text.empty())
        return std::string(text);
    std::string lit(colour);
    lit += text;
    return lit += "\033[0m";
}

std::string fitted(std::string_view text, size_t columns, const screen &to)
{
    if (width(text) <= columns)
        return std::string(text);
    std::string_view ellipsis = to.unicode ? "…" : "...";
    size_t dots = width(ellipsis);
    if (columns <= dots)
        return std::string(columns, '.');
    std::string cut(text.substr(0, prefix_of_width(text, columns - dots)));
    return cut += ellipsis;
}

std::string paragraph(std::string_view first, std::string_view words, size_t indent, const screen &to)
{
    std::string text(first);
    if (to.columns == 0)
        return text.append(words) += '\n';
    while (true) {
        size_t end = prefix_of_width(words, to.columns - indent);
        if (end == words.size())
            return text.append(words) += '\n';
        if (size_t blank = words.rfind(' ', end); blank != 0 && blank != std::string_view::npos)
            end = blank;
        text.append(words.substr(0, end)) += '\n';
        words.remove_prefix(std::min(words.find_first_not_of(' ', end), words.size()));
        if (words.empty())
            return text;
        text.append(indent, ' ');
    }
}

} // namespace pw::tool
