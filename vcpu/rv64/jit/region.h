/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_JIT_REGION_H
#define VCPU_RV64_JIT_REGION_H

#include "vcpu/rv64/rv_decode.h"

/*
 * A region is what is translated at once: instructions that follow each other in one guest page,
 * entered at the first. Conditional branches leave it in the middle; those that go to an
 * instruction of the same region stay inside, so a loop is one piece of code.
 */
#define REGION_INSNS 256

/* How an instruction is translated. */
enum region_kind {
	KIND_PLAIN,  /* computes; falls through */
	KIND_MEMORY, /* load or store of an integer or floating-point register */
	KIND_HELPER, /* by a call that sees and changes the hart's state */
	KIND_BRANCH, /* conditional */
	KIND_JUMP,   /* jal, jalr: ends a region */
	KIND_SYSTEM, /* ecall, sret: a helper that does not come back; ends a region, too */
	KIND_NONE,   /* the interpreter's: ends a region before it */
};

/*
 * Accesses through the same base register, with nothing between them that could change it or what
 * is mapped: one look into the soft TLB, by the first, serves all.
 */
struct region_group {
	uint8_t last;      /* index of its last access */
	uint8_t align;     /* of the base, in bytes */
	bool write;        /* one of them is a store */
	int32_t low, span; /* multiples of align: from the first unit to the last */
};

struct region_insn {
	struct rv_insn d;
	uint16_t at; /* bytes from the start of the region */
	uint8_t kind;
	bool label; /* a jump of the region goes here */
	bool loop;  /* ... backwards */
	bool leads; /* begins the group below */
	/*
	 *  Load-reserved and store-conditional of one address, with nothing between them that
	 *  touches memory, and no way to the second but by the first.
	 */
	bool paired;
	struct region_group group;
};

struct region {
	uint64_t va;
	unsigned n;
	uint32_t bytes;
	unsigned most; /* instructions; it ends there */
	struct region_insn insn[REGION_INSNS];
};

/*
 * Read the region at `va`, of at most `most` instructions, from `host`, of which `bytes` may be
 * read (to the end of the page).
 * `stop(ctx, va)` says that a region begins at an address, which then is not repeated in this one.
 */
void region_read(struct region *r, uint64_t va, unsigned most, const uint8_t *host, unsigned bytes,
	bool (*stop)(void *ctx, uint64_t va), void *ctx);

/* Integer registers of an instruction, a bit each; x0 is not one. */
struct region_regs {
	uint32_t read, written;
};
struct region_regs region_regs(const struct rv_insn *d);

/* The instruction of the region that a jump or branch goes to, or -1. */
int region_target(const struct region *r, unsigned index);

/* The instruction of the region at an address, or -1. */
int region_index(const struct region *r, uint64_t va);

/* Loads and stores: how many bytes, 0 for all others; and which. */
unsigned region_access_bytes(unsigned op);
bool region_is_store(unsigned op);
bool region_is_fp_access(unsigned op);

#endif
