/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/ut.h"
#include "tests/unit/dsm/cluster.h"
#include "tests/unit/dsm/files.h"

/* A lone slice's memory, shared when a second slice joins: what is in it, who may reach it, and
 * what happens when it can not be. */
UT_SUITE_WITH(share, NULL, cluster_after);

#define WORDS (PAGE_BYTES / 8)
#define PIECE (RAM_PIECE_BYTES / PAGE_BYTES)
#define PAGES (2u * (unsigned)PIECE + 7)

/* What the lone guest has done to a page. */
enum { NEVER, WRITTEN, READ, ZEROED, KINDS };

static unsigned kind(unsigned page)
{
	return page % KINDS;
}

static uint64_t word_of(unsigned page, unsigned word)
{
	return kind(page) == WRITTEN ? page * UINT64_C(1000003) + word + 1 : 0;
}

static void pattern_make(unsigned pages)
{
	for (unsigned page = 0; page < pages; page++) {
		for (unsigned w = 0; w < WORDS && kind(page) == WRITTEN; w++)
			atomic_store(cluster_word(&cluster, 0, page, w), word_of(page, w));
		if (kind(page) == READ)
			UT_EQ(atomic_load(cluster_word(&cluster, 0, page, 8)), 0);
		if (kind(page) == ZEROED)
			for (uint64_t v = 2; v-- > 0;)
				atomic_store(cluster_word(&cluster, 0, page, 9), v);
	}
}

/* Words that are not as the pattern is, as slice `slice` sees them. */
static unsigned pattern_wrong(unsigned slice, unsigned pages)
{
	unsigned wrong = 0;
	for (unsigned page = 0; page < pages; page++)
		for (unsigned w = 0; w < WORDS; w++)
			wrong += atomic_load(cluster_word(&cluster, slice, page, w)) !=
				 word_of(page, w);
	return wrong;
}

static uint64_t written(unsigned pages)
{
	return (pages + KINDS - 1 - WRITTEN) / KINDS;
}

/* Each slice's stores in every page (or one of `step`) are the other's loads, by mapping and by
 * gate. */
static void exchange(unsigned step)
{
	for (unsigned page = 0; page < PAGES; page += step) {
		unsigned w = 1 + page % 2, by = page / 2 % 2;
		atomic_fetch_add(cluster_word(&cluster, by, page, w), 5);
		atomic_fetch_add(cluster_word(&cluster, !by, page, w), 7);
	}
	for (unsigned page = 0; page < PAGES; page += step) {
		unsigned w = 1 + page % 2;
		for (unsigned s = 0; s < 2; s++) {
			UT_EQ(atomic_load(cluster_word(&cluster, s, page, w)),
				word_of(page, w) + 12);
			UT_EQ(cluster_gate_word(&cluster, !s, page, w), word_of(page, w) + 12);
			UT_EQ(cluster_gate_word(&cluster, s, page, 3), word_of(page, 3));
		}
	}
}

static void a_second_slice_finds_what_the_lone_one_had(enum dsm_uffd_mode mode)
{
	char why[256];
	struct dsm_stats stats;
	CLUSTER_START_LONE(PAGES, mode);
	struct dsm *dsm = cluster.m[0].dsm;
	pattern_make(PAGES);
	const uint8_t *host = dsm_ram(dsm)->host;
	UT_OK(cluster_join(&cluster, UINT64_MAX, mode, -1, why, sizeof(why)));
	UT_CHECK(dsm_ram(dsm)->host == host && dsm_ram(dsm)->ops != NULL);
	UT_EQ(atomic_load(&dsm->ram.backed), written(PAGES));
	UT_EQ(pattern_wrong(1, PAGES), 0);
	UT_EQ(atomic_load(&dsm->ram.backed), written(PAGES)); /* looking at zeros costs nothing */
	UT_EQ(pattern_wrong(0, PAGES), 0);
	exchange(1);
	cluster_stop(&cluster);
	dsm_stats_get(cluster.m[1].dsm, &stats);
	UT_CHECK(stats.fetched >= PAGES);
	UT_EQ(atomic_load(&cluster.m[0].failures) + atomic_load(&cluster.m[1].failures), 0);
}
IN_ALL_MODES(a_second_slice_finds_what_the_lone_one_had)

