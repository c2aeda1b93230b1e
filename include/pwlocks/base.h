/* SPDX-License-Identifier: MIT */
/* What every other public header needs: export, inline and branch macros, and the read-mostly
 * word that tells inline code which path is in force. */
#ifndef PWLOCKS_BASE_H
#define PWLOCKS_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PW_BEGIN_DECLS extern "C" {
#define PW_END_DECLS }
#else
#define PW_BEGIN_DECLS
#define PW_END_DECLS
#endif

#define PW_VERSION_MAJOR 0
#define PW_VERSION_MINOR 1
#define PW_VERSION_PATCH 0

#define PW_EXPORT __attribute__((visibility("default")))
#define PW_CACHE_LINE 64

/* Public inlines. src/inline_symbols.cc defines PW_INLINE before it includes the headers and so turns each
 * of them into an exported symbol as well, for languages that cannot use a C header. */
#ifndef PW_INLINE
#define PW_INLINE static inline __attribute__((always_inline, unused))
#endif

#define pw_likely(x) __builtin_expect(!!(x), 1)
#define pw_unlikely(x) __builtin_expect(!!(x), 0)

#ifdef __cplusplus
#define PW_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define PW_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#if defined(__SANITIZE_THREAD__)
#define PW_DETAIL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PW_DETAIL_TSAN 1
#endif
#endif
#ifndef PW_DETAIL_TSAN
#define PW_DETAIL_TSAN 0
#endif

PW_BEGIN_DECLS

/* How locks are taken in this process: one method for all lockers, chosen once. */
enum pw_detail_lock_mode {
    PW_DETAIL_MODE_UNSET = 0, /* no lock was taken yet, or no constructor has run: out of line, which decides */
    PW_DETAIL_MODE_QUEUE = 1, /* queue strategy: restartable sequence */
    PW_DETAIL_MODE_LOCK = 2,  /* lock strategy: atomic compare-and-swap, CPU number from the rseq area */
    PW_DETAIL_MODE_SLOW = 3   /* everything unusual (no rseq): out of line */
};

/* Private to the inlines; ABI. Read-mostly: written by the constructor and by the first lock taken, so the
 * line stays shared in every CPU's cache. All zero is valid: then every inline goes out of line. */
struct pw_detail_globals {
    uint32_t lock_mode;
    int32_t rseq_offset; /* bytes from the thread pointer to struct rseq; meaningful in modes QUEUE and LOCK */
    uint32_t reserved[14];
};
PW_STATIC_ASSERT(sizeof(struct pw_detail_globals) == PW_CACHE_LINE, "one line, nothing else on it");
extern PW_EXPORT struct pw_detail_globals pw_detail_globals __attribute__((aligned(PW_CACHE_LINE)));

/* The caller's kernel thread id, for the inlines: which of the words has it says how this thread takes locks, so that one look and
 * one branch tell both. Written by the thread itself, out of line, when it first takes a lock; zero until then. Private; ABI. */
struct pw_detail_thread {
    uint32_t queue_tid; /* in mode QUEUE, else 0 */
    uint32_t lock_tid;  /* in mode LOCK, else 0 */
    uint32_t tid;       /* in every mode */
    uint32_t reserved;
};
PW_STATIC_ASSERT(sizeof(struct pw_detail_thread) == 16, "ABI");
extern PW_EXPORT __thread struct pw_detail_thread pw_detail_thread __attribute__((tls_model("initial-exec")));

PW_INLINE uint32_t pw_detail_mode(void)
{
    /* acquire: pairs with the release in decide_mode(); rseq_offset is there. An ordinary load on x86. */
    return __atomic_load_n(&pw_detail_globals.lock_mode, __ATOMIC_ACQUIRE);
}

PW_END_DECLS

#endif
