// SPDX-License-Identifier: MIT
// The runtime for one turn: its worker, kept awake, would take the CPU from the contenders whose turn is
// next.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>

#include <pwlocks/pwlocks.h>

namespace pw::bench {

class runtime_turn {
  public:
    // One worker, which stays awake for so long when it has nothing to do. Throws std::runtime_error.
    runtime_turn(int cpu, int idle_spin_us)
    {
        std::string options = "idle_spin_us=" + std::to_string(idle_spin_us) + " cpus=" + std::to_string(cpu);
        if (int error = pw_runtime_start(options.c_str()))
            throw std::runtime_error(std::string("pw_runtime_start: ") + strerror(-error));
        // Behind this the worker has come up.
        pw_struct first;
        INIT_PW(
            &first, [](pw_struct *) {}, cpu);
        if (pw_queue_work_on(cpu, nullptr, &first) != 1 || pw_flush(&first) != 0)
            throw std::runtime_error("no work can be queued to CPU " + std::to_string(cpu));
    }
    ~runtime_turn() { pw_runtime_stop(); }
    runtime_turn(const runtime_turn &) = delete;
    runtime_turn &operator=(const runtime_turn &) = delete;
};

inline constexpr int always_awake_us = 1'000'000;

} // namespace pw::bench
