/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_SLICE_DRIVER_H
#define TESTS_LIB_SLICE_DRIVER_H

#include "base/loop.h"
#include "proto/ctl_conn.h"

/*
 * Drives slice processes over their control sockets, as an agent and a coordinator would together,
 * without either. All slices run on this machine, their fabric on the loopback address. Everything
 * runs on the caller's loop; calls that wait run it.
 */
struct slice_driver;

struct slice_driver_cfg {
	const char *program; /* of the slice */
	const char *dir;     /* an existing directory for sockets and logs (slice<N>.log) */
	const char *log;     /* its --log; NULL: info */
	unsigned slices;
	/* Totals; memory and vCPUs are spread as the coordinator spreads them. Paths, cpu, engine,
	 * uffd, cache, lease and options are taken from here; the rest is filled in. */
	struct ctl_vm_spec vm;
};

/* Start the processes and connect to them. Prints what is wrong. */
MUST_CHECK int slice_driver_create(
	struct loop *loop, const struct slice_driver_cfg *cfg, struct slice_driver **out);
/* Kills what is left. */
void slice_driver_destroy(struct slice_driver *d);

/* Prepare, connect and start all slices; 0, or the first error, whose text is printed. */
MUST_CHECK int slice_driver_start(struct slice_driver *d);
/* Order all to stop. */
void slice_driver_stop(struct slice_driver *d, enum ctl_stop_reason reason);
/* Wait until all processes have ended, at most `timeout_ms` (0: for ever). False: they have not. */
bool slice_driver_wait(struct slice_driver *d, uint32_t timeout_ms);

/* What slice `i` has last told, its process (0: ended), and the connection to it (NULL: none). */
const struct ctl_slice_status *slice_driver_status(const struct slice_driver *d, unsigned i);
int slice_driver_pid(const struct slice_driver *d, unsigned i);
struct ctl_conn *slice_driver_conn(const struct slice_driver *d, unsigned i);
/* Counter of slice `i`; false: no such counter or no answer. */
bool slice_driver_stat(struct slice_driver *d, unsigned i, const char *name, int64_t *value);

#endif
