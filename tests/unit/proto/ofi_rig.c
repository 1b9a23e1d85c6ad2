/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/ofi_rig.h"

#include <pthread.h>

struct ofi_node nodes[SIDES];

void ofi_before(void)
{
	memset(nodes, 0, sizeof(nodes));
	sides_clear();
}

void ofi_after(void)
{
	for (unsigned i = 0; i < SIDES; i++)
		if (sides[i].x == NULL && nodes[i].o != NULL)
			xport_ofi_close(nodes[i].o);
	sides_destroy();
}

struct xport_ofi_cfg ofi_cfg_of(unsigned i)
{
	struct xport_ofi_cfg cfg = {
		.self = {(uint16_t)i},
		.incarnation = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		.epoch = 3,
		.secret = {{42, 43, 44}},
		.bind = "127.0.0.1:0",
		.n_slices = SIDES,
		.handler = &side_handler,
		.arg = &sides[i],
	};
	return cfg;
}

static void *join_one(void *arg)
{
	struct ofi_node *n = arg;
	n->joined = xport_ofi_join(n->o, n->peers, n->n_peers, n->deadline, &sides[n - nodes].x);
	return NULL;
}

void ofi_listen(const struct xport_ofi_cfg *cfg, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		UT_OK(xport_ofi_listen(&cfg[i], &nodes[i].o));
}

void ofi_join(unsigned n, uint64_t patience_ns)
{
	pthread_t t[SIDES];
	for (unsigned i = 0; i < n; i++) {
		nodes[i].deadline = side_now_ns() + patience_ns;
		nodes[i].n_peers = 0;
		for (unsigned j = 0; j < n; j++)
			if (j != i)
				nodes[i].peers[nodes[i].n_peers++] = (struct xport_ofi_peer){
					nodes[j].o->cfg.self, xport_ofi_address(nodes[j].o)};
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, join_one, &nodes[i]) == 0);
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

void ofi_listen_and_join(const struct xport_ofi_cfg *cfg, unsigned n, uint64_t patience_ns)
{
	ofi_listen(cfg, n);
	ofi_join(n, patience_ns);
}

void ofi_start(unsigned n, const struct credit_cfg *credit)
{
	struct xport_ofi_cfg cfg[SIDES] = {0};
	for (unsigned i = 0; i < n; i++) {
		cfg[i] = ofi_cfg_of(i);
		if (credit != NULL)
			cfg[i].credit = *credit;
	}
	ofi_listen_and_join(cfg, n, PATIENCE_NS);
	for (unsigned i = 0; i < n; i++)
		UT_OK(nodes[i].joined);
}
