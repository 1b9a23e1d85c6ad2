/* SPDX-License-Identifier: Apache-2.0 */
#include "base/barrier.h"

#include <linux/membarrier.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

/* Zero initially, as the kernel's registration of the process is. */
static atomic_bool armed;

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

int barrier_arm(void)
{
	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0)
		return ERR_KERNEL;
	atomic_store(&armed, true);
	return 0;
}

void barrier_heavy(void)
{
	if (!atomic_load_explicit(&armed, memory_order_relaxed)) {
		atomic_thread_fence(memory_order_seq_cst);
		return;
	}
	/* It fails only for a process that has not registered. */
	CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}
