/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_VIO_H
#define VIO_VIO_H

#include "base/check.h"
#include "dsm/dsm.h"
#include "proto/ids.h"
#include "vio/stream.h"

/*
 * Devices of a VM. They all live on their home slice; accesses from vCPUs of other slices arrive
 * there as messages.
 *
 * Register handlers run on whatever thread brings the access (a local vCPU, or the slice's device
 * thread), under the device's own lock, never block and never touch guest memory: a queue
 * notification only wakes the worker that does. Workers reach guest memory through the dsm gate
 * alone.
 */

/* What a device needs from the slice. Any thread; none waits. */
struct vio_irq_ops {
	/* A memory write by a device to an interrupt controller: on rv64 an IMSIC file. Called with
	 * device locks held: it may take locks of rank `vcpu` and above only. */
	void (*msi)(void *ctx, gpa_t addr, uint32_t data);
};
struct vio_irq {
	const struct vio_irq_ops *ops;
	void *ctx;
};

/* A wired input of an interrupt controller. Any thread; does not wait. */
struct vio_line {
	void (*set)(void *ctx, unsigned source, bool level);
	void *ctx;
	unsigned source;
};

static inline void vio_line_set(const struct vio_line *line, bool level)
{
	line->set(line->ctx, line->source, level);
}

/* ---- the bus: guest-physical ranges and who answers them ------------------------------------- */

struct vio_range_ops {
	const char *name;
	/* `off` is inside the range, `size` 1, 2, 4 or 8, the access does not cross its end. An
	 * access that the device does not know reads all ones and writes nothing. */
	uint64_t (*read)(void *dev, uint64_t off, unsigned size);
	void (*write)(void *dev, uint64_t off, unsigned size, uint64_t value);
};

struct vio_bus;
MUST_CHECK int vio_bus_create(struct vio_bus **out);
void vio_bus_destroy(struct vio_bus *bus);

/* ERR_EXISTS: overlaps a range; ERR_RANGE: empty or past the end of the address space.
 * Context: any thread (PCI BARs move at run time). */
MUST_CHECK int vio_bus_add(struct vio_bus *bus, gpa_t start, uint64_t bytes,
	const struct vio_range_ops *ops, void *dev);

/* Handlers run without the bus's lock (they may move ranges themselves): one that was found before
 * the removal may still run after it. So a device outlives all accesses, not only its range. */
void vio_bus_remove(struct vio_bus *bus, gpa_t start);

/* ERR_NOT_FOUND: no device there, or across the end of one; ERR_INVAL: bad size.
 * Context: any thread, does not block. */
MUST_CHECK int vio_bus_read(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t *value);
MUST_CHECK int vio_bus_write(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t value);

/* All ones of an access of `size` bytes: what a read of nothing gives. */
static inline uint64_t vio_ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

/* ---- the machine
 * ------------------------------------------------------------------------------ */

/* What the guest asks for through a device register. */
enum vio_power {
	VIO_POWER_OFF,
	VIO_POWER_REBOOT,
	VIO_POWER_FAIL,  /* with a code from the guest */
	VIO_POWER_PANIC, /* the guest kernel has panicked */
};

struct vio_machine;

struct vio_machine_cfg {
	struct vio_irq irq;
	const struct dsm_gate *gate;
	unsigned harts;
	struct stream *uart; /* stays the caller's, must outlive the machine */
	/* Nanoseconds since 1970; NULL: CLOCK_REALTIME. */
	uint64_t (*wall_ns)(void *arg);
	/* Called on the thread of the access, with a device lock held: must not call back. */
	void (*power)(void *arg, enum vio_power what, uint32_t code);
	void *arg;
};

/* The rv64 machine without its PCI devices: bus, APLIC, UART, RTC, power register, PCI host.
 * Context: main thread, before vCPUs. */
MUST_CHECK int vio_machine_create(const struct vio_machine_cfg *cfg, struct vio_machine **out);

