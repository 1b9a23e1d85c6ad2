/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/agent.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool agent_dir_parse(const char *name, struct ctl_slice_ref *out)
{
	struct ctl_slice_ref ref = {.slice = 0};
	const char *hex = strrchr(name, '.');
	const char *p;

	if (hex == NULL || strlen(hex + 1) != 32)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		int hi = hex_digit(hex[1 + 2 * i]), lo = hex_digit(hex[2 + 2 * i]);
		if (hi < 0 || lo < 0)
			return false;
		ref.incarnation[i] = (uint8_t)(hi << 4 | lo);
	}
	for (p = hex; p > name && p[-1] != '.'; p--)
		;
	if (p == name || p == hex || hex - p > 3 || (size_t)(p - 1 - name) >= sizeof(ref.vm))
		return false;
	for (const char *d = p; d < hex; d++) {
		if (*d < '0' || *d > '9')
			return false;
		ref.slice = ref.slice * 10 + (uint32_t)(*d - '0');
	}
	memcpy(ref.vm, name, (size_t)(p - 1 - name));
	if (ref.slice >= SLICE_MAX || !ctl_name_valid(ref.vm))
		return false;
	*out = ref;
	return true;
}

int agent_dir_create(struct agent_slice *s, const struct ctl_slice_ref *ref)
{
	char hex[33];
	int err;

	ctl_incarnation_text(ref->incarnation, hex);
	int n = snprintf(s->dir, sizeof(s->dir), "%s/%s.%u.%s", s->agent->cfg.run_dir, ref->vm,
		ref->slice, hex);
	if (n < 0 || (size_t)n >= sizeof(s->dir))
		return ERR_RANGE;
	if (mkdir(s->dir, 0700) < 0)
		return err_from_errno(errno);
	s->dir_fd = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0 || (s->uid != 0 && chown(s->dir, s->uid, s->uid) < 0)) {
		err = err_from_errno(errno);
		agent_dir_remove(s);
		return err;
	}
	return 0;
}

/* The slice may have left files in its directory, but no directories: it has no need for any. */
void agent_dir_remove(struct agent_slice *s)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	if (rmdir(s->dir) < 0 && errno != ENOENT)
		log_warn(agent, "cannot remove %s: %m", s->dir);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	s->dir_fd = -1;
}

/* A socket's path has at most 107 bytes; the directory's may be longer. */
void agent_dir_socket(const struct agent_slice *s, char out[64])
{
	snprintf(out, 64, "/proc/self/fd/%d/ctl.sock", s->dir_fd);
}

void agent_dir_log(const struct agent *agent, const struct ctl_slice_ref *ref, char out[512])
{
	snprintf(out, 512, "%s/%s.%u.log", agent->cfg.log_dir, ref->vm, ref->slice);
}
