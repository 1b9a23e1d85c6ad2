/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_SLICE_CTL_H
#define NODE_AGENT_SLICE_CTL_H

#include "base/loop.h"
#include "proto/wire_ctl.h"

/*
 * The slice's side of its control socket. The agent makes the socket (SOCK_SEQPACKET, listening, in
 * the slice's run directory), starts `mirrorball-slice --ctl-fd 3 --log SPEC`, and connects; when
 * the agent is restarted it connects again. The messages are those of proto/slice.proto and
 * proto/stream.proto. One agent is connected at a time; the newest wins.
 *
 *            prepare            connect              start
 *      new ----------> prepared --------> connected --------> running
 *       |                 |                   |                  |
 *       +-----------------+-------------------+------------------+----> stopped ----> finished
 *                                               slice_ctl_stopped(), asked for or not
 *
 * The library keeps this state, refuses requests that do not fit it, and answers queries; the slice
 * is called only for requests that are in order, one at a time. Everything here runs on the loop's
 * thread and never blocks.
 */
struct slice_ctl;

/* Byte channels to the guest: the serial console, and the three virtio-console ports of the exec
 * protocol, named "org.mirrorball.exec", "org.mirrorball.out" and "org.mirrorball.err" to the
 * guest. */
enum slice_port {
	SLICE_PORT_CONSOLE,
	SLICE_PORT_EXEC,
	SLICE_PORT_OUT,
	SLICE_PORT_ERR,
	SLICE_PORT_N
};

struct slice_ctl_stats;
struct ctl_hot_page;

struct slice_ctl_ops {
	/*
	 * Make memory, devices and the fabric end point as `spec` says. fds[i] belongs to
	 * spec->fds[i].name: "kernel", "initrd", "disk<n>" (of spec->disks[n]), "userfaultfd" and
	 * "kvm" (open device files). The descriptors become the slice's own; `spec` is valid only
	 * during the call. Answer with slice_ctl_prepared() or slice_ctl_refuse(), now or later.
	 */
	void (*prepare)(void *arg, const struct ctl_slice_spec *spec, const int *fds);
	/* Connect to all other slices. Answer with slice_ctl_done() when all connections stand, or
	 * _refuse(). */
	void (*connect)(void *arg, const struct ctl_slice_mesh *mesh);
	/* Let the vCPUs run. Answer with slice_ctl_done() or _refuse(). */
	void (*start)(void *arg);
	/*
	 * Stop for ever, for this reason, in whatever state it is. The answer is
	 * slice_ctl_stopped(), within a second: the agent kills what does not answer in 5 s.
	 */
	void (*stop)(void *arg, enum ctl_stop_reason reason, const char *text);
	/* Add all counters with slice_ctl_stat(). */
	void (*stats)(void *arg, struct slice_ctl_stats *out);
	/* Write the hottest pages to `out`, which has room for `max`, hottest first; returns how
	 * many. Only their numbers, pattern and policy: the home is filled in. */
	uint32_t (*pages)(void *arg, struct ctl_hot_page *out, uint32_t max);
	/* Bytes for the guest have come: take them with slice_ctl_port_read(). */
	void (*port_readable)(void *arg, enum slice_port port);
	/* slice_ctl_port_write() has room again after it took less than it was given. */
	void (*port_writable)(void *arg, enum slice_port port);
	/* The agent has taken note of the end (or has not come for 30 s): end the process. Once,
	 * last. */
	void (*finished)(void *arg);
};

/* Serve the listening socket `fd` (which becomes the library's own). ERR_NO_MEMORY, ERR_INVAL (not
 * such a socket). */
MUST_CHECK int slice_ctl_create(struct loop *loop, int fd, const struct slice_ctl_ops *ops,
	void *arg, struct slice_ctl **out);
void slice_ctl_destroy(struct slice_ctl *ctl);

/* Answers, see slice_ctl_ops. `fabric` is the address that other slices connect to, `beat` the one
 * that they send heartbeats to; opaque to all but slices. */
void slice_ctl_prepared(struct slice_ctl *ctl, const char *fabric, const char *beat);
void slice_ctl_done(struct slice_ctl *ctl);
/* The request failed: the VM will be stopped. `fmt` names cause and remedy. */
void slice_ctl_refuse(struct slice_ctl *ctl, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * The slice has stopped, by order or by itself: the agent hears of it at once, and stops the VM's
 * other slices for the same reason. The first call counts, later ones are ignored. The slice goes
 * on serving its loop until `finished`.
 */
void slice_ctl_stopped(struct slice_ctl *ctl, enum ctl_stop_reason reason, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* The guest was reset and starts again in this incarnation: exec commands in progress end with an
 * error, the count of resets goes up. */
void slice_ctl_guest_reset(struct slice_ctl *ctl);

/* One counter: a name of lower-case words joined by dots ("fault.read"), unit ("pages", "bytes",
 * "ns", "1"), value. */
void slice_ctl_stat(struct slice_ctl_stats *out, const char *name, const char *unit, int64_t value);

/*
 * Bytes from the guest. Returns how many were taken. The console takes all, always: what nobody
 * listens to is kept for the next listener up to 64 KiB and beyond that dropped and counted. The
 * exec ports take what the far end has credit for: keep the rest (the guest then waits in its
 * driver) and go on at port_writable().
 */
size_t slice_ctl_port_write(
	struct slice_ctl *ctl, enum slice_port port, const void *buf, size_t len);

/* Take up to `len` bytes for the guest; returns how many there were. What is not taken stays,
 * bounded by credit. */
size_t slice_ctl_port_read(struct slice_ctl *ctl, enum slice_port port, void *buf, size_t len);

enum ctl_slice_state slice_ctl_state(const struct slice_ctl *ctl);

#endif
