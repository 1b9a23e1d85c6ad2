/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_COORD_H
#define COORDINATOR_COORD_H

#include "base/list.h"
#include "base/loop.h"
#include "base/sm.h"
#include "coordinator/coord_store.h"
#include "proto/ctl_conn.h"
#include "proto/xport_tls.h"

/*
 * Inside of mirrorball-coordinator. One thread, one loop. Objects refer to each other by name or
 * serial number, never by a pointer that outlives a callback: hosts, clients and VMs come and go
 * while requests are under way.
 */
struct coord {
	struct loop *loop;
	struct tls_ctx *tls;
	int listen_fd;
	struct loop_fd *listen_lf;
	struct store *store;
	struct list peers; /* struct peer */
	struct list hosts; /* struct host, by name */
	struct list vms;   /* struct vm, by name */
	uint64_t next_serial;
};

/* One connection: a user's or an agent's. */
struct peer {
	struct list node;
	struct coord *coord;
	struct ctl_conn *conn;
	uint64_t serial;
	struct tls_identity id;
	bool ready;
};

struct host {
	struct list node;
	struct coord *coord;
	struct ctl_host_info info;
	uint64_t peer; /* serial of its agent's connection; 0: offline */
};

enum vm_phase {
	VM_PHASE_NONE,
	VM_PHASE_PREPARE,
	VM_PHASE_CONNECT,
	VM_PHASE_OTHERS,
	VM_PHASE_FIRST
};

struct vm {
	struct list node;
	struct coord *coord;
	struct ctl_vm_info info;
	struct sm sm; /* enum ctl_vm_state */
	bool desired_running;
	bool failing; /* STOPPING ends in FAILED */
	enum vm_phase phase;
	unsigned awaiting;   /* answers in this phase */
	unsigned forgetting; /* agents that still remove what is left of a slice */
	struct loop_timer *stop_timer;
	struct list waiters; /* struct waiter */
};

uint64_t coord_unix_ms(void);
uint64_t coord_serial(struct coord *coord);

/* coord_rpc.c: connections and requests of users. */
MUST_CHECK int coord_rpc_start(struct coord *coord, int listen_fd);
void coord_rpc_stop(struct coord *coord);
struct peer *coord_peer(struct coord *coord, uint64_t serial);
void coord_audit(struct coord *coord, const char *who, const char *role, const char *what,
	const char *object, const char *result);

/* coord_host.c */
MUST_CHECK int coord_hosts_load(struct coord *coord);
void coord_hosts_free(struct coord *coord);
struct host *host_find(struct coord *coord, const char *name);
/* The connection to its agent, or NULL. */
struct ctl_conn *host_conn(struct coord *coord, const char *name);
void host_register(struct peer *peer, const struct ctl_rx *rx);
void host_peer_down(struct peer *peer);
/* Its entry with what VMs use of it. The lists are those of `host`: not to be freed. */
struct ctl_host_info host_info(const struct host *host);
MUST_CHECK int host_remove(struct host *host, char why[256]);

/* coord_vm.c: life cycle. */
MUST_CHECK int coord_vms_load(struct coord *coord);
void coord_vms_free(struct coord *coord);
struct vm *vm_find(struct coord *coord, const char *name);
MUST_CHECK int vm_create(
	struct coord *coord, const struct ctl_vm_spec *spec, struct vm **out, char why[256]);
MUST_CHECK int vm_start(struct vm *vm, char why[256]);
/* Stop all slices for this reason; nothing if it is stopping or stopped. */
void vm_stop(struct vm *vm, enum ctl_stop_reason reason, const char *text);
MUST_CHECK int vm_destroy(struct vm *vm, char why[256]);
/* A slice has told of itself. */
void vm_slice_event(struct coord *coord, const struct ctl_slice_status *status);
/* An agent has (again) connected and told of these slices; or has gone. */
void vm_host_back(struct host *host, const struct ctl_slice_status *slices, uint32_t n);
void vm_host_gone(struct host *host);
bool vm_alive(const struct vm *vm);

/* coord_wait.c: answers that wait for a state. */
enum wait_kind { WAIT_STATE, WAIT_START, WAIT_STOP };
void vm_wait(struct vm *vm, struct peer *peer, const struct ctl_rx *rx, enum wait_kind kind,
	uint32_t states, uint32_t timeout_ms);
void vm_waiters_check(struct vm *vm);
void vm_waiters_end(struct vm *vm, int err, const char *text);
void coord_waiters_peer_down(struct peer *peer);
void vm_progress(struct vm *vm, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 *  coord_gather.c: ask every slice of the VM, and answer `rx` with what comes of it. `sum` begins
 *  with the reply, and is freed with its lists when that is sent; NULL: there was no memory for it,
 *  which is then the answer. `answer` adds what one slice has said; `err`: it has said nothing.
 */
struct gather_ops {
	uint16_t request;   /* CTL_SLICE_*, about a slice */
	enum ctl_msg reply; /* what `sum` begins with */
	void (*answer)(void *sum, uint32_t index, int err, const void *msg);
};
void vm_gather(struct vm *vm, struct peer *peer, const struct ctl_rx *rx,
	const struct gather_ops *ops, void *sum);

/* coord_pages.c */
void vm_pages(struct vm *vm, struct peer *peer, const struct ctl_rx *rx);

/* coord_stats.c */
void vm_stats(struct vm *vm, struct peer *peer, const struct ctl_rx *rx);

#endif
