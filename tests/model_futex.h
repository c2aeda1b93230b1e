// SPDX-License-Identifier: MIT
// The futex of a model: the kernel looks at the word and goes to sleep in one step, and wakes in the order in
// which they fell asleep. A lost wake-up shows as a model that does not end.
#pragma once

#include "model.h"

namespace model {

class futex {
  public:
    static constexpr int most_sleepers = 4;

    // Before each execution.
    static void reset() { asleep_ = 0; }

    static void wait(model::atomic<uint32_t> *word, uint32_t expected)
    {
        if (word->newest() != expected)
            return;
        bool woken = false;
        sleepers_[asleep_++] = {word, &woken};
        while (!woken)
            model::pause();
    }

    // Others may come between what the caller did and this.
    static void wake(const void *word)
    {
        model::pause();
        for (int i = 0; i < asleep_; ++i)
            if (sleepers_[i].word == word) {
                *sleepers_[i].woken = true;
                --asleep_;
                for (; i < asleep_; ++i)
                    sleepers_[i] = sleepers_[i + 1];
                return;
            }
    }

    static void relax() { model::pause(); }

  private:
    struct sleeper {
        const void *word;
        bool *woken;
    };
    static inline sleeper sleepers_[most_sleepers];
    static inline int asleep_;
};

} // namespace model
