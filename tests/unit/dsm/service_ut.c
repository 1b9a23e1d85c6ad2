/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "proto/wire_page.h"
#include "tests/lib/ut.h"
#include "tests/unit/dsm/cluster.h"

/* What the service thread does besides the core's work: signals, foreign messages, failures. */
UT_SUITE_WITH(service, NULL, cluster_after);

/* ---- signals, as engines are kicked with them: a fault is left and taken again -------------- */

#define ADDS 1500u

static void on_signal(int signum)
{
}

static void add_run(struct cluster_vcpu *v)
{
	for (unsigned i = 0; i < ADDS; i++) {
		atomic_fetch_add(cluster_word(v->cluster, v->slice, i % 3 * 7, 0), 1);
		cluster_retire(v);
	}
}

static void signals_lose_no_fault(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[4];
	struct sigaction kick = {.sa_handler = on_signal}, old;
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	CHECK(sigaction(SIGUSR1, &kick, &old) == 0);
	for (unsigned i = 0; i < 4; i++) {
		v[i] = (struct cluster_vcpu){
			.cluster = &cluster, .slice = i % 2, .slot = i / 2, .run = add_run};
		cluster_vcpu_start(&v[i]);
	}
	for (unsigned running = 4; running != 0;) {
		running = 0;
		for (unsigned i = 0; i < 4; i++) {
			if (atomic_load(&v[i].done))
				continue;
			CHECK(pthread_kill(v[i].thread, SIGUSR1) == 0);
			running++;
		}
		sched_yield();
	}
	for (unsigned i = 0; i < 4; i++)
		cluster_vcpu_join(&v[i]);
	CHECK(sigaction(SIGUSR1, &old, NULL) == 0);
	for (unsigned i = 0; i < 3; i++)
		UT_EQ(cluster_gate_word(&cluster, i % 2, i * 7, 0), ADDS / 3 * 4);
}

UT_TEST(signals_lose_no_fault_copy)
{
	signals_lose_no_fault(DSM_UFFD_COPY);
}

UT_TEST(signals_lose_no_fault_continue)
{
	signals_lose_no_fault(DSM_UFFD_CONTINUE);
}

UT_TEST(signals_lose_no_fault_user_only)
{
	signals_lose_no_fault(DSM_UFFD_USER_ONLY);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void send_from(unsigned slice, unsigned to, uint16_t type, enum msg_class class,
	const void *head, size_t bytes)
{
	const struct xport_msg msg = {
		.peer = {(uint16_t)(3 * to + 1)},
		.class = class,
		.type = type,
		.head = head,
		.head_bytes = bytes,
	};
	CHECK(xport_send(cluster.m[slice].xport, &msg) == 0);
}

static void await(_Atomic unsigned *count)
{
	while (atomic_load(count) == 0)
		sched_yield();
}

UT_TEST(other_messages_go_to_their_owner)
{
	CLUSTER_START(2, 8, UINT64_MAX, DSM_UFFD_AUTO);
	send_from(0, 1, 0x0200, MSG_REQUEST, "x", 1);
	await(&cluster.m[1].others);
	UT_EQ(atomic_load(&cluster.m[1].failures), 0);
}

UT_TEST(a_malformed_message_ends_the_connection)
{
	CLUSTER_START(2, 8, UINT64_MAX, DSM_UFFD_AUTO);
	send_from(0, 1, WIRE_PAGE_GETS, MSG_REQUEST, "x", 1);
	await(&cluster.m[1].failures);
	UT_EQ(atomic_load(&cluster.m[1].failed), ERR_PROTOCOL);
	await(&cluster.m[0].failures);
	UT_EQ(atomic_load(&cluster.m[0].failed), ERR_LINK_DOWN);
}

/* Well formed, but nobody has asked for it. */
UT_TEST(a_forbidden_message_ends_the_connection)
{
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	CLUSTER_START(2, 8, UINT64_MAX, DSM_UFFD_AUTO);
	const struct wire_page msg = {
		.type = WIRE_PAGE_INV_ACK, .page = gpa_page(cluster_gpa(3, 0)), .run = 1, .req = 1};
	size_t bytes = wire_page_encode(&msg, head);
	send_from(0, 1, WIRE_PAGE_INV_ACK, MSG_RESPONSE, head, bytes);
	await(&cluster.m[1].failures);
	UT_EQ(err_class(atomic_load(&cluster.m[1].failed)), ERR_CLASS_PEER);
	await(&cluster.m[0].failures);
}

/* ---- the host is full ----------------------------------------------------------------------- */

static void reader_run(struct cluster_vcpu *v)
{
	v->bad = atomic_load(cluster_word(v->cluster, v->slice, 3, 0));
}

/* The slice says so, its vCPU does not go on with bytes that are not there, and a stop ends it. */
UT_TEST(a_full_host_ends_the_vm)
{
	CLUSTER_START(2, 8, UINT64_MAX, DSM_UFFD_AUTO);
	struct dsm *dsm = cluster.m[1].dsm;
	if (dsm->uffd.way == UFFD_BY_COPY)
		UT_SKIP("the kernel has no read-only CONTINUE, pages do not pass the file");
	atomic_store(cluster_word(&cluster, 0, 3, 0), 1);
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	CHECK(full >= 0 && dup2(full, dsm->ram.fd) == dsm->ram.fd);
	close(full);
	struct cluster_vcpu v = {.cluster = &cluster, .slice = 1, .run = reader_run};
	cluster_vcpu_start(&v);
	await(&cluster.m[1].failures);
	UT_EQ(atomic_load(&cluster.m[1].failed), ERR_NO_MEMORY);
	uint64_t w;
	UT_ERR(dsm_gate_read(dsm_gate(dsm), cluster_gpa(9, 0), &w, 8), VM_STOPPED);
	UT_CHECK(!atomic_load(&v.done));
	dsm_stop(dsm);
	cluster_vcpu_join(&v);
	UT_EQ(atomic_load(&cluster.m[1].failures), 1);
}
