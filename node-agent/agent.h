/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_AGENT_H
#define NODE_AGENT_AGENT_H

#include "base/list.h"
#include "base/loop.h"
#include "proto/ctl_conn.h"
#include "proto/xport_tls.h"

/*
 * Inside of mirrorball-agent: configuration, the link to the coordinator (agent_link.c), the slices
 * of this host (agent_slice.c, agent_launch.c, agent_adopt.c) and what the host is (agent_host.c).
 * One thread, one loop.
 */
struct agent_cfg {
	const char *coordinator; /* "host:port" */
	const char *pki;
	const char *identity; /* NAME of the files in `pki` */
	const char *fabric;   /* address of this host for other slices */
	const char *run_dir;
	const char *log_dir;
	const char *slice_program;
	const char *slice_log; /* log switches for slices */
	uint64_t memory_bytes; /* for guests; 0: what the host has, less a reserve */
	uint32_t cpus;         /* 0: all */
	uint32_t uid_first, uids;
};

struct agent {
	struct agent_cfg cfg;
	struct loop *loop;
	struct tls_ctx *tls;
	char name[64];
	struct ctl_conn *link; /* NULL while there is none */
	bool link_ready;
	uint64_t link_serial; /* counts links: answers do not go to a link that did not ask */
	struct loop_timer *link_timer;
	uint64_t backoff_ns;
	struct list slices; /* struct agent_slice */
	unsigned adopting;  /* slices found at start whose state is not known yet */
	struct loop_timer *adopt_timer;
};

#define AGENT_SLICE_MAGIC 0x4147534cu /* AGSL */

struct agent_slice {
	uint32_t magic;
	struct list node;
	struct agent *agent;
	struct ctl_slice_status status; /* as last heard, or as found out */
	char dir[512];
	int dir_fd; /* -1: removed */
	uint32_t uid;
	uint64_t memory_bytes; /* admitted; 0 for adopted slices */
	int pid;
	bool child; /* ours: its exit status can be had */
	int pidfd;  /* -1: it has ended */
	struct loop_fd *pid_watch;
	struct ctl_conn *conn; /* to the slice */
	bool conn_ready;
	struct loop_timer
		*timer; /* reconnect, or the end of patience with a slice that is to end */
	bool killing;   /* `timer` ends it */
	bool adopting;
	bool forget;            /* remove when it has ended, */
	uint32_t forget_id;     /* and then answer this request */
	uint64_t forget_serial; /* of that link; 0: of none */
	/* A PREPARE that waits for the process to be ready. */
	struct ctl_slice_spec *spec;
	uint32_t prepare_id;
	uint64_t prepare_serial;
};

/* agent_link.c: keep a connection to the coordinator for ever. */
MUST_CHECK int agent_link_start(struct agent *agent);
void agent_link_stop(struct agent *agent);
/* Tell the coordinator about a slice, if it is there to listen; it asks for all when it comes
 * back. */
void agent_link_event(struct agent *agent, const struct ctl_slice_status *status);

/* agent_slice.c: one slice. */
MUST_CHECK int agent_slice_new(struct agent *agent, struct agent_slice **out);
struct agent_slice *agent_slice_find(struct agent *agent, const struct ctl_slice_ref *ref);
/* The same slice of the VM in any incarnation. */
struct agent_slice *agent_slice_find_any(struct agent *agent, const struct ctl_slice_ref *ref);
/* Watch the process `s->pid` and connect to its socket. */
MUST_CHECK int agent_slice_attach(struct agent_slice *s);
/* Pass a request of the coordinator on to the slice, and its answer back. */
void agent_slice_pass(struct agent_slice *s, const struct ctl_rx *rx);
/* Remove what is left of it, at once or when its process has ended, and answer then. */
void agent_slice_forget(struct agent_slice *s, const struct ctl_rx *rx);
void agent_slice_kill(struct agent_slice *s);
void agent_slice_free(struct agent_slice *s);
/* No process is left; `text` says why. */
void agent_slice_gone(struct agent_slice *s, const char *text);

/* agent_launch.c: a new slice for a PREPARE; it answers the request. */
void agent_launch(struct agent *agent, const struct ctl_rx *rx);
/* The process is ready: send it its specification with the descriptors. */
void agent_launch_prepare(struct agent_slice *s);
/* PREPARE can not be answered with success any more. */
void agent_launch_fail(struct agent_slice *s, int err, const char *text);

/* agent_adopt.c: the slices that an earlier agent has left running in the run directory. */
MUST_CHECK int agent_adopt(struct agent *agent);
void agent_adopt_done(struct agent_slice *s);

/* agent_host.c */
void agent_host_report(struct agent *agent, struct ctl_host_report *out);

/* agent_dir.c: the private directory of a slice. */
MUST_CHECK int agent_dir_create(struct agent_slice *s, const struct ctl_slice_ref *ref);
/* "<vm>.<slice>.<incarnation>" back into a reference. */
bool agent_dir_parse(const char *name, struct ctl_slice_ref *out);
void agent_dir_remove(struct agent_slice *s);
/* Path of its socket, short whatever the directory's own is. */
void agent_dir_socket(const struct agent_slice *s, char out[64]);
void agent_dir_log(const struct agent *agent, const struct ctl_slice_ref *ref, char out[512]);

#endif
