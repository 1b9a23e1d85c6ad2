/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/agent.h"

#define ADOPT_NS UINT64_C(3000000000) /* one that does not answer must not hold up others */

void agent_adopt_done(struct agent_slice *s)
{
	struct agent *agent = s->agent;

	if (!s->adopting)
		return;
	s->adopting = false;
	log_info(agent, "vm %s: slice %u adopted, %s, pid %d", s->status.ref.vm,
		s->status.ref.slice, ctl_slice_state_text(s->status.state), s->pid);
	if (--agent->adopting == 0)
		loop_timer_arm(agent->adopt_timer, 0);
}

static int adopt_one(struct agent *agent, const char *name, const struct ctl_slice_ref *ref)
{
	struct agent_slice *s;
	struct stat st;
	char log[512], text[1024];

	int err = agent_slice_new(agent, &s);
	if (err != 0)
		return err;
	s->status.ref = *ref;
	int n = snprintf(s->dir, sizeof(s->dir), "%s/%s", agent->cfg.run_dir, name);
	s->dir_fd = n < 0 || (size_t)n >= sizeof(s->dir)
			    ? -1
			    : open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0) {
		agent_slice_free(s);
		return ERR_IO;
	}
	if (fstat(s->dir_fd, &st) == 0)
		s->uid = st.st_uid;
	s->adopting = true;
	agent->adopting++;
	err = agent_slice_attach(s);
	if (err == 0)
		return 0;
	agent_dir_log(agent, ref, log);
	snprintf(text, sizeof(text), "slice %u on %s ended while the agent was away; its log is %s",
		ref->slice, agent->name, log);
	agent_slice_gone(s, text);
	return 0;
}

static void on_adopt_timer(void *arg)
{
	struct agent *agent = arg;

	if (agent->adopting > 0)
		log_warn(agent, "%u slices do not answer, going on without their state",
			agent->adopting);
	agent->adopting = 0;
	list_foreach(it, &agent->slices) list_entry(it, struct agent_slice, node)->adopting = false;
	if (agent_link_start(agent) != 0)
		loop_timer_arm(agent->adopt_timer, ADOPT_NS);
}

int agent_adopt(struct agent *agent)
{
	struct ctl_slice_ref ref;
	struct dirent *e;
	int err = loop_timer_create(agent->loop, on_adopt_timer, agent, &agent->adopt_timer);

	if (err != 0)
		return err;
	DIR *d = opendir(agent->cfg.run_dir);
	if (d == NULL)
		return err_from_errno(errno);
	while ((e = readdir(d)) != NULL)
		if (agent_dir_parse(e->d_name, &ref) && adopt_one(agent, e->d_name, &ref) != 0)
			log_warn(agent, "cannot look at %s", e->d_name);
	closedir(d);
	loop_timer_arm(agent->adopt_timer, agent->adopting == 0 ? 0 : ADOPT_NS);
	return 0;
}