/* The lone slice looks and writes first, the other one comes after it. */
static void the_first_slice_keeps_what_it_had(enum dsm_uffd_mode mode)
{
	char why[256];
	CLUSTER_START_LONE(PAGES, mode);
	pattern_make(PAGES);
	UT_OK(cluster_join(&cluster, 64, mode, -1, why, sizeof(why)));
	for (unsigned page = 0; page < PAGES; page += 5)
		UT_EQ(cluster_gate_word(&cluster, 0, page, 6), word_of(page, 6));
	UT_EQ(pattern_wrong(0, PAGES), 0);
	exchange(5);
}
IN_ALL_MODES(the_first_slice_keeps_what_it_had)

/* ---- vCPUs that run before and after -------------------------------------------------------- */

#define COUNTERS 8u
#define ADDS     600u

static _Atomic unsigned parked;
static _Atomic bool go;

static void add_all(struct cluster_vcpu *v)
{
	for (unsigned i = 0; i < ADDS * COUNTERS; i++) {
		atomic_fetch_add(
			cluster_word(v->cluster, v->slice, i % COUNTERS * 129 % PAGES, 4), 1);
		cluster_retire(v);
	}
}

static void park_run(struct cluster_vcpu *v)
{
	add_all(v);
	atomic_fetch_add(&parked, 1);
	while (!atomic_load(&go))
		sched_yield();
	add_all(v);
	v->bad = (uint64_t)(getpriority(PRIO_PROCESS, 0) == *(int *)v->arg);
}

static void vcpus_go_on_beside_those_of_the_second(enum dsm_uffd_mode mode)
{
	char why[256];
	struct cluster_vcpu v[4];
	struct dsm_stats stats;
	int nice = getpriority(PRIO_PROCESS, 0);
	CLUSTER_START_LONE(PAGES, mode);
	atomic_store(&parked, 0);
	atomic_store(&go, false);
	for (unsigned i = 0; i < 4; i++)
		v[i] = (struct cluster_vcpu){.cluster = &cluster,
			.slice = i / 2,
			.slot = i % 2,
			.arg = &nice,
			.run = i < 2 ? park_run : add_all};
	cluster_vcpu_start(&v[0]);
	cluster_vcpu_start(&v[1]);
	while (atomic_load(&parked) != 2)
		sched_yield();
	UT_OK(cluster_join(&cluster, UINT64_MAX, mode, -1, why, sizeof(why)));
	cluster_vcpu_start(&v[2]);
	cluster_vcpu_start(&v[3]);
	atomic_store(&go, true);
	for (unsigned i = 0; i < 4; i++)
		cluster_vcpu_join(&v[i]);
	for (unsigned i = 0; i < COUNTERS; i++)
		for (unsigned s = 0; s < 2; s++)
			UT_EQ(cluster_gate_word(&cluster, s, i * 129 % PAGES, 4), ADDS * 6);
	UT_EQ(v[0].bad + v[1].bad, nice == 19 ? 2 : 0); /* they are behind the service thread now */
	cluster_stop(&cluster);
	dsm_stats_get(cluster.m[0].dsm, &stats);
	UT_CHECK(stats.invalidated != 0 && stats.write_faults >= COUNTERS);
}
IN_ALL_MODES(vcpus_go_on_beside_those_of_the_second)

/* A reservation from before holds as long as the page has not left. */
static void reservations_outlast_the_sharing(enum dsm_uffd_mode mode)
{
	char why[256];
	CLUSTER_START_LONE(PAGES, mode);
	const struct dsm_ram *ram = dsm_ram(cluster.m[0].dsm);
	UT_CHECK(ram->ops == NULL); /* an engine takes 0 for the generation then */
	UT_OK(cluster_join(&cluster, UINT64_MAX, mode, -1, why, sizeof(why)));
	gpage_t page = gpa_page(cluster_gpa(5, 0));
	UT_EQ(ram->ops->generation(ram->ctx, page), 0);
	enum dsm_excl got;
	while ((got = ram->ops->excl_begin(ram->ctx, 0, page, 0)) == DSM_EXCL_READONLY)
		atomic_fetch_add(cluster_word(&cluster, 0, 5, 0), 1);
	UT_EQ(got, DSM_EXCL_OK);
	ram->ops->excl_end(ram->ctx, 0);
	atomic_fetch_add(cluster_word(&cluster, 1, 5, 0), 1);
	UT_EQ(ram->ops->excl_begin(ram->ctx, 0, page, 0), DSM_EXCL_LOST);
}
IN_ALL_MODES(reservations_outlast_the_sharing)

