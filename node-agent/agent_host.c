/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/err.h"
#include "node-agent/agent.h"

#define FEATURES_MAX 8u

static void feature(struct ctl_host_report *r, const char *name, const char *value)
{
	if (r->features == NULL || r->n_features == FEATURES_MAX)
		return;
	struct ctl_feature *f = &r->features[r->n_features++];
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->value, sizeof(f->value), "%s", value);
}

static bool readable_writable(const char *path)
{
	return access(path, R_OK | W_OK) == 0;
}

/* How a slice may get a userfaultfd here: by the device (all faults), by the system call, or for
 * user mode only. */
static const char *uffd_text(void)
{
	char c = '0';
	int fd = open("/proc/sys/vm/unprivileged_userfaultfd", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &c, 1) != 1)
			c = '0';
		close(fd);
	}
	if (readable_writable("/dev/userfaultfd"))
		return "device";
	return fd < 0 ? "none" : c == '1' ? "syscall" : "user-only";
}

void agent_host_report(struct agent *agent, struct ctl_host_report *out)
{
	struct utsname u;
	unsigned n = 0;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", agent->name);
	snprintf(out->fabric, sizeof(out->fabric), "%s", agent->cfg.fabric);
	snprintf(out->version, sizeof(out->version), "%s", PACKAGE_VERSION);
	out->cpus = agent->cfg.cpus;
	out->memory_bytes = agent->cfg.memory_bytes;
	out->features = calloc(FEATURES_MAX, sizeof(*out->features));
	if (uname(&u) == 0) {
		feature(out, "kernel", u.release);
		feature(out, "machine", u.machine);
	}
	feature(out, "userfaultfd", uffd_text());
	feature(out, "kvm", readable_writable("/dev/kvm") ? "yes" : "no");
	list_foreach(it, &agent->slices) n++;
	out->slices = calloc(n + 1, sizeof(*out->slices));
	if (out->slices == NULL)
		return;
	list_foreach(it, &agent->slices)
	{
		const struct agent_slice *s = list_entry(it, struct agent_slice, node);
		if (!s->forget)
			out->slices[out->n_slices++] = s->status;
	}
}
