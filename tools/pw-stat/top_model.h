// SPDX-License-Identifier: MIT
// The full screen without its terminal: what keys do, and which lines are to be seen.
#pragma once

#include "pane.h"
#include "top_rows.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pw::tool {

// Keys that are not characters; a character is its own code.
enum top_key : int {
    key_up = 0x110000,
    key_down,
    key_page_up,
    key_page_down,
    key_first,
    key_last,
    key_left,
    key_right,
    key_enter,
    key_escape,
    key_erase,
    key_tab,
};

class top_model {
  public:
    static constexpr size_t least_columns = 20, least_lines = 5;
    static constexpr unsigned shortest_ms = 100, longest_ms = 3600 * 1000;

    // Of all processes, or of the one with this id only.
    explicit top_model(std::optional<int> only);

    // Whom to look at next: one process, or all if there is none.
    std::optional<int> shown() const { return shown_; }

    // What was seen of them: all, or the one that is shown. The note stands in the title.
    void see(const std::vector<process_sample> &processes, const std::string &note);

    // The process that is shown cannot be looked at any more. Back to all of them, with that message. Not
    // where it is the only one.
    void lose(const std::string &why);

    void press(int key);
    bool ended() const { return ended_; }
    unsigned interval_ms() const { return interval_ms_; }

    std::vector<screen_line> draw(const screen &to);

  private:
    pane &focused();
    void press_in_prompt(int key);
    void open_selected();
    void close();
    void sort(int key);
    void set_interval(double ms);
    std::string title() const;
    std::string bottom() const;
    void add_panes(std::vector<screen_line> &lines, size_t room, const screen &to);

    std::optional<int> only_, shown_;
    std::string subject_;  // what the title says of whom is shown
    bool averages_ = true; // what is seen is since the start
    std::map<int, process_sample> before_;
    pane processes_, cpus_, functions_;
    bool on_functions_ = false; // which of one process's tables has the focus
    unsigned interval_ms_ = 1000;
    std::optional<std::string> prompt_; // the interval that is being typed
    std::string message_;
    size_t page_ = 1; // rows of the focused table
    bool ended_ = false;
};

} // namespace pw::tool
