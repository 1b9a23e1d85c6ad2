/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_XPORT_OFI_INT_H
#define PROTO_XPORT_OFI_INT_H

#include <netinet/in.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#undef container_of /* base/check.h has the same */
#include <stdatomic.h>

#include "base/list.h"
#include "base/lk.h"
#include "base/sm.h"
#include "proto/outq.h"
#include "proto/wire_frame.h"
#include "proto/wire_hello.h"
#include "proto/xport_ofi.h"

/*
 * Inside of xport_ofi: xport_ofi.c (life, join, progress), _fab (libfabric objects), _hs
 * (handshake), _tx, _rx. The progress thread owns everything but what is marked [lk: peer]. Nothing
 * here leaves the folder.
 */
#define OFI_TX_SLOTS     64u /* frames of one peer that the fabric may hold */
#define OFI_RX_SPARE     8u  /* receive buffers for frames without credit (R-XP-35) */
#define OFI_CQ_BATCH     16u /* completions read at once */
#define OFI_EQ_EVERY     64u /* idle rounds between looks at the event queue, when nobody sleeps */
#define OFI_HANDSHAKE_NS 2000000000u /* for an incoming connection to prove itself */
#define OFI_REDIAL_NS    20000000u   /* between attempts to connect */
#define OFI_STUCK_NS     5000000000u /* default of cfg.stuck_ns */
#define OFI_RETRY_NS     1000000u    /* between attempts to send what the fabric did not take */
#define OFI_INCOMING_MAX 32u         /* connections that have not proved themselves */

#define OFI_MAGIC      UINT32_C(0x4f464958)
#define OFI_CONN_MAGIC UINT32_C(0x4f464943)

/*
 * One connection.
 *
 *	DIALING ---connected---> HELLO --HELLO came--> PROOF --PROOF came--> UP
 *	ACCEPTING -connected------^                      |                    |
 *	   |          refused: tell why, wait till it    |                    |
 *	   |          is read       REFUSED <------------+                    |
 *	   `------------ error, shutdown ----> ENDING <-----------------------'
 *	                                         `--endpoint closed--> CLOSED
 */
enum ofi_state {
	OFI_DIALING,
	OFI_ACCEPTING,
	OFI_HELLO,
	OFI_PROOF,
	OFI_UP,
	OFI_REFUSED,
	OFI_ENDING,
	OFI_CLOSED,
	OFI_STATE_N
};

/* A buffer that the fabric knows: `context` must come first, it is what completions carry. */
struct ofi_slot {
	struct fi_context2 context;
	struct list link;
	struct ofi_conn *conn;
	bool is_rx;
	size_t len;
	uint8_t bytes[WIRE_FRAME_MAX];
};

struct ofi_conn {
	uint32_t magic;
	struct list link; /* in xport_ofi.conns, .ending or .dead */
	struct xport_ofi *x;
	struct sm sm;
	struct fid_ep *ep;
	struct ofi_peer *peer; /* NULL while unknown */
	bool dialer;
	bool drains;          /* ENDING by the other side: what has arrived still counts */
	uint64_t deadline_ns; /* of the handshake or of REFUSED */
	int why;              /* ENDING: the error */
	struct seal *opener;
	uint8_t hello_out[WIRE_HELLO_BYTES], hello_in[WIRE_HELLO_BYTES];
	struct wire_hello ours, theirs;
	struct list rx_unposted; /* slots that the fabric did not take */
	struct list tx_free;     /* [lk: peer] once UP */
	unsigned n_slots;
	struct ofi_slot slots[];
};

struct ofi_peer {
	struct lk lk;
	slice_id_t id;
	struct sockaddr_storage addr;
	struct ofi_conn *conn; /* [lk: peer] NULL: none has come up, or it has gone */
	bool was_up;
	bool up;             /* [lk: peer] may be sent to */
	int failed;          /* [lk: peer] a sender's error, for the progress thread */
	struct outq out;     /* [lk: peer] */
	struct seal *sealer; /* [lk: peer] */
	struct ofi_slot
		*stuck;       /* [lk: peer] sealed, not taken by the fabric: nothing may pass it */
	uint64_t stuck_since; /* [lk: peer] */
	uint64_t full_since;  /* [lk: peer] the fabric has all buffers and has completed none since;
				 0: it is not so */
	struct xport_stats stats; /* [lk: peer] */
	struct ofi_conn *dial;    /* our attempt to connect */
	uint64_t redial_ns;
	int join_err; /* why the last connection was refused */
	bool fatal;   /* join_err will not change by trying again */
};

