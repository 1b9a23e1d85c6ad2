/* SPDX-License-Identifier: Apache-2.0 */
/*
 *  Translation: every combination of entry flags, kinds of access and modes; reserved encodings;
 *  superpages, Svnapot, Svpbmt; Sv48; access faults; fences.
 */
#include "rt.h"

#define V 1UL
#define R 2UL
#define W 4UL
#define X 8UL
#define U 16UL
#define G 32UL
#define A 64UL
#define D 128UL

#define TEST_VA    0x40000000UL /* root entry 1 */
#define USER_SNIPS 0x40200000UL
#define NO_RAM     0x300000000UL

#define PAGE __attribute__((aligned(4096)))
static PAGE uint64_t root[512], mid[512], low[512], user_low[512], root48[512];
static PAGE uint8_t data[2][4096], napot[32 * 4096] __attribute__((aligned(65536)));
extern char snips[], snip_load[], snip_store[], snip_amo[], snip_jump[], snip_lr[], snip_cbo_zero[],
	snip_cbo_clean[], snip_cbo_flush[], snip_cbo_inval[], snip_storew[], snip_storeh[],
	snip_loadw[];

static struct frame f;
static uint64_t cause, tval;

bool frame_handler(struct frame *fr, uint64_t sstatus)
{
	cause = csr_read(scause);
	tval = csr_read(stval);
	return false;
}

static uint64_t entry(const void *pa, uint64_t flags)
{
	return ((uint64_t)pa >> 12) << 10 | flags;
}

static void fence(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

/* Run one piece; cause 3 means that it went through (its ebreak). */
static void run(const char *snip, bool user, uint64_t va, uint64_t value)
{
	f.pc = (uint64_t)snip;
	if (user) {
		f.pc = USER_SNIPS + (uint64_t)(snip - snips);
		csr_clear(sstatus, 0x100);
	} else {
		csr_set(sstatus, 0x100);
	}
	f.x[11] = va;
	f.x[12] = value;
	f.x[10] = 0;
	frame_run(&f);
}

static void put_code(void *at)
{
	*(uint32_t *)at = 0x90029002; /* c.ebreak */
	__asm__ volatile("fence.i");
}

static const struct {
	const char *name;
	const char *snip;
} kinds[] = {{"load", snip_load}, {"store", snip_store}, {"amo", snip_amo}, {"jump", snip_jump}};

static void flags_matrix(uint64_t extra)
{
	for (uint64_t flags = 0; flags < 256; flags++) {
		if ((flags & G) != 0)
			continue;
		print("flags %02lx%s:", flags, extra != 0 ? "+" : "");
		for (unsigned c = 0; c < 4 * 8; c++) {
			bool user = (c & 1) != 0;
			uint64_t sum_mxr =
				((c & 2) != 0 ? 0x40000 : 0) | ((c & 4) != 0 ? 0x80000 : 0);
			csr_clear(sstatus, 0xc0000);
			csr_set(sstatus, sum_mxr);
			put_code(data[0]);
			low[0] = entry(data[0], flags | extra);
			fence();
			run(kinds[c >> 3].snip, user, TEST_VA, 0x9002900290029002);
			/* An AMO that may not write may set A before it faults. */
			uint64_t seen = c >> 3 == 2 && cause != 3 ? D : A | D;
			print(" %lx.%lx%s", cause, low[0] & seen, tval == TEST_VA ? "" : "t");
		}
		print("\n");
	}
	csr_clear(sstatus, 0xc0000);
}

/* All kinds of access in S mode to TEST_VA + offset, and what the entries have become. */
static void probe(const char *what, uint64_t offset)
{
	print("%s +%lx:", what, offset);
	for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
		fence();
		run(kinds[k].snip, false, TEST_VA + offset, 0x9002900290029002);
		print(" %s %lx %lx", kinds[k].name, cause, cause == 3 ? 0 : tval);
	}
	print(" low %lx mid %lx root %lx\n", low[0] >> 54 << 54 | (low[0] & 0xff), mid[0] & 0xff,
		root[1] & 0xff);
}

static void reserved_bits(void)
{
	for (unsigned bit = 54; bit < 64; bit++) {
		low[0] = entry(data[0], V | R | W | X | A | D) | 1UL << bit;
		probe("leaf bit", 0);
		low[0] = entry(data[0], V | R | W | X | A | D);
		mid[0] = entry(low, V) | 1UL << bit;
		probe("pointer bit", 0);
		mid[0] = entry(low, V);
	}
	low[0] = entry(data[0], V | R | W | X | A | D) | 3UL << 61;
	probe("pbmt 3", 0);
	static const uint64_t bad[] = {A, D, U, G};
	low[0] = entry(data[0], V | R | W | X | A | D);
	for (unsigned i = 0; i < 4; i++) {
		mid[0] = entry(low, V | bad[i]);
		probe("pointer flag", 0);
	}
	mid[0] = entry(low, V);
	low[0] = entry(data[0], V);
	probe("pointer at the last level", 0);
}

