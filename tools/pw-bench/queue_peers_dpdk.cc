// SPDX-License-Identifier: MIT
#include "queue_peers.h"

#include <cstdlib>
#include <rte_ring.h>
#include <rte_ring_elem.h>

namespace pw::bench {
namespace {

// A ring in memory of our own: that needs no part of DPDK's environment.
class ring {
  public:
    explicit ring(unsigned flags = 0)
    {
        auto size = static_cast<size_t>(rte_ring_get_memsize_elem(sizeof(call), queue_room));
        ring_ = static_cast<rte_ring *>(aligned_alloc(RTE_CACHE_LINE_SIZE, size));
        if (!ring_ || rte_ring_init(ring_, "pw-bench", queue_room, RING_F_SC_DEQ | flags) != 0)
            abort();
    }
    ~ring() { free(ring_); }
    ring(const ring &) = delete;
    ring &operator=(const ring &) = delete;

    template <bool recycled>
    auto producer()
    {
        return [this](item &each) {
            call one = call_of<recycled>(each);
            while (rte_ring_enqueue_elem(ring_, &one, sizeof one) != 0)
                relax();
        };
    }

    template <bool recycled>
    void consume(long count)
    {
        constexpr unsigned most = 16;
        call taken[most];
        poll(count, [&] {
            unsigned got = rte_ring_sc_dequeue_burst_elem(ring_, taken, sizeof(call), most, nullptr);
            for (unsigned i = 0; i < got; ++i)
                taken[i].function(taken[i].argument);
            return static_cast<long>(got);
        });
    }

  private:
    rte_ring *ring_;
};

} // namespace

std::vector<way> dpdk_queue_peers()
{
    // Where threads share a CPU, DPDK has this mode: in the other one they wait for whoever was preempted.
    auto plain = std::make_shared<ring>(), shares_cpus = std::make_shared<ring>(RING_F_MP_RTS_ENQ);
    return {{"rte_ring (RTS for several), 16", "peer",
             [=](const scene &at) { return run_scene(at, at.producers == 1 ? *plain : *shares_cpus); },
             bytes_allocated<ring>}};
}

} // namespace pw::bench