struct xport_ofi {
	struct xport xport;
	uint32_t magic;
	struct xport_ofi_cfg cfg;
	uint16_t version; /* what our HELLO says */
	char provider[WIRE_PROVIDER_BYTES];
	char address[XPORT_OFI_ADDR_BYTES];
	struct sockaddr_storage bind;
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *eq;
	struct fid_cq *cq;
	struct fid_pep *pep; /* NULL once all have joined */
	int epoll_fd, wake_fd, timer_fd;
	size_t inject_bytes;
	struct ofi_peer *peers;
	unsigned n_peers;
	struct ofi_peer *by_id[SLICE_MAX]; /* const after join */
	struct list conns, ending, dead;
	unsigned n_incoming;
	struct list held; /* frames that came before the first progress, in order */
	bool running;     /* handlers may be called */
	bool eq_due;
	unsigned idle_rounds;
	atomic_bool woken; /* wake_fd has been written */
	atomic_bool
		trouble; /* some peer is stuck or failed, or a buffer is not posted: look at all */
	bool timer_armed;
};

static inline enum ofi_state ofi_conn_state(const struct ofi_conn *c)
{
	return (enum ofi_state)sm_state(&c->sm);
}

/* --- xport_ofi_fab.c: objects of libfabric ---------------------------------------------------- */
MUST_CHECK int ofi_fab_open(struct xport_ofi *x);
void ofi_fab_close(struct xport_ofi *x);
/* A libfabric code (positive or negative) as one of ours; never 0. */
int ofi_err(int fi_err);
/* A connection to `peer`, or one for an incoming request. `req` stays the caller's. */
MUST_CHECK int ofi_conn_dial(struct xport_ofi *x, struct ofi_peer *peer);
void ofi_conn_accept(struct xport_ofi *x, struct fi_info *req);
/* The connection is to end; its buffers stay valid until the completion queue is empty. Idempotent.
 */
void ofi_conn_end(struct ofi_conn *c, int why, bool drains);
/* Close the endpoint of one that ends. */
void ofi_conn_shut(struct ofi_conn *c);
void ofi_conn_free(struct ofi_conn *c);

/* --- xport_ofi_hs.c: handshake ---------------------------------------------------------------- */
void ofi_hs_connected(struct ofi_conn *c);
void ofi_hs_frame(struct ofi_conn *c, const uint8_t *bytes, size_t len);

/* --- xport_ofi.c ------------------------------------------------------------------------------ */
uint64_t ofi_now_ns(void);
/* Have the descriptor become readable in OFI_RETRY_NS. Progress thread. */
void ofi_timer_arm(struct xport_ofi *x);
/* Have progress run soon, should it sleep. Any thread. */
void ofi_wake(struct xport_ofi *x);

/* --- xport_ofi_tx.c: sending ------------------------------------------------------------------ */
int ofi_tx_send(struct xport *xp, const struct xport_msg *msg);
/* A frame of the handshake: plain, sequence 0. */
MUST_CHECK int ofi_tx_control(struct ofi_conn *c, uint16_t type, const void *head, size_t bytes);
void ofi_tx_complete(struct ofi_slot *slot);
/* Send what has become possible, and credits that are due. */
void ofi_tx_flush_locked(struct ofi_peer *p);
/* Try again what the fabric did not take; the progress thread's part of errors that senders met. */
void ofi_tx_retry(struct xport_ofi *x);

/* --- xport_ofi_rx.c: receiving ---------------------------------------------------------------- */
void ofi_rx_post(struct ofi_slot *slot);
void ofi_rx_retry(struct ofi_conn *c);
/* A buffer has been filled. True: it was an event to the owner. */
bool ofi_rx_complete(struct ofi_slot *slot);
/* A frame of an established connection to the owner. */
bool ofi_rx_frame(struct ofi_slot *slot);

#endif
