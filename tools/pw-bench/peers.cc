// SPDX-License-Identifier: MIT
#include "peers.h"

#include <mutex>
#include <pthread.h>

namespace pw::bench {
namespace {

guarded<pthread_spinlock_t> spin;
guarded<pthread_mutex_t> plain, inheriting;
guarded<std::mutex> standard;

} // namespace

std::vector<contender> standard_peers()
{
    pthread_spin_init(&spin.lock, PTHREAD_PROCESS_PRIVATE);
    pthread_mutex_init(&plain.lock, nullptr);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&inheriting.lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    auto lock = [](pthread_mutex_t &mutex) { pthread_mutex_lock(&mutex); };
    auto unlock = [](pthread_mutex_t &mutex) { pthread_mutex_unlock(&mutex); };
    return {
        pair_of(
            "pthread_spinlock_t", spin.lock, spin.word,
            [](pthread_spinlock_t &each) { pthread_spin_lock(&each); },
            [](pthread_spinlock_t &each) { pthread_spin_unlock(&each); }),
        pair_of("pthread_mutex_t", plain.lock, plain.word, lock, unlock),
        pair_of("pthread_mutex_t, PI", inheriting.lock, inheriting.word, lock, unlock),
        pair_of(
            "std::mutex", standard.lock, standard.word, [](std::mutex &each) { each.lock(); },
            [](std::mutex &each) { each.unlock(); }),
    };
}

std::vector<contender> all_peers()
{
    std::vector<contender> all = standard_peers();
    auto add = [&](std::vector<contender> more) { all.insert(all.end(), more.begin(), more.end()); };
#if PW_BENCH_TBB
    add(tbb_peers());
#endif
#if PW_BENCH_CK
    add(ck_peers());
#endif
#if PW_BENCH_ABSL
    add(absl_peers());
#endif
#if PW_BENCH_DPDK
    add(dpdk_peers());
#endif
    (void)add;
    return all;
}

std::vector<std::string> missing_peers()
{
    std::vector<std::string> missing;
    if (!PW_BENCH_TBB)
        missing.push_back("tbb::spin_mutex (libtbb-dev)");
    if (!PW_BENCH_CK)
        missing.push_back("ck_spinlock (libck-dev)");
    if (!PW_BENCH_ABSL)
        missing.push_back("absl::Mutex (libabsl-dev)");
    if (!PW_BENCH_DPDK)
        missing.push_back("rte_spinlock (libdpdk-dev)");
    return missing;
}

} // namespace pw::bench
