/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/route_int.h"

#include <stdlib.h>

#include "proto/rv64_map.h"
#include "proto/xport.h"
#include "tests/lib/ut.h"
#include "vio/vio.h"

/*
 * Two routes joined by a queue that the test moves by hand, and vCPUs that only note what reaches
 * them. A vCPU that waits calls vcpu_idle(), which here moves the queue: so a call's whole round
 * trip runs on one thread, in an order that the test chooses.
 */
#define VCPUS 4u /* 0 and 1 on slice 0, 2 and 3 on slice 1 */

struct vcpu {
	unsigned id;
	uint64_t msis[4];
	unsigned ipis, kicks, fences;
	bool stopping, defer_fences;
	void (*done)(void *arg);
	void *done_arg;
	enum vcpu_hsm hsm;
	uint64_t pc;
};

static struct vcpu vcpus[VCPUS];
static struct route *routes[2];
static struct vio_bus *bus;
static uint64_t reg;
static unsigned failures;

struct queued {
	unsigned from, to;
	uint16_t type;
	uint8_t head[WIRE_VM_HEAD_MAX];
	size_t len;
};
static struct queued queue[256];
static size_t q_head, q_tail;
static pthread_mutex_t q_lock = PTHREAD_MUTEX_INITIALIZER; /* the device thread sends too */
static bool refuse_all;

struct fake_xport {
	struct xport x;
	unsigned self;
};

static int fake_send(struct xport *x, const struct xport_msg *m)
{
	struct fake_xport *f = container_of(x, struct fake_xport, x);
	if (refuse_all)
		return ERR_FULL;
	pthread_mutex_lock(&q_lock);
	CHECK(q_tail < ARRAY_SIZE(queue));
	struct queued *q = &queue[q_tail++];
	*q = (struct queued){
		.from = f->self, .to = m->peer.v, .type = m->type, .len = m->head_bytes};
	memcpy(q->head, m->head, m->head_bytes);
	pthread_mutex_unlock(&q_lock);
	return 0;
}

static const struct xport_ops fake_ops = {.name = "fake", .send = fake_send};
static struct fake_xport ends[2] = {{{&fake_ops}, 0}, {{&fake_ops}, 1}};

/* Deliver the oldest message; what its handling said. */
static int step(void)
{
	struct wire_vm_msg m;
	pthread_mutex_lock(&q_lock);
	struct queued q = queue[q_head++];
	pthread_mutex_unlock(&q_lock);
	CHECK(wire_vm_decode(q.type, q.head, q.len, &m) == 0);
	return route_message(routes[q.to], (slice_id_t){(uint16_t)q.from}, &m);
}

static size_t in_flight(void)
{
	pthread_mutex_lock(&q_lock);
	size_t n = q_tail - q_head;
	pthread_mutex_unlock(&q_lock);
	return n;
}

static void drain(void)
{
	while (in_flight() > 0)
		UT_OK(step());
}

/* ---- the engine's functions that a route calls ---- */
void vcpu_deliver_msi(struct vcpu *v, uint32_t id)
{
	v->msis[id / 64] |= UINT64_C(1) << (id % 64);
}

void vcpu_deliver_ipi(struct vcpu *v)
{
	v->ipis++;
}

void vcpu_kick(struct vcpu *v)
{
	v->kicks++;
}

bool vcpu_stopping(const struct vcpu *v)
{
	return v->stopping;
}

void vcpu_idle(struct vcpu *v, uint64_t deadline_ns)
{
	if (in_flight() > 0) {
		CHECK(step() == 0);
		return;
	}
	/* Nothing on the wire: a fence that was put off, or the device thread. */
	for (unsigned i = 0; i < VCPUS; i++) {
		if (vcpus[i].done != NULL) {
			void (*done)(void *) = vcpus[i].done;
			vcpus[i].done = NULL;
			done(vcpus[i].done_arg);
			return;
		}
	}
}

int vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f, void (*done)(void *arg), void *arg)
{
	v->fences++;
	if (v->defer_fences) {
		v->done = done;
		v->done_arg = arg;
	} else {
		done(arg);
	}
	return 0;
}

int vcpu_hsm_start(struct vcpu *v, uint64_t pc, uint64_t opaque)
{
	if (v->hsm != VCPU_STOPPED)
		return -6;
	v->hsm = VCPU_STARTED;
	v->pc = pc;
	return 0;
}

enum vcpu_hsm vcpu_hsm_status(const struct vcpu *v)
{
	return v->hsm;
}

/* ---- a device with one register ---- */
static uint64_t reg_read(void *dev, uint64_t off, unsigned size)
{
	return reg;
}

