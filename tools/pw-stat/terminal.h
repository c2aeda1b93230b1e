// SPDX-License-Identifier: MIT
// The terminal as a full screen, by ncurses. One object at a time, in a program with one thread.
#pragma once

#include "pane.h"

#include <chrono>
#include <memory>
#include <vector>

namespace pw::tool {

// Throws misuse unless standard input and output are a terminal on which the cursor can be placed.
void require_terminal();

class terminal {
  public:
    // Takes the terminal over. SIGINT, SIGQUIT, SIGTERM and SIGHUP are caught while the object exists, so
    // that the terminal is given back before they end us; wait() tells of them.
    explicit terminal(bool colours);
    ~terminal();
    terminal(const terminal &) = delete;
    terminal &operator=(const terminal &) = delete;

    struct event {
        int key = 0;    // as top_model takes it; 0: none, time is over or the size has changed
        int signal = 0; // that would have ended us
    };
    event wait(std::chrono::steady_clock::time_point until);

    pw::tool::screen size() const;
    void show(const std::vector<screen_line> &lines);

  private:
    class signals;
    struct curses;
    std::unique_ptr<signals> signals_; // behind the screen's end
    std::unique_ptr<curses> curses_;
    bool unicode_;
};

} // namespace pw::tool
