/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "dsm/prio.h"
#include "dsm/space.h"

/* Life of guest memory, and what engines and the slice call: dsm.h. */

#define HOLD_NS_DEFAULT UINT64_C(1000000)
/* How often a held page's vCPU is looked at, per hold. */
#define HOLD_POLLS 16u
/* For each page, when a slice is alone no more: 16 bytes of the core, the copyset (one bit for each
 * slice id), and an entry of 8 in the page tables of both mappings. */
#define SHARE_PAGE_BYTES (16 + SLICE_MAX / 8 + 2 * 8)
/* Beside share and cache: pages that are retired but not given back, and the arrays of this folder.
 */
#define OVERHEAD_BYTES (RAM_STALE_MAX * (uint64_t)PAGE_BYTES)

/* ---- engines -------------------------------------------------------------------------------- */

static uint64_t engine_index(const struct dsm *dsm, gpage_t page)
{
	CHECK(page.v >= dsm->first.v && page.v - dsm->first.v < dsm->ram.pages);
	return dsm_index(dsm, page);
}

static uint32_t engine_generation(void *ctx, gpage_t page)
{
	struct dsm *dsm = ctx;
	return excl_generation(&dsm->excl, engine_index(dsm, page));
}

static bool engine_writable(void *ctx, gpage_t page)
{
	const struct dsm *dsm = ctx;
	return (ram_state(&dsm->ram, engine_index(dsm, page)) & RAM_WRITE) != 0;
}

static enum dsm_excl engine_excl_begin(void *ctx, unsigned slot, gpage_t page, uint32_t gen)
{
	struct dsm *dsm = ctx;
	return excl_begin(&dsm->excl, slot, engine_index(dsm, page), gen);
}

static void engine_excl_end(void *ctx, unsigned slot)
{
	struct dsm *dsm = ctx;
	excl_end(&dsm->excl, slot);
}

static const struct dsm_ram_ops engine_ops = {
	.generation = engine_generation,
	.writable = engine_writable,
	.excl_begin = engine_excl_begin,
	.excl_end = engine_excl_end,
};

/* ---- making --------------------------------------------------------------------------------- */

static int cfg_check(const struct dsm_cfg *cfg)
{
	bool own = false;
	if (cfg->n_nodes == 0 || cfg->n_nodes > SLICE_MAX ||
		cfg->vcpus > CORE_VCPUS_MAX - DSM_FOREIGN_SLOTS)
		return ERR_INVAL;
	uint64_t next = cfg->nodes[0].start.v;
	for (size_t i = 0; i < cfg->n_nodes; i++) {
		const struct dsm_node *n = &cfg->nodes[i];
		if (n->start.v != next || (n->start.v | n->bytes) % PAGE_BYTES ||
			add_overflows(next, n->bytes, &next))
			return ERR_INVAL;
		own |= slice_eq(n->slice, cfg->self);
	}
	return own && next != cfg->nodes[0].start.v ? 0 : ERR_INVAL;
}

static uint64_t bytes_all(const struct dsm_cfg *cfg)
{
	uint64_t all = 0;
	for (size_t i = 0; i < cfg->n_nodes; i++)
		all += cfg->nodes[i].bytes;
	return all;
}

/* What this slice will hold at most. */
static uint64_t bytes_held(const struct dsm_cfg *cfg)
{
	uint64_t share = 0;
	for (size_t i = 0; i < cfg->n_nodes; i++)
		if (slice_eq(cfg->nodes[i].slice, cfg->self))
			share += cfg->nodes[i].bytes;
	return share + MIN(cfg->cache_bytes, bytes_all(cfg) - share);
}

/* One slice: all of it is here from the start, in huge pages where the host has them. */
static int make_alone(struct dsm *dsm)
{
	if (madvise(dsm->ram.guest, dsm->ram.pages << PAGE_SHIFT, MADV_POPULATE_WRITE) == 0)
		return 0;
	log_error(dsm, "can not allocate guest memory: %m");
	return ERR_NO_MEMORY;
}

