/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord_place.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define MIB(bytes) ((unsigned long long)((bytes) >> 20))

static int refuse(char why[256], int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int refuse(char why[256], int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, 256, fmt, ap);
	va_end(ap);
	return err;
}

int place_check(const struct place_want *want, char why[256])
{
	uint64_t unit = PLACE_NODE_BYTES * want->hosts;

	if (want->hosts == 0 || want->hosts > SLICE_MAX)
		return refuse(why, ERR_INVAL, "%u hosts are not possible: choose 1 to %u",
			want->hosts, SLICE_MAX);
	if (want->vcpus < want->hosts)
		return refuse(why, ERR_INVAL,
			"%u vCPUs can not be spread over %u hosts: each needs at least one; choose "
			"more vCPUs or fewer "
			"hosts",
			want->vcpus, want->hosts);
	if (want->vcpus > VCPU_MAX)
		return refuse(
			why, ERR_INVAL, "%u vCPUs are too many: at most %u", want->vcpus, VCPU_MAX);
	if (want->memory_bytes == 0 || want->memory_bytes % unit != 0)
		return refuse(why, ERR_INVAL,
			"memory of %llu MiB can not be spread evenly over %u hosts in multiples of "
			"128 MiB; choose a "
			"multiple of %llu MiB, as %llu MiB",
			MIB(want->memory_bytes), want->hosts, MIB(unit),
			MIB((want->memory_bytes / unit + 1) * unit));
	return 0;
}

static uint64_t free_bytes(const struct place_host *h)
{
	return h->memory_used_bytes >= h->memory_bytes ? 0 : h->memory_bytes - h->memory_used_bytes;
}

static int compare(const void *pa, const void *pb)
{
	const struct place_host *a = *(const struct place_host *const *)pa;
	const struct place_host *b = *(const struct place_host *const *)pb;
	/* used/cpus of each, compared without division */
	uint64_t la = (uint64_t)a->vcpus_used * MAX(b->cpus, 1u),
		 lb = (uint64_t)b->vcpus_used * MAX(a->cpus, 1u);

	if (la != lb)
		return la < lb ? -1 : 1;
	if (free_bytes(a) != free_bytes(b))
		return free_bytes(a) > free_bytes(b) ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Why not that host; appended to `list` as long as there is room. */
static void note(char *list, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void note(char *list, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(list);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(list + len, cap - len, fmt, ap);
	va_end(ap);
}

static void share(const struct place_want *want, const struct place_host **chosen,
	struct ctl_slice_part *parts)
{
	uint32_t vcpu = 0;

	for (uint32_t i = 0; i < want->hosts; i++) {
		struct ctl_slice_part *p = &parts[i];
		memset(p, 0, sizeof(*p));
		p->slice = i;
		snprintf(p->host, sizeof(p->host), "%s", chosen[i]->name);
		p->vcpus = want->vcpus / want->hosts + (i < want->vcpus % want->hosts ? 1 : 0);
		p->vcpu_first = vcpu;
		p->memory_bytes = want->memory_bytes / want->hosts;
		vcpu += p->vcpus;
	}
}

int place(const struct place_want *want, const struct place_host *hosts, unsigned n_hosts,
	struct ctl_slice_part *parts, char why[256])
{
	char misfits[160] = "";
	unsigned n = 0;
	int err = place_check(want, why);

	if (err != 0)
		return err;
	uint64_t each = want->memory_bytes / want->hosts + want->cache_bytes;
	const struct place_host **fit = calloc(n_hosts + 1, sizeof(*fit));
	if (fit == NULL)
		return refuse(why, ERR_NO_MEMORY, "out of memory");
	for (unsigned i = 0; i < n_hosts; i++) {
		if (!hosts[i].online)
			note(misfits, sizeof(misfits), "; %s is not connected", hosts[i].name);
		else if (free_bytes(&hosts[i]) < each)
			note(misfits, sizeof(misfits), "; %s has %llu MiB free, %llu are needed",
				hosts[i].name, MIB(free_bytes(&hosts[i])), MIB(each));
		else
			fit[n++] = &hosts[i];
	}
	if (n < want->hosts) {
		err = refuse(
			why, ERR_FULL, "%u hosts are wanted and %u fit%s", want->hosts, n, misfits);
	} else {
		qsort(fit, n, sizeof(*fit), compare);
		share(want, fit, parts);
	}
	free(fit);
	return err;
}
