/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/symbols.h"
#include "tests/lib/ut.h"

UT_SUITE(symbols);

#define LOAD UINT64_C(0x80200000)

static struct symbols *syms;
static char why[256];

static int load(const char *text)
{
	char path[] = "/tmp/mirrorball-symbols-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	FILE *f = fdopen(fd, "w");
	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	int err = symbols_load(path, LOAD, &syms, why, sizeof(why));
	unlink(path);
	return err;
}

static const char *on(uint64_t address)
{
	static char out[256];

	symbols_page(syms, address, out, sizeof(out));
	return out;
}

UT_TEST(the_largest_of_a_page_come_first)
{
	UT_OK(load("ffffffff81000000 T _start\n"
		   "ffffffff81000010 t small\n"
		   "ffffffff81000010 t same_place\n"
		   "ffffffff81000020 t $x\n"
		   "ffffffff81000020 T large\n"
		   "ffffffff81000f00 d middle\n"
		   "ffffffff81000fe0 d tail\n"
		   "ffffffff81003000 B _end\n"
		   "ffffffff01000000 t a_module\t[m]\n"
		   "0000000000000000 A per_cpu\n"));
	UT_EQ_STR(on(LOAD), "large middle tail +2");
	UT_EQ_STR(on(LOAD + 0x1000), "tail");
	UT_EQ_STR(on(LOAD + 0x2000), "tail");
	UT_EQ_STR(on(LOAD + 0x3000), "");
	UT_EQ_STR(on(LOAD - 0x1000), "");
	UT_EQ_STR(on(0), "");
	UT_EQ_STR(on(UINT64_MAX - 4095), "");
	symbols_free(syms);
}

UT_TEST(names_that_do_not_fit_are_cut)
{
	char out[8];

	UT_OK(load("1000 T _start\n1100 T a_long_name\n1800 T another\n2000 B _end\n"));
	symbols_page(syms, LOAD, out, sizeof(out));
	UT_EQ_STR(out, "another");
	symbols_free(syms);
}

UT_TEST(what_is_no_map_is_refused)
{
	UT_ERR(symbols_load("/nonexistent/map", LOAD, &syms, why, sizeof(why)), NOT_FOUND);
	UT_ERR(load(""), FORMAT);
	UT_ERR(load("ffffffffffffffff B ffffffffffffffff\n"), FORMAT); /* Debian's */
	UT_ERR(load("0 T _start\n0 T hidden\n0 T _end\n"), FORMAT);
	UT_HAS_STR(why, "/proc/kallsyms");
	UT_ERR(load("2000 T _start\n1000 T x\n1000 T _end\n"), FORMAT);
	UT_ERR(load("1000 T _start\n1000 T \x1b[2J\n2000 T _end\n"), FORMAT); /* two are left */
}
