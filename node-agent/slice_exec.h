/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_SLICE_EXEC_H
#define NODE_AGENT_SLICE_EXEC_H

#include "base/list.h"
#include "node-agent/exec_line.h"
#include "proto/ctl_conn.h"

/*
 * The host's end of the exec protocol (deploy/guest/README.md): commands of streams are run one
 * after another by the guest's service. It lives in the slice because it has to outlive agents and
 * coordinators: when the stream of a running command breaks, somebody still has to read that
 * command's output to its end, or the next one would inherit it.
 *
 *   absent --READY--> idle --a stream waits--> running --EXIT and all its bytes--> idle
 *                                          `--stream ends--> draining --the same--> idle
 */
struct slice_exec {
	enum { EXEC_ABSENT, EXEC_IDLE, EXEC_RUNNING, EXEC_DRAINING } state;
	struct exec_lines lines;
	struct list waiting; /* struct exec_client */
	unsigned n_waiting;
	struct exec_client *client; /* RUNNING */
	uint8_t *tx;                /* request on its way to the guest */
	size_t tx_len, tx_at;
	bool exited;
	struct exec_line exit;
	uint64_t got[2]; /* bytes of stdout, stderr */
	void (*tx_ready)(void *arg);
	void (*rx_room)(void *arg, enum ctl_channel channel);
	void *arg;
};

#define EXEC_WAITING_MAX 16u

/* `tx_ready`: slice_exec_read() has bytes; `rx_room`: slice_exec_output() takes more. Loop's
 * thread, as for all. */
void slice_exec_init(struct slice_exec *x, void (*tx_ready)(void *arg),
	void (*rx_room)(void *arg, enum ctl_channel channel), void *arg);
void slice_exec_fini(struct slice_exec *x);

/* A STREAM_OPEN of kind EXEC: accepts or refuses it. */
void slice_exec_open(struct slice_exec *x, struct ctl_conn *conn, const struct ctl_rx *rx);
/* End all commands; the guest starts anew or has stopped. */
void slice_exec_reset(struct slice_exec *x, const struct ctl_stream_close *why);

/* Bytes from the guest's control port (all taken) and output ports (returns how many were
 * taken). */
void slice_exec_control(struct slice_exec *x, const void *buf, size_t len);
size_t slice_exec_output(
	struct slice_exec *x, enum ctl_channel channel, const void *buf, size_t len);
/* Bytes for the guest's control port. */
size_t slice_exec_read(struct slice_exec *x, void *buf, size_t len);

#endif
