// SPDX-License-Identifier: MIT
#include "waits.h"

#include "lane.h"

#include <mutex>
#include <new>

namespace pw::detail {

class wait_graph {
  public:
    bool add(wait_edge *edges, size_t count, unsigned serving_first)
    {
        std::lock_guard held(mutex_);
        const worker *self = this_thread.worker_here;
        depth_ = self ? self->serving.load(std::memory_order_relaxed) - serving_first : 0; // relaxed: our own
        for (size_t i = 0; i < count; ++i) {
            edges[i].waiter_ = &this_thread;
            edges[i].depth_ = depth_;
            edges[i].next_ = all_;
            all_ = &edges[i];
        }
        for (wait_edge *each = all_; each; each = each->next_)
            each->seen_ = false;
        bool circle = false;
        for (size_t i = 0; i < count && !circle; ++i) {
            edges[i].seen_ = true;
            circle = follow(edges[i], &this_thread);
        }
        if (!circle)
            return true;
        for (size_t i = 0; i < count; ++i)
            unlink(edges[i]);
        return false;
    }

    void remove(wait_edge &edge)
    {
        std::lock_guard held(mutex_);
        if (edge.waiter_)
            unlink(edge);
    }

    void forget()
    {
        ::new (&mutex_) std::mutex;
        all_ = nullptr;
    }

  private:
    void unlink(wait_edge &edge)
    {
        wait_edge **link = &all_;
        while (*link != &edge)
            link = &(*link)->next_;
        *link = edge.next_;
        edge.waiter_ = nullptr;
    }

    // Whether `from`, by waits that it entered at that depth or deeper, waits for `goal`, by way of any number of others. As deep as
    // there are waits that are listed.
    bool reaches(const thread_context *from, const thread_context *goal, unsigned depth)
    {
        for (wait_edge *each = all_; each; each = each->next_) {
            if (each->waiter_ != from || each->depth_ < depth || each->seen_)
                continue;
            each->seen_ = true;
            if (follow(*each, goal))
                return true;
        }
        return false;
    }

    bool follow(const wait_edge &edge, const thread_context *goal)
    {
        if (edge.lane_)
            return lane_reaches(edge, goal);
        // Acquire: pairs with the release in worker_main(). Null: a worker that has not run yet.
        const thread_context *target = edge.worker_->context.load(std::memory_order_acquire);
        if (!target)
            return false;
        // A worker that waits for its own calls makes others' meanwhile: only what it entered behind that can keep it from ours. When
        // it has done, and comes to wait for something else, it looks for circles itself.
        unsigned depth = edge.call_ ? edge.worker_->serving.load() : 0;
        if (target == goal && depth_ >= depth)
            return true;
        return reaches(target, goal, depth);
    }

    // One lane's mutex at a time, behind ours. Who is listed and still has something to wait for has been waiting ever since we took our
    // mutex: so what we see in one lane after the other was true all the time.
    bool lane_reaches(const wait_edge &edge, const thread_context *goal)
    {
        uint64_t serial = 0;
        while (const thread_context *blocker = edge.lane_->next_blocker(*edge.key_, serial))
            if (blocker == goal || reaches(blocker, goal, 0))
                return true;
        return false;
    }

    std::mutex mutex_;
    wait_edge *all_ = nullptr;
    unsigned depth_ = 0; // of what is being added
};

namespace {
constinit wait_graph graph;
}

bool begin_waits(wait_edge *edges, size_t count, bool for_calls)
{
    return graph.add(edges, count, for_calls ? 1 : 0);
}

void end_wait(wait_edge &edge)
{
    graph.remove(edge);
}

void waits_after_fork_child()
{
    graph.forget();
}

} // namespace pw::detail
