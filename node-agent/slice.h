/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_SLICE_H
#define NODE_AGENT_SLICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/sm.h"
#include "dsm/dsm.h"
#include "node-agent/gclock.h"
#include "node-agent/route.h"
#include "node-agent/slice_ctl.h"
#include "proto/wire_vm.h"
#include "vcpu/vcpu.h"
#include "vio/stream.h"
#include "vio/vio.h"

/*
 * The slice process: everything of one VM that is on this host. This header is the inside of
 * slice*.c; nobody else includes it.
 *
 * Threads: main (the control socket and the life of the VM), one per local vCPU, the dsm service
 * thread (all messages of other slices), the device thread of route_mmio.c, the workers of vio/,
 * the beat thread (slice_beat.c). All fields belong to the main thread unless they say otherwise;
 * the others reach it with slice_post().
 */

/* Life of the VM on this slice. */
enum slice_state {
	SLICE_NEW,
	SLICE_BUILT,     /* memory, devices, vCPUs and the fabric end point exist */
	SLICE_CONNECTED, /* connections to all other slices stand */
	SLICE_RUNNING,
	SLICE_PARKING, /* the guest is being reset: vCPUs stop at an instruction boundary */
	SLICE_PARKED,
	SLICE_ENDING, /* a reason is known; collecting what the others know */
	SLICE_ENDED,
};

/* Why it ends: the smallest of all that were heard, in the order of these fields (R-VM-31). */
struct slice_end {
	enum vm_end end;
	slice_id_t a, b;
	char why[WIRE_VM_WHY_MAX + 1];
};

struct slice_vcpu {
	struct slice *slice;
	struct vcpu *vcpu;
	unsigned slot;
	pthread_t thread;
	bool started;
};

#define SLICE_DISK_MAX 8

/* A byte channel between a device and the control socket. */
struct slice_port_link {
	struct slice *slice;
	enum slice_port port;
	struct stream *stream;
	_Atomic bool posted; /* slice_ports.c: a pump is on its way to the main thread */
	uint8_t *held;       /* taken from the guest, not yet by the control socket */
	size_t held_off, held_bytes;
};

struct slice_fds {
	int kernel, initrd, uffd;
	int disk[SLICE_DISK_MAX];
};
#define SLICE_NO_FDS                                                                               \
	(struct slice_fds)                                                                         \
	{                                                                                          \
		-1, -1, -1,                                                                        \
		{                                                                                  \
			-1, -1, -1, -1, -1, -1, -1, -1                                             \
		}                                                                                  \
	}

struct beat;
struct beat_peer;
struct xport_ofi;
struct xport_ofi_peer;
struct stream;
struct vio_machine;

struct slice {
	uint32_t magic;
	struct loop *loop;
	struct slice_ctl *ctl;
	struct sm life;
	struct ctl_slice_spec spec; /* a copy of our own */
	struct slice_fds fds;
	char ctl_text[256]; /* why a request was refused */

	/* What the specification says, in the forms that are used. Constant once built. */
	slice_id_t self;
	slice_id_t leader; /* the first slice: has the devices, loads and resets the guest */
	struct dsm_node *nodes;
	size_t n_nodes;
	unsigned self_node;
	slice_id_t *vcpu_slice;
	uint16_t *vcpu_node;
	struct vcpu_cfg vcpu_like; /* what all vCPUs have in common */
	char append[2048 + 64];    /* kernel command line */
	bool warm_is_panic;        /* the guest was asked to tell panics by warm resets */
	char address[200];         /* what other slices connect to */
	uint64_t lease_ns;         /* T */

	struct clock_skewed clock;
	struct gclock guest_clock;
	/* The leader's clock at guest time 0; ORIGIN_NONE before GO. Main thread writes. */
	_Atomic int64_t origin_ns;
	struct dsm *dsm;
	struct route *route;
	struct vio_machine *machine; /* leader only */
	struct vcpu_group *group;
	struct vcpu_env env;
	struct slice_vcpu *vcpus;
	unsigned n_vcpus; /* on this slice */
	struct vcpu **vcpu_by_id;

	struct xport_ofi *listener;
	struct xport *xport;
	struct beat *beat;          /* NULL when the slice is alone */
	struct ctl_slice_mesh mesh; /* owns the strings of fabric_peers */
	struct xport_ofi_peer *fabric_peers;
	struct beat_peer *beat_peers; /* as many */
	unsigned n_peers;
	pthread_t join_thread;
	bool joining;
	struct xport *join_xport; /* these two are the thread's until it has been joined */
	char join_why[160];

	struct slice_port_link ports[SLICE_PORT_N];
	struct stream *hvc; /* virtio's own console, which nobody hears: the console is the UART */

	/* Reset of the guest. */
	uint64_t parked[SLICE_MAX / 64]; /* leader: who has reported */
	struct loop_timer *park_timer;
	struct rv64_start {
		gpa_t pc, fdt;
		bool ok;
		char why[160];
	} boot;
	pthread_t boot_thread;
	bool boot_running;
	uint32_t resets;
#ifdef PLANT_BUGS
	unsigned planted;
#endif