/* ---- memory in between ---------------------------------------------------------------------- */

#define BIG_PAGES 16384u
/* Pages: two pieces, the core, and what threads and sanitizers take. */
#define SLACK UINT64_C(4096)

struct watch {
	int fd;
	_Atomic bool begun, stop;
	uint64_t peak; /* pages */
	pthread_t thread;
};

static uint64_t anonymous_pages(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");
	CHECK(f != NULL);
	while (kib == 0 && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "RssAnon: %lu", &kib);
	fclose(f);
	return kib * 1024 / PAGE_BYTES;
}

/* The file first: what moves between the two looks is not counted twice. */
static uint64_t held_pages(int fd)
{
	uint64_t file = files_pages(fd);
	return file + anonymous_pages();
}

static void *watch_run(void *arg)
{
	struct watch *w = arg;
	while (!atomic_load(&w->stop)) {
		w->peak = MAX(w->peak, held_pages(w->fd));
		atomic_store(&w->begun, true);
	}
	return NULL;
}

UT_TEST(no_two_copies_at_a_time)
{
	char why[256];
	CLUSTER_START_LONE(BIG_PAGES, DSM_UFFD_AUTO);
	for (unsigned page = 0; page < BIG_PAGES; page++)
		atomic_store(cluster_word(&cluster, 0, page, 0), page + 1);
	struct watch w = {.fd = memfd_create("watched", MFD_CLOEXEC)};
	CHECK(w.fd >= 0);
	uint64_t before = held_pages(w.fd);
	UT_CHECK(before >= BIG_PAGES);
	CHECK(pthread_create(&w.thread, NULL, watch_run, &w) == 0);
	while (!atomic_load(&w.begun))
		sched_yield();
	int err = cluster_join(&cluster, 64, DSM_UFFD_AUTO, dup(w.fd), why, sizeof(why));
	atomic_store(&w.stop, true);
	CHECK(pthread_join(w.thread, NULL) == 0);
	uint64_t after = held_pages(w.fd);
	close(w.fd);
	UT_OK(err);
	UT_CHECK(w.peak <= before + SLACK);
	UT_CHECK(after <= before + SLACK);
}

/* ---- refused -------------------------------------------------------------------------------- */

/* Nothing has happened, and the lone guest goes on. */
static void expect_lone(const uint8_t *host)
{
	struct dsm *dsm = cluster.m[0].dsm;
	UT_CHECK(dsm_ram(dsm)->ops == NULL && dsm_ram(dsm)->host == host);
	UT_CHECK(dsm->alone && dsm->ram.fd == -1 && dsm->ram.alias == host);
	UT_EQ(pattern_wrong(0, PAGES), 0);
	for (unsigned page = 0; page < PAGES; page++) {
		atomic_fetch_add(cluster_word(&cluster, 0, page, 11), 1);
		UT_EQ(cluster_gate_word(&cluster, 0, page, 11), word_of(page, 11) + 1);
		atomic_fetch_sub(cluster_word(&cluster, 0, page, 11), 1);
	}
}

/* cluster_join in `fd` is refused with `err`, saying `cause` and `remedy`. */
static void refused(int fd, int err, const char *cause, const char *remedy)
{
	char why[256] = "";
	const uint8_t *host = dsm_ram(cluster.m[0].dsm)->host;
	UT_EQ(cluster_join(&cluster, 64, DSM_UFFD_AUTO, fd, why, sizeof(why)), err);
	UT_HAS_STR(why, cause);
	UT_HAS_STR(why, remedy);
	expect_lone(host);
}

/* After all refusals it can still be had. */
static void accepted(void)
{
	char why[256];
	UT_OK(cluster_join(&cluster, 64, DSM_UFFD_AUTO, -1, why, sizeof(why)));
	UT_EQ(pattern_wrong(1, PAGES), 0);
	exchange(25);
}

UT_TEST(a_full_host_leaves_the_lone_memory)
{
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	pattern_make(PAGES);
	static const unsigned rooms[] = {1, PIECE / KINDS, PAGES / KINDS - 1};
	for (unsigned i = 0; i < ARRAY_SIZE(rooms); i++) {
		int fd = files_small(rooms[i] * PAGE_BYTES / 1024);
		if (fd < 0)
			UT_SKIP("mounting a small tmpfs needs root");
		refused(fd, ERR_NO_MEMORY, "no memory left", "free some");
	}
	accepted();
}

