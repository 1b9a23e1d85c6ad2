/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_fp.h"

#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(fp, rig_up, rig_down);

#define INF_D  UINT64_C(0x7ff0000000000000)
#define SNAN_D UINT64_C(0x7ff0000000000001)

#define FMADD_D 0x02000043u
#define FADD_S  0x00000053u
#define FADD_D  0x02000053u
#define FMIN_D  0x2a000053u
#define FMAX_D  0x2a001053u

/* Execute one word on hart 0 with ft1 = a, ft2 = b, ft3 = c; ft0 and the flags come back. */
static uint64_t execute(uint32_t word, uint64_t a, uint64_t b, uint64_t c, unsigned rm)
{
	struct rv_hart *h = rig.h[0];
	struct rv_insn d;
	rv_decode(word | 1 << 15 | 2 << 20 | (word == FMADD_D ? 3u << 27 : 0), &d);
	h->f[1] = a;
	h->f[2] = b;
	h->f[3] = c;
	h->fflags = 0;
	unsigned saved = rv_fp_enter();
	rv_fp_execute(h, &d, rm);
	rv_fp_leave(h, saved);
	return h->f[0];
}

UT_TEST(nan_boxing)
{
	/* An unboxed single is the canonical NaN, quietly. */
	UT_EQ(execute(FADD_S, 0x3f800000, RV_BOX | 0x3f800000, 0, RV_RNE), RV_BOX | RV_NAN_S);
	UT_EQ(rig.h[0]->fflags, 0);
	UT_EQ(execute(FADD_S, RV_BOX | 0x3f800000, RV_BOX | 0x3f800000, 0, RV_RNE),
		RV_BOX | 0x40000000);
}

UT_TEST(invalid_product_with_a_quiet_nan)
{
	UT_EQ(execute(FMADD_D, INF_D, 0, RV_NAN_D, RV_RNE), RV_NAN_D);
	UT_EQ(rig.h[0]->fflags, RV_NV);
}

UT_TEST(minimum_and_maximum)
{
	UT_EQ(execute(FMIN_D, 0, UINT64_C(1) << 63, 0, 0), UINT64_C(1) << 63);
	UT_EQ(execute(FMAX_D, 0, UINT64_C(1) << 63, 0, 0), 0);
	UT_EQ(execute(FMIN_D, RV_NAN_D, 7, 0, 0), 7);
	UT_EQ(rig.h[0]->fflags, 0);
	UT_EQ(execute(FMIN_D, SNAN_D, 7, 0, 0), 7);
	UT_EQ(rig.h[0]->fflags, RV_NV);
	UT_EQ(execute(FMAX_D, RV_NAN_D, RV_NAN_D | 1, 0, 0), RV_NAN_D);
}

UT_TEST(every_rounding_mode)
{
	/* 1 + 2^-53 */
	static const uint64_t want[] = {0x3ff0000000000000, 0x3ff0000000000000, 0x3ff0000000000000,
		0x3ff0000000000001, 0x3ff0000000000001};
	for (unsigned rm = 0; rm < 5; rm++) {
		UT_EQ(execute(FADD_D, 0x3ff0000000000000, 0x3ca0000000000000, 0, rm), want[rm]);
		UT_EQ(rig.h[0]->fflags, RV_NX);
	}
}

UT_TEST(the_host_gets_its_modes_back)
{
	unsigned before = _mm_getcsr();
	(void)execute(FADD_D, SNAN_D, 0, 0, RV_RUP);
	UT_EQ(_mm_getcsr(), before);
	UT_EQ(rig.h[0]->fflags, RV_NV);
}