	/* The end. */
	struct slice_end end;
	bool has_end;
	struct loop_timer *end_timer;
};

#define SLICE_MAGIC 0x736c6963u
#define ORIGIN_NONE INT64_MIN

/* Planted bugs (configure --enable-plant), switched on by the option "plant". */
enum slice_plant { SLICE_PLANT_NO_DISCIPLINE = 1 };
#ifdef PLANT_BUGS
#define SLICE_PLANTED(s, what) (((s)->planted & (what)) != 0)
#else
#define SLICE_PLANTED(s, what) false
#endif

static inline bool slice_is_leader(const struct slice *s)
{
	return slice_eq(s->self, s->leader);
}

/* Run fn(slice, what) on the main thread; `what`, `what_bytes` long, is copied. Any thread. */
typedef void slice_post_fn(struct slice *s, const void *what);
void slice_post(struct slice *s, slice_post_fn *fn, const void *what, size_t what_bytes);

/* slice_spec.c: check the specification and take it over. `why` gets the reason of a refusal. */
MUST_CHECK int slice_spec_take(struct slice *s, const struct ctl_slice_spec *spec, const int *fds);
void slice_spec_drop(struct slice *s);
/* Value of an option of the specification, or NULL. */
const char *slice_option(const struct slice *s, const char *name);
/*
 * The network card's address: the same at each start of a VM, or the guest would take it for
 * another card. Names nearly always give different ones; each VM has a network of its own.
 */
void slice_mac(const char *vm, uint8_t mac[6]);

/* slice_build.c: make everything that exists before other slices are known, and unmake all. */
MUST_CHECK int slice_build(struct slice *s);
void slice_unbuild(struct slice *s);

/* slice_devices.c: the PCI devices that the specification asks for. Leader only. */
MUST_CHECK int slice_devices_add(struct slice *s);

/* slice_beat.c: heartbeats, the lease that rests on them, and the guest clock's measurement. */
MUST_CHECK int slice_beat_listen(struct slice *s, const char **address);
/*
 * Guest time at which to start when the leader says that its clock shows `origin_ns` at guest time
 * 0. ERR_PROTOCOL: its clock can not show that.
 */
MUST_CHECK int slice_beat_guest_time(struct slice *s, int64_t origin_ns, uint64_t *guest_ns);

/* slice_net.c: the fabric. */
MUST_CHECK int slice_net_listen(struct slice *s, const char **address, const char **beat);
/* Connects in the background: slice_life_connected() follows. */
MUST_CHECK int slice_net_connect(struct slice *s);
/* Stop heartbeats and joining; then, when no thread sends any more, close. */
void slice_net_stop(struct slice *s);
void slice_net_close(struct slice *s);
void slice_net_send(struct slice *s, slice_id_t to, const struct wire_vm_msg *m);
void slice_net_send_all(struct slice *s, const struct wire_vm_msg *m);

/* slice_env.c: what vCPUs ask for. */
extern const struct vcpu_env_ops slice_env_ops;
MUST_CHECK int slice_vcpus_create(struct slice *s);
MUST_CHECK int slice_vcpus_start(struct slice *s);
void slice_vcpus_stop(struct slice *s);
void slice_vcpus_join(struct slice *s);
void slice_vcpus_destroy(struct slice *s);

/* slice_life.c */
extern const struct slice_ctl_ops slice_life_ops;
MUST_CHECK int slice_life_init(struct slice *s);
void slice_life_fini(struct slice *s);
/* All connections stand, or why not. Context: main thread. */
void slice_life_connected(struct slice *s, int err);
void slice_life_message(struct slice *s, slice_id_t from, const struct wire_vm_msg *m);
void slice_life_reset(struct slice *s, enum vcpu_reset type, uint32_t reason);
/* The VM ends. Context: main thread. */
void slice_life_end(struct slice *s, enum vm_end end, slice_id_t a, slice_id_t b, const char *why);
/* The same from any thread, seen by this slice. */
void slice_life_end_post(
	struct slice *s, enum vm_end end, slice_id_t a, slice_id_t b, const char *why);
/* The same for one reason: the connection with `peer` is lost. */
void slice_life_lost_post(struct slice *s, slice_id_t peer);

/* slice_ports.c */
MUST_CHECK int slice_ports_create(struct slice *s);
void slice_ports_destroy(struct slice *s);
void slice_ports_readable(struct slice *s, enum slice_port port);
void slice_ports_writable(struct slice *s, enum slice_port port);

/* slice_stats.c */
uint32_t slice_pages(struct slice *s, struct ctl_hot_page *out, uint32_t max);
void slice_stats(struct slice *s, struct slice_ctl_stats *out);

/* slice_sandbox.c: give up every privilege that is not needed any more. ERR_KERNEL with a logged
 * reason. Context: main thread; holds for all threads. */
MUST_CHECK int slice_sandbox_enter(const struct ctl_slice_spec *spec);

#endif