static void reg_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	reg = reg * 10 + value; /* shows the order of stores */
}

static const struct vio_range_ops reg_ops = {"reg", reg_read, reg_write};

static void note_failed(void *arg, int err, const char *why)
{
	failures++;
}

static char console[64];

static void note_console(void *arg, const void *buf, size_t len)
{
	strncat(console, buf, len);
}

static void before(void)
{
	static const slice_id_t where[VCPUS] = {{0}, {0}, {1}, {1}};
	q_head = q_tail = 0;
	failures = 0;
	reg = 0;
	refuse_all = false;
	console[0] = '\0';
	CHECK(vio_bus_create(&bus) == 0);
	CHECK(vio_bus_add(bus, (gpa_t){RV64_UART_BASE}, 8, &reg_ops, NULL) == 0);
	for (unsigned s = 0; s < 2; s++) {
		struct vcpu *local[VCPUS];
		for (unsigned i = 0; i < VCPUS; i++) {
			vcpus[i] = (struct vcpu){.id = i, .hsm = VCPU_STOPPED};
			local[i] = where[i].v == s ? &vcpus[i] : NULL;
		}
		struct route_cfg cfg = {
			.self = {(uint16_t)s},
			.device_home = {0},
			.n_vcpus = VCPUS,
			.vcpu_slice = where,
			.local = local,
			.bus = s == 0 ? bus : NULL,
			.console = note_console,
			.failed = note_failed,
		};
		CHECK(route_create(&cfg, &routes[s]) == 0);
		route_start(routes[s], &ends[s].x);
	}
}

static void after(void)
{
	route_destroy(routes[0]);
	route_destroy(routes[1]);
	vio_bus_destroy(bus);
}

UT_SUITE_WITH(route, before, after);

static const vcpu_id_t v0 = {0}, v2 = {2}, v3 = {3};

UT_TEST(local_interrupts_need_no_message)
{
	route_interrupt(routes[0], (vcpu_id_t){1}, 200);
	route_interrupt(routes[0], (vcpu_id_t){1}, 0);
	UT_EQ(in_flight(), 0);
	UT_EQ(vcpus[1].msis[3], UINT64_C(1) << 8);
	UT_EQ(vcpus[1].ipis, 1);
}

UT_TEST(a_storm_of_interrupts_is_two_messages_and_loses_none)
{
	for (unsigned i = 0; i < 1000; i++)
		route_interrupt(routes[0], v2, i % 256);
	UT_EQ(in_flight(), 1);
	drain();
	for (unsigned w = 0; w < 4; w++)
		UT_EQ(vcpus[2].msis[w], w == 0 ? ~UINT64_C(1) : UINT64_MAX);
	UT_EQ(vcpus[2].ipis, 2);
	UT_EQ(q_tail, 4); /* two and their acknowledgements */
}

UT_TEST(unknown_targets_are_ignored)
{
	route_interrupt(routes[0], (vcpu_id_t){900}, 1);
	route_interrupt(routes[0], v2, 256);
	UT_EQ(in_flight(), 0);
}

UT_TEST(loads_wait_stores_are_posted_and_keep_their_order)
{
	uint64_t value;
	UT_OK(route_store(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, 1));
	UT_OK(route_store(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, 2));
	UT_OK(route_store(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, 3));
	UT_EQ(reg, 0);
	UT_OK(route_load(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, &value));
	UT_EQ(value, 123);
	route_io_fence(routes[1], v2);
	UT_EQ(routes[1]->vcpus[2].call.stores, 0);
}

UT_TEST(no_more_stores_are_outstanding_than_the_window)
{
	for (unsigned i = 0; i < 3 * ROUTE_STORE_WINDOW; i++) {
		UT_OK(route_store(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, 0));
		UT_CHECK(routes[1]->vcpus[2].call.stores <= ROUTE_STORE_WINDOW);
	}
	route_io_fence(routes[1], v2);
	UT_EQ(failures, 0);
}

UT_TEST(a_load_from_nothing_fails_and_one_from_an_empty_pci_bus_is_all_ones)
{
	uint64_t value;
	UT_ERR(route_load(routes[1], v2, (gpa_t){0x1000}, 4, &value), NOT_FOUND);
	UT_ERR(route_load(routes[0], v0, (gpa_t){0x1000}, 4, &value), NOT_FOUND);
	UT_OK(route_load(routes[1], v2, (gpa_t){RV64_PCI32_BASE}, 4, &value));
	UT_EQ(value, UINT32_MAX);
}

