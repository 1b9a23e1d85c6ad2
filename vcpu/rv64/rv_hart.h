/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_HART_H
#define VCPU_RV64_RV_HART_H

#include "proto/rv64_map.h"
#include "vcpu/rv64/jit/jit.h"
#include "vcpu/rv64/rv_bits.h"
#include "vcpu/rv64/rv_decode.h"
#include "vcpu/rv64/rv_imsic.h"
#include "vcpu/rv64/rv_tlb.h"
#include "vcpu/vcpu_ops.h"
#include "vcpu/vcpu_state.h"

/* Decoded instructions: the first level by address, the second by word (rv_interp.c). */
#define RV_DCACHE_NEAR 16384u
#define RV_DCACHE_FAR  16384u

/* Instructions between two looks at the clock: how late a timer interrupt may be. */
#define RV_POLL_INSNS     2048
#define RV_POLL_INSNS_JIT 8192 /* translated ones */
#define RV_POLL_TRAPS     64

enum rv_priv { RV_PRIV_U = 0, RV_PRIV_S = 1 };

/*
 * One hart. Everything is the vCPU thread's but what is atomic. The fields that the interpreter
 * touches with every instruction come first.
 */
struct rv_hart {
	struct vcpu vcpu; /* first: the engine-neutral part */

	uint64_t x[33]; /* x[RV_REG_SINK] takes what is written to x0 */
	uint64_t pc;
	/*
	 *  The page that instructions come from: offsets below fetch_limit from fetch_page may be
	 *  read.
	 */
	uint64_t fetch_page;
	uint64_t fetch_limit;
	const uint8_t *fetch_host;
	struct rv_tlb_entry *tlb; /* of the current privilege and SUM */
	uint64_t tlb_ctx;         /* of the current address space, for that view */
	uint64_t f[32];
	uint64_t sstatus; /* without SD and UXL */
	uint32_t frm, fflags;

	/* An exception on its way from a helper to the trap entry. */
	uint64_t trap_cause, trap_tval;

	enum rv_priv priv;
	uint64_t stvec, sscratch, sepc, scause, stval, satp, sie;
	uint64_t scounteren, senvcfg, stimecmp;
	uint32_t siselect;
	_Atomic bool ssip;
	bool stip; /* the clock has reached stimecmp */
	struct rv_imsic imsic;
	uint32_t stopei_seen; /* what the running CSR instruction has read from stopei */

	bool posted;        /* stores to devices since the last io_fence */
	bool leave;         /* SBI reset: execute nothing more */
	uint64_t res_unit;  /* load-reserved: guest-physical unit, */
	uint64_t res_value; /* the value, */
	uint32_t res_gen;   /* and the generation of its page before it was read */
	uint8_t res_size;   /* 0: no reservation */
	uint64_t res_gpa;
	/* Of load-reserved and store-conditional that are translated as a pair (jit/tr_mem.c). */
	bool lr_bare;              /* the last load-reserved made no reservation, only res_value */
	uint8_t lr_by_reservation; /* so many more have to: an SC elsewhere wanted one */

	/* The translator's, NULL without; what follows is read and written by translated code. */
	struct rv_jit *jit;
	uint64_t jit_ctx;                 /* address space and privilege, as in jc */
	uint64_t jit_maps;                /* counts changes of what is mapped where */
	const _Atomic uint32_t *jit_live; /* vcpu_group.live */
	uint32_t jit_site;                /* the jump that RV_JIT_LINK is about, 0: none */
	bool jit_fp;                      /* the floating-point unit is on, dirty, and frm is 0 */
	_Alignas(32) struct rv_jc_entry jc[RV_JC_ENTRIES];

	struct rv_tlb mmu;
	uint64_t ctx_s, ctx_space; /* contexts of the supervisor's view, and of the others */
	bool s_not_global;         /* they have to be the same */
	struct rv_insn near[RV_DCACHE_NEAR];
	struct rv_insn far[RV_DCACHE_FAR];
};

static inline struct rv_hart *rv_hart_of(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	return container_of(v, struct rv_hart, vcpu);
}

/* Raise an exception: always returns true, so that helpers can `return rv_raise(...)`. */
static inline bool rv_raise(struct rv_hart *h, enum rv_cause cause, uint64_t tval)
{
	h->trap_cause = cause;
	h->trap_tval = tval;
	return true;
}

static inline void rv_fs_dirty(struct rv_hart *h)
{
	h->sstatus |= RV_SSTATUS_FS_DIRTY;
}

static inline const struct dsm_ram *rv_ram(const struct rv_hart *h)
{
	return h->vcpu.env.ram;
}

/* Host address of guest-physical [pa, pa + bytes), NULL when that is not all RAM. */
static inline uint8_t *rv_ram_at(const struct rv_hart *h, uint64_t pa, uint64_t bytes)
{
	const struct dsm_ram *ram = rv_ram(h);
	uint64_t off = pa - ram->base.v; /* wraps to something large below the base */

	return range_inside(off, bytes, ram->bytes) ? ram->host + off : NULL;
}

/*
 *  The rest of this header is called on the vCPU's thread only. True means: an exception was
 *  raised.
 */

/* rv_hart.c: guest time in ticks of the timebase; the state of the floating-point unit is kept. */
uint64_t rv_time(struct rv_hart *h);
/* Sstc: set stip by the clock. Done at every attention, and before stip matters exactly. */
void rv_timer_look(struct rv_hart *h);
/* Pending major interrupts (sip), the timer as it was last looked at. */
uint64_t rv_pending(const struct rv_hart *h);
/* Would an interrupt be taken now? */
bool rv_interrupt_due(const struct rv_hart *h);
/* Answer what was asked of the vCPU and take an interrupt if one is due. False: leave the loop. */
bool rv_attention(struct rv_hart *h);
void rv_wfi(struct rv_hart *h);

/* rv_trap.c */
void rv_trap_enter(struct rv_hart *h, uint64_t cause, uint64_t tval);
/* Take the interrupt of highest priority, if one may be taken. */
bool rv_trap_interrupt(struct rv_hart *h);
bool rv_sret(struct rv_hart *h, uint32_t word);

/*
 *  rv_csr.c: one CSR instruction: *old gets the value before; bits of `clear` are cleared, then
 *  those of `set` set. ERR_INVAL: no such CSR, or not for this privilege or for writing.
 */
#define RV_CSR_WRITE 1u /* the instruction writes */
#define RV_CSR_READ  2u /* it reads */
MUST_CHECK int rv_csr_access(struct rv_hart *h, unsigned csr, unsigned what, uint64_t clear,
	uint64_t set, uint64_t *old);
const char *rv_csr_name(unsigned csr); /* NULL: no such CSR */

/* rv_sbi.c: ECALL from S mode. */
void rv_sbi_call(struct rv_hart *h);

/* rv_interp.c: the loop; and what the translator calls, too */
void rv_interp_run(struct rv_hart *h);
uint64_t rv_orc_b(uint64_t v);
bool rv_csr_insn(struct rv_hart *h, const struct rv_insn *d);

#endif
