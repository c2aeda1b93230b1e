// SPDX-License-Identifier: MIT
#include "top.h"

#include "print.h"
#include "sample.h"
#include "terminal.h"
#include "text.h"
#include "top_model.h"

#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <memory>

namespace pw::tool {
namespace {

using clock = std::chrono::steady_clock;

bool has_gone(const cannot_show &error)
{
    return error.kind == obstacle::no_process || error.kind == obstacle::not_a_user || error.kind == obstacle::ended;
}

// Of one process, throws cannot_show or bad_segment; of all, those that can be read.
void see_now(top_model &model)
{
    if (std::optional<int> pid = model.shown()) {
        model.see({take_sample(find_process(*pid))}, "");
        return;
    }
    sample_set all = take_samples();
    std::string note;
    if (!all.problems.empty())
        note += fmt::format("  {} unreadable", all.problems.size());
    if (all.denied > 0)
        note += fmt::format("  {} not ours to read", all.denied);
    model.see(all.processes, note);
}

// Looks again. The only process that is watched ends the command; another one the view of it.
void look_again(top_model &model, bool only)
{
    std::optional<int> pid = model.shown();
    try {
        see_now(model);
    } catch (const std::runtime_error &error) {
        if (only || !pid)
            throw;
        model.lose(fmt::format("{}: {}", *pid, error.what()));
        see_now(model);
    }
}

// Until the user or a signal ends it; the signal, or 0.
int watch(top_model &model, terminal &on, bool only)
{
    clock::time_point looked = clock::now();
    while (!model.ended()) {
        on.show(model.draw(on.size()));
        auto until = looked + std::chrono::milliseconds(model.interval_ms());
        std::optional<int> shown = model.shown();
        terminal::event event = on.wait(until);
        if (event.signal != 0)
            return event.signal;
        if (event.key != 0)
            model.press(event.key);
        if (clock::now() >= until || model.shown() != shown) {
            look_again(model, only);
            looked = clock::now();
        }
    }
    return 0;
}

} // namespace

int show_top(std::optional<int> only, bool colours)
{
    require_terminal();
    top_model model(only);
    see_now(model);
    int signal = 0;
    try {
        terminal on(colours);
        signal = watch(model, on, only.has_value());
    } catch (const cannot_show &error) {
        if (!only || !has_gone(error))
            throw;
        complain(fmt::format("{}: has ended, or its runtime has", *only));
        return has_ended;
    }
    // As if it had not been caught: who waits for us sees what ended us. Ctrl-C is a way to end it like q.
    if (signal != 0 && signal != SIGINT)
        raise(signal);
    return success;
}

} // namespace pw::tool
