/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/prio.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

/* The shortest turn that the scheduler grants; kernels before 6.12 take no notice. */
#define TURN_NS 100000u
/*
 * Short turns alone put the service thread first only while it has used less than its equal share
 * of the processor: a busy one waited for the vCPU's turn to end, 3 ms. With a third of its weight
 * the vCPU is no match; a page that two slices write in turn changes hands in 0.2 ms instead of 2
 * to 4 (tests/bench, ping-pong). More than 5 gains nothing and would starve guests on busy hosts.
 */
#define VCPU_STEP 5
#define NICE_MAX  19

int prio_base(void)
{
	return getpriority(PRIO_PROCESS, 0); /* -1 is a value: this use has no error */
}

/* sched_setattr(2), which the C library does not have yet. Thread 0: the calling one. 0 ns: the
 * scheduler's own turns. */
static void set(uint32_t tid, int nice, uint64_t turn_ns)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns;
	} attr = {.size = sizeof(attr), .policy = SCHED_OTHER, .nice = nice, .runtime_ns = turn_ns};
	if (syscall(SYS_sched_setattr, tid, &attr, 0) != 0)
		log_debug(dsm, "sched_setattr: %m");
}

void prio_service(int base)
{
	set(0, base, TURN_NS);
}

void prio_vcpu(int base, uint32_t tid)
{
	set(tid, MIN(base + VCPU_STEP, NICE_MAX), 0);
}
