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
    return error.kind == obstacle::no_process || error.kind == obstacle::not_a_user ||
           error.kind == obstacle::ended;
}

// What the model is shown, look by look.
class looker {
  public:
    // Of one process, throws cannot_show or bad_segment; of all, shows those that can be read.
    void look(top_model &model)
    {
        if (std::optional<int> pid = model.shown()) {
            model.see({take_sample(at(*pid))}, "");
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

    // The only process that is watched ends the command; another one the view of it.
    void look_on(top_model &model, bool only)
    {
        std::optional<int> pid = model.shown();
        try {
            look(model);
        } catch (const std::runtime_error &error) {
            if (only || !pid)
                throw;
            shown_.reset();
            model.lose(fmt::format("{}: {}", *pid, error.what()));
            look(model);
        }
    }

  private:
    // The same process as at the last look, even if another one has its id by now.
    const process &at(int pid)
    {
        if (asked_ == pid && shown_) {
            look_again(*shown_);
        } else {
            shown_.emplace(find_process(pid));
            asked_ = pid; // perhaps a thread's
        }
        return *shown_;
    }

    std::optional<process> shown_;
    int asked_ = 0;
};

// Until the user or a signal ends it; the signal, or 0.
int watch(looker &looking, top_model &model, terminal &on, bool only)
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
            looking.look_on(model, only);
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
    looker looking;
    looking.look(model);
    int signal = 0;
    try {
        terminal on(colours);
        signal = watch(looking, model, on, only.has_value());
    } catch (const cannot_show &error) {
        if (!only || !has_gone(error))
            throw;
        complain(fmt::format("{}: {}", *only, error.what()));
        return has_ended;
    }
    // As if it had not been caught: who waits for us sees what ended us. Ctrl-C is a way to end it like q.
    if (signal != 0 && signal != SIGINT)
        raise(signal);
    return success;
}

} // namespace pw::tool
