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
#include "base/opts.h"
#include "coordinator/coord.h"

struct args {
	const char *config, *listen, *state_dir, *pki, *identity, *address_file, *log;
	bool help, version;
};

uint64_t coord_unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int bad(int status, const char *why)
{
	fprintf(stderr, "mirrorball-coordinator: %s\n", why);
	return status;
}

static void usage(const struct opt *opts)
{
	printf("Usage: mirrorball-coordinator --listen HOST:PORT --state-dir DIR --pki DIR [...]\n"
	       "Keeps the inventory of hosts and VMs, places VMs and leads them through their "
	       "life.\n\n");
	opts_help(opts, stdout);
	printf("\nThe names of the options are also the settings of the configuration file (name = "
	       "value).\n");
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
		{"config", OPT_TEXT, &a.config, "FILE", "read settings from FILE first"},
		{"listen", OPT_TEXT, &a.listen, "HOST:PORT",
			"where to serve (0.0.0.0:7440); port 0 picks one"},
		{"address-file", OPT_TEXT, &a.address_file, "FILE",
			"write the address that is served to FILE"},
		{"state-dir", OPT_TEXT, &a.state_dir, "DIR",
			"what must survive a restart (/var/lib/mirrorball)"},
		{"pki", OPT_TEXT, &a.pki, "DIR", "certificates (/etc/mirrorball/pki)"},
		{"identity", OPT_TEXT, &a.identity, "NAME",
			"own certificate is NAME.crt, its key NAME.key (coordinator)"},
		{"log", OPT_TEXT, &a.log, "SPEC", "log levels, as debug or coord=debug,wire=warn"},
		{"help", OPT_FLAG, &a.help, NULL, "this text"},
		{"version", OPT_FLAG, &a.version, NULL, "release and protocol"},
		{.name = NULL},
	};
	struct coord coord = {.loop = NULL};
	char why[256], *text = NULL;

	int n = opts_parse(opts, argc, argv, NULL, 0, NULL, why);
	if (n >= 0 && a.config != NULL) {
		n = opts_file(opts, a.config, &text, why);
		n = n != 0 ? n : opts_parse(opts, argc, argv, NULL, 0, NULL, why);
	}
	if (n < 0)
		return bad(2, why);
	if (a.help) {
		usage(opts);
		return 0;
	}
	if (a.version) {
		printf("mirrorball-coordinator %s, control protocol %u.%u\n", PACKAGE_VERSION,
			CTL_VERSION_MAJOR, CTL_VERSION_MINOR);
		return 0;
	}
	log_init("coordinator", NULL);
	if (a.log != NULL && log_set(a.log) != 0)
		return bad(2, "--log: no such level or subsystem");
	signal(SIGPIPE, SIG_IGN);
	int rc = run(&coord, &a);
	free(text);
	return rc;
}
