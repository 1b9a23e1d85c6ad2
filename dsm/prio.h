/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_PRIO_H
#define DSM_PRIO_H

#include <stdint.h>

/*
 * How the service thread and vCPU threads of a slice share the host's processors. A vCPU never
 * sleeps while the guest has work, the service thread works for microseconds at a time, and vCPUs
 * of all hosts wait for it: it has to run at once when it is woken. Neither needs a privilege; a
 * kernel that refuses is as good as one that grants, only slower.
 */

/* The nice value that threads have been started with. Context: before any of the others. */
int prio_base(void);
/* For the calling thread: short turns, so that it comes first when woken. */
void prio_service(int base);
/* For a thread of this process, by the kernel's id: step back behind the service thread. */
void prio_vcpu(int base, uint32_t tid);

#endif
