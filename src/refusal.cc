// SPDX-License-Identifier: MIT
#include "refusal.h"

#include "callers.h"
#include "futex_mutex.h"

#include <cstdint>
#include <mutex>

namespace pw::detail {

struct alignas(PW_CACHE_LINE) refusal_list {
    futex_mutex mutex;
    refusal *first = nullptr;

    bool refuses(const pw_struct *item) const
    {
        for (const refusal *each = first; each; each = each->next_)
            if (each->item_ == item)
                return true;
        return false;
    }

    void take_off(const refusal &one)
    {
        refusal **link = &first;
        while (*link != &one)
            link = &(*link)->next_;
        *link = one.next_;
    }

    // In the child: other threads' refusals have ended with them. First all are off the list, then whose bits
    // go is known.
    void forget_others()
    {
        refusal *others = nullptr;
        for (refusal **link = &first; refusal *each = *link;) {
            if (each->thread_ == &this_thread) {
                link = &each->next_;
                continue;
            }
            *link = each->next_;
            each->next_ = others;
            others = each;
        }
        for (; others; others = others->next_)
            accept_claims(std::atomic_ref(others->item_->state), false, !refuses(others->item_));
    }
};

namespace {

constinit refusal_list lists[64];

refusal_list &list_of(const pw_struct *item)
{
    // Mixed, since many that lie in a row may be apart by a power of two.
    uintptr_t place = reinterpret_cast<uintptr_t>(item) / alignof(pw_struct);
    return lists[(place ^ place >> 6 ^ place >> 12) % std::size(lists)];
}

} // namespace

void refusal::begin()
{
    refusal_list &list = list_of(item_);
    std::lock_guard held(list.mutex);
    thread_ = &this_thread;
    next_ = list.first;
    list.first = this;
    refuse_claims(std::atomic_ref(item_->state));
}

void refusal::end(bool gone)
{
    refusal_list &list = list_of(item_);
    std::lock_guard held(list.mutex);
    list.take_off(*this);
    accept_claims(std::atomic_ref(item_->state), gone, !list.refuses(item_));
}

void refusals_before_fork()
{
    for (refusal_list &each : lists)
        each.mutex.lock();
}

void refusals_after_fork(bool child)
{
    for (refusal_list &each : lists) {
        if (child)
            each.forget_others();
        each.mutex.unlock();
    }
}

} // namespace pw::detail
