/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/agent.h"
#include "proto/daemon.h"

#define RESERVE_BYTES (UINT64_C(256) << 20) /* of the host's memory, for all that is not a guest */

struct args {
	struct agent_cfg cfg;
	struct daemon_args common;
	const char *uids;
};

static const struct daemon daemon_agent = {
	.program = "mirrorball-agent",
	.name = "agent",
	.usage = "Usage: mirrorball-agent --coordinator HOST:PORT --pki DIR --identity NAME "
		 "--fabric ADDRESS [...]\n"
		 "Runs the slices of VMs on this host, as the coordinator orders.\n\n",
};

static int bad_usage(const char *why)
{
	return daemon_bad(&daemon_agent, 2, why);
}

static uint64_t host_memory(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes > 2 * RESERVE_BYTES ? bytes - RESERVE_BYTES : bytes / 2;
}

static uint32_t host_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

/* "100000-165535" */
static bool parse_uids(const char *text, struct agent_cfg *cfg)
{
	unsigned first, last;
	char rest;

	if (sscanf(text, "%u-%u%c", &first, &last, &rest) != 2 || first == 0 || last < first)
		return false;
	cfg->uid_first = first;
	cfg->uids = last - first + 1;
	return true;
}

static int make_dir(const char *path)
{
	if (mkdir(path, 0711) < 0 && errno != EEXIST) {
		fprintf(stderr,
			"mirrorball-agent: cannot make %s: %s; choose another with --run-dir or "
			"--log-dir\n",
			path, strerror(errno));
		return 1;
	}
	return 0;
}

static void on_signal(void *arg)
{
	struct agent *agent = arg;

	log_info(agent, "ending; VMs go on");
	loop_stop(agent->loop);
}

static int run(struct agent *agent)
{
	char why[256];

	list_init(&agent->slices);
	if (loop_create(&agent->loop) != 0)
		return bad_usage("cannot make an event loop");
	int err = tls_ctx_create(agent->cfg.pki, agent->cfg.identity, &agent->tls, why);
	if (err != 0)
		goto undo_loop;
	const struct tls_identity *id = tls_ctx_identity(agent->tls);
	if (id->role != TLS_ROLE_AGENT) {
		snprintf(why, sizeof(why),
			"the certificate %.60s is for a %s, not for an agent; see 'mirrorball init "
			"--host'",
			agent->cfg.identity, tls_role_text(id->role));
		err = ERR_AUTH;
		goto undo_tls;
	}
	snprintf(agent->name, sizeof(agent->name), "%s", id->name);
	snprintf(why, sizeof(why), "%s", "cannot watch signals");
	err = loop_signal_add(agent->loop, SIGTERM, on_signal, agent);
	err = err != 0 ? err : loop_signal_add(agent->loop, SIGINT, on_signal, agent);
	if (err != 0)
		goto undo_tls;
	log_info(agent, "host %s, %u cpus, %llu MiB for guests", agent->name, agent->cfg.cpus,
		(unsigned long long)(agent->cfg.memory_bytes >> 20));
	snprintf(why, sizeof(why), "cannot read %.200s", agent->cfg.run_dir);
	err = agent_adopt(agent);
	if (err != 0)
		goto undo_tls;
	loop_run(agent->loop);
	agent_link_stop(agent);
	while (!list_empty(&agent->slices))
		agent_slice_free(list_first(&agent->slices, struct agent_slice, node));
	loop_timer_destroy(agent->adopt_timer);
undo_tls:
	tls_ctx_destroy(agent->tls);
undo_loop:
	loop_destroy(agent->loop);
	return err == 0 ? 0 : bad_usage(why);
}

int main(int argc, char **argv)
{
	struct args a = {.cfg = {.pki = "/etc/mirrorball/pki",
				 .identity = "agent",
				 .run_dir = "/run/mirrorball",
				 .log_dir = "/var/log/mirrorball",
				 .slice_program = LIBEXECDIR "/mirrorball-slice",
				 .slice_log = "info"}};
	const struct opt opts[] = {
		{"coordinator", OPT_TEXT, &a.cfg.coordinator, "HOST:PORT", "whom to serve"},
		{"pki", OPT_TEXT, &a.cfg.pki, "DIR", "certificates (/etc/mirrorball/pki)"},
		{"identity", OPT_TEXT, &a.cfg.identity, "NAME",
			"own certificate is NAME.crt, its key NAME.key (agent)"},
		{"fabric", OPT_TEXT, &a.cfg.fabric, "ADDRESS",
			"address of this host for slices of other hosts"},
		{"memory", OPT_BYTES, &a.cfg.memory_bytes, "SIZE",
			"memory for guests (all but a reserve)"},
		{"cpus", OPT_U32, &a.cfg.cpus, "N", "processors to report (all)"},
		{"uids", OPT_TEXT, &a.uids, "FIRST-LAST",
			"user ids for VMs, one each; as root only"},
		{"run-dir", OPT_TEXT, &a.cfg.run_dir, "DIR", "sockets of slices (/run/mirrorball)"},
		{"log-dir", OPT_TEXT, &a.cfg.log_dir, "DIR",
			"logs of slices (/var/log/mirrorball)"},
		{"slice-program", OPT_TEXT, &a.cfg.slice_program, "FILE",
			"(" LIBEXECDIR "/mirrorball-slice)"},
		{"slice-log", OPT_TEXT, &a.cfg.slice_log, "SPEC", "log levels of slices (info)"},
		DAEMON_OPTS(&a.common, "agent=debug,wire=warn"),
		{.name = NULL},
	};
	struct agent agent = {.loop = NULL};
	int status;

	if (!daemon_args_read(&daemon_agent, opts, argc, argv, &a.common, &status))
		return status;
	if (a.cfg.coordinator == NULL || a.cfg.fabric == NULL)
		return bad_usage("--coordinator and --fabric are needed; --help explains them");
	if (a.uids != NULL && !parse_uids(a.uids, &a.cfg))
		return bad_usage("--uids wants a range without 0, as 100000-165535");
	a.cfg.memory_bytes = a.cfg.memory_bytes == 0 ? host_memory() : a.cfg.memory_bytes;
	a.cfg.cpus = a.cfg.cpus == 0 ? host_cpus() : a.cfg.cpus;
	if (make_dir(a.cfg.run_dir) != 0 || make_dir(a.cfg.log_dir) != 0)
		return 1;
	agent.cfg = a.cfg;
	status = run(&agent);
	daemon_args_free(&a.common);
	return status;
}
