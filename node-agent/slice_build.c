/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/err.h"
#include "base/log.h"
#include "node-agent/slice.h"
#include "proto/rv64_map.h"

/*
 * What a slice is made of, in the order in which one thing needs another: guest memory, the byte
 * channels, on the leader the devices, the vCPUs, the routes between them all. Unbuilding goes back
 * the same way, after every thread that could be inside has been stopped.
 */

static void dsm_failed(void *arg, int err, const char *why)
{
	struct slice *s = arg;
	char text[WIRE_VM_WHY_MAX + 1];
	snprintf(text, sizeof(text), "guest memory: %s", why);
	slice_life_end_post(s, VM_END_FAILED, s->self, s->self, text);
}

static void route_failed(void *arg, int err, const char *why)
{
	struct slice *s = arg;
	slice_life_end_post(s, VM_END_FAILED, s->self, s->self, why);
}

/*
 *  The SBI's console is a terminal: as other firmware does, ends of lines become CR LF. The console
 *  drops by its own rule when nobody reads; so does this.
 */
static void debug_console(void *arg, const void *buf, size_t len)
{
	struct slice *s = arg;
	struct stream *console = s->ports[SLICE_PORT_CONSOLE].stream;
	const char *at = buf, *end = at + len;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL) {
			stream_dev_put(console, at, (size_t)(end - at));
			return;
		}
		stream_dev_put(console, at, (size_t)(lf - at));
		stream_dev_put(console, "\r\n", 2);
		at = lf + 1;
	}
}

static void device_msi(void *ctx, gpa_t addr, uint32_t data)
{
	struct slice *s = ctx;
	uint64_t off = addr.v - RV64_IMSIC_S_BASE;
	uint64_t hart = off / RV64_IMSIC_STRIDE;
	/* AIA section 3.5: seteipnum_le is the first word of a file's page. */
	if (addr.v < RV64_IMSIC_S_BASE || off % RV64_IMSIC_STRIDE != 0 || hart >= s->spec.vcpus ||
		data == 0)
		return;
	route_interrupt(s->route, (vcpu_id_t){(uint16_t)hart}, data);
}

static const struct vio_irq_ops irq_ops = {.msi = device_msi};

struct power_note {
	enum vio_power what;
};

static void power_on_main(struct slice *s, const void *arg)
{
	const struct power_note *n = arg;
	switch (n->what) {
	case VIO_POWER_OFF:
		slice_life_reset(s, VCPU_RESET_SHUTDOWN, 0);
		break;
	case VIO_POWER_REBOOT:
		slice_life_reset(s, VCPU_RESET_COLD, 0);
		break;
	case VIO_POWER_FAIL:
		slice_life_end(s, VM_END_POWER_OFF, s->self, s->self, "the guest reported failure");
		break;
	case VIO_POWER_PANIC:
		slice_life_end(s, VM_END_PANIC, s->self, s->self, "the guest kernel panicked");
		break;
	}
}

static void device_power(void *arg, enum vio_power what, uint32_t code)
{
	struct power_note n = {.what = what};
	slice_post(arg, power_on_main, &n, sizeof(n));
}

static int uffd_mode(struct slice *s, enum dsm_uffd_mode *out)
{
	static const struct {
		const char *name;
		enum dsm_uffd_mode mode;
	} modes[] = {
		{"", DSM_UFFD_AUTO},
		{"auto", DSM_UFFD_AUTO},
		{"copy", DSM_UFFD_COPY},
		{"continue", DSM_UFFD_CONTINUE},
		{"user-only", DSM_UFFD_USER_ONLY},
	};
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(s->spec.uffd, modes[i].name) == 0) {
			*out = modes[i].mode;
			return 0;
		}
	}
	snprintf(s->ctl_text, sizeof(s->ctl_text),
		"uffd mode '%s' is not known; there are: auto, copy, continue, user-only",
		s->spec.uffd);
	return ERR_INVAL;
}

/* What guest memory may decide by itself, each "on" unless said otherwise. */
static int policies(struct slice *s, struct dsm_cfg *cfg)
{
	const struct {
		const char *name;
		bool *off;
	} known[] = {
		{"policy.migrate", &cfg->no_migrate},
		{"policy.ahead", &cfg->no_ahead},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *value = slice_option(s, known[i].name);
		if (value == NULL || strcmp(value, "on") == 0)
			continue;
		*known[i].off = strcmp(value, "off") == 0;
		if (*known[i].off)
			continue;
		snprintf(s->ctl_text, sizeof(s->ctl_text), "option %s is on or off, not '%s'",
			known[i].name, value);
		return ERR_INVAL;
	}
	return 0;
}

