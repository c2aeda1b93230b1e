// SPDX-License-Identifier: MIT
// A table on the full screen: sorted by one of its columns, with one row selected, scrolled so that this row
// is seen. What rows mean is the caller's.
#pragma once

#include "table.h"

#include <string>
#include <vector>

namespace pw::tool {

struct pane_cell {
    std::string text;  // printable
    double weight = 0; // sorts columns that are aligned to the right; the others are sorted by their text
};

struct pane_row {
    std::string identity; // the same in every refresh, so that the selection stays with its row
    std::vector<pane_cell> cells;
    tone how = tone::plain;
};

// How a line of the full screen looks.
enum class look { plain, title, heading, selected, notice, alarm };

struct screen_line {
    std::string text; // printable, no longer than the screen is wide
    look how = look::plain;
};

class pane {
  public:
    // Sorted by that column at first: numbers falling, texts rising.
    pane(std::vector<column> columns, size_t sorted_by);

    void show(std::vector<pane_row> rows);
    size_t size() const { return rows_.size(); }

    // The selection, by so many rows; it stops at either end.
    void move(long rows);
    // Null if there is no row.
    const pane_row *selected() const;

    void sort_by_next();
    void sort_by_previous();
    void reverse();
    const std::string &sorted_by() const { return columns_[sorted_by_].name; }
    bool falling() const { return falling_; }

    // Headings and as many rows as there is room for, in at most that many lines. Without `focused` no row
    // looks selected.
    std::vector<screen_line> draw(size_t lines, const screen &to, bool focused);

    static constexpr size_t heading_lines = 2;

  private:
    void sort_by(size_t index);
    void sort();
    void scroll(size_t room);

    std::vector<column> columns_;
    std::vector<pane_row> rows_;
    std::string selected_; // identity
    size_t selected_at_ = 0;
    size_t first_shown_ = 0;
    size_t sorted_by_;
    bool falling_;
};

} // namespace pw::tool