/* Context: main thread, vCPUs gone. Stops what vio_machine_start() has started. */
void vio_machine_destroy(struct vio_machine *m);
struct vio_bus *vio_machine_bus(struct vio_machine *m);

/* Start the devices' threads; every device has been added. Context: main thread, before vCPUs. */
MUST_CHECK int vio_machine_start(struct vio_machine *m);
/* End them, after the requests that they are at; the gate must let waiting pins go (dsm_stop()).
 * Context: main thread. */
void vio_machine_stop(struct vio_machine *m);

/* Begin no request any more, now, until the machine is reset: what a device is at in this moment is
 * the last that reaches a disk. Context: any thread, holding no lock; waits for nothing. */
void vio_machine_halt(struct vio_machine *m);

/* Finish requests in flight and begin no others: afterwards devices leave guest memory alone.
 * ERR_TIMEOUT: some are not done yet; call again or resume. Context: main thread. */
MUST_CHECK int vio_machine_quiesce(struct vio_machine *m, uint64_t timeout_ns);
void vio_machine_resume(struct vio_machine *m);

/* Power-on state of every device (reboot). Context: main thread, vCPUs parked; blocks until
 * requests in flight have ended. */
void vio_machine_reset(struct vio_machine *m);

/* ---- PCI devices: one function in a slot of bus 0 each
 * ---------------------------------------- */

/*
 * All: ERR_EXISTS: the slot is taken (slot 0 is the host bridge); ERR_RANGE: no such slot or number
 * of queues. Context: main thread, before vio_machine_start().
 */

struct vio_blk_cfg {
	int fd; /* raw image: file or block device; taken over on success, as is overlay_fd */
	bool read_only;
	/* -1: what the guest writes stays in the image. Else an empty file that gets the changes;
	 * the image is only read, and a write beyond the limit is an I/O error in the guest. */
	int overlay_fd;
	uint64_t overlay_limit_bytes;
	const char *serial; /* at most 20 bytes are shown; NULL: none */
	unsigned queues;    /* 1 to 16 */
};
/* ERR_FORMAT: the image is empty. */
MUST_CHECK int vio_machine_add_blk(
	struct vio_machine *m, unsigned slot, const struct vio_blk_cfg *cfg);
/* An unlinked sparse file in `dir` for overlay_fd. Context: any thread. */
MUST_CHECK int vio_overlay_open(const char *dir, int *fd);

struct vio_port {
	const char *name;      /* NULL for the first, which is the console hvc0 */
	struct stream *stream; /* stays the caller's, must outlive the machine */
};
MUST_CHECK int vio_machine_add_console(
	struct vio_machine *m, unsigned slot, const struct vio_port *ports, unsigned n);

/* Random numbers from the host's kernel, at a bounded rate. */
MUST_CHECK int vio_machine_add_rng(struct vio_machine *m, unsigned slot);

struct vio_net_range {
	uint32_t addr; /* IPv4, host byte order */
	unsigned prefix;
};
struct vio_net_cfg {
	uint8_t mac[6];
	/* Let the guest reach this host's own addresses (loopback as 10.0.2.2) and the denied
	 * ranges. */
	bool open;
	/* Networks that the guest may not reach besides: the fabric's and the control plane's. */
	const struct vio_net_range *denied;
	size_t n_denied;
};
/* User-mode NAT, DHCP, one queue pair. Also ERR_KERNEL: the host's addresses can not be read. */
MUST_CHECK int vio_machine_add_net(
	struct vio_machine *m, unsigned slot, const struct vio_net_cfg *cfg);

/* Reports a panic of the guest kernel as VIO_POWER_PANIC (driver pvpanic-pci; Debian's riscv64
 * kernel has none, there panic= with a reboot has to do). */
MUST_CHECK int vio_machine_add_pvpanic(struct vio_machine *m, unsigned slot);

#endif