/* All has moved when the kernel says no: files of a disk can not be guarded. */
UT_TEST(a_guard_refused_late_leaves_the_lone_memory)
{
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	pattern_make(PAGES);
	int fd = files_on_disk();
	if (fd < 0)
		UT_SKIP("/var/tmp is not on a disk");
	int seen = dup(fd);
	refused(fd, ERR_KERNEL, "does not guard", "try another --uffd mode");
	UT_EQ(files_pages(seen), 0);
	close(seen);
	accepted();
}

UT_TEST(no_descriptors_leave_the_lone_memory)
{
	struct rlimit old, few;
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	pattern_make(PAGES);
	int used = dup(0); /* the lowest that is free */
	CHECK(used >= 0 && close(used) == 0 && getrlimit(RLIMIT_NOFILE, &old) == 0);
	/* At least three are needed: for kicks, userfaultfd and the memory. */
	for (rlim_t more = 0; more < 3; more++) {
		few = (struct rlimit){(rlim_t)used + more, old.rlim_max};
		CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
		char why[256] = "";
		const uint8_t *host = dsm_ram(cluster.m[0].dsm)->host;
		int err = cluster_join(&cluster, 64, DSM_UFFD_AUTO, -1, why, sizeof(why));
		CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
		UT_EQ(err, ERR_NO_FD);
		UT_HAS_STR(why, "ulimit -n");
		expect_lone(host);
	}
	accepted();
}

UT_TEST(a_device_at_work_is_waited_for)
{
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	pattern_make(PAGES);
	const struct dsm_gate *gate = dsm_gate(cluster.m[0].dsm);
	struct dsm_seg seg = {.gpa = cluster_gpa(9, 0), .bytes = 64};
	struct dsm_seg bad = {.gpa = cluster_gpa(PAGES, 0), .bytes = 64};
	UT_OK(gate->ops->pin(gate->ctx, &seg, 1));
	UT_ERR(gate->ops->pin(gate->ctx, &bad, 1), RANGE);
	refused(-1, ERR_STATE, "a device is at guest memory", "bring devices to rest");
	gate->ops->unpin(gate->ctx, &seg, 1);
	accepted();
}

static int share(const struct dsm_cfg *cfg)
{
	char why[256] = "";
	int err = dsm_share(cluster.m[0].dsm, cfg, why, sizeof(why));
	if (err != 0)
		UT_CHECK(why[0] != '\0');
	return err;
}

UT_TEST(what_can_not_be_shared)
{
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	const gpa_t end = cluster_gpa(PAGES, 0);
	struct dsm_node nodes[2] = {
		{.slice = {1}, .start = {CLUSTER_BASE}, .bytes = end.v - CLUSTER_BASE},
		{.slice = {4}, .start = end},
	};
	struct dsm_cfg cfg = {.self = {1},
		.nodes = nodes,
		.n_nodes = 2,
		.cache_bytes = UINT64_MAX,
		.uffd_dev = -1,
		.vcpus = CLUSTER_VCPUS};
	cfg.n_nodes = 1; /* nobody joins */
	UT_ERR(share(&cfg), INVAL);
	cfg.n_nodes = 2;
	cfg.self = (slice_id_t){4}; /* not this slice */
	UT_ERR(share(&cfg), INVAL);
	cfg.self = (slice_id_t){1};
	cfg.vcpus--;
	UT_ERR(share(&cfg), INVAL);
	cfg.vcpus++;
	nodes[1].bytes = PAGE_BYTES; /* more memory than there was */
	UT_ERR(share(&cfg), INVAL);
	nodes[0].bytes -= PAGE_BYTES; /* some of it somebody else's */
	nodes[1].start.v -= PAGE_BYTES;
	UT_ERR(share(&cfg), INVAL);
	nodes[0].bytes += PAGE_BYTES;
	nodes[1] = (struct dsm_node){.slice = {4}, .start = end};
	dsm_stop(cluster.m[0].dsm);
	UT_ERR(share(&cfg), STATE);
	cluster_end(&cluster);
	CLUSTER_START_LONE(PAGES, DSM_UFFD_AUTO);
	pattern_make(PAGES);
	accepted();
	UT_ERR(share(&cfg), STATE); /* once */
}
