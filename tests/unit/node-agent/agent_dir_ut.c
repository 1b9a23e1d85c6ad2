/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node-agent/agent.h"
#include "proto/ctl_unix.h"
#include "tests/lib/ut.h"

UT_SUITE(agent_dir);

#define HEX "00112233445566778899aabbccddeeff"

UT_TEST(names)
{
	struct ctl_slice_ref ref;

	UT_CHECK(agent_dir_parse("my.vm-1.12." HEX, &ref));
	UT_EQ_STR(ref.vm, "my.vm-1");
	UT_EQ(ref.slice, 12);
	UT_EQ(ref.incarnation[1], 0x11);
	UT_EQ(ref.incarnation[15], 0xff);
	static const char *const bad[] = {"", ".", "..", "x", "x.0", "x.0." HEX "0", "x." HEX,
		"x.." HEX, ".0." HEX, "x.256." HEX, "x.1000." HEX, "x.-1." HEX,
		"x.0.00112233445566778899AABBCCDDEEFF", "-x.0." HEX, "x y.0." HEX};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (agent_dir_parse(bad[i], &ref))
			UT_FAIL("'%s' is taken", bad[i]);
}

UT_TEST(made_and_removed)
{
	char base[300], path[600], sock[64], log[512];
	struct agent agent = {.cfg = {.run_dir = base, .log_dir = "/logs"}};
	struct agent_slice s = {.agent = &agent, .dir_fd = -1};
	struct ctl_slice_ref ref = {.vm = "x", .slice = 3}, parsed;
	struct stat st;
	int fd;

	/* Longer than a socket's path may be. */
	snprintf(base, sizeof(base), "/tmp/mb-dir-%d-%0150d", (int)getpid(), 0);
	UT_CHECK(mkdir(base, 0700) == 0);
	UT_OK(agent_dir_create(&s, &ref));
	UT_CHECK(stat(s.dir, &st) == 0 && (st.st_mode & 0777) == 0700);
	UT_CHECK(agent_dir_parse(strrchr(s.dir, '/') + 1, &parsed));
	UT_EQ(parsed.slice, 3);
	agent_dir_socket(&s, sock);
	UT_OK(ctl_unix_listen(sock, &fd));
	snprintf(path, sizeof(path), "%s/ctl.sock", s.dir);
	UT_CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
	close(fd);
	UT_ERR(agent_dir_create(&(struct agent_slice){.agent = &agent, .dir_fd = -1}, &ref),
		EXISTS);
	agent_dir_remove(&s);
	UT_CHECK(stat(s.dir, &st) < 0 && s.dir_fd == -1);
	UT_CHECK(rmdir(base) == 0);
	agent_dir_log(&agent, &ref, log);
	UT_EQ_STR(log, "/logs/x.3.log");
}
