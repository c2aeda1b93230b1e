// SPDX-License-Identifier: MIT
#include "top_model.h"

#include "quantity.h"
#include "text.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>

namespace pw::tool {
namespace {

// Two runtimes may have had one pid, one after the other: nothing of the earlier one's is to be subtracted.
bool same_runtime(const process_sample &one, const process_sample &other)
{
    return one.facts.start_ns == other.facts.start_ns && one.state.taken_ns <= other.state.taken_ns;
}

} // namespace

top_model::top_model(std::optional<int> only)
    : only_(only), shown_(only), processes_(process_columns(), busy_processes),
      cpus_(cpu_columns(), busy_cpus), functions_(function_columns(), busy_functions)
{
}

void top_model::see(const std::vector<process_sample> &processes, const std::string &note)
{
    std::vector<pane_row> rows;
    std::map<int, process_sample> kept;
    if (shown_)
        kept.swap(before_); // the others', for when they are seen again
    subject_ = counted(processes.size(), "process", "processes");
    averages_ = false;
    for (const process_sample &each : processes) {
        const std::map<int, process_sample> &known = shown_ ? kept : before_;
        auto found = known.find(each.pid);
        bool again = found != known.end() && same_runtime(found->second, each);
        snapshot before = again ? found->second.state : at_start(each.facts);
        averages_ |= !again;
        if (shown_) {
            subject_ = fmt::format("{} {}  {} (from {})", each.pid, each.command, each.facts.strategy,
                                   each.facts.source);
            cpus_.show(cpu_rows(before, each));
            functions_.show(function_rows(before, each.state));
        } else {
            rows.push_back(process_row(before, each));
        }
        kept.insert_or_assign(each.pid, each);
    }
    subject_ += note;
    if (!shown_)
        processes_.show(std::move(rows));
    before_ = std::move(kept);
}

void top_model::lose(const std::string &why)
{
    if (only_)
        return;
    message_ = why;
    close();
}

void top_model::press(int key)
{
    message_.clear();
    if (prompt_) {
        press_in_prompt(key);
        return;
    }
    switch (key) {
    case 'q':
        ended_ = true;
        break;
    case key_up:
    case 'k':
        focused().move(-1);
        break;
    case key_down:
    case 'j':
        focused().move(1);
        break;
    case key_page_up:
        focused().move(-static_cast<long>(page_));
        break;
    case key_page_down:
    case ' ':
        focused().move(static_cast<long>(page_));
        break;
    case key_first:
        focused().move(-static_cast<long>(focused().size()));
        break;
    case key_last:
        focused().move(static_cast<long>(focused().size()));
        break;
    case '<':
    case key_left:
        focused().sort_by_previous();
        break;
    case '>':
    case key_right:
        focused().sort_by_next();
        break;
    case 'r':
        focused().reverse();
        break;
    case '+':
        set_interval(interval_ms_ * 2.0);
        break;
    case '-':
        set_interval(interval_ms_ / 2.0);
        break;
    case 'd':
        prompt_ = "";
        break;
    case key_tab:
        on_functions_ = shown_ && !on_functions_;
        break;
    case key_enter:
        open_selected();
        break;
    case key_escape:
    case key_erase:
        if (!only_)
            close();
        break;
    default:
        break;
    }
}

void top_model::press_in_prompt(int key)
{
    constexpr size_t longest = 8;
    if ((key >= '0' && key <= '9') || key == '.') {
        if (prompt_->size() < longest)
            prompt_->push_back(static_cast<char>(key));
    } else if (key == key_erase) {
        if (!prompt_->empty())
            prompt_->pop_back();
    } else if (key == key_enter) {
        char *end = nullptr;
        double seconds = strtod(prompt_->c_str(), &end);
        if (prompt_->empty() || *end != '\0')
            message_ = prompt_->empty() ? "" : "not a number of seconds: " + *prompt_;
        else
            set_interval(seconds * 1000);
        prompt_.reset();
    } else if (key == key_escape) {
        prompt_.reset();
    }
}

void top_model::set_interval(double ms)
{
    interval_ms_ = static_cast<unsigned>(std::lround(std::clamp<double>(ms, shortest_ms, longest_ms)));
}

void top_model::open_selected()
{
    const pane_row *row = processes_.selected();
    if (shown_ || row == nullptr)
        return;
    shown_ = atoi(row->identity.c_str());
    subject_ = row->identity;
    cpus_ = pane(cpu_columns(), busy_cpus);
    functions_ = pane(function_columns(), busy_functions);
    on_functions_ = false;
}

void top_model::close()
{
    shown_.reset();
    on_functions_ = false;
}

pane &top_model::focused()
{
    if (!shown_)
        return processes_;
    return on_functions_ ? functions_ : cpus_;
}

std::string top_model::title() const
{
    std::string text = fmt::format("{}  every {}", subject_, time_text(uint64_t{interval_ms_} * 1'000'000));
    if (averages_)
        text += "  (averages since the start)";
    return text;
}

std::string top_model::bottom() const
{
    if (prompt_)
        return fmt::format("seconds between refreshes: {}_", *prompt_);
    if (!message_.empty())
        return message_;
    std::string text = "q quit  < > sort  r reverse  d + - interval";
    if (!shown_)
        return text + "  Enter open";
    return text + "  Tab other table" + (only_ ? "" : "  Esc back");
}

// The CPUs get what they need, up to half of it; the functions the rest. Where two tables would be too low
// for both, the one with the focus.
void top_model::add_panes(std::vector<screen_line> &lines, size_t room, const screen &to)
{
    auto add = [&](pane &each, size_t height, bool has_focus) {
        if (has_focus)
            page_ = std::max<size_t>(height - std::min(height, pane::heading_lines), 1);
        for (screen_line &line : each.draw(height, to, has_focus))
            lines.push_back(std::move(line));
    };
    constexpr size_t least = pane::heading_lines + 2;
    if (!shown_ || room < 2 * least + 1) {
        add(focused(), room, true);
        return;
    }
    size_t wanted = pane::heading_lines + std::max<size_t>(cpus_.size(), 1);
    size_t upper = std::min(wanted, std::max(room / 2, least));
    add(cpus_, upper, !on_functions_);
    lines.push_back({});
    add(functions_, room - upper - 1, on_functions_);
}

std::vector<screen_line> top_model::draw(const screen &to)
{
    if (to.columns < least_columns || to.lines < least_lines)
        return {{fitted("too small", to.columns, to), look::plain}};
    std::vector<screen_line> lines = {{fitted(title(), to.columns, to), look::title}};
    add_panes(lines, to.lines - 2, to);
    lines.resize(to.lines - 1);
    lines.push_back({fitted(bottom(), to.columns, to), look::title});
    return lines;
}

} // namespace pw::tool