static int build_memory(struct slice *s)
{
	struct dsm_cfg cfg = {
		.self = s->self,
		.nodes = s->nodes,
		.n_nodes = s->n_nodes,
		.cache_bytes = s->spec.cache_bytes == 0 ? UINT64_MAX : s->spec.cache_bytes,
		.uffd_dev = s->fds.uffd,
		.vcpus = s->n_vcpus,
		.failed = dsm_failed,
		.arg = s,
	};
	int err = uffd_mode(s, &cfg.mode);
	if (err == 0)
		err = policies(s, &cfg);
	if (err == 0)
		err = dsm_create(&cfg, &s->dsm);
	if (err != 0 && s->ctl_text[0] == '\0')
		snprintf(s->ctl_text, sizeof(s->ctl_text), "guest memory cannot be made: %s",
			err_text(err));
	return err;
}

static int build_devices(struct slice *s)
{
	struct vio_machine_cfg cfg = {
		.irq = {&irq_ops, s},
		.gate = dsm_gate(s->dsm),
		.harts = s->spec.vcpus,
		.uart = s->ports[SLICE_PORT_CONSOLE].stream,
		.power = device_power,
		.arg = s,
	};
	int err = vio_machine_create(&cfg, &s->machine);
	if (err == 0)
		err = slice_devices_add(s);
	if (err == 0)
		err = vio_machine_start(s->machine);
	return err;
}

static int build_routes(struct slice *s)
{
	struct route_cfg cfg = {
		.self = s->self,
		.device_home = s->leader,
		.n_vcpus = s->spec.vcpus,
		.vcpu_slice = s->vcpu_slice,
		.local = s->vcpu_by_id,
		.bus = s->machine == NULL ? NULL : vio_machine_bus(s->machine),
		.console = debug_console,
		.failed = route_failed,
		.arg = s,
	};
	return route_create(&cfg, &s->route);
}

/* Is the one vCPU in one process with all that uses its memory? */
static bool is_alone(const struct slice *s)
{
	return s->spec.vcpus == 1 && s->n_nodes == 1;
}

int slice_build(struct slice *s)
{
	clock_skewed_init(&s->clock, s->spec.clock_offset_ns, s->spec.clock_ppm);
	gclock_init(&s->guest_clock, &s->clock.clock);
	atomic_init(&s->origin_ns, ORIGIN_NONE);
	int err = build_memory(s);
	if (err == 0)
		err = slice_ports_create(s);
	if (err == 0 && slice_is_leader(s))
		err = build_devices(s);
	if (err == 0)
		err = vcpu_group_create(s->n_vcpus, &s->group);
	if (err != 0)
		return err;
	s->env = (struct vcpu_env){
		.ops = &slice_env_ops,
		.ctx = s,
		.ram = dsm_ram(s->dsm),
		.n_vcpus = {(uint16_t)s->spec.vcpus},
		.group = s->group,
		.fenceless = is_alone(s) && barrier_arm() == 0,
	};
	err = slice_vcpus_create(s);
	if (err == 0)
		err = build_routes(s);
	return err;
}

void slice_unbuild(struct slice *s)
{
	slice_vcpus_stop(s);
	slice_net_stop(s);
	/* Releases whoever waits for a page: vCPUs, the loader, workers of devices. */
	if (s->dsm != NULL)
		dsm_stop(s->dsm);
	if (s->machine != NULL)
		vio_machine_stop(s->machine);
	slice_vcpus_join(s);
	if (s->boot_running) {
		pthread_join(s->boot_thread, NULL);
		s->boot_running = false;
	}
	if (s->route != NULL)
		route_destroy(s->route);
	if (s->machine != NULL)
		vio_machine_destroy(s->machine);
	slice_vcpus_destroy(s);
	if (s->group != NULL)
		vcpu_group_destroy(s->group);
	slice_net_close(s);
	if (s->dsm != NULL)
		dsm_destroy(s->dsm);
	slice_ports_destroy(s);
	s->route = NULL;
	s->machine = NULL;
	s->group = NULL;
	s->dsm = NULL;
}
