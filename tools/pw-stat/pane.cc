// SPDX-License-Identifier: MIT
#include "pane.h"

#include <algorithm>
#include <string_view>

namespace pw::tool {
namespace {

std::vector<std::string> split(std::string_view text)
{
    std::vector<std::string> lines;
    while (!text.empty()) {
        size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

look look_of(tone how)
{
    return how == tone::alarm ? look::alarm : how == tone::notice ? look::notice : look::plain;
}

} // namespace

pane::pane(std::vector<column> columns, size_t sorted_by)
    : columns_(std::move(columns)), sorted_by_(sorted_by),
      falling_(columns_[sorted_by].aligned == side::right)
{
}

void pane::show(std::vector<pane_row> rows)
{
    rows_ = std::move(rows);
    sort();
}

void pane::move(long rows)
{
    if (rows_.empty())
        return;
    auto last = static_cast<long>(rows_.size()) - 1;
    long distance = std::clamp(rows, -last, last); // so that the sum cannot overflow
    selected_at_ = static_cast<size_t>(std::clamp(static_cast<long>(selected_at_) + distance, 0L, last));
    selected_ = rows_[selected_at_].identity;
}

const pane_row *pane::selected() const
{
    return rows_.empty() ? nullptr : &rows_[selected_at_];
}

void pane::sort_by_next()
{
    sort_by((sorted_by_ + 1) % columns_.size());
}

void pane::sort_by_previous()
{
    sort_by((sorted_by_ + columns_.size() - 1) % columns_.size());
}

void pane::reverse()
{
    falling_ = !falling_;
    sort();
}

void pane::sort_by(size_t index)
{
    sorted_by_ = index;
    falling_ = columns_[index].aligned == side::right;
    sort();
}

// Rows that are alike in the column stand by their identity: they do not change places at every refresh.
void pane::sort()
{
    bool numbers = columns_[sorted_by_].aligned == side::right;
    std::sort(rows_.begin(), rows_.end(), [&](const pane_row &one, const pane_row &other) {
        const pane_cell &left = one.cells[sorted_by_], &right = other.cells[sorted_by_];
        int order = numbers ? (left.weight > right.weight) - (left.weight < right.weight)
                            : left.text.compare(right.text);
        if (order != 0)
            return falling_ ? order > 0 : order < 0;
        return one.identity < other.identity;
    });
    // A row that has gone leaves the selection where it was.
    auto found = std::find_if(rows_.begin(), rows_.end(),
                              [this](const pane_row &row) { return row.identity == selected_; });
    if (found != rows_.end())
        selected_at_ = static_cast<size_t>(found - rows_.begin());
    selected_at_ = rows_.empty() ? 0 : std::min(selected_at_, rows_.size() - 1);
}

void pane::scroll(size_t room)
{
    if (selected_at_ < first_shown_)
        first_shown_ = selected_at_;
    if (selected_at_ >= first_shown_ + room)
        first_shown_ = selected_at_ - room + 1;
    // No empty lines below while rows above are hidden.
    first_shown_ = std::min(first_shown_, rows_.size() > room ? rows_.size() - room : 0);
}

std::vector<screen_line> pane::draw(size_t lines, const screen &to, bool focused)
{
    if (lines <= heading_lines)
        return {};
    std::vector<column> columns = columns_;
    columns[sorted_by_].name += to.unicode ? (falling_ ? "↓" : "↑") : (falling_ ? "-" : "+");
    columns[sorted_by_].priority = 0;
    table drawn(std::move(columns));
    for (const pane_row &row : rows_) {
        std::vector<cell> cells;
        for (const pane_cell &each : row.cells)
            cells.emplace_back(each.text);
        drawn.add(std::move(cells));
    }

    screen plain = to; // whole lines have colours here
    plain.colours = false;
    size_t room = lines - heading_lines;
    scroll(room);
    std::vector<screen_line> result;
    for (std::string &text : split(drawn.headings(plain)))
        result.push_back({std::move(text), look::heading});
    std::vector<std::string> texts = split(drawn.rows(plain));
    for (size_t i = first_shown_; i < texts.size() && i < first_shown_ + room; ++i)
        result.push_back(
            {std::move(texts[i]), focused && i == selected_at_ ? look::selected : look_of(rows_[i].how)});
    return result;
}

} // namespace pw::tool
