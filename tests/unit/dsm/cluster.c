/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/unit/dsm/cluster.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"

struct cluster cluster;

void cluster_after(void)
{
	cluster_end(&cluster);
}

static slice_id_t member_id(unsigned i)
{
	return (slice_id_t){(uint16_t)(3 * i + 1)};
}

static void member_failed(void *arg, int err, const char *why)
{
	struct cluster_member *m = arg;
	/* Whoever sees the count sees why. */
	atomic_store(&m->failed, err);
	atomic_fetch_add(&m->failures, 1);
}

static int member_other(void *arg, const struct xport_rx *rx)
{
	struct cluster_member *m = arg;
	atomic_fetch_add(&m->others, 1);
	return 0;
}

static void fabric_listen(struct cluster *c, unsigned i)
{
	struct cluster_member *m = &c->m[i];
	const struct xport_ofi_cfg cfg = {
		.self = member_id(i),
		.incarnation = {{1, 2, 3}},
		.bind = "127.0.0.1:0",
		.n_slices = c->n,
		.handler = &m->handler,
		.arg = m->dsm,
	};
	CHECK(xport_ofi_listen(&cfg, &m->ofi) == 0);
}

static struct dsm_cfg member_cfg(struct cluster *c, unsigned i, struct dsm_node *nodes,
	uint64_t cache_pages, enum dsm_uffd_mode mode, int dev)
{
	for (unsigned j = 0; j < c->n; j++)
		nodes[j] = (struct dsm_node){
			.slice = member_id(j),
			.start = cluster_gpa((c->joined ? MIN(j, 1) : j) * c->pages, 0),
			.bytes = c->joined && j != 0 ? 0 : (uint64_t)c->pages * PAGE_BYTES,
		};
	return (struct dsm_cfg){
		.self = member_id(i),
		.nodes = nodes,
		.n_nodes = c->n,
		.cache_bytes = cache_pages == UINT64_MAX ? cache_pages : cache_pages * PAGE_BYTES,
		.mode = mode,
		.uffd_dev = dev,
		.vcpus = CLUSTER_VCPUS,
		.failed = member_failed,
		.arg = &c->m[i],
	};
}

static void member_connect(struct cluster *c, unsigned i)
{
	struct cluster_member *m = &c->m[i];
	m->handler = (struct xport_handler){
		.message = dsm_xport_message,
		.down = dsm_xport_down,
	};
	if (c->fabric)
		fabric_listen(c, i);
	else
		CHECK(xport_mem_open(c->hub, member_id(i), &m->handler, m->dsm, &m->xport) == 0);
}

struct join {
	struct cluster *c;
	unsigned i;
	pthread_t thread;
};

static void *fabric_join(void *arg)
{
	struct join *j = arg;
	struct xport_ofi_peer peers[CLUSTER_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < j->c->n; i++)
		if (i != j->i)
			peers[n++] = (struct xport_ofi_peer){
				member_id(i), xport_ofi_address(j->c->m[i].ofi)};
	uint64_t deadline_ns = clock_now_ns(clock_host()) + UINT64_C(10000000000);
	struct cluster_member *m = &j->c->m[j->i];
	CHECK(xport_ofi_join(m->ofi, peers, n, deadline_ns, &m->xport) == 0);
	return NULL;
}

static void fabric_join_all(struct cluster *c)
{
	struct join joins[CLUSTER_MAX];
	for (unsigned i = 0; i < c->n; i++) {
		joins[i] = (struct join){.c = c, .i = i};
		CHECK(pthread_create(&joins[i].thread, NULL, fabric_join, &joins[i]) == 0);
	}
	for (unsigned i = 0; i < c->n; i++)
		CHECK(pthread_join(joins[i].thread, NULL) == 0);
}

static void member_make(
	struct cluster *c, unsigned i, uint64_t cache_pages, enum dsm_uffd_mode mode, int dev)
{
	struct dsm_node nodes[CLUSTER_MAX];
	const struct dsm_cfg cfg = member_cfg(c, i, nodes, cache_pages, mode, dev);
	CHECK(dsm_create(&cfg, &c->m[i].dsm) == 0);
	if (c->n > 1)
		member_connect(c, i);
}

