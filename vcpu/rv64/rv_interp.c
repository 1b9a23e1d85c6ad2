/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "vcpu/rv64/rv_amo.h"
#include "vcpu/rv64/rv_fp.h"
#include "vcpu/rv64/rv_mmu.h"

#if defined(__GNUC__) && !defined(__clang__)
/*
 *  Every handler keeps its own copy of the dispatch and its own indirect jump: the host predicts
 *  the next guest instruction from the one before.
 */
#pragma GCC optimize("no-gcse", "no-crossjumping")
#endif

/*
 * The loop fetches the instruction word from guest memory each time, through the host address of
 * the current page, and looks for its decode: first by address (`near`), then by word (`far`). An
 * entry is right when its word is the one just fetched, because a decode depends on nothing else;
 * so code may change at any time: fence.i concerns the translator alone.
 */

uint64_t rv_orc_b(uint64_t v)
{
	uint64_t r = 0;
	for (unsigned i = 0; i < 64; i += 8)
		if ((v >> i & 0xff) != 0)
			r |= UINT64_C(0xff) << i;
	return r;
}

static uint32_t insn_word(const struct rv_insn *d)
{
	return d->len == 2 ? d->word & 0xffff : d->word;
}

/* FENCE: predecessor and successor sets, each I O R W from the high bit. */
#define FENCE_PRED_O 0x40
#define FENCE_PRED_W 0x10

static void rv_fence(struct rv_hart *h, const struct rv_insn *d)
{
	unsigned sets = (unsigned)d->imm & 0xff;
	bool fiom = h->priv == RV_PRIV_U && (h->senvcfg & RV_ENVCFG_FIOM) != 0;

	if (fiom && (sets & FENCE_PRED_W) != 0)
		sets |= FENCE_PRED_O;
	atomic_thread_fence(memory_order_seq_cst);
	/* Only stores to devices are posted; loads from them have their answer already. */
	if ((sets & FENCE_PRED_O) != 0 && h->posted) {
		unsigned mxcsr = _mm_getcsr();
		h->posted = false;
		h->vcpu.env.ops->io_fence(h->vcpu.env.ctx, h->vcpu.cfg.id);
		_mm_setcsr(mxcsr);
	}
}

static bool rv_sfence(struct rv_hart *h, const struct rv_insn *d)
{
	struct vcpu_fence f = {.kind = VCPU_FENCE_VMA, .start = 0, .bytes = UINT64_MAX};

	if (h->priv == RV_PRIV_U)
		return rv_raise(h, RV_CAUSE_ILLEGAL, insn_word(d));
	if (d->rs1 != 0) {
		f.start = h->x[d->rs1] & RV_PAGE_MASK;
		f.bytes = PAGE_BYTES;
	}
	if (d->rs2 != 0) {
		f.kind = VCPU_FENCE_VMA_ASID;
		f.asid = (uint16_t)h->x[d->rs2];
	}
	rv_mmu_fence(h, &f);
	return false;
}

bool rv_csr_insn(struct rv_hart *h, const struct rv_insn *d)
{
	bool immediate = (d->rm & 4) != 0; /* funct3 */
	uint64_t operand = immediate ? d->rs1 : h->x[d->rs1];
	uint64_t clear = 0, set = 0, old;
	unsigned what = RV_CSR_READ | (d->rs1 != 0 ? RV_CSR_WRITE : 0);

	switch (d->rm & 3) {
	case 1:
		clear = UINT64_MAX;
		set = operand;
		what = RV_CSR_WRITE | (d->rd != RV_REG_SINK ? RV_CSR_READ : 0);
		break;
	case 2:
		set = operand;
		break;
	default:
		clear = operand;
		break;
	}
	if (rv_csr_access(h, (unsigned)d->imm, what, clear, set, &old) != 0)
		return rv_raise(h, RV_CAUSE_ILLEGAL, insn_word(d));
	h->x[d->rd] = old;
	return false;
}

#define CBO_BYTES 64

