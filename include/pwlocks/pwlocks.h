/* SPDX-License-Identifier: MIT */
/* pwlocks: per-CPU memory, per-CPU locks and per-CPU work, the strategy chosen when the program starts. */
#ifndef PWLOCKS_PWLOCKS_H
#define PWLOCKS_PWLOCKS_H

#include "base.h"
#include "cpu.h"
#include "lock.h"
#include "percpu.h"
#include "rseq.h"
#include "runtime.h"
#include "stat.h"
#include "work.h"

#endif