static int make_core(struct dsm *dsm, const struct dsm_cfg *cfg)
{
	slice_id_t slices[SLICE_MAX];
	bool seen[SLICE_MAX] = {false};
	size_t n = 0, n_ranges = 0;
	struct core_range *ranges = calloc(cfg->n_nodes, sizeof(*ranges));
	if (ranges == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < cfg->n_nodes; i++) {
		const struct dsm_node *node = &cfg->nodes[i];
		if (node->bytes != 0)
			ranges[n_ranges++] = (struct core_range){.start = gpa_page(node->start),
				.pages = node->bytes >> PAGE_SHIFT,
				.home = node->slice};
		if (node->slice.v < SLICE_MAX && !seen[node->slice.v]) {
			seen[node->slice.v] = true;
			slices[n++] = node->slice;
		}
	}
	uint64_t hold_ns = cfg->hold_ns != 0 ? cfg->hold_ns : HOLD_NS_DEFAULT;
	const struct core_cfg core = {
		.self = cfg->self,
		.slices = slices,
		.n_slices = n,
		.ranges = ranges,
		.n_ranges = n_ranges,
		.cache_pages = cfg->cache_bytes == UINT64_MAX ? UINT64_MAX
							      : cfg->cache_bytes >> PAGE_SHIFT,
		.vcpus = dsm->n_slots,
		.hold_ns = hold_ns,
		.no_migrate = cfg->no_migrate,
		.no_ahead = cfg->no_ahead,
		.poll_ns = MAX(hold_ns / HOLD_POLLS, 1),
	};
	int err = core_create(&core, &dsm->core);
	free(ranges);
	return err;
}

/* What memory needs beside itself to be shared. `why`: as of dsm_share(). */
static int make_parts(struct dsm *dsm, const struct dsm_cfg *cfg, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "%s", "");
	dsm->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dsm->kick_fd < 0)
		return err_from_errno(errno);
	int err = excl_init(&dsm->excl, &dsm->ram, dsm->n_vcpus, service_kick, dsm);
	if (err == 0)
		err = make_core(dsm, cfg);
	if (err == 0)
		err = uffd_init(&dsm->uffd, &dsm->ram, cfg->mode, cfg->uffd_dev, why, why_bytes);
	return err;
}

/* Undoes make_parts(), as far as it has come. */
static void free_parts(struct dsm *dsm)
{
	if (dsm->core != NULL)
		core_destroy(dsm->core);
	dsm->core = NULL;
	uffd_fini(&dsm->uffd);
	excl_fini(&dsm->excl);
	if (dsm->kick_fd >= 0)
		close(dsm->kick_fd);
	dsm->kick_fd = -1;
}

static int make_shared(struct dsm *dsm, const struct dsm_cfg *cfg)
{
	char why[160];
	int err = make_parts(dsm, cfg, why, sizeof(why));
	if (err != 0 && why[0] != '\0')
		log_error(dsm, "%s", why);
	if (err == 0)
		err = uffd_guard(&dsm->uffd);
	return err == ERR_DENIED ? ERR_KERNEL : err;
}

static struct dsm *dsm_new(const struct dsm_cfg *cfg)
{
	struct dsm *dsm = calloc(1, sizeof(*dsm));
	if (dsm == NULL)
		return NULL;
	OBJ_INIT(dsm, DSM_MAGIC);
	dsm->alone = cfg->n_nodes == 1;
	dsm->prio_base = prio_base();
	dsm->self = cfg->self;
	dsm->first = gpa_page(cfg->nodes[0].start);
	dsm->failed = cfg->failed;
	dsm->failed_arg = cfg->arg;
	dsm->n_vcpus = cfg->vcpus;
	dsm->n_slots = cfg->vcpus + DSM_FOREIGN_SLOTS;
	dsm->ram.fd = dsm->uffd.fd = dsm->uffd.pagemap = dsm->kick_fd = dsm->epoll_fd = -1;
	lk_init(&dsm->queue_lk, LK_dsm_queue);
	lk_init(&dsm->pin_lk, LK_dsm_pin);
	lk_cond_init(&dsm->quiet_cond);
	list_init(&dsm->pins);
	list_init(&dsm->unpins);
	list_init(&dsm->pin_wait);
	list_init(&dsm->active);
	dsm->slots = calloc(dsm->n_slots, sizeof(*dsm->slots));
	if (dsm->slots != NULL)
		return dsm;
	dsm_destroy(dsm);
	return NULL;
}

static void views_make(struct dsm *dsm, const struct dsm_cfg *cfg, uint64_t bytes)
{
	dsm->engine_view = (struct dsm_ram){
		.host = dsm->ram.guest,
		.base = cfg->nodes[0].start,
		.bytes = bytes,
		.ops = dsm->alone ? NULL : &engine_ops,
		.ctx = dsm,
	};
	dsm->gate = (struct dsm_gate){
		.ops = dsm->alone ? &pin_ops_alone : &pin_ops,
		.ctx = dsm,
		.base = cfg->nodes[0].start,
		.bytes = bytes,
	};
}

int dsm_create(const struct dsm_cfg *cfg, struct dsm **out)
{
	int err = cfg_check(cfg);
	if (err != 0)
		return err;
	uint64_t bytes = bytes_all(cfg);
	err = ram_admit(bytes_held(cfg) + OVERHEAD_BYTES, bytes);
	if (err != 0)
		return err;
	struct dsm *dsm = dsm_new(cfg);
	if (dsm == NULL)
		return ERR_NO_MEMORY;
	err = ram_init(&dsm->ram, -1, bytes, !dsm->alone);
	if (err == 0)
		err = dsm->alone ? make_alone(dsm) : make_shared(dsm, cfg);
	if (err != 0) {
		dsm_destroy(dsm);
		return err;
	}
	views_make(dsm, cfg, bytes);
	*out = dsm;
	return 0;
}

