// SPDX-License-Identifier: MIT
// Columns under two lines of headings: names, and the units of what stands below. On a terminal as many
// columns as fit, by priority, and the last one cut if it must be: no line is longer than the terminal.
#pragma once

#include "screen.h"

#include <string>
#include <vector>

namespace pw::tool {

enum class side { left, right };

struct column {
    std::string name;
    std::string unit; // may be empty
    side aligned = side::right;
    int priority = 0; // those with 0 are always there; the others by rising number, each if it fits
    size_t least = 0; // its width even if all cells are shorter: for rows that are not known yet
};

struct cell {
    std::string text; // printable
    tone how = tone::plain;
    cell(std::string written, tone toned_as = tone::plain) : text(std::move(written)), how(toned_as) {}
    cell(const char *written) : text(written) {}
};

class table {
  public:
    explicit table(std::vector<column> columns);

    // As many cells as there are columns.
    void add(std::vector<cell> cells);
    bool empty() const { return rows_.empty(); }

    // Headings and rows.
    std::string text(const screen &to) const;

    // For rows that come one by one: the two, each by itself. The columns are the same for every call as
    // long as no cell is wider than its column.
    std::string headings(const screen &to) const;
    std::string rows(const screen &to) const;
    void clear() { rows_.clear(); }

  private:
    // Of a column, in every line of one text.
    struct place {
        size_t index;
        size_t width;
    };
    std::vector<size_t> natural_widths() const;
    std::vector<place> arrange(const screen &to) const;
    std::string line(const std::vector<place> &places, const std::vector<cell> &cells,
                     const screen &to) const;

    std::vector<column> columns_;
    std::vector<std::vector<cell>> rows_;
};

} // namespace pw::tool
