// SPDX-License-Identifier: MIT
#include "heir.h"

#include "block_signals.h"
#include "completion.h"
#include "lane.h"
#include "report.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>

namespace pw::detail {
namespace {

// On the stack of the thread that ends, which waits until it has been read.
struct bequest {
    lane *through;
    run_record *from;
    caller *place;
    completion taken;
};

void *heir_main(void *argument)
{
    auto *left = static_cast<bequest *>(argument);
    char name[16];
    snprintf(name, sizeof name, "pw/%d*", left->from->cpu);
    pthread_setname_np(pthread_self(), name);
    adopt_caller(left->place);
    lane &through = *left->through;
    run_record record;
    record.row = this_thread.self->row;
    bool runs = through.inherit(*left->from, record);
    left->taken.complete(); // then it is gone
    if (runs)
        through.run(record);
    // In a fork's child that a function has made; see worker_main().
    if (runs && record.generation != gate.generation)
        exit(EXIT_SUCCESS);
    return nullptr;
}

} // namespace

bool start_heir(lane &through, run_record &from)
{
    bequest left = {&through, &from, reserve_caller(), {}};
    if (!left.place)
        return false;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t heir;
    int error;
    {
        block_signals blocked;
        error = pthread_create(&heir, &attributes, heir_main, &left);
    }
    pthread_attr_destroy(&attributes);
    if (error) {
        report("work function: ended its thread, and there is none for what was handed to it: %s",
               strerror(error));
        unreserve_caller(left.place);
        return false;
    }
    left.taken.wait(0);
    return true;
}

} // namespace pw::detail
