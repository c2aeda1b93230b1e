// SPDX-License-Identifier: MIT
#include "table.h"

#include "text.h"

#include <algorithm>
#include <numeric>

namespace pw::tool {
namespace {

constexpr size_t gap = 2;
// What the last column gets before another one is added, if it wants so much: names of functions are there.
constexpr size_t room_for_last = 34;

} // namespace

table::table(std::vector<column> columns) : columns_(std::move(columns)) {}

void table::add(std::vector<cell> cells)
{
    rows_.push_back(std::move(cells));
}

std::string table::text(const screen &to) const
{
    return headings(to) + rows(to);
}

std::string table::headings(const screen &to) const
{
    std::vector<cell> names, units;
    bool has_units = false;
    for (const column &each : columns_) {
        names.emplace_back(each.name, tone::heading);
        units.emplace_back(each.unit);
        has_units |= !each.unit.empty();
    }
    std::vector<place> places = arrange(to);
    std::string lines = line(places, names, to);
    return has_units ? lines + line(places, units, to) : lines;
}

std::string table::rows(const screen &to) const
{
    std::string lines;
    std::vector<place> places = arrange(to);
    for (const std::vector<cell> &each : rows_)
        lines += line(places, each, to);
    return lines;
}

std::vector<size_t> table::natural_widths() const
{
    std::vector<size_t> widths;
    for (const column &each : columns_)
        widths.push_back(std::max({width(each.name), width(each.unit), each.least}));
    for (const std::vector<cell> &row : rows_)
        for (size_t i = 0; i < columns_.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i].text));
    return widths;
}

// Which columns there are, in their order, and how wide each is.
std::vector<table::place> table::arrange(const screen &to) const
{
    std::vector<size_t> widths = natural_widths();
    std::vector<size_t> by_priority(columns_.size());
    std::iota(by_priority.begin(), by_priority.end(), 0);
    std::stable_sort(by_priority.begin(), by_priority.end(),
                     [this](size_t a, size_t b) { return columns_[a].priority < columns_[b].priority; });

    std::vector<place> places;
    size_t used = 0;
    for (size_t each : by_priority) {
        bool last = each + 1 == columns_.size();
        size_t needed = (used > 0 ? gap : 0) + (last ? std::min(widths[each], room_for_last) : widths[each]);
        if (to.columns > 0 && columns_[each].priority > 0 && used + needed > to.columns)
            continue;
        used += needed;
        places.push_back({each, widths[each]});
    }
    std::sort(places.begin(), places.end(), [](place a, place b) { return a.index < b.index; });
    return places;
}

std::string table::line(const std::vector<place> &places, const std::vector<cell> &cells,
                        const screen &to) const
{
    std::string text;
    size_t used = 0; // columns of `text`, without what colours it
    size_t owed = 0; // blanks before the next cell; none at a line's end
    for (auto [index, column_width] : places) {
        const cell &each = cells[index];
        size_t own = width(each.text);
        size_t padding = column_width > own ? column_width - own : 0;
        if (columns_[index].aligned == side::right)
            owed += padding;
        if (own > 0) {
            if (to.columns > 0 && used + owed >= to.columns)
                break;
            size_t room = to.columns > 0 ? to.columns - used - owed : own;
            std::string shown = fitted(each.text, room, to);
            text.append(owed, ' ');
            used += owed + width(shown);
            owed = 0;
            text += toned(shown, each.how, to);
        }
        owed += gap;
        if (columns_[index].aligned == side::left)
            owed += padding;
    }
    return text + '\n';
}

} // namespace pw::tool
