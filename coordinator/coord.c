/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "coordinator/coord.h"
#include "proto/daemon.h"

struct args {
	struct daemon_args common;
	const char *listen, *state_dir, *pki, *identity, *address_file;
};

static const struct daemon daemon_coord = {
	.program = "mirrorball-coordinator",
	.name = "coordinator",
	.usage = "Usage: mirrorball-coordinator --listen HOST:PORT --state-dir DIR --pki DIR "
		 "[...]\nKeeps the inventory of hosts and VMs, places VMs and leads them through "
		 "their life.\n\n",
};

uint64_t coord_unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int bad(int status, const char *why)
{
	return daemon_bad(&daemon_coord, status, why);
}

static void on_signal(void *arg)
{
	struct coord *coord = arg;

	log_info(coord, "ending; VMs go on");
	loop_stop(coord->loop);
}

/* Whole or not at all: whoever waits for the file finds the address in it. */
static int write_address(const char *path, const char *address, char why[256])
{
	char tmp[1100];

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	FILE *f = fopen(tmp, "we");
	bool ok = f != NULL && fprintf(f, "%s\n", address) > 0;
	ok = f != NULL && fclose(f) == 0 && ok && rename(tmp, path) == 0;
	if (!ok)
		snprintf(why, 256, "cannot write %.180s: %s", path, strerror(errno));
	return ok ? 0 : ERR_IO;
}

static int serve(struct coord *coord, const struct args *a)
{
	char why[256], bound[96];
	int fd;

	int err = tls_listen(a->listen, &fd, bound, why);
	if (err != 0)
		return bad(1, why);
	err = coord_rpc_start(coord, fd);
	if (err == 0 && a->address_file != NULL)
		err = write_address(a->address_file, bound, why);
	err = err != 0 ? err : loop_signal_add(coord->loop, SIGTERM, on_signal, coord);
	err = err != 0 ? err : loop_signal_add(coord->loop, SIGINT, on_signal, coord);
	if (err != 0)
		return bad(1, why);
	log_info(coord, "listening on %s", bound);
	loop_run(coord->loop);
	coord_rpc_stop(coord);
	return 0;
}

static int run(struct coord *coord, const struct args *a)
{
	char why[256];
	int rc = 1;

	list_init(&coord->peers);
	list_init(&coord->hosts);
	list_init(&coord->vms);
	if (mkdir(a->state_dir, 0700) < 0 && errno != EEXIST) {
		snprintf(why, sizeof(why), "cannot make %.150s: %s; see --state-dir", a->state_dir,
			strerror(errno));
		return bad(1, why);
	}
	if (loop_create(&coord->loop) != 0)
		return bad(1, "cannot make an event loop");
	if (tls_ctx_create(a->pki, a->identity, &coord->tls, why) != 0) {
		bad(1, why);
		goto undo_loop;
	}
	if (tls_ctx_identity(coord->tls)->role != TLS_ROLE_COORDINATOR) {
		bad(1, "the certificate of --identity is not one for a coordinator; see "
		       "'mirrorball init'");
		goto undo_tls;
	}
	if (store_open(a->state_dir, &coord->store, why) != 0) {
		bad(1, why);
		goto undo_tls;
	}
	if (coord_hosts_load(coord) == 0 && coord_vms_load(coord) == 0)
		rc = serve(coord, a);
	coord_vms_free(coord);
	coord_hosts_free(coord);
	store_close(coord->store);
undo_tls:
	tls_ctx_destroy(coord->tls);
undo_loop:
	loop_destroy(coord->loop);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {.listen = "0.0.0.0:7440",
		.state_dir = "/var/lib/mirrorball",
		.pki = "/etc/mirrorball/pki",
		.identity = "coordinator"};
	const struct opt opts[] = {
		{"listen", OPT_TEXT, &a.listen, "HOST:PORT",
			"where to serve (0.0.0.0:7440); port 0 picks one"},
		{"address-file", OPT_TEXT, &a.address_file, "FILE",
			"write the address that is served to FILE"},
		{"state-dir", OPT_TEXT, &a.state_dir, "DIR",
			"what must survive a restart (/var/lib/mirrorball)"},
		{"pki", OPT_TEXT, &a.pki, "DIR", "certificates (/etc/mirrorball/pki)"},
		{"identity", OPT_TEXT, &a.identity, "NAME",
			"own certificate is NAME.crt, its key NAME.key (coordinator)"},
		DAEMON_OPTS(&a.common, "coord=debug,wire=warn"),
		{.name = NULL},
	};
	struct coord coord = {.loop = NULL};
	int status;

	if (!daemon_args_read(&daemon_coord, opts, argc, argv, &a.common, &status))
		return status;
	status = run(&coord, &a);
	daemon_args_free(&a.common);
	return status;
}
