// SPDX-License-Identifier: MIT
// One-line messages on stderr, each written with a single write(2), without allocating.
#pragma once

namespace pw::detail {

// Writes "pwlocks: <text>\n". Lower case, no full stop, names the fix when there is one.
[[gnu::format(printf, 1, 2)]] void report(const char *format, ...);

// The same, then abort(): for broken invariants and misuse that cannot go on, never for a lack of resources.
[[noreturn, gnu::format(printf, 1, 2)]] void die(const char *format, ...);

} // namespace pw::detail
