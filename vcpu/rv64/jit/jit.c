/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/jit.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "vcpu/rv64/jit/tr.h"
#include "vcpu/rv64/rv_mmu.h"

#define CACHE_BYTES_DEFAULT ((size_t)32 << 20)
#define THRESHOLD_DEFAULT   24
/*
 * A translation takes some microseconds. One that has taken so long was without a processor for
 * most of it. (The thread's own clock is a system call.)
 */
#define INTERRUPTED_NS UINT64_C(200000)
/* What is kept beside the code: blocks, their sources, calls. */
#define NOTES_PER_CODE 2

/* Translated code that begins at `va`, for the guest-physical page of `pa`. */
struct block {
	struct block *next; /* in its bucket */
	struct block *next_in_page;
	uint64_t va, pa;
	const uint8_t *code;   /* in the writable mapping */
	const uint8_t *source; /* the guest's instructions, `bytes` long */
	uint32_t bytes;
	uint32_t code_bytes;
};

/* A guest-physical page with translated code. */
struct code_page {
	struct code_page *next;
	struct block *blocks;
	uint64_t pa;
	uint64_t epoch; /* the last fence.i after which the sources were compared */
	/*
	 *  Where blocks begin, a bit for each 2 bytes: reading a region asks for every instruction,
	 *  mostly in vain.
	 */
	uint64_t begins[PAGE_BYTES / 2 / 64];
};

static uint64_t begins_bit(uint64_t pa)
{
	return UINT64_C(1) << (pa / 2 % 64);
}

static unsigned begins_word(uint64_t pa)
{
	return (unsigned)((pa & ~RV_PAGE_MASK) / 2 / 64);
}

/* What a region may need of the cache. */
#define ROOM(insns) ((insns)*TR_INSN_BYTES + TR_REGION_BYTES)
/* A small cache has room for some of the largest regions. */
#define REGIONS_MIN 4u

/*
 * The interpreter looks for a block at every jump to code that is not translated, and finds none: a
 * bucket must hold about one when the cache is full. A block has some 450 bytes of code.
 */
#define CODE_PER_BUCKET 256u
#define PAGE_BUCKETS    1024u
#define HEAT_ENTRIES    8192u
#define MAPPED_BITS     4096u

struct rv_jit {
	struct code_mem mem;
	struct code_fixed fixed;
	uint8_t *code_at; /* where the next region goes */
	uint8_t *notes, *notes_at, *notes_end;
	uint64_t epoch;
	uint64_t link_pc; /* where the jump at rv_hart.jit_site wants to go */
	unsigned threshold;
	unsigned region_insns; /* at most */
	int perf_map;          /* descriptor, -1: none */
	/* Pages that the jump cache may have entries for, by a hash of their address. */
	uint64_t mapped[MAPPED_BITS / 64];
	struct block **block;
	size_t block_buckets; /* a power of two */
	struct code_page *page[PAGE_BUCKETS];
	uint8_t heat[HEAT_ENTRIES];
	struct region region;
	struct tr tr;
};

/* ---- life ---------------------------------------------------------------------------------- */

static void jump_cache_clear(struct rv_hart *h)
{
	for (unsigned i = 0; i < RV_JC_ENTRIES; i++)
		h->jc[i].pc = RV_JC_NONE;
	memset(h->jit->mapped, 0, sizeof(h->jit->mapped));
	h->jit_site = 0;
	h->jit_maps++;
}

/* AMD64 Architecture Programmer's Manual, volume 3, CPUID Fn8000_0001_ECX. clang 14 has no name. */
#define CPUID_LZCNT (1u << 5)

static void look_at_host(struct host_features *has)
{
	unsigned a, b, c = 0, d;

	(void)__get_cpuid(0x80000001, &a, &b, &c, &d);
	*has = (struct host_features){
		.bmi1 = __builtin_cpu_supports("bmi") != 0,
		.bmi2 = __builtin_cpu_supports("bmi2") != 0,
		.lzcnt = (c & CPUID_LZCNT) != 0,
		.popcnt = __builtin_cpu_supports("popcnt") != 0,
		.avx = __builtin_cpu_supports("avx") != 0,
		.fma = __builtin_cpu_supports("fma") != 0,
	};
}

