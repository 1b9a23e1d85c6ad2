/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/opts.h"
#include "node-agent/slice.h"
#include "proto/rv64_map.h"

/* Memory of a guest node comes in these units: the size of the guest kernel's memory sections. */
#define NODE_UNIT_BYTES  (UINT64_C(128) << 20)
#define LEASE_DEFAULT_MS 5000u

static PRINTF_LIKE(2, 3) int refuse(struct slice *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(s->ctl_text, sizeof(s->ctl_text), fmt, ap);
	va_end(ap);
	return ERR_INVAL;
}

static int take_fds(struct slice *s, const int *fds)
{
	for (uint32_t i = 0; i < s->spec.n_fds; i++) {
		const char *name = s->spec.fds[i].name;
		int *slot = NULL;
		if (strcmp(name, "kernel") == 0)
			slot = &s->fds.kernel;
		else if (strcmp(name, "initrd") == 0)
			slot = &s->fds.initrd;
		else if (strcmp(name, "userfaultfd") == 0)
			slot = &s->fds.uffd;
		else if (strncmp(name, "disk", 4) == 0 && name[4] >= '0' && name[4] <= '7' &&
			 name[5] == '\0')
			slot = &s->fds.disk[name[4] - '0'];
		if (slot == NULL || *slot >= 0) {
			close(fds[i]);
			continue;
		}
		*slot = fds[i];
	}
	return 0;
}

/* Slices in order: contiguous vCPUs from 0, contiguous memory from the start of RAM. */
static int take_parts(struct slice *s)
{
	const struct ctl_slice_spec *spec = &s->spec;
	uint64_t at = RV64_RAM_BASE, limit = RV64_PCI64_BASE;
	uint32_t vcpu = 0;
	if (spec->n_slices == 0 || spec->n_slices > SLICE_MAX)
		return refuse(s, "a VM has 1 to %d slices", SLICE_MAX);
	if (spec->vcpus == 0 || spec->vcpus > VCPU_MAX)
		return refuse(s, "a VM has 1 to %d vCPUs", VCPU_MAX);
	s->n_nodes = spec->n_slices;
	s->nodes = calloc(s->n_nodes, sizeof(*s->nodes));
	s->vcpu_slice = calloc(spec->vcpus, sizeof(*s->vcpu_slice));
	s->vcpu_node = calloc(spec->vcpus, sizeof(*s->vcpu_node));
	if (s->nodes == NULL || s->vcpu_slice == NULL || s->vcpu_node == NULL)
		return ERR_NO_MEMORY;
	bool found = false;
	for (uint32_t i = 0; i < spec->n_slices; i++) {
		const struct ctl_slice_part *p = &spec->slices[i];
		if (p->slice >= SLICE_MAX || p->vcpu_first != vcpu || p->vcpus == 0 ||
			p->vcpus > spec->vcpus - vcpu)
			return refuse(s, "slice %u: its vCPUs do not follow those before it", i);
		if (p->memory_bytes == 0 || p->memory_bytes % NODE_UNIT_BYTES != 0 ||
			p->memory_bytes > limit - at)
			return refuse(s, "slice %u: memory must be a multiple of 128 MiB", i);
		if (i > 0 && p->slice <= spec->slices[i - 1].slice)
			return refuse(s, "slice %u: ids must rise", i);
		s->nodes[i] = (struct dsm_node){
			.slice = {(uint16_t)p->slice}, .start = {at}, .bytes = p->memory_bytes};
		for (uint32_t v = 0; v < p->vcpus; v++) {
			s->vcpu_slice[vcpu + v] = s->nodes[i].slice;
			s->vcpu_node[vcpu + v] = (uint16_t)i;
		}
		if (p->slice == spec->slice) {
			s->self_node = i;
			s->n_vcpus = p->vcpus;
			found = true;
		}
		at += p->memory_bytes;
		vcpu += p->vcpus;
	}
	if (!found)
		return refuse(s, "this slice, %u, is not in the list of slices", spec->slice);
	if (vcpu != spec->vcpus)
		return refuse(s, "the slices have %u vCPUs, the VM %u", vcpu, spec->vcpus);
	s->self = s->nodes[s->self_node].slice;
	s->leader = s->nodes[0].slice;
	return 0;
}

/* One of "jit=on", "jit=off", "cache=SIZE", "threshold=N", "perf-map=on". */
static int take_engine_option(struct slice *s, const char *option)
{
	struct vcpu_cfg *like = &s->vcpu_like;
	uint64_t bytes;
	char *end;

	if (strcmp(option, "jit=on") == 0 || strcmp(option, "jit=off") == 0) {
		like->jit = strcmp(option, "jit=on") == 0;
		return 0;
	}
	if (strcmp(option, "perf-map=on") == 0) {
		like->jit_perf_map = true;
		return 0;
	}
	if (strncmp(option, "cache=", 6) == 0) {
		if (opts_bytes(option + 6, &bytes) != 0 || bytes < VCPU_JIT_CACHE_MIN ||
			bytes > VCPU_JIT_CACHE_MAX)
			return refuse(
				s, "engine option '%s': a size from 128K to 1G is needed", option);
		like->jit_cache_bytes = bytes;
		return 0;
	}
	if (strncmp(option, "threshold=", 10) == 0) {
		unsigned long n = strtoul(option + 10, &end, 10);
		if (end == option + 10 || *end != '\0' || n < 1 || n > VCPU_JIT_THRESHOLD_MAX)
			return refuse(s, "engine option '%s': a number from 1 to %u is needed",
				option, VCPU_JIT_THRESHOLD_MAX);
		like->jit_threshold = (unsigned)n;
		return 0;
	}
	return refuse(s,
		"engine option '%s' is not known; there are: jit=on, jit=off, cache=SIZE, "
		"threshold=N, perf-map=on",
		option);
}

