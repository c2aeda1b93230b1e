// SPDX-License-Identifier: MIT
// Every public inline as an exported symbol too, for languages that cannot use a C header.
#define PW_INLINE __attribute__((visibility("default")))
#include <pwlocks/pwlocks.h>
#include <pwlocks/qpw.h>
