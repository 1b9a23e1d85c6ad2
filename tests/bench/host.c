/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/bench/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/bench/link.h"

#define RAM_BASE  UINT64_C(0x80000000)
#define LAST_WORD (PAGE_BYTES / 8 - 1)
#define PATIENCE  (LINK_WAIT_MS * UINT64_C(1000000)) /* ns that a turn or a counter may take */

struct host {
	struct host_cfg cfg;
	struct dsm *dsm;
	struct xport_ofi *ofi;
	struct xport *xport;
	struct xport_handler handler;
	_Atomic int failed;
	_Atomic uint64_t retired;
	uint64_t *ns;                                 /* as many as pages of all */
	uint64_t read_faults, write_faults, upgrades; /* there must have been so far */
};

static slice_id_t id_of(unsigned host)
{
	return (slice_id_t){(uint16_t)host};
}

static void memory_failed(void *arg, int err, const char *why)
{
	struct host *h = arg;
	atomic_store(&h->failed, err);
	bench_complain("guest memory", why);
	_exit(1); /* the vCPU may sleep in a fault for ever */
}

static int other_message(void *arg, const struct xport_rx *rx)
{
	return ERR_PROTOCOL;
}

static int memory_make(struct host *h)
{
	struct dsm_node nodes[HOSTS_MAX];
	const uint64_t share = (uint64_t)h->cfg.pages * PAGE_BYTES;
	for (unsigned i = 0; i < h->cfg.n; i++)
		nodes[i] = (struct dsm_node){id_of(i), {RAM_BASE + i * share}, share};
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	const struct dsm_cfg cfg = {
		.self = id_of(h->cfg.self),
		.nodes = nodes,
		.n_nodes = h->cfg.n,
		.cache_bytes = UINT64_MAX,
		.mode = h->cfg.mode,
		.uffd_dev = dev,
		.vcpus = 1,
		.no_migrate = true, /* each figure is of one kind of message */
		.no_ahead = !h->cfg.ahead,
		.failed = memory_failed,
		.arg = h,
	};
	int err = dsm_create(&cfg, &h->dsm);
	if (dev >= 0)
		close(dev);
	return err == 0 ? 0 : bench_complain("guest memory", err_text(err));
}

int host_open(const struct host_cfg *cfg, struct host **out, char *address)
{
	char bind[XPORT_OFI_ADDR_BYTES];
	struct host *h = calloc(1, sizeof(*h));
	CHECK(h != NULL);
	*out = h;
	h->cfg = *cfg;
	h->ns = calloc((size_t)cfg->pages * cfg->n, sizeof(*h->ns));
	CHECK(h->ns != NULL);
	if (memory_make(h) != 0)
		return -1;
	h->handler = (struct xport_handler){.message = dsm_xport_message, .down = dsm_xport_down};
	snprintf(bind, sizeof(bind), "%s:0", cfg->ip);
	const struct xport_ofi_cfg ofi = {
		.self = id_of(cfg->self),
		.incarnation = {{3}},
		.bind = bind,
		.n_slices = cfg->n,
		.handler = &h->handler,
		.arg = h->dsm,
	};
	int err = xport_ofi_listen(&ofi, &h->ofi);
	if (err != 0)
		return bench_complain("fabric", err_text(err));
	snprintf(address, XPORT_OFI_ADDR_BYTES, "%s", xport_ofi_address(h->ofi));
	return 0;
}

int host_join(struct host *h, const char peers[HOSTS_MAX][XPORT_OFI_ADDR_BYTES])
{
	struct xport_ofi_peer p[HOSTS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < h->cfg.n; i++)
		if (i != h->cfg.self)
			p[n++] = (struct xport_ofi_peer){id_of(i), peers[i]};
	int err = xport_ofi_join(h->ofi, p, n, bench_now_ns() + PATIENCE, &h->xport);
	if (err == 0)
		err = dsm_start(h->dsm, h->xport, other_message, h);
	if (err != 0)
		return bench_complain("fabric", err_text(err));
	dsm_vcpu_attach(h->dsm, 0, &h->retired);
	return 0;
}

void host_stop(struct host *h)
{
	dsm_stop(h->dsm);
}

