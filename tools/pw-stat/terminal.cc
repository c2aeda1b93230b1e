// SPDX-License-Identifier: MIT
// Signals are blocked but while ppoll() waits: none falls between the look at what it has set and the wait.
// ncurses catches SIGWINCH and SIGTSTP itself; its getch() then tells of the new size.
#include "terminal.h"

#include "print.h"
#include "text.h"
#include "top_model.h"

#define NCURSES_NOMACROS
#include <curses.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cwchar>
#include <fmt/format.h>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace pw::tool {
namespace {

constexpr std::array ending_signals = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

volatile sig_atomic_t caught = 0;

void note(int signal)
{
    caught = signal;
}

int key_of(int code)
{
    switch (code) {
    case KEY_UP:
        return key_up;
    case KEY_DOWN:
        return key_down;
    case KEY_PPAGE:
        return key_page_up;
    case KEY_NPAGE:
        return key_page_down;
    case KEY_HOME:
        return key_first;
    case KEY_END:
        return key_last;
    case KEY_LEFT:
        return key_left;
    case KEY_RIGHT:
        return key_right;
    case KEY_ENTER:
    case '\n':
    case '\r':
        return key_enter;
    case '\t':
        return key_tab;
    case 27:
        return key_escape;
    case KEY_BACKSPACE:
    case 127:
    case '\b':
        return key_erase;
    default:
        return code < KEY_MIN ? code : 0;
    }
}

// What fits into that many columns of the terminal.
std::wstring visible(const std::string &text, int columns, bool unicode)
{
    std::wstring wide;
    mbstate_t state = {};
    const char *at = text.c_str();
    size_t left = text.size();
    int used = 0;
    while (left > 0) {
        wchar_t character = L'?';
        size_t length = unicode ? mbrtowc(&character, at, left, &state) : 1;
        if (!unicode && static_cast<unsigned char>(*at) < 0x80)
            character = static_cast<wchar_t>(*at);
        int own = length <= left ? wcwidth(character) : -1;
        if (own < 0) { // not in this locale, or not to be printed
            character = L'?';
            length = own = 1;
            state = {};
        }
        if (used + own > columns)
            break;
        wide += character;
        used += own;
        at += length;
        left -= length;
    }
    return wide;
}

} // namespace

void require_terminal()
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        throw misuse("top: standard input and output are not a terminal; with an interval, pw-stat PID 1, "
                     "there are lines");
    const char *type = getenv("TERM");
    if (type == nullptr || *type == '\0')
        throw misuse("top: TERM, the kind of terminal, is not set");
}

class terminal::signals {
  public:
    signals()
    {
        sigset_t blocked;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGWINCH);
        struct sigaction catching = {};
        catching.sa_handler = note;
        caught = 0;
        for (size_t i = 0; i < ending_signals.size(); ++i) {
            sigaddset(&blocked, ending_signals[i]);
            sigaction(ending_signals[i], nullptr, &former_[i]);
            if (former_[i].sa_handler != SIG_IGN) // as nohup wants it
                sigaction(ending_signals[i], &catching, nullptr);
        }
        sigprocmask(SIG_BLOCK, &blocked, &former_mask_);
    }
    ~signals()
    {
        for (size_t i = 0; i < ending_signals.size(); ++i)
            sigaction(ending_signals[i], &former_[i], nullptr);
        sigprocmask(SIG_SETMASK, &former_mask_, nullptr);
    }
    signals(const signals &) = delete;
    signals &operator=(const signals &) = delete;

    const sigset_t &former_mask() const { return former_mask_; }

  private:
    std::array<struct sigaction, ending_signals.size()> former_;
    sigset_t former_mask_;
};

struct terminal::curses {
    curses(const char *kind, bool with_colours)
    {
        handle = newterm(nullptr, stdout, stdin);
        if (handle == nullptr)
            throw misuse(
                fmt::format("top: TERM: terminals of the kind \"{}\" are not known here", printable(kind)));
        static char place_cursor[] = "cup";
        const char *sequence = tigetstr(place_cursor);
        if (sequence == nullptr || sequence == reinterpret_cast<const char *>(-1)) {
            give_back();
            throw misuse(fmt::format("top: TERM: a terminal of the kind \"{}\" cannot place its cursor",
                                     printable(kind)));
        }
        set_escdelay(25);
        cbreak();
        noecho();
        keypad(stdscr, true);
        nodelay(stdscr, true);
        curs_set(0);
        colours = with_colours && has_colors() && start_color() == OK;
        if (colours) {
            use_default_colors();
            init_pair(chosen, COLOR_BLACK, COLOR_CYAN);
            init_pair(yellow, COLOR_YELLOW, -1);
            init_pair(red, COLOR_RED, -1);
        }
    }
    ~curses() { give_back(); }
    curses(const curses &) = delete;
    curses &operator=(const curses &) = delete;

    void give_back()
    {
        endwin();
        delscreen(handle);
    }

    attr_t attributes(look how) const
    {
        switch (how) {
        case look::title:
            return A_BOLD;
        case look::heading:
            return A_BOLD | A_UNDERLINE;
        case look::selected:
            return colours ? static_cast<attr_t>(COLOR_PAIR(chosen)) : A_REVERSE;
        case look::notice:
            return colours ? static_cast<attr_t>(COLOR_PAIR(yellow)) : A_BOLD;
        case look::alarm:
            return A_BOLD | (colours ? static_cast<attr_t>(COLOR_PAIR(red)) : 0);
        case look::plain:
            break;
        }
        return A_NORMAL;
    }

    enum : short { chosen = 1, yellow, red };
    SCREEN *handle;
    bool colours = false;
};

terminal::terminal(bool colours) : signals_(new signals)
{
    setlocale(LC_CTYPE, "");
    unicode_ = screen_of(STDOUT_FILENO).unicode;
    curses_ = std::make_unique<curses>(getenv("TERM"), colours);
}

terminal::~terminal() = default;

screen terminal::size() const
{
    return {static_cast<size_t>(std::max(getmaxx(stdscr), 0)),
            static_cast<size_t>(std::max(getmaxy(stdscr), 0)), false, unicode_};
}

void terminal::show(const std::vector<screen_line> &lines)
{
    werase(stdscr);
    int columns = getmaxx(stdscr);
    for (size_t i = 0; i < lines.size() && static_cast<int>(i) < getmaxy(stdscr); ++i) {
        std::wstring text = visible(lines[i].text, columns, unicode_);
        if (lines[i].how == look::selected || lines[i].how == look::heading)
            while (wcswidth(text.c_str(), text.size()) < columns)
                text += L' ';
        wattrset(stdscr, static_cast<int>(curses_->attributes(lines[i].how)));
        mvwaddnwstr(stdscr, static_cast<int>(i), 0, text.c_str(), static_cast<int>(text.size()));
    }
    wattrset(stdscr, A_NORMAL);
    wrefresh(stdscr);
}

terminal::event terminal::wait(std::chrono::steady_clock::time_point until)
{
    using namespace std::chrono;
    auto left = std::max(duration_cast<nanoseconds>(until - steady_clock::now()), nanoseconds(0));
    timespec limit = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    int code = wgetch(stdscr); // what it holds already
    if (code == ERR) {
        int ready = ppoll(&input, 1, &limit, &signals_->former_mask());
        if (caught != 0)
            return {0, caught};
        code = wgetch(stdscr);
        if (ready > 0 && code == ERR) // the other end has gone
            return {0, SIGHUP};
    }
    return {code == ERR ? 0 : key_of(code), 0};
}

} // namespace pw::tool
