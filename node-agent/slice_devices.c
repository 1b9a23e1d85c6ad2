/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "node-agent/slice.h"

/* The PCI devices of the machine, in the slots that docs/guest-machine.md names. */
enum { SLOT_CONSOLE = 1, SLOT_RNG, SLOT_NET, SLOT_DISK0 };

#define DISK_QUEUES_MAX       16u
#define OVERLAY_DEFAULT_BYTES (UINT64_C(8) << 30)

/* What a non-persistent disk may change before writes fail: option "overlay-limit", bytes. */
static uint64_t overlay_limit(const struct slice *s)
{
	const char *v = slice_option(s, "overlay-limit");
	unsigned long long bytes;
	return v != NULL && sscanf(v, "%llu", &bytes) == 1 ? bytes : OVERLAY_DEFAULT_BYTES;
}

static int add_disk(struct slice *s, unsigned i)
{
	const struct ctl_disk *d = &s->spec.disks[i];
	char serial[sizeof("mirrorball-disk4294967295")];
	snprintf(serial, sizeof(serial), "mirrorball-disk%u", i);
	struct vio_blk_cfg cfg = {
		.fd = s->fds.disk[i],
		.overlay_fd = -1,
		.serial = serial,
		.queues = MIN(s->spec.vcpus, DISK_QUEUES_MAX),
	};
	if (cfg.fd < 0) {
		snprintf(s->ctl_text, sizeof(s->ctl_text), "disk %u came without a descriptor", i);
		return ERR_INVAL;
	}
	int err = 0;
	if (d->nonpersistent) {
		cfg.overlay_limit_bytes = overlay_limit(s);
		err = vio_overlay_open(s->spec.run_dir, &cfg.overlay_fd);
	}
	if (err == 0)
		err = vio_machine_add_blk(s->machine, SLOT_DISK0 + i, &cfg);
	if (err == 0) {
		s->fds.disk[i] = -1; /* the device's own now */
		return 0;
	}
	if (cfg.overlay_fd >= 0)
		close(cfg.overlay_fd);
	snprintf(s->ctl_text, sizeof(s->ctl_text), "disk %u (%.180s): %s", i, d->path,
		err_text(err));
	return err;
}

/* The network that the fabric is on, when its address is an IPv4 one of this host. */
static bool fabric_range(const struct slice *s, struct vio_net_range *out)
{
	struct ifaddrs *all;
	char text[sizeof(s->spec.fabric_bind)];
	struct in_addr own;
	memcpy(text, s->spec.fabric_bind, sizeof(text));
	text[strcspn(text, ":")] = '\0';
	if (inet_pton(AF_INET, text, &own) != 1 || getifaddrs(&all) != 0)
		return false;
	bool found = false;
	for (struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
		if (i->ifa_addr == NULL || i->ifa_netmask == NULL ||
			i->ifa_addr->sa_family != AF_INET)
			continue;
		struct sockaddr_in addr, mask;
		memcpy(&addr, i->ifa_addr, sizeof(addr));
		memcpy(&mask, i->ifa_netmask, sizeof(mask));
		found = addr.sin_addr.s_addr == own.s_addr;
		out->addr = ntohl(own.s_addr & mask.sin_addr.s_addr);
		out->prefix = (unsigned)__builtin_popcount(mask.sin_addr.s_addr);
	}
	freeifaddrs(all);
	return found;
}

static int add_net(struct slice *s)
{
	struct vio_net_range fabric;
	struct vio_net_cfg cfg = {
		.open = slice_option(s, "net-open") != NULL,
		.denied = &fabric,
	};
	slice_mac(s->spec.vm, cfg.mac);
	cfg.n_denied = fabric_range(s, &fabric) ? 1 : 0;
	return vio_machine_add_net(s->machine, SLOT_NET, &cfg);
}

int slice_devices_add(struct slice *s)
{
	const struct vio_port ports[] = {
		{NULL, s->hvc},
		{"org.mirrorball.exec", s->ports[SLICE_PORT_EXEC].stream},
		{"org.mirrorball.out", s->ports[SLICE_PORT_OUT].stream},
		{"org.mirrorball.err", s->ports[SLICE_PORT_ERR].stream},
	};
	int err = vio_machine_add_console(s->machine, SLOT_CONSOLE, ports, ARRAY_SIZE(ports));
	if (err == 0)
		err = vio_machine_add_rng(s->machine, SLOT_RNG);
	if (err == 0 && strcmp(s->spec.net, "user") == 0)
		err = add_net(s);
	for (unsigned i = 0; err == 0 && i < s->spec.n_disks; i++)
		err = add_disk(s, i);
	return err;
}