void host_close(struct host *h)
{
	if (h->dsm != NULL)
		dsm_destroy(h->dsm);
	if (h->xport != NULL)
		h->xport->ops->destroy(h->xport);
	else if (h->ofi != NULL)
		xport_ofi_close(h->ofi);
	free(h->ns);
	free(h);
}

/* ---- what the vCPU does --------------------------------------------------------------------- */

static _Atomic uint64_t *word_at(struct host *h, unsigned page, unsigned word)
{
	return (_Atomic uint64_t *)(dsm_ram(h->dsm)->host + (size_t)page * PAGE_BYTES) + word;
}

static void retire(struct host *h)
{
	atomic_fetch_add_explicit(&h->retired, 1, memory_order_relaxed);
}

static uint64_t content(unsigned page, uint32_t generation)
{
	return generation == 0 ? 0 : (uint64_t)generation << 32 | page;
}

/* The rest of a page that has come: no fault any more. */
static bool rest_is(struct host *h, const struct host_touch *t, unsigned page)
{
	_Atomic uint64_t *last = word_at(h, page, LAST_WORD);
	if (atomic_load_explicit(last, memory_order_relaxed) != content(page, t->before))
		return false;
	if (t->fault != HOST_READ)
		atomic_store_explicit(last, content(page, t->after), memory_order_relaxed);
	return true;
}

/*
 * The run-time counted what we did, no more and no less. It publishes its counters when it has
 * nothing to do, so they may come a moment later than the last page.
 */
static int counted(struct host *h, const struct host_touch *t)
{
	uint64_t since = bench_now_ns();
	struct dsm_stats s;
	h->read_faults += t->fault == HOST_READ ? t->n : 0;
	h->write_faults += t->fault != HOST_READ ? t->n : 0;
	h->upgrades += t->fault == HOST_UPGRADE ? t->n : 0;
	for (;;) {
		dsm_stats_get(h->dsm, &s);
		if (s.read_faults == h->read_faults && s.write_faults == h->write_faults &&
			s.upgrades == h->upgrades)
			return 0;
		if (bench_now_ns() - since > PATIENCE)
			break;
		poll(NULL, 0, 1);
	}
	fprintf(stderr,
		"host %u counted %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64
		" upgrades, and there were %" PRIu64 ", %" PRIu64 ", %" PRIu64 "\n",
		h->cfg.self, s.read_faults, s.write_faults, s.upgrades, h->read_faults,
		h->write_faults, h->upgrades);
	return bench_complain("guest memory", "not every touch was the fault that it should be");
}

int host_touch(struct host *h, const struct host_touch *t, struct bench_times *out)
{
	bool write = t->fault != HOST_READ;
	uint64_t begin = bench_now_ns();
	CHECK(t->n <= h->cfg.pages * h->cfg.n);
	for (unsigned i = 0; i < t->n; i++) {
		unsigned page = t->first + i;
		_Atomic uint64_t *word = word_at(h, page, 0);
		uint64_t since = bench_now_ns();
		uint64_t got =
			write ? atomic_exchange(word, content(page, t->after)) : atomic_load(word);
		retire(h);
		h->ns[i] = bench_now_ns() - since;
		if (got != content(page, t->before) || !rest_is(h, t, page))
			return bench_complain(
				"guest memory", "a page with other bytes than written");
	}
	uint64_t total = bench_now_ns() - begin;
	*out = bench_times_of(h->ns, t->n);
	out->total_ns = total;
	return h->cfg.ahead ? 0 : counted(h, t);
}

int host_turns(struct host *h, const struct host_turns *t, struct bench_times *out)
{
	_Atomic uint64_t *word = word_at(h, t->page, 0);
	uint64_t begin = bench_now_ns();
	CHECK(t->n <= h->cfg.pages * h->cfg.n);
	for (unsigned i = 0; i < t->n; i++) {
		uint64_t since = bench_now_ns(), mine = t->start + 2 * i + (t->first ? 0 : 1);
		for (unsigned spins = 1; atomic_load(word) != mine; spins++) {
			retire(h);
			if (spins % 4096 == 0 && bench_now_ns() - since > PATIENCE)
				return bench_complain("guest memory", "a turn did not come");
		}
		atomic_store(word, mine + 1);
		retire(h);
		h->ns[i] = bench_now_ns() - since;
	}
	uint64_t total = bench_now_ns() - begin;
	*out = bench_times_of(h->ns, t->n);
	out->total_ns = total;
	return 0;
}