static void hub_make(struct cluster *c)
{
	slice_id_t ids[CLUSTER_MAX];
	for (unsigned i = 0; i < c->n; i++)
		ids[i] = member_id(i);
	CHECK(xport_mem_hub_create(ids, c->n, NULL, &c->hub) == 0);
}

static void run_all(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++)
		CHECK(dsm_start(c->m[i].dsm, c->m[i].xport, member_other, &c->m[i]) == 0);
}

static int dev_open(void)
{
	return open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
}

static void dev_close(int dev)
{
	if (dev >= 0)
		close(dev);
}

bool cluster_can(enum dsm_uffd_mode mode, char *why, size_t why_bytes)
{
	enum uffd_way way;
	bool user_only;
	int dev = dev_open();
	int err = uffd_probe(mode, dev, &way, &user_only, why, why_bytes);
	dev_close(dev);
	return err == 0;
}

static bool start(struct cluster *c, unsigned n, unsigned pages, uint64_t cache_pages,
	enum dsm_uffd_mode mode, bool fabric, char *why, size_t why_bytes)
{
	*c = (struct cluster){.n = n, .pages = pages, .fabric = fabric};
	if (n > 1 && !cluster_can(mode, why, why_bytes))
		return false;
	if (n > 1 && !fabric)
		hub_make(c);
	int dev = dev_open();
	for (unsigned i = 0; i < n; i++)
		member_make(c, i, cache_pages, mode, dev);
	dev_close(dev);
	if (fabric)
		fabric_join_all(c);
	run_all(c);
	return true;
}

int cluster_join(struct cluster *c, uint64_t cache_pages, enum dsm_uffd_mode mode, int fd,
	char *why, size_t why_bytes)
{
	struct dsm_node nodes[CLUSTER_MAX];
	int dev = dev_open();
	c->n = 2;
	c->joined = true;
	const struct dsm_cfg cfg = member_cfg(c, 0, nodes, cache_pages, mode, dev);
	int err = space_share(c->m[0].dsm, &cfg, fd, why, why_bytes);
	if (err == 0) {
		hub_make(c);
		member_connect(c, 0);
		member_make(c, 1, cache_pages, mode, dev);
		run_all(c);
	} else {
		c->n = 1;
		c->joined = false;
	}
	dev_close(dev);
	return err;
}

bool cluster_start(struct cluster *c, unsigned n, unsigned pages, uint64_t cache_pages,
	enum dsm_uffd_mode mode, char *why, size_t why_bytes)
{
	return start(c, n, pages, cache_pages, mode, false, why, why_bytes);
}

bool cluster_start_fabric(struct cluster *c, unsigned n, unsigned pages, uint64_t cache_pages,
	enum dsm_uffd_mode mode, char *why, size_t why_bytes)
{
	return start(c, n, pages, cache_pages, mode, true, why, why_bytes);
}

void cluster_stop(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++)
		dsm_stop(c->m[i].dsm);
}

void cluster_end(struct cluster *c)
{
	if (c->n == 0 || c->m[0].dsm == NULL)
		return;
	cluster_stop(c);
	for (unsigned i = 0; i < c->n; i++) {
		dsm_destroy(c->m[i].dsm);
		if (c->m[i].xport != NULL)
			c->m[i].xport->ops->destroy(c->m[i].xport);
	}
	if (c->hub != NULL)
		xport_mem_hub_destroy(c->hub);
	*c = (struct cluster){0};
}

static _Atomic uint64_t retired[CLUSTER_MAX][CLUSTER_VCPUS];

static void *vcpu_run(void *arg)
{
	struct cluster_vcpu *v = arg;
	dsm_vcpu_attach(v->cluster->m[v->slice].dsm, v->slot, v->retired);
	v->run(v);
	atomic_store(&v->done, true);
	return NULL;
}

void cluster_vcpu_start(struct cluster_vcpu *v)
{
	v->retired = &retired[v->slice][v->slot];
	CHECK(pthread_create(&v->thread, NULL, vcpu_run, v) == 0);
}

void cluster_vcpu_join(struct cluster_vcpu *v)
{
	CHECK(pthread_join(v->thread, NULL) == 0);
}

uint64_t cluster_gate_word(struct cluster *c, unsigned slice, unsigned page, unsigned word)
{
	uint64_t v = 0;
	CHECK(dsm_gate_read(dsm_gate(c->m[slice].dsm), cluster_gpa(page, word), &v, sizeof(v)) ==
		0);
	return v;
}
