/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_imsic.h"

#include "base/err.h"
#include "vcpu/rv64/rv_bits.h"

void rv_imsic_set(struct rv_imsic *f, uint32_t id)
{
	if (id == 0 || id > RV64_IMSIC_IDS)
		return;
	/*
	 *  Release: what the sender wrote before is visible to who claims it. Pairs with
	 *  rv_imsic_claim.
	 */
	atomic_fetch_or_explicit(&f->eip[id / 64], UINT64_C(1) << (id % 64), memory_order_release);
}

uint32_t rv_imsic_top(const struct rv_imsic *f)
{
	for (unsigned i = 0; i < RV_IMSIC_WORDS; i++) {
		uint64_t word = atomic_load_explicit(&f->eip[i], memory_order_relaxed) & f->eie[i];
		if (word == 0)
			continue;
		/*
		 *  "Lower identity numbers have higher priority"; the threshold masks itself and
		 *  above.
		 */
		uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(word);
		return f->eithreshold == 0 || id < f->eithreshold ? id : 0;
	}
	return 0;
}

void rv_imsic_claim(struct rv_imsic *f, uint32_t id)
{
	CHECK(id <= RV64_IMSIC_IDS);
	atomic_fetch_and_explicit(
		&f->eip[id / 64], ~(UINT64_C(1) << (id % 64)), memory_order_acquire);
}

/*
 * Which register is it? AIA 3.8: on RV64 odd numbers of the eip and eie arrays are illegal; the
 * other reserved numbers read 0. Arrays go beyond the implemented identities and are zero there.
 */
static int array_word(uint32_t sel, unsigned *word)
{
	if (sel < RV_ISEL_EIP0)
		return ERR_NOT_FOUND;
	if ((sel & 1) != 0)
		return ERR_INVAL;
	*word = (sel & 0x3f) / 2;
	return *word < RV_IMSIC_WORDS ? 0 : ERR_NOT_FOUND;
}

int rv_imsic_read(const struct rv_imsic *f, uint32_t sel, uint64_t *out)
{
	unsigned word;
	int rc = array_word(sel, &word);

	if (rc == ERR_INVAL)
		return rc;
	if (rc == 0)
		*out = sel < RV_ISEL_EIE0 ? atomic_load(&f->eip[word]) : f->eie[word];
	else if (sel == RV_ISEL_EIDELIVERY)
		*out = f->eidelivery;
	else if (sel == RV_ISEL_EITHRESHOLD)
		*out = f->eithreshold;
	else
		*out = 0;
	return 0;
}

int rv_imsic_modify(struct rv_imsic *f, uint32_t sel, uint64_t clear, uint64_t set)
{
	unsigned word;
	int rc = array_word(sel, &word);

	if (rc == ERR_INVAL)
		return rc;
	if (rc == 0) {
		uint64_t real =
			word == 0 ? ~UINT64_C(1) : ~UINT64_C(0); /* there is no identity 0 */
		if (sel >= RV_ISEL_EIE0) {
			f->eie[word] = ((f->eie[word] & ~clear) | set) & real;
		} else {
			/* Two steps, so that a message that arrives meanwhile is not lost. */
			atomic_fetch_and(&f->eip[word], ~(clear & ~set));
			atomic_fetch_or(&f->eip[word], set & real);
		}
	} else if (sel == RV_ISEL_EIDELIVERY) {
		f->eidelivery = (uint32_t)((f->eidelivery & ~clear) | set) & 1;
	} else if (sel == RV_ISEL_EITHRESHOLD) {
		f->eithreshold = (uint32_t)((f->eithreshold & ~clear) | set) & RV64_IMSIC_IDS;
	}
	return 0;
}
