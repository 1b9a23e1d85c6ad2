/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"

#include <sys/mman.h>

#include "base/err.h"
#include "tests/lib/vcpu_direct.h"
#include "vcpu/rv64/rv_fp.h"

struct rig rig;
static struct vcpu_direct direct = {rig.v};

static uint64_t env_time_ns(void *ctx)
{
	return atomic_load(&rig.now_ns);
}

static int env_mmio_read(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value)
{
	rig.dev_size = size;
	if (addr.v == RIG_DEV_BAD)
		return ERR_IO;
	if (addr.v != RIG_DEV)
		return ERR_NOT_FOUND;
	*value = rig.dev;
	return 0;
}

static int env_mmio_write(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value)
{
	rig.dev_size = size;
	if (addr.v != RIG_DEV)
		return ERR_NOT_FOUND;
	rig.dev = value;
	return 0;
}

static void env_io_fence(void *ctx, vcpu_id_t self)
{
	rig.io_fences++;
}

static void env_fence(
	void *ctx, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f)
{
	rig.fences++;
	rig.fence_targets = targets[0];
}

static void env_reset(void *ctx, vcpu_id_t self, enum vcpu_reset type, uint32_t reason)
{
	rig.resets++;
	vcpu_stop(rig.v[self.v]);
}

static void env_console_write(void *ctx, const void *buf, size_t len)
{
	CHECK(len <= sizeof(rig.console) - rig.console_n);
	memcpy(rig.console + rig.console_n, buf, len);
	rig.console_n += len;
}

static size_t env_console_read(void *ctx, void *buf, size_t len)
{
	size_t n = 0;
	while (rig.input != NULL && *rig.input != '\0' && n < len)
		((char *)buf)[n++] = *rig.input++;
	return n;
}

static const struct vcpu_env_ops ops = {
	VCPU_DIRECT_OPS,
	.time_ns = env_time_ns,
	.mmio_read = env_mmio_read,
	.mmio_write = env_mmio_write,
	.io_fence = env_io_fence,
	.fence = env_fence,
	.reset = env_reset,
	.console_write = env_console_write,
	.console_read = env_console_read,
};

static uint32_t ram_generation(void *ctx, gpage_t page)
{
	return rig.generation;
}

static bool ram_writable(void *ctx, gpage_t page)
{
	return !rig.readonly;
}

static enum dsm_excl ram_excl_begin(void *ctx, unsigned slot, gpage_t page, uint32_t gen)
{
	if (rig.lost || gen != rig.generation)
		return DSM_EXCL_LOST;
	if (rig.readonly_times > 0) {
		rig.readonly_times--;
		return DSM_EXCL_READONLY;
	}
	rig.begins++;
	return DSM_EXCL_OK;
}

static void ram_excl_end(void *ctx, unsigned slot)
{
	rig.ends++;
}

const struct dsm_ram_ops rig_ram_ops = {
	.generation = ram_generation,
	.writable = ram_writable,
	.excl_begin = ram_excl_begin,
	.excl_end = ram_excl_end,
};

void rig_up(void)
{
	memset(&rig, 0, sizeof(rig));
	rig.ram = (struct dsm_ram){.base = {RV64_RAM_BASE}, .bytes = RIG_RAM_BYTES};
	rig.ram.host = mmap(
		NULL, RIG_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(rig.ram.host != MAP_FAILED);
	CHECK(vcpu_group_create(RIG_HARTS, &rig.group) == 0);
	rig.env = (struct vcpu_env){.ops = &ops,
		.ctx = &direct,
		.ram = &rig.ram,
		.n_vcpus = {RIG_HARTS},
		.group = rig.group};
	for (unsigned i = 0; i < RIG_HARTS; i++) {
		struct vcpu_cfg cfg = {.id = {(uint16_t)i}, .slot = i, .svadu = true};
		cfg.jit = i == RIG_TRANSLATED || i == RIG_BASELINE;
		cfg.jit_baseline = i == RIG_BASELINE;
		cfg.jit_threshold = 1;
		CHECK(vcpu_rv64_create(&cfg, &rig.env, &rig.v[i]) == 0);
		rig.h[i] = rv_hart_of(rig.v[i]);
	}
}

void rig_down(void)
{
	for (unsigned i = 0; i < RIG_HARTS; i++)
		vcpu_destroy(rig.v[i]);
	vcpu_group_destroy(rig.group);
	munmap(rig.ram.host, RIG_RAM_BYTES);
}

uint64_t *rig_at(uint64_t gpa)
{
	CHECK(gpa >= RV64_RAM_BASE && gpa + 8 <= RV64_RAM_BASE + RIG_RAM_BYTES);
	return (uint64_t *)(void *)(rig.ram.host + (gpa - RV64_RAM_BASE));
}

void rig_code(const uint32_t *words, unsigned n)
{
	/* li a7, SRST; li a6, 0; li a0, 0; li a1, 0; ecall */
	static const uint32_t shutdown[] = {I_LUI(17, 0x53525), I_ADDI(17, 17, 0x354),
		I_ADDI(16, 0, 0), I_ADDI(10, 0, 0), I_ADDI(11, 0, 0), I_ECALL};
	uint32_t *to = (uint32_t *)(void *)rig_at(RIG_CODE);

	if (n > 0)
		memcpy(to, words, n * sizeof(*words));
	memcpy(to + n, shutdown, sizeof(shutdown));
}

/* A hart that was shut down needs its state set before it runs again. */
void rig_run(void)
{
	struct vcpu_state_rv64 s;
	CHECK(vcpu_rv64_get_state(rig.v[0], &s) == 0);
	s.pc = RIG_CODE;
	s.hsm = VCPU_STARTED;
	CHECK(vcpu_rv64_set_state(rig.v[0], &s) == 0);
	vcpu_run(rig.v[0]);
}