/* ---- from one slice to several -------------------------------------------------------------- */

static int refuse(char *why, size_t why_bytes, int err, const char *text)
{
	snprintf(why, why_bytes, "%s", text);
	return err;
}

static bool share_cfg_good(const struct dsm *dsm, const struct dsm_cfg *cfg)
{
	if (cfg_check(cfg) != 0 || cfg->n_nodes < 2 || !slice_eq(cfg->self, dsm->self) ||
		cfg->vcpus != dsm->n_vcpus || cfg->nodes[0].start.v != dsm->gate.base.v ||
		bytes_all(cfg) != dsm->gate.bytes)
		return false;
	for (size_t i = 0; i < cfg->n_nodes; i++)
		if (cfg->nodes[i].bytes != 0 && !slice_eq(cfg->nodes[i].slice, dsm->self))
			return false;
	return true;
}

/* All that can be refused before anything has changed. */
static int share_check(struct dsm *dsm, const struct dsm_cfg *cfg, char *why, size_t why_bytes)
{
	if (!dsm->alone || atomic_load(&dsm->over))
		return refuse(why, why_bytes, ERR_STATE,
			"guest memory is shared already or has stopped: start the machine anew");
	if (atomic_load(&dsm->alone_pins) != 0)
		return refuse(why, why_bytes, ERR_STATE,
			"a device is at guest memory: bring devices to rest first");
	if (!share_cfg_good(dsm, cfg))
		return refuse(why, why_bytes, ERR_INVAL,
			"a slice that joins must bring no memory, and the others keep theirs");
	uint64_t need = dsm->ram.pages * SHARE_PAGE_BYTES + 2 * RAM_PIECE_BYTES + OVERHEAD_BYTES;
	if (ram_admit(need, dsm->gate.bytes) == 0)
		return 0;
	snprintf(why, why_bytes,
		"sharing guest memory needs %ju MiB more on this host and a file of %ju MiB: free "
		"memory, or raise the cgroup's limit or ulimit -f",
		(uintmax_t)(need >> 20) + 1, (uintmax_t)(dsm->gate.bytes >> 20));
	return ERR_NO_MEMORY;
}

static int share_memory(struct dsm *dsm, int fd)
{
	int err = ram_share(&dsm->ram, fd);
	if (err != 0)
		return err;
	err = uffd_guard(&dsm->uffd);
	if (err != 0)
		ram_unshare(&dsm->ram);
	return err;
}

static const char *share_why(int err)
{
	switch (err) {
	case ERR_NO_MEMORY:
		return "the host has no memory left to share the guest's: free some, or raise the "
		       "limit of the cgroup";
	case ERR_NO_FD:
		return "no file descriptor is left: raise the limit of open files (ulimit -n)";
	default:
		return "the kernel does not guard guest memory, its log line says why: try another "
		       "--uffd mode";
	}
}

/* Nothing fails from here on. What has bytes is ours in every sense; nothing is mapped. */
static void share_done(struct dsm *dsm, const struct dsm_cfg *cfg)
{
	dsm->alone = false;
	for (uint64_t i = 0; i < dsm->ram.pages; i++)
		if (ram_state(&dsm->ram, i) & RAM_LIVE)
			core_adopt(dsm->core, dsm_page(dsm, i));
	for (unsigned i = 0; i < dsm->n_vcpus; i++) {
		uint32_t tid = atomic_load_explicit(&dsm->slots[i].tid, memory_order_acquire);
		if (tid != 0)
			prio_vcpu(dsm->prio_base, tid);
	}
	views_make(dsm, cfg, dsm->gate.bytes);
}

int space_share(struct dsm *dsm, const struct dsm_cfg *cfg, int fd, char *why, size_t why_bytes)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	int err = share_check(dsm, cfg, why, why_bytes);
	if (err != 0)
		goto refused;
	err = make_parts(dsm, cfg, why, why_bytes);
	if (err == 0) {
		err = share_memory(dsm, fd);
		fd = -1;
	}
	if (err == 0) {
		share_done(dsm, cfg);
		return 0;
	}
	free_parts(dsm);
	if (why_bytes != 0 && why[0] == '\0')
		snprintf(why, why_bytes, "%s", share_why(err));
refused:
	if (fd >= 0)
		close(fd);
	return err;
}

int dsm_share(struct dsm *dsm, const struct dsm_cfg *cfg, char *why, size_t why_bytes)
{
	return space_share(dsm, cfg, -1, why, why_bytes);
}

/* ---- running -------------------------------------------------------------------------------- */