static void superpages(void)
{
	uint64_t ram = 0x80000000UL;

	mid[0] = entry((void *)(ram + 0x200000), V | R | W | A | D);
	probe("2M", 0x1ff000);
	mid[0] = entry((void *)(ram + 0x201000), V | R | W | A | D);
	probe("2M misaligned", 0);
	mid[0] = entry((void *)(ram + 0x200000), V | R | W);
	probe("2M no A D", 0x100000);
	mid[0] = entry(low, V);
	root[1] = entry((void *)ram, V | R | W | A | D);
	probe("1G", 0x300000);
	root[1] = entry((void *)(ram + 0x200000), V | R | W | A | D);
	probe("1G misaligned", 0);
	root[1] = entry(mid, V);
	low[0] = entry(data[0], V | R | W | A | D) | 1UL << 63;
	probe("napot, ppn 0 low bits as they are", 0);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t base = (uint64_t)napot >> 12;
		for (unsigned k = 0; k < 16; k++)
			low[k] = (base | i) << 10 | V | R | W | A | D | 1UL << 63;
		print("ppn low %x ", i);
		probe("napot", 0x7008);
		if (cause == 3 || i == 8) {
			fence();
			*(volatile uint64_t *)(TEST_VA + 0x7010) = 0x1234567;
			print("napot store seen %x\n",
				*(volatile uint64_t *)(napot + 0x7010) == 0x1234567);
		}
	}
	for (unsigned k = 0; k < 16; k++)
		low[k] = 0;
	mid[0] = entry((void *)(ram + 0x200000), V | R | W | A | D) | 1UL << 63;
	probe("napot 2M", 0);
	mid[0] = entry(low, V);
}

static void access_faults(void)
{
	low[0] = entry((void *)NO_RAM, V | R | W | X | A | D);
	probe("leaf to nothing", 0);
	probe("leaf to nothing", 0x10);
	mid[0] = entry((void *)NO_RAM, V);
	probe("table in nothing", 0);
	mid[0] = entry(low, V);
	low[0] = entry(data[0], V | R | W | X | A | D);
	static const uint64_t far[] = {0x4000000000, 0x7fffffffff, 0xffffffc000000000 - 4096,
		1UL << 63, 0xffffffbfffffffff, 0x8000000000};
	for (unsigned i = 0; i < ARRAY_SIZE(far); i++)
		probe("not canonical", (far[i] & ~7UL) - TEST_VA);
}

/* Straddling accesses with each state of the two pages. */
static void straddle(void)
{
	static const uint64_t states[] = {
		0, V | R | A, V | R | W | A | D, V | R | W | X | A | D, V | X | A, V | R | W};
	for (unsigned a = 0; a < ARRAY_SIZE(states); a++) {
		for (unsigned b = 0; b < ARRAY_SIZE(states); b++) {
			print("straddle %lx %lx:", states[a], states[b]);
			for (unsigned off = 1; off < 8; off += 3) {
				for (unsigned k = 0; k < 4; k++) {
					const char *const snip[] = {
						snip_load, snip_store, snip_storew, snip_storeh};
					memset(data, 0x55, sizeof(data));
					low[0] = entry(data[0], states[a]);
					low[1] = entry(data[1], states[b]);
					fence();
					run(snip[k], false, TEST_VA + 4096 - off,
						0x1122334455667788);
					print(" %lx/%lx/%lx/%lx/%lx", cause, cause == 3 ? 0 : tval,
						f.x[10] & 0xffff, low[0] & 0xff, low[1] & 0xff);
					uint64_t h = 0;
					for (unsigned i = 0; i < 16; i++)
						h = h * 31 + ((uint8_t *)data)[4088 + i];
					print("/%lx", h & 0xffff);
				}
			}
			print("\n");
		}
	}
	/* An instruction over the boundary. */
	for (unsigned b = 0; b < ARRAY_SIZE(states); b++) {
		low[0] = entry(data[0], V | R | W | X | A | D);
		low[1] = entry(data[1], V | R | W | A | D);
		fence();
		*(uint16_t *)(data[0] + 4094) = 0x0513; /* addi a0, a0, 5 */
		*(uint16_t *)(data[1]) = 0x0055;
		*(uint16_t *)(data[1] + 2) = 0x9002;
		low[1] = entry(data[1], states[b]);
		__asm__ volatile("fence.i");
		fence();
		run(snip_jump, false, TEST_VA + 4094, 0);
		print("fetch over the boundary %lx: %lx %lx epc %lx a0 %lx\n", states[b], cause,
			tval, f.pc, f.x[10]);
	}
}