UT_TEST(a_fence_returns_when_every_target_has_acknowledged)
{
	uint64_t targets[WIRE_VM_TARGET_WORDS] = {0xf};
	struct vcpu_fence f = {.kind = VCPU_FENCE_VMA, .bytes = UINT64_MAX};
	vcpus[3].defer_fences = true;
	route_fence(routes[0], v0, targets, &f);
	for (unsigned i = 0; i < VCPUS; i++)
		UT_EQ(vcpus[i].fences, 1);
	UT_CHECK(vcpus[3].done == NULL);
	UT_EQ(in_flight(), 0);
	route_fence(routes[0], v0, targets, &f);
	UT_EQ(vcpus[2].fences, 2);
}

UT_TEST(harts_start_across_slices_with_the_sbi_codes)
{
	enum vcpu_hsm state;
	UT_EQ(route_hart_start(routes[0], v0, v3, 0x80200000, 1), 0);
	UT_EQ(vcpus[3].pc, 0x80200000);
	UT_EQ(route_hart_start(routes[0], v0, v3, 0, 0), -6);
	UT_EQ(route_hart_start(routes[0], v0, (vcpu_id_t){77}, 0, 0), -3);
	UT_EQ(route_hart_status(routes[0], v0, v2, &state), 0);
	UT_EQ(state, VCPU_STOPPED);
	UT_EQ(route_hart_status(routes[0], v0, v3, &state), 0);
	UT_EQ(state, VCPU_STARTED);
}

UT_TEST(debug_console_output_reaches_the_device_home)
{
	route_console(routes[1], "hello ", 6);
	route_console(routes[0], "world", 5);
	drain();
	UT_EQ_STR(console, "worldhello ");
}

UT_TEST(a_stopping_vcpu_does_not_wait)
{
	uint64_t value;
	vcpus[2].stopping = true;
	UT_ERR(route_load(routes[1], v2, (gpa_t){RV64_UART_BASE}, 4, &value), VM_STOPPED);
}

UT_TEST(a_full_transport_is_reported)
{
	refuse_all = true;
	route_interrupt(routes[0], v2, 1);
	UT_EQ(failures, 1);
}

static int from_peer(unsigned at, unsigned peer, struct wire_vm_msg m)
{
	return route_message(routes[at], (slice_id_t){(uint16_t)peer}, &m);
}

UT_TEST(a_peer_that_breaks_the_rules_is_told_apart)
{
	struct wire_vm_msg m = {.type = WIRE_VM_LOAD_ANSWER, .vcpu = v0, .call = 1};
	UT_ERR(from_peer(0, 1, m), PROTOCOL); /* never asked */
	m = (struct wire_vm_msg){.type = WIRE_VM_STORE_ACK, .vcpu = v2};
	UT_ERR(from_peer(1, 0, m), PROTOCOL);
	m = (struct wire_vm_msg){.type = WIRE_VM_INTR_ACK, .vcpu = v2};
	UT_ERR(from_peer(0, 1, m), PROTOCOL);
	m = (struct wire_vm_msg){.type = WIRE_VM_INTR, .vcpu = v2};
	UT_ERR(from_peer(0, 1, m), PROTOCOL); /* that vCPU is not here */
	m = (struct wire_vm_msg){
		.type = WIRE_VM_LOAD, .vcpu = v0, .u.access = {{RV64_UART_BASE}, 4, 0}};
	UT_ERR(from_peer(0, 1, m), PROTOCOL); /* that vCPU is not the peer's */
	m.vcpu = v2;
	UT_ERR(from_peer(1, 0, m), PROTOCOL); /* no devices there */
	m = (struct wire_vm_msg){.type = WIRE_VM_HART_START, .vcpu = v0, .asker = v0};
	UT_ERR(from_peer(0, 1, m), PROTOCOL);
	m = (struct wire_vm_msg){.type = WIRE_VM_INTR, .vcpu = {1000}};
	UT_ERR(from_peer(0, 1, m), PROTOCOL);
	m = (struct wire_vm_msg){.type = WIRE_VM_CONSOLE, .vcpu = v2};
	UT_ERR(from_peer(1, 0, m), PROTOCOL);
}

UT_TEST(a_second_fence_of_one_vcpu_is_refused)
{
	struct wire_vm_msg m = {.type = WIRE_VM_FENCE, .vcpu = v2, .u.fence.targets = {1}};
	vcpus[0].defer_fences = true;
	UT_OK(from_peer(0, 1, m));
	UT_ERR(from_peer(0, 1, m), PROTOCOL);
	vcpus[0].done(vcpus[0].done_arg);
	vcpus[0].done = NULL;
	UT_OK(from_peer(0, 1, m));
}