int dsm_start(struct dsm *dsm, struct xport *xport,
	int (*other)(void *arg, const struct xport_rx *rx), void *arg)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	CHECK(!dsm->started);
	if (dsm->alone)
		return 0;
	CHECK(xport != NULL);
	dsm->xport = xport;
	dsm->other = other;
	dsm->other_arg = arg;
	int err = service_init(dsm);
	if (err != 0)
		return err;
	if (pthread_create(&dsm->thread, NULL, service_run, dsm) != 0)
		return ERR_NO_MEMORY;
	dsm->started = true;
	return 0;
}

void dsm_stop(struct dsm *dsm)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	lk_lock(&dsm->queue_lk);
	bool stop = dsm->started && !dsm->stopping;
	dsm->stopping = true;
	atomic_store(&dsm->over, true);
	lk_unlock(&dsm->queue_lk);
	if (!stop)
		return;
	service_kick(dsm);
	CHECK(pthread_join(dsm->thread, NULL) == 0);
	uffd_release(&dsm->uffd);
}

void dsm_destroy(struct dsm *dsm)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	dsm_stop(dsm);
	pin_fini(dsm);
	free_parts(dsm);
	if (dsm->epoll_fd >= 0)
		close(dsm->epoll_fd);
	ram_fini(&dsm->ram);
	free(dsm->slots);
	free(dsm->revokes);
	free(dsm->revoking);
	lk_cond_fini(&dsm->quiet_cond);
	lk_fini(&dsm->queue_lk);
	lk_fini(&dsm->pin_lk);
	OBJ_FINI(dsm, DSM_MAGIC);
	free(dsm);
}

const struct dsm_ram *dsm_ram(struct dsm *dsm)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	return &dsm->engine_view;
}

const struct dsm_gate *dsm_gate(struct dsm *dsm)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	return &dsm->gate;
}

void dsm_vcpu_attach(struct dsm *dsm, unsigned slot, const _Atomic uint64_t *retired)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	CHECK(slot < dsm->n_vcpus);
	uint32_t tid = (uint32_t)syscall(SYS_gettid);
	/* Partners: slot_of, retired_read, share_done. */
	atomic_store_explicit(&dsm->slots[slot].retired, retired, memory_order_release);
	atomic_store_explicit(&dsm->slots[slot].tid, tid, memory_order_release);
	if (!dsm->alone)
		prio_vcpu(dsm->prio_base, tid);
}

int dsm_quiesce(struct dsm *dsm, uint64_t timeout_ns)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	if (!dsm->started)
		return 0;
	uint64_t now = clock_now_ns(clock_host());
	uint64_t deadline = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
	lk_lock(&dsm->queue_lk);
	dsm->halt = true;
	dsm->quiet = false;
	service_kick(dsm);
	bool in_time = true;
	while (in_time && !dsm->quiet && !dsm->stopping)
		in_time = lk_cond_wait_until(&dsm->quiet_cond, &dsm->queue_lk, deadline);
	bool quiet = dsm->quiet;
	lk_unlock(&dsm->queue_lk);
	if (quiet)
		return 0;
	dsm_resume(dsm);
	return ERR_TIMEOUT;
}

void dsm_resume(struct dsm *dsm)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	if (!dsm->started)
		return;
	lk_lock(&dsm->queue_lk);
	dsm->halt = dsm->quiet = false;
	lk_unlock(&dsm->queue_lk);
	service_kick(dsm);
}

size_t dsm_hot(struct dsm *dsm, struct hot_view *out, size_t max, uint64_t timeout_ns)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	if (!dsm->started)
		return 0;
	uint64_t deadline = clock_now_ns(clock_host()) + timeout_ns;
	bool in_time = true;
	lk_lock(&dsm->queue_lk);
	dsm->hot = out;
	dsm->hot_max = max;
	dsm->hot_n = 0;
	service_kick(dsm);
	while (in_time && dsm->hot != NULL && !dsm->stopping)
		in_time = lk_cond_wait_until(&dsm->quiet_cond, &dsm->queue_lk, deadline);
	dsm->hot = NULL;
	size_t n = dsm->hot_n;
	lk_unlock(&dsm->queue_lk);
	return n;
}

void dsm_stats_get(struct dsm *dsm, struct dsm_stats *out)
{
	OBJ_CHECK(dsm, DSM_MAGIC);
	*out = (struct dsm_stats){
		.latency_p50_ns = stats_hist_at(&dsm->latency, 500),
		.latency_p99_ns = stats_hist_at(&dsm->latency, 990),
	};
#define LOAD(name) out->name = atomic_load_explicit(&dsm->published.name, memory_order_relaxed);
	DSM_PUBLISHED(LOAD)
#undef LOAD
	if (dsm->alone)
		out->pages_owned = dsm->ram.pages;
}