static void cache_blocks(void)
{
	const char *const snip[] = {snip_cbo_zero, snip_cbo_clean, snip_cbo_flush, snip_cbo_inval};
	static const uint64_t states[] = {0, V | R | A, V | R | W | A | D, V | X | A, V | R | W};

	for (unsigned s = 0; s < ARRAY_SIZE(states); s++) {
		print("cbo %lx:", states[s]);
		for (unsigned k = 0; k < 4; k++) {
			memset(data, 0x55, sizeof(data));
			low[0] = entry(data[0], states[s]);
			fence();
			run(snip[k], false, TEST_VA + 77, 0);
			print(" %lx/%lx/%lx/%x%x%x%x", cause, cause == 3 ? 0 : tval, low[0] & 0xff,
				data[0][63], data[0][64], data[0][127], data[0][128]);
		}
		for (unsigned k = 0; k < 4; k++) {
			static const uint64_t env[] = {0, 0x40, 0x80, 0x10, 0x30, 0xf1};
			low[0] = entry(data[0], V | R | W | U | A | D);
			for (unsigned e = 0; e < ARRAY_SIZE(env); e++) {
				csr_write(senvcfg, env[e]);
				fence();
				run(snip[k], true, TEST_VA + 77, 0);
				print(" u%lx", cause);
			}
		}
		csr_write(senvcfg, 0);
		print("\n");
	}
}

static void fences(void)
{
	for (unsigned i = 0; i < 4; i++) {
		*(uint64_t *)data[0] = 100;
		*(uint64_t *)data[1] = 200;
		low[0] = entry(data[0], V | R | W | A | D);
		fence();
		uint64_t a = *(volatile uint64_t *)TEST_VA;
		low[0] = entry(data[1], V | R | W | A | D);
		uint64_t va = TEST_VA + 8, asid = 0;
		if (i == 0)
			__asm__ volatile("sfence.vma" ::: "memory");
		else if (i == 1)
			__asm__ volatile("sfence.vma %0" ::"r"(va) : "memory");
		else if (i == 2)
			__asm__ volatile("sfence.vma %0, %1" ::"r"(va), "r"(asid) : "memory");
		else
			__asm__ volatile(".word 0x18000073\n\tmv a0, %0\n\t.word "
					 "0x16050073\n\t.word 0x18100073" ::"r"(va)
					 : "a0", "memory"); /* sinval.vma a0, x0 */
		uint64_t b = *(volatile uint64_t *)TEST_VA;
		print("fence %u: %lu %lu\n", i, a, b);
	}
	/* A page inside what was a superpage. */
	mid[0] = entry((void *)0x80200000, V | R | W | A | D);
	fence();
	uint64_t a = *(volatile uint64_t *)TEST_VA == *(volatile uint64_t *)0x80200000;
	mid[0] = entry(low, V);
	__asm__ volatile("sfence.vma %0" ::"r"(TEST_VA) : "memory");
	print("superpage fence: %lu %lu\n", a, *(volatile uint64_t *)TEST_VA);
	/* Other address spaces, by ASID. */
	for (unsigned asid = 1; asid < 5; asid++) {
		low[0] = entry(data[asid & 1], V | R | W | A | D);
		csr_write(satp, (csr_read(satp) & ~(0xffffUL << 44)) | (uint64_t)asid << 44);
		__asm__ volatile("sfence.vma x0, %0" ::"r"((uint64_t)asid) : "memory");
		print("asid %u: %lu\n", asid, *(volatile uint64_t *)TEST_VA);
	}
	csr_write(satp, csr_read(satp) & ~(0xffffUL << 44));
	fence();
}

static void modes(void)
{
	uint64_t was = csr_read(satp);

	for (unsigned mode = 0; mode < 16; mode++) {
		if (mode == 10)
			continue; /* Sv57: the oracle may have it */
		csr_write(satp,
			mode == 0 || mode == 9 ? was : (uint64_t)mode << 60 | (was & ~0UL >> 4));
		print("satp mode %u: %lx\n", mode, csr_read(satp) >> 60);
		csr_write(satp, was);
	}
	/* Sv48: the same tables one level down. */
	root48[0] = entry(root, V);
	csr_write(satp, 9UL << 60 | (uint64_t)root48 >> 12);
	fence();
	low[0] = entry(data[0], V | R | W | X | A);
	probe("sv48", 0);
	probe("sv48", 0x4000000000);
	probe("sv48 not canonical", 0x800000000000 - TEST_VA);
	csr_write(satp, was);
	fence();
}

int main(void)
{
	print("begin\n");
	root[2] = entry((void *)0x80000000, V | R | W | X | A | D);
	root[1] = entry(mid, V);
	mid[0] = entry(low, V);
	mid[1] = entry(user_low, V);
	user_low[0] = entry(snips, V | R | X | U | A);
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	fence();
	flags_matrix(0);
	flags_matrix(1UL << 61);
	reserved_bits();
	low[0] = entry(data[0], V | R | W | X | A | D);
	superpages();
	access_faults();
	straddle();
	cache_blocks();
	fences();
	modes();
	print("end\n");
	return 0;
}
