/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabric-bench: what guest memory costs between hosts, each a process of its own on this machine.
 *
 *	fabric-bench --ip 127.0.0.1 --ip 127.0.0.1 [--name TEXT] [--repeat N] [--pages N]
 *	fabric-bench --ip 10.77.0.1 --netns /run/netns/host1 --ip 10.77.0.2 --netns /run/netns/host2
 *
 * As many hosts as addresses, host i on the i-th processor. Prints figures as lines of tabs, see
 * figures.h; status 1 when one could not be measured, a page had other bytes than were written
 * to it, or not every touch was the fault it should be; 77 without userfaultfd. In a build with
 * --enable-plant, --plant NAME switches a bug on.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"
#include "dsm/uffd.h"
#include "tests/bench/figures.h"

static int mode_of(const char *text, enum dsm_uffd_mode *out)
{
	static const char *const names[] = {[DSM_UFFD_AUTO] = "auto",
		[DSM_UFFD_COPY] = "copy",
		[DSM_UFFD_CONTINUE] = "continue",
		[DSM_UFFD_USER_ONLY] = "user-only"};
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*out = (enum dsm_uffd_mode)i;
		return 0;
	}
	return bench_complain("--uffd", "auto, copy, continue or user-only");
}

static int check(
	const struct opt_texts *ips, const struct opt_texts *netns, const struct figures_cfg *cfg)
{
	if (ips->n < 2 || ips->n > HOSTS_MAX)
		return bench_complain("--ip", "from two to four times");
	if (netns->n != 0 && netns->n != ips->n)
		return bench_complain("--netns", "as often as --ip, or not at all");
	if (cfg->repeat < 1 || cfg->repeat > SERIES_MAX / 2 || cfg->pages < 1 || cfg->pages > 65536)
		return bench_complain("--repeat is 1 to 32", "--pages 1 to 65536");
	return 0;
}

static int measure(const struct opt_texts *ips, const struct opt_texts *netns,
	const struct figures_cfg *cfg, struct series out[FIG_N])
{
	struct member members[HOSTS_MAX] = {{.pid = 0}};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < cfg->hosts; i++)
		rc = member_start(&members[i], i, ips->v[i], netns->n > 0 ? netns->v[i] : NULL);
	if (rc == 0)
		rc = figures_measure(members, cfg, out);
	/* What the others wait for may never come. */
	for (unsigned i = 0; rc != 0 && i < cfg->hosts; i++)
		if (members[i].pid > 0)
			kill(members[i].pid, SIGKILL);
	for (unsigned i = 0; i < cfg->hosts; i++)
		member_end(&members[i]);
	return rc;
}

/* Is there what guest memory needs? Says what is missing. */
static bool can(enum dsm_uffd_mode mode)
{
	enum uffd_way way;
	bool user_only;
	char why[256];
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	bool ok = uffd_probe(mode, dev, &way, &user_only, why, sizeof(why)) == 0;
	if (dev >= 0)
		close(dev);
	if (!ok)
		bench_complain("no userfaultfd", why);
	return ok;
}

static int plant(const char *name)
{
	if (name == NULL)
		return 0;
#ifdef PLANT_BUGS
	if (dsm_plant(name) == 0)
		return 0;
#endif
	return bench_complain("--plant: this build has no such bug", name);
}

int main(int argc, char **argv)
{
	struct opt_texts ips = {.n = 0}, netns = {.n = 0};
	struct figures_cfg cfg = {.repeat = 9, .pages = 500};
	const char *name = "fabric", *uffd = geteuid() == 0 ? "auto" : "user-only", *log = "error",
		   *bug = NULL;
	const struct opt opts[] = {
		{"ip", OPT_TEXTS, &ips, "IP", "address of a host; two to four times"},
		{"netns", OPT_TEXTS, &netns, "FILE", "network namespace of that host"},
		{"name", OPT_TEXT, &name, "TEXT", "stands before each figure's name"},
		{"repeat", OPT_U32, &cfg.repeat, "N", "repetitions (9)"},
		{"pages", OPT_U32, &cfg.pages, "N", "operations in a repetition (500)"},
		{"uffd", OPT_TEXT, &uffd, "WAY", "auto, copy, continue, user-only"},
		{"log", OPT_TEXT, &log, "SPEC", "as of mirrorball-slice (error)"},
		{"plant", OPT_TEXT, &bug, "BUG", "a bug that has to be noticed"},
		{.name = NULL},
	};
	static struct series figures[FIG_N];
	char why[256];
	if (opts_parse(opts, argc, argv, NULL, 0, NULL, why) < 0)
		return bench_complain("arguments", why) != 0 ? 2 : 0;
	cfg.hosts = ips.n;
	if (check(&ips, &netns, &cfg) != 0 || mode_of(uffd, &cfg.mode) != 0)
		return 2;
	log_init("fabric-bench", NULL);
	if (log_set(log) != 0)
		return bench_complain("--log", log) != 0 ? 2 : 0;
	if (plant(bug) != 0)
		return 2;
	if (!can(cfg.mode))
		return 77;
	if (measure(&ips, &netns, &cfg, figures) != 0)
		return 1;
	figures_print(figures, name);
	return 0;
}
