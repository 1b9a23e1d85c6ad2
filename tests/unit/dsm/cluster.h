/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_DSM_CLUSTER_H
#define TESTS_UNIT_DSM_CLUSTER_H

#include <pthread.h>
#include <stdatomic.h>

#include "dsm/dsm.h"
#include "dsm/space.h"
#include "proto/xport_mem.h"
#include "proto/xport_ofi.h"

/*
 * Several slices of one VM in this process, each with its own guest memory, userfaultfd and service
 * thread, joined by the in-process transport. RAM begins at CLUSTER_BASE; slice i (its id is 3 * i
 * + 1) is home of pages [i * pages, (i + 1) * pages).
 */
#define CLUSTER_MAX   4u
#define CLUSTER_BASE  UINT64_C(0x80000000)
#define CLUSTER_VCPUS 4u

struct cluster_member {
	struct dsm *dsm;
	struct xport *xport;
	struct xport_ofi *ofi;
	struct xport_handler handler;
	_Atomic int failed; /* error of the failed call */
	_Atomic unsigned failures;
	_Atomic unsigned others; /* messages that were not of dsm */
};

struct cluster {
	unsigned n, pages;
	bool joined; /* all but the first have joined, and are home of nothing */
	bool fabric;
	struct xport_mem_hub *hub;
	struct cluster_member m[CLUSTER_MAX];
};

/* False: `why` says what is missing here for this mode. */
bool cluster_can(enum dsm_uffd_mode mode, char *why, size_t why_bytes);

/* `pages` a slice; `cache_pages` beyond the share, UINT64_MAX: no limit. False: `why` says what is
 * missing here. */
bool cluster_start(struct cluster *c, unsigned n, unsigned pages, uint64_t cache_pages,
	enum dsm_uffd_mode mode, char *why, size_t why_bytes);
/* The same over libfabric on the loopback interface, sealed. */
bool cluster_start_fabric(struct cluster *c, unsigned n, unsigned pages, uint64_t cache_pages,
	enum dsm_uffd_mode mode, char *why, size_t why_bytes);
/* To a cluster of one: its slice shares its memory (in `fd`, as of space_share), and a second one
 * joins. The error of that sharing, after which there is still one. */
int cluster_join(struct cluster *c, uint64_t cache_pages, enum dsm_uffd_mode mode, int fd,
	char *why, size_t why_bytes);
void cluster_stop(struct cluster *c);
/* After a failed test as after a good one. */
void cluster_end(struct cluster *c);

/* The cluster of a suite, UT_SUITE_WITH(x, NULL, cluster_after); one at a time. */
extern struct cluster cluster;
void cluster_after(void);

/* Start it, or skip the test with the reason why this kernel or user has not got that way. */
#define CLUSTER_START(n, pages, cache, mode)                                                       \
	do {                                                                                       \
		char why_[160];                                                                    \
		if (!cluster_start(&cluster, n, pages, cache, mode, why_, sizeof(why_)))           \
			UT_SKIP("%s", why_);                                                       \
	} while (0)

/* A cluster of one that can be joined in this mode, or skip the test. */
#define CLUSTER_START_LONE(pages, mode)                                                            \
	do {                                                                                       \
		char why_[160];                                                                    \
		if (!cluster_can(mode, why_, sizeof(why_)))                                        \
			UT_SKIP("%s", why_);                                                       \
		CHECK(cluster_start(&cluster, 1, pages, 0, mode, why_, sizeof(why_)));             \
	} while (0)

/* `check(mode)` runs in every way that the kernel and this user have. */
#define IN_ALL_MODES(check)                                                                        \
	UT_TEST(check##_copy)                                                                      \
	{                                                                                          \
		check(DSM_UFFD_COPY);                                                              \
	}                                                                                          \
	UT_TEST(check##_continue)                                                                  \
	{                                                                                          \
		check(DSM_UFFD_CONTINUE);                                                          \
	}                                                                                          \
	UT_TEST(check##_user_only)                                                                 \
	{                                                                                          \
		check(DSM_UFFD_USER_ONLY);                                                         \
	}

/* A thread that runs as vCPU `slot` of slice `slice`. `retired` grows by cluster_retire and, as the
 * service thread looks at it as long as there is a cluster, is not part of this. */
struct cluster_vcpu {
	struct cluster *cluster;
	unsigned slice, slot;
	void (*run)(struct cluster_vcpu *v);
	void *arg;
	uint64_t seed;
	uint64_t bad; /* wrong things seen */
	_Atomic uint64_t *retired;
	_Atomic bool done;
	pthread_t thread;
};

void cluster_vcpu_start(struct cluster_vcpu *v);
void cluster_vcpu_join(struct cluster_vcpu *v);

static inline void cluster_retire(struct cluster_vcpu *v)
{
	atomic_fetch_add_explicit(v->retired, 1, memory_order_relaxed);
}

/* Word `word` of page `page` as slice `slice`'s engines see it. */
static inline _Atomic uint64_t *cluster_word(
	struct cluster *c, unsigned slice, unsigned page, unsigned word)
{
	uint8_t *host = dsm_ram(c->m[slice].dsm)->host;
	return (_Atomic uint64_t *)(host + (uint64_t)page * PAGE_BYTES) + word;
}

static inline gpa_t cluster_gpa(unsigned page, unsigned word)
{
	return (gpa_t){CLUSTER_BASE + (uint64_t)page * PAGE_BYTES + word * 8u};
}

/* The same word through the gate of a slice. */
uint64_t cluster_gate_word(struct cluster *c, unsigned slice, unsigned page, unsigned word);

#endif