static bool cbo_allowed(const struct rv_hart *h, enum rv_op op)
{
	uint64_t need = op == RV_OP_cbo_zero    ? RV_ENVCFG_CBZE
			: op == RV_OP_cbo_inval ? RV_ENVCFG_CBIE
						: RV_ENVCFG_CBCFE;
	return h->priv == RV_PRIV_S || (h->senvcfg & need) != 0;
}

/* Memory is coherent, so managing a block changes nothing, but permissions count. */
static bool rv_cbo(struct rv_hart *h, const struct rv_insn *d)
{
	uint64_t va = align_down(h->x[d->rs1], CBO_BYTES), pa;
	uint8_t *host;

	if (!cbo_allowed(h, (enum rv_op)d->op))
		return rv_raise(h, RV_CAUSE_ILLEGAL, d->word);
	if (d->op != RV_OP_cbo_zero) {
		/* "Permitted ... whenever a load or store is"; the exception is the store's. */
		if (!rv_mmu_probe(h, va, RV_READ) || !rv_mmu_probe(h, va, RV_WRITE))
			return false;
		return true;
	}
	if (rv_mmu_host(h, va, RV_WRITE, &host, &pa))
		return true;
	if (rv_reservations(h))
		vcpu_res_kill(h->vcpu.env.group, h->vcpu.cfg.slot, pa, CBO_BYTES);
	for (unsigned i = 0; i < CBO_BYTES; i += 8)
		__atomic_store_n((uint64_t *)(void *)(host + i), 0, __ATOMIC_RELAXED);
	return false;
}

static struct rv_insn *dcache_miss(struct rv_hart *h, uint64_t pc, uint32_t word)
{
	struct rv_insn *near = &h->near[(pc >> 1) & (RV_DCACHE_NEAR - 1)];
	uint32_t key = rv_word_is_compressed(word) ? word & 0xffff : word;
	struct rv_insn *far = &h->far[(key * UINT32_C(0x9e3779b1)) >> 18];

	STATIC_CHECK(RV_DCACHE_FAR == 1u << 14, "the hash keeps 14 bits");
	if (far->word != key)
		rv_decode(key, far);
	*near = *far;
	near->word = word;
	return near;
}

/* The entry for an address, with one shift: entries are 16 bytes, instructions begin every 2. */
static inline const struct rv_insn *near_of(const struct rv_hart *h, uint64_t pc)
{
	uint64_t at = (pc << 3) & ((RV_DCACHE_NEAR - 1) * sizeof(struct rv_insn));
	return (const struct rv_insn *)(const void *)((const char *)h->near + at);
}

#define OP(name) label_##name:
#define RD       h->x[d->rd]
#define RS1      h->x[d->rs1]
#define RS2      h->x[d->rs2]
#define FS1      h->f[d->rs1]
#define FS2      h->f[d->rs2]
#define FS3      h->f[d->rs3]
#define IMM      ((uint64_t)(int64_t)d->imm)
#define WORD     insn_word(d)

/*
 *  Before anything that leaves the loop: the pc, and how far we are (the DSM reads it while we
 *  wait for a page).
 */
#define SAVE()                                                                                     \
	do {                                                                                       \
		h->pc = pc;                                                                        \
		atomic_store_explicit(&h->vcpu.retired, n, memory_order_relaxed);                  \
	} while (0)

#define FETCH()                                                                                    \
	do {                                                                                       \
		uint64_t off = pc - h->fetch_page;                                                 \
		if (unlikely(off >= h->fetch_limit))                                               \
			goto fetch_slow;                                                           \
		uint32_t word = rv_host_word(h->fetch_host + off);                                 \
		d = near_of(h, pc);                                                                \
		__asm__("" : "+r"(d)); /* keep the sum: each field would add it again */           \
		if (unlikely(d->word != word)) {                                                   \
			miss = word;                                                               \
			goto decode;                                                               \
		}                                                                                  \
		goto *labels[d->op];                                                               \
	} while (0)

#define NEXT()                                                                                     \
	do {                                                                                       \
		pc += d->len;                                                                      \
		n++;                                                                               \
		FETCH();                                                                           \
	} while (0)

