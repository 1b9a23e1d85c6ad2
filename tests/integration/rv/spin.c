/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is there at once and never at rest: each hart writes its counter into a page on
 * every node and reads the next hart's, and hart 0 prints the sum of all four times a second. Made
 * for one hart a node, each node with NODE_BYTES of memory, so that every slice needs every other
 * one all the time.
 */
#include "tests/engine/rv/rt.h"

#define RAM        0x80000000UL
#define NODE_BYTES (128UL << 20)
#define AWAY       (64UL << 20) /* behind the program, on each node */
#define HARTS_MAX  16
#define TICKS      2500000 /* of the time counter at 10 MHz: a quarter of a second */

static unsigned long harts;

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
}

/* A page for each pair of writer and node: nobody shares one by accident. */
static volatile uint64_t *cell(unsigned long hart, unsigned long node)
{
	return (volatile uint64_t *)(RAM + node * NODE_BYTES + AWAY + hart * 4096);
}

void secondary(unsigned long hart, unsigned long opaque)
{
	for (uint64_t n = 1;; n++) {
		for (unsigned long node = 0; node < harts; node++) {
			*cell(hart, node) = n;
			(void)*cell((hart + 1) % harts, node);
		}
	}
}

int main(void)
{
	while (harts < HARTS_MAX && sbi(SBI_HSM, 2, harts, 0, 0, 0, 0).error == 0)
		harts++;
	print("spin on %lu harts\n", harts);
	for (unsigned long h = 1; h < harts; h++)
		sbi(SBI_HSM, 0, h, (unsigned long)hart_entry, h, 0, 0);
	uint64_t next = csr_read(time);
	for (uint64_t n = 1;; n++) {
		uint64_t sum = 0;
		for (unsigned long node = 0; node < harts; node++) {
			*cell(0, node) = n;
			for (unsigned long h = 0; h < harts; h++)
				sum += *cell(h, node);
		}
		if (csr_read(time) >= next) {
			print("sum %lu\n", sum);
			next += TICKS;
		}
	}
}