/* One file for all vCPUs of the process, appended to a line at a time. */
static int perf_map_open(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_warn(vcpu, "cannot write %s: %m; perf will not name guest code", path);
	return fd;
}

/* A name for the code from `from` to `to`, in the writable mapping. */
static void perf_map_add(
	const struct rv_jit *j, const uint8_t *from, const uint8_t *to, const char *name)
{
	char line[96];

	if (j->perf_map < 0)
		return;
	int n = snprintf(line, sizeof(line), "%lx %lx %s\n",
		(unsigned long)(uintptr_t)code_exec(&j->mem, from), (unsigned long)(to - from),
		name);
	if (write(j->perf_map, line, (size_t)n) != n)
		log_debug(vcpu, "a line of the perf map is lost: %m");
}

static void perf_map_add_block(const struct rv_jit *j, const struct block *b)
{
	char name[32];

	snprintf(name, sizeof(name), "guest %#lx", (unsigned long)b->va);
	perf_map_add(j, b->code, b->code + b->code_bytes, name);
}

int rv_jit_create(struct rv_hart *h)
{
	const struct vcpu_cfg *cfg = &h->vcpu.cfg;
	size_t bytes = cfg->jit_cache_bytes != 0 ? cfg->jit_cache_bytes : CACHE_BYTES_DEFAULT;
	struct rv_jit *j = calloc(1, sizeof(*j));
	int rc;

	if (j == NULL)
		return ERR_NO_MEMORY;
	CHECK(bytes >= VCPU_JIT_CACHE_MIN && bytes <= VCPU_JIT_CACHE_MAX &&
		cfg->jit_threshold <= VCPU_JIT_THRESHOLD_MAX);
	bytes = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	for (j->block_buckets = 1; j->block_buckets < bytes / CODE_PER_BUCKET;)
		j->block_buckets *= 2;
	j->block = calloc(j->block_buckets, sizeof(*j->block));
	if (j->block == NULL) {
		rc = ERR_NO_MEMORY;
		goto undo_alloc;
	}
	rc = code_mem_map(&j->mem, bytes);
	if (rc != 0)
		goto undo_alloc;
	j->notes = mmap(NULL, bytes * NOTES_PER_CODE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (j->notes == MAP_FAILED) {
		rc = err_from_errno(errno);
		goto undo_map;
	}
	j->region_insns =
		MIN((unsigned)(bytes / REGIONS_MIN / TR_INSN_BYTES), (unsigned)REGION_INSNS);
	code_fixed_emit(&j->mem, &j->fixed);
	j->code_at = j->mem.write + (j->fixed.end - j->mem.write);
	j->notes_at = j->notes;
	j->notes_end = j->notes + bytes * NOTES_PER_CODE;
	j->perf_map = cfg->jit_perf_map ? perf_map_open() : -1;
	perf_map_add(j, j->mem.write, j->fixed.end, "translator: in and out");
	j->threshold = cfg->jit_threshold != 0 ? cfg->jit_threshold : THRESHOLD_DEFAULT;
	if (!cfg->jit_baseline)
		look_at_host(&j->tr.has);
	h->jit_live = &h->vcpu.env.group->live;
	h->jit = j;
	jump_cache_clear(h);
	rv_jit_context(h);
	return 0;

undo_map:
	code_mem_unmap(&j->mem);
undo_alloc:
	free(j->block);
	free(j);
	return rc;
}

void rv_jit_destroy(struct rv_hart *h)
{
	struct rv_jit *j = h->jit;

	if (j == NULL)
		return;
	h->jit = NULL;
	if (j->perf_map >= 0)
		close(j->perf_map);
	munmap(j->notes, (size_t)(j->notes_end - j->notes));
	code_mem_unmap(&j->mem);
	free(j->block);
	free(j);
}

/* ---- blocks and pages ---------------------------------------------------------------------- */

static unsigned hash(uint64_t v)
{
	return (unsigned)((v * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

static struct block **block_bucket(struct rv_jit *j, uint64_t va, uint64_t pa)
{
	return &j->block[hash(pa ^ (va >> PAGE_SHIFT << 1)) & (j->block_buckets - 1)];
}

static struct block *block_find(struct rv_jit *j, uint64_t va, uint64_t pa)
{
	struct block *b = *block_bucket(j, va, pa);

	while (b != NULL && (b->va != va || b->pa != pa))
		b = b->next;
	return b;
}

static struct code_page *page_find(struct rv_jit *j, uint64_t pa)
{
	struct code_page *p = j->page[hash(pa >> PAGE_SHIFT) % PAGE_BUCKETS];

	while (p != NULL && p->pa != (pa & RV_PAGE_MASK))
		p = p->next;
	return p;
}

/* From the notes, which are given back all at once. The caller has made sure that they suffice. */
static void *note(struct rv_jit *j, size_t bytes)
{
	void *at = j->notes_at;

	j->notes_at += (bytes + 15) & ~(size_t)15;
	CHECK(j->notes_at <= j->notes_end);
	return at;
}

static struct code_page *page_of(struct rv_jit *j, uint64_t pa)
{
	struct code_page *p = page_find(j, pa);

	if (p != NULL)
		return p;
	struct code_page **bucket = &j->page[hash(pa >> PAGE_SHIFT) % PAGE_BUCKETS];
	p = note(j, sizeof(*p));
	*p = (struct code_page){.next = *bucket, .pa = pa & RV_PAGE_MASK, .epoch = j->epoch};
	*bucket = p;
	return p;
}

static void page_drop_blocks(struct rv_jit *j, struct code_page *p)
{
	for (struct block *b = p->blocks; b != NULL; b = b->next_in_page) {
		struct block **at = block_bucket(j, b->va, b->pa);
		while (*at != b)
			at = &(*at)->next;
		*at = b->next;
	}
	p->blocks = NULL;
	memset(p->begins, 0, sizeof(p->begins));
}

/* After a fence.i: is what was translated still there? `host` is the page. */
static void page_compare(struct rv_hart *h, struct code_page *p, const uint8_t *host)
{
	struct rv_jit *j = h->jit;

	p->epoch = j->epoch;
	for (const struct block *b = p->blocks; b != NULL; b = b->next_in_page) {
		if (memcmp(b->source, host + (b->pa & ~RV_PAGE_MASK), b->bytes) == 0)
			continue;
		/* Jumps inside a page are direct, so its blocks go together. */
		page_drop_blocks(j, p);
		jump_cache_clear(h);
		vcpu_count(&h->vcpu.counts.code_dropped);
		return;
	}
}

static void flush(struct rv_hart *h)
{
	struct rv_jit *j = h->jit;

	memset(j->block, 0, j->block_buckets * sizeof(*j->block));
	memset(j->page, 0, sizeof(j->page));
	j->code_at = j->mem.write + (j->fixed.end - j->mem.write);
	j->notes_at = j->notes;
	vcpu_count(&h->vcpu.counts.code_flushes);
	jump_cache_clear(h);
}

/* ---- translation --------------------------------------------------------------------------- */

struct here {
	struct rv_jit *j;
	uint64_t va, pa;
	const struct code_page *page; /* NULL: it has no blocks */
};

static const uint8_t *known(void *ctx, uint64_t va)
{
	const struct here *at = ctx;
	struct block *b = block_find(at->j, va, (at->pa & RV_PAGE_MASK) | (va & ~RV_PAGE_MASK));

	return b == NULL ? NULL : b->code;
}

static bool begins(void *ctx, uint64_t va)
{
	const struct here *at = ctx;

	/* The page of `va` is mapped to that of `pa`: the offsets are the same. */
	return at->page != NULL && (at->page->begins[begins_word(va)] & begins_bit(va)) != 0 &&
	       known(ctx, va) != NULL;
}

static const uint8_t *copy_source(struct rv_jit *j, const struct region *r)
{
	uint8_t *copy = note(j, r->bytes);

	/* The words that were translated: memory may have changed meanwhile. */
	for (unsigned i = 0; i < r->n; i++)
		memcpy(copy + r->insn[i].at, &r->insn[i].d.word, r->insn[i].d.len);
	return copy;
}

/* Calls per instruction: an access has one, a group one more. */
#define CALLS_MAX(insns) ((insns)*2)
#define NOTES_MAX(insns)                                                                           \
	(sizeof(struct block) + sizeof(struct code_page) + PAGE_BYTES +                            \
		CALLS_MAX(insns) * sizeof(struct code_call))

static struct block *make_block(struct rv_hart *h, uint64_t va, uint64_t pa, const uint8_t *host)
{
	struct rv_jit *j = h->jit;
	struct here at = {.j = j, .va = va, .pa = pa};
	struct tr *t = &j->tr;

	if ((size_t)(j->mem.write + j->mem.bytes - j->code_at) < ROOM(j->region_insns) ||
		(size_t)(j->notes_end - j->notes_at) < NOTES_MAX(j->region_insns))
		flush(h);
	at.page = page_find(j, pa);
	region_read(&j->region, va, j->region_insns, host,
		PAGE_BYTES - (unsigned)(va & ~RV_PAGE_MASK), begins, &at);
	if (j->region.n == 0)
		return NULL;

	struct code_page *page = page_of(j, pa);
	struct block *b = note(j, sizeof(*b));
	*b = (struct block){
		.va = va, .pa = pa, .source = copy_source(j, &j->region), .bytes = j->region.bytes};
	t->e = (struct x86){.at = j->code_at, .end = j->mem.write + j->mem.bytes};
	t->fixed = &j->fixed;
	t->shared = rv_ram(h)->ops != NULL;
	t->single = h->vcpu.env.n_vcpus.v == 1;
	t->fenceless = h->vcpu.env.fenceless;
	t->r = &j->region;
	t->calls = (struct code_call *)(void *)j->notes_at;
	t->calls_end = t->calls + CALLS_MAX(j->region_insns);
	t->known = known;
	t->ctx = &at;
	t->cache = j->mem.write;
	b->code = tr_region(t);
	b->code_bytes = (uint32_t)(t->e.at - b->code);
	j->notes_at = (uint8_t *)t->calls;
	(void)note(j, 0);
	CHECK((size_t)(t->e.at - j->code_at) <= ROOM(j->region.n));
	j->code_at += ((size_t)(t->e.at - j->code_at) + 15) & ~(size_t)15;

	struct block **bucket = block_bucket(j, va, pa);
	b->next = *bucket;
	*bucket = b;
	b->next_in_page = page->blocks;
	page->blocks = b;
	page->begins[begins_word(pa)] |= begins_bit(pa);
	vcpu_count(&h->vcpu.counts.blocks);
	vcpu_count_set(&h->vcpu.counts.code_bytes, (uint64_t)(j->code_at - j->mem.write));
	return b;
}

/* The block at `va`, or NULL when its first instruction is the interpreter's. */
static struct block *translate(struct rv_hart *h, uint64_t va, uint64_t pa, const uint8_t *host)
{
	uint64_t begun = clock_now_ns(clock_host());
	struct block *b = make_block(h, va, pa, host);
	uint64_t ns = clock_now_ns(clock_host()) - begun;

	if (ns < INTERRUPTED_NS)
		vcpu_count_add(&h->vcpu.counts.code_ns, ns);
	if (b != NULL)
		perf_map_add_block(h->jit, b);
	return b;
}

/* ---- finding ------------------------------------------------------------------------------- */

static unsigned mapped_bit(uint64_t va)
{
	return hash(va >> PAGE_SHIFT) % MAPPED_BITS;
}

/*
 * The jump that has just come back, because it did not know where to go, goes to `b` from now on:
 * if it lies in the same page, not only at the same address. (The page table may have changed and
 * the fence may be still to come.)
 *
 * Nothing waits for the processor to have seen the change: what it may still execute is the jump as
 * it was, which comes back once more.
 */
static void link_to(struct rv_hart *h, const struct block *b)
{
	uint8_t *site = h->jit->mem.write + h->jit_site;

	if (h->jit_site == 0)
		return;
	h->jit_site = 0;
	for (const struct block *from = page_find(h->jit, b->pa)->blocks; from != NULL;
		from = from->next_in_page) {
		if (((from->va ^ b->va) & RV_PAGE_MASK) != 0 || site < from->code ||
			site >= from->code + from->code_bytes)
			continue;
		x86_patch(site, b->code);
		return;
	}
}

static const void *remember(struct rv_hart *h, uint64_t pc, const struct block *b)
{
	struct rv_jit *j = h->jit;
	struct rv_jc_entry *e = &h->jc[rv_jc_index(pc)];

	e->pc = pc;
	e->ctx = h->jit_ctx;
	e->code = code_exec(&j->mem, b->code);
	j->mapped[mapped_bit(pc) / 64] |= UINT64_C(1) << mapped_bit(pc) % 64;
	link_to(h, b);
	return e->code;
}

const void *rv_jit_find(struct rv_hart *h)
{
	struct rv_jit *j = h->jit;
	uint64_t pc = h->pc, off = pc - h->fetch_page;
	const struct rv_jc_entry *e = &h->jc[rv_jc_index(pc)];

	if (h->jit_site != 0 && pc != j->link_pc)
		h->jit_site = 0;
	if (e->pc == pc && e->ctx == h->jit_ctx && h->jit_site == 0)
		return e->code;
	if (h->fetch_limit == 0 || off >= PAGE_BYTES)
		return NULL;
	uint64_t pa = (uint64_t)(h->fetch_host + off - rv_ram(h)->host) + rv_ram(h)->base.v;
	struct code_page *p = page_find(j, pa);
	if (p != NULL && p->epoch != j->epoch)
		page_compare(h, p, h->fetch_host);
	struct block *b = block_find(j, pc, pa);
	if (b == NULL) {
		uint8_t *heat = &j->heat[hash(pc) % HEAT_ENTRIES];
		if (++*heat < j->threshold)
			return NULL;
		*heat = 0;
		b = translate(h, pc, pa, h->fetch_host + off);
		if (b == NULL)
			return NULL;
	}
	return remember(h, pc, b);
}

enum rv_jit_exit rv_jit_enter(struct rv_hart *h, const void *code)
{
	typedef unsigned enter_fn(char *base, const void *code);
	union {
		const void *at;
		enter_fn *call;
	} enter = {.at = code_exec(&h->jit->mem, h->jit->fixed.enter)};

	rv_jit_fp_look(h);
	unsigned why = enter.call((char *)h + HART_BASE, code);
	if (why == RV_JIT_LINK) {
		h->jit->link_pc = h->pc;
		return RV_JIT_LOOKUP;
	}
	h->jit_site = 0;
	return (enum rv_jit_exit)why;
}

/* ---- what changes -------------------------------------------------------------------------- */

void rv_jit_context(struct rv_hart *h)
{
	h->jit_ctx = rv_mmu_fetch_ctx(h) | (h->priv == RV_PRIV_U ? 1 : 0);
	h->jit_site = 0;
	h->jit_maps++;
}

void rv_jit_forget(struct rv_hart *h)
{
	if (h->jit != NULL)
		jump_cache_clear(h);
}

void rv_jit_unmap(struct rv_hart *h, uint64_t va, unsigned shift)
{
	struct rv_jit *j = h->jit;

	if (j == NULL)
		return;
	h->jit_site = 0;
	h->jit_maps++;
	if (shift == PAGE_SHIFT && (j->mapped[mapped_bit(va) / 64] >> mapped_bit(va) % 64 & 1) == 0)
		return;
	for (unsigned i = 0; i < RV_JC_ENTRIES; i++) /* in every context */
		if ((h->jc[i].pc ^ va) >> shift == 0)
			h->jc[i].pc = RV_JC_NONE;
}

void rv_jit_fence_i(struct rv_hart *h)
{
	if (h->jit == NULL)
		return;
	h->jit->epoch++;
	jump_cache_clear(h);
}

void rv_jit_fp_look(struct rv_hart *h)
{
	h->jit_fp = (h->sstatus & RV_SSTATUS_FS) == RV_SSTATUS_FS_DIRTY && h->frm == 0;
}