#define JUMP(to)                                                                                   \
	do {                                                                                       \
		pc = (to);                                                                         \
		n++;                                                                               \
		atomic_store_explicit(&h->vcpu.retired, n, memory_order_relaxed);                  \
		if (unlikely(n >= atomic_load_explicit(&h->vcpu.poll_at, memory_order_relaxed))) { \
			h->pc = pc;                                                                \
			goto attention;                                                            \
		}                                                                                  \
		if (jit)                                                                           \
			goto look;                                                                 \
		FETCH();                                                                           \
	} while (0)

#define ILLEGAL()                                                                                  \
	do {                                                                                       \
		SAVE();                                                                            \
		(void)rv_raise(h, RV_CAUSE_ILLEGAL, WORD);                                         \
		goto trap;                                                                         \
	} while (0)

#define FP_ON()                                                                                    \
	do {                                                                                       \
		if (unlikely((h->sstatus & RV_SSTATUS_FS) == 0))                                   \
			ILLEGAL();                                                                 \
	} while (0)

/* The rounding mode; a reserved one in frm is illegal only when it is used. */
#define FP_ROUND()                                                                                 \
	FP_ON();                                                                                   \
	unsigned rm = d->rm == RV_DYN ? h->frm : d->rm;                                            \
	if (unlikely(rm > RV_RMM))                                                                 \
	ILLEGAL()

void rv_interp_run(struct rv_hart *h)
{
	static const void *const labels[RV_OP_N] = {
		[RV_OP_illegal] = &&label_illegal,
#define INSN(id, text, match, mask, fmt, ext, op) [RV_OP_##id] = &&label_##op,
#include "vcpu/rv64/rv_insn.def"
#undef INSN
	};
	unsigned mxcsr = rv_fp_enter();
	const bool fma3 = rv_fp_has_fma();
	uint64_t pc, n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
	const struct rv_insn *d;
	uint32_t miss;
	unsigned trapped = 0;
	const bool jit = h->jit != NULL;
	bool interpret = false; /* the next instruction, whatever is translated */
	const void *code;

attention: /* h->pc is right, n may be ahead of what is published */
	atomic_store_explicit(&h->vcpu.retired, n, memory_order_relaxed);
	if (!rv_attention(h))
		goto out;
	pc = h->pc;
	if (jit)
		goto look;
	FETCH();

look: /* translated code for pc? */
	interpret = false;
	h->pc = pc;
	code = rv_jit_find(h);
	if (code == NULL)
		FETCH();
enter: /* h->pc is right */
	atomic_store_explicit(&h->vcpu.retired, n, memory_order_relaxed);
	switch (rv_jit_enter(h, code)) {
	case RV_JIT_ATTENTION:
		n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
		goto attention;
	case RV_JIT_TRAP:
		n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
		goto trap;
	case RV_JIT_INTERPRET:
		n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
		pc = h->pc;
		interpret = true;
		FETCH();
	default:
		n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
		pc = h->pc;
		goto look;
	}

fetch_slow: /* another page, or the last two bytes of one */
	SAVE();
	if (unlikely(n >= atomic_load_explicit(&h->vcpu.poll_at, memory_order_relaxed)))
		goto attention;
	if (unlikely(rv_mmu_fetch(h, pc, &miss)))
		goto trap;
	if (jit && !interpret && (code = rv_jit_find(h)) != NULL)
		goto enter;
	interpret = false;
decode:
	d = dcache_miss(h, pc, miss);
	goto *labels[d->op];

trap: /* h->pc is the instruction's, its cause and value are in h */
	rv_trap_enter(h, h->trap_cause, h->trap_tval);
	/* Code that only traps retires nothing: it must look up all the same. */
	if (unlikely(++trapped % RV_POLL_TRAPS == 0))
		goto attention;
	pc = h->pc;
	if (jit)
		goto look;
	FETCH();

#include "vcpu/rv64/rv_ops_int.inc"
#include "vcpu/rv64/rv_ops_mem.inc"
#include "vcpu/rv64/rv_ops_fp.inc"
#include "vcpu/rv64/rv_ops_sys.inc"

out:
	rv_fp_leave(h, mxcsr);
}