/* "rv64", with options after commas. */
static int take_engine(struct slice *s)
{
	char text[sizeof(s->spec.engine)], *rest = text;
	int err = 0;

	snprintf(text, sizeof(text), "%s", s->spec.engine[0] == '\0' ? "rv64" : s->spec.engine);
	s->vcpu_like.jit = true;
	const char *name = strsep(&rest, ",");
	if (strcmp(name, "rv64") != 0)
		return refuse(s, "engine '%s' is not known; there is: rv64", name);
	while (err == 0 && rest != NULL)
		err = take_engine_option(s, strsep(&rest, ","));
	return err;
}

static int take_options(struct slice *s)
{
	const struct ctl_slice_spec *spec = &s->spec;
	int err = take_engine(s);
	if (err != 0)
		return err;
	s->lease_ns = (spec->lease_ms == 0 ? LEASE_DEFAULT_MS : spec->lease_ms) * UINT64_C(1000000);
	s->vcpu_like.svadu = true;
	if (strcmp(spec->cpu, "svadu=off") == 0)
		s->vcpu_like.svadu = false;
	else if (spec->cpu[0] != '\0' && strcmp(spec->cpu, "svadu=on") != 0)
		return refuse(s, "cpu option '%s' is not known; there are: svadu=on, svadu=off",
			spec->cpu);
	if (spec->net[0] != '\0' && strcmp(spec->net, "none") != 0 &&
		strcmp(spec->net, "user") != 0)
		return refuse(s, "network '%s' is not known; there are: user, none", spec->net);
	if (slice_is_leader(s) && s->fds.kernel < 0)
		return refuse(s, "the first slice got no kernel");
	return 0;
}

const char *slice_option(const struct slice *s, const char *name)
{
	for (uint32_t i = 0; i < s->spec.n_options; i++) {
		if (strcmp(s->spec.options[i].name, name) == 0)
			return s->spec.options[i].value;
	}
	return NULL;
}

void slice_mac(const char *vm, uint8_t mac[6])
{
	/* FNV-1a, 32 bits, folded to the three bytes behind a locally administered prefix. */
	uint32_t h = UINT32_C(2166136261);
	for (const char *p = vm; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT32_C(16777619);
	h ^= h >> 24;
	const uint8_t out[6] = {
		0x52, 0x54, 0x00, (uint8_t)(h >> 16), (uint8_t)(h >> 8), (uint8_t)h};
	memcpy(mac, out, sizeof(out));
}

/*
 * Option "plant": a bug that the tests must find. Refused where it would not be planted, or a test
 * of it would pass on a correct build.
 */
static int take_plant(struct slice *s, const char *plant)
{
#ifdef PLANT_BUGS
	if (strcmp(plant, "no-causality") == 0) {
		gclock_plant_no_causality = true;
		return 0;
	}
	if (strcmp(plant, "no-discipline") == 0) {
		s->planted |= SLICE_PLANT_NO_DISCIPLINE;
		return 0;
	}
	if (strcmp(plant, "early-fence-ack") == 0) {
		atomic_store(&route_plant_early_fence, true);
		return 0;
	}
	return dsm_plant(plant) == 0 ? 0 : refuse(s, "no bug '%s' can be planted", plant);
#else
	return refuse(s, "option plant: this build has no planted bugs (--enable-plant)");
#endif
}

/* It may be given more than once. */
static int take_plants(struct slice *s)
{
	int err = 0;
	for (uint32_t i = 0; err == 0 && i < s->spec.n_options; i++) {
		if (strcmp(s->spec.options[i].name, "plant") == 0)
			err = take_plant(s, s->spec.options[i].value);
	}
	return err;
}

static bool has_word(const char *line, const char *prefix)
{
	for (const char *p = line; (p = strstr(p, prefix)) != NULL; p++) {
		if (p == line || p[-1] == ' ')
			return true;
	}
	return false;
}

/*
 * Debian's riscv64 kernel has no driver for a panic device, but it can be told to reset warm after
 * a panic and cold otherwise (Documentation/admin-guide/kernel-parameters.txt, "reboot=panic_..."),
 * and SBI SRST carries which. A command line that speaks of either parameter itself is left alone.
 */
static void take_append(struct slice *s)
{
	const char *append = s->spec.append;
	s->warm_is_panic = !has_word(append, "panic=") && !has_word(append, "reboot=");
	snprintf(s->append, sizeof(s->append), "%s%s%s", append,
		s->warm_is_panic && append[0] != '\0' ? " " : "",
		s->warm_is_panic ? "panic=-1 reboot=panic_warm" : "");
}

int slice_spec_take(struct slice *s, const struct ctl_slice_spec *spec, const int *fds)
{
	s->ctl_text[0] = '\0';
	int err = ctl_msg_copy(CTL_MSG_slice_spec, &s->spec, spec);
	if (err != 0) {
		for (uint32_t i = 0; i < spec->n_fds; i++)
			close(fds[i]);
		return err;
	}
	err = take_fds(s, fds);
	if (err == 0)
		err = take_parts(s);
	if (err == 0)
		err = take_options(s);
	if (err == 0)
		err = take_plants(s);
	if (err == 0)
		take_append(s);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void slice_spec_drop(struct slice *s)
{
	close_fd(&s->fds.kernel);
	close_fd(&s->fds.initrd);
	close_fd(&s->fds.uffd);
	for (size_t i = 0; i < ARRAY_SIZE(s->fds.disk); i++)
		close_fd(&s->fds.disk[i]);
	free(s->nodes);
	free(s->vcpu_slice);
	free(s->vcpu_node);
	ctl_msg_fini(CTL_MSG_slice_spec, &s->spec);
}
