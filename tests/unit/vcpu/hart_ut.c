/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_hart.h"

#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(hart, rig_up, rig_down);

UT_TEST(state_goes_out_and_in)
{
	struct vcpu_state_rv64 s, t;

	UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
	for (unsigned i = 1; i < 32; i++)
		s.x[i] = s.f[i] = i * 1000;
	s.pc = RIG_CODE;
	s.sstatus = RV_SSTATUS_SUM | RV_SSTATUS_FS_DIRTY;
	s.fcsr = 0x9f;
	s.eip[1] = 77;
	s.eie[2] = 78;
	s.satp = (uint64_t)RV_SATP_SV48 << 60 | 5;
	s.hsm = VCPU_STARTED;
	s.instret = 12345;
	UT_OK(vcpu_rv64_set_state(rig.v[1], &s));
	UT_OK(vcpu_rv64_get_state(rig.v[1], &t));
	UT_EQ_MEM(&s, &t, sizeof(s));
	UT_EQ(vcpu_hsm_status(rig.v[1]), VCPU_STARTED);
	UT_EQ(atomic_load(vcpu_retired(rig.v[1])), 12345);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct vcpu_state_rv64 s;                                                          \
		UT_OK(vcpu_rv64_get_state(rig.v[0], &s));                                          \
		change;                                                                            \
		UT_ERR(vcpu_rv64_set_state(rig.v[0], &s), INVAL);                                  \
	} while (0)

UT_TEST(impossible_states_are_refused)
{
	REFUSED(s.x[0] = 1);
	REFUSED(s.pc = 1);
	REFUSED(s.priv = 3);
	REFUSED(s.sstatus = UINT64_MAX);
	REFUSED(s.satp = UINT64_C(10) << 60);
	REFUSED(s.fcsr = 0x100);
	REFUSED(s.hsm = 77);
	REFUSED(s.eithreshold = 5000);
	REFUSED(s.eip[0] = 1);
	REFUSED(s.siselect = 0x1000);
	REFUSED(s.senvcfg = 0x20);
}

UT_TEST(extensions_are_named)
{
	UT_HAS_STR(vcpu_rv64_isa(), "rv64imafdc_");
	UT_HAS_STR(vcpu_rv64_isa(), "_ssaia_sstc");
	for (const char *const *e = vcpu_rv64_extensions(false); *e != NULL; e++)
		UT_CHECK(strcmp(*e, "svadu") != 0);
	UT_EQ_STR(vcpu_rv64_extensions(true)[0], "i");
}
