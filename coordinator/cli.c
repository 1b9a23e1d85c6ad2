/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "coordinator/cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"

static const struct verb verbs[] = {
	{"init", NULL, "[--dir DIR] [--host NAME | --user NAME --role ROLE]", "make certificates",
		cli_init},
	{"host", "list", "", "all hosts and what is used of them", cli_host_list},
	{"host", "show", "NAME", "one host with its features", cli_host_show},
	{"host", "remove", "NAME", "forget a host that will not come back", cli_host_remove},
	{"audit", "list", "[--last N]", "who changed what", cli_audit_list},
	{"vm", "create", "NAME [options]", "describe a VM; it is started later", cli_vm_create},
	{"vm", "start", "NAME", "start it and wait until it runs", cli_vm_start},
	{"vm", "stop", "NAME", "stop it at once, as if its power were cut", cli_vm_stop},
	{"vm", "destroy", "NAME", "forget it; disk images stay", cli_vm_destroy},
	{"vm", "list", "", "all VMs", cli_vm_list},
	{"vm", "show", "NAME", "one VM with its slices", cli_vm_show},
	{"vm", "stats", "NAME [--watch]", "counters of each slice", cli_vm_stats},
	{"vm", "pages", "NAME [--top N] [--system-map FILE]", "the pages most asked for",
		cli_vm_pages},
	{"vm", "wait", "NAME [--timeout S]", "wait until it has stopped, print why", cli_vm_wait},
	{"vm", "console", "NAME", "attach to its console; Ctrl-] leaves", cli_vm_console},
	{"vm", "exec", "NAME [--timeout S] -- COMMAND...", "run a command in the guest",
		cli_vm_exec},
};

void cli_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("mirrorball: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

const struct verb *cli_verb(const char *noun, const char *verb)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].noun, noun) == 0 &&
			(verbs[i].verb == NULL ||
				(verb != NULL && strcmp(verbs[i].verb, verb) == 0)))
			return &verbs[i];
	return NULL;
}

static void usage(FILE *out, const char *noun)
{
	fprintf(out, "Usage: mirrorball NOUN VERB [...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const struct verb *v = &verbs[i];
		char head[80];
		if (noun != NULL && strcmp(noun, v->noun) != 0)
			continue;
		snprintf(head, sizeof(head), "%s%s%s %s", v->noun, v->verb == NULL ? "" : " ",
			v->verb == NULL ? "" : v->verb, v->args);
		fprintf(out, "  %-46s %s\n", head, v->help);
	}
	fprintf(out, "\nEach has --help. 'mirrorball --version' prints the release.\n");
}

bool cli_parse(struct cli *cli, const struct verb *verb, const struct opt *opts, int argc,
	char **argv, const char **words, unsigned min, unsigned max, unsigned *n, int *status)
{
	unsigned dashes;
	char why[256];

	*status = CLI_USAGE;
	int got = opts_parse(opts, argc, argv, words, max, &dashes, why);
	if (got < 0) {
		cli_error("%s", why);
		return false;
	}
	if (cli->help) {
		printf("Usage: mirrorball %s%s%s %s\n%s.\n\n", verb->noun,
			verb->verb == NULL ? "" : " ", verb->verb == NULL ? "" : verb->verb,
			verb->args, verb->help);
		opts_help(opts, stdout);
		*status = CLI_OK;
		return false;
	}
	if ((unsigned)got < min) {
		cli_error("something is missing: mirrorball %s %s %s", verb->noun,
			verb->verb == NULL ? "" : verb->verb, verb->args);
		return false;
	}
	if (strcmp(cli->output, "json") != 0 && strcmp(cli->output, "text") != 0) {
		cli_error("--output is text or json, not '%s'", cli->output);
		return false;
	}
	cli->json = strcmp(cli->output, "json") == 0;
	if (n != NULL)
		*n = (unsigned)got;
	return true;
}

/* --- connection ------------------------------------------------------------------------------ */

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct cli *cli = arg;

	cli->ready = true;
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	ctl_conn_refuse(
		conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL, "a command line serves nothing");
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	if (rx->type == CTL_VM_PROGRESS)
		fprintf(stderr, "%s\n", ((const struct ctl_progress *)rx->msg)->text);
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct cli *cli = arg;

	snprintf(cli->why, sizeof(cli->why), "%s", why);
	cli->ready = false;
	ctl_conn_destroy(conn);
	cli->conn = NULL;
}

static const struct ctl_conn_ops conn_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

int cli_connect(struct cli *cli)
{
	struct ctl_conn_params params = {
		.connector = true,
		.hello = {.program = "mirrorball", .version = PACKAGE_VERSION},
		.idle_ns = UINT64_C(15000000000),
	};
	struct ctl_io *io;

	if (cli->ready)
		return 0;
	int err = cli->loop == NULL ? loop_create(&cli->loop) : 0;
	snprintf(cli->why, sizeof(cli->why), "cannot make an event loop");
	if (err == 0 && cli->tls == NULL)
		err = tls_ctx_create(cli->pki, cli->identity, &cli->tls, cli->why);
	if (err == 0)
		err = tls_connect(cli->tls, cli->coordinator, TLS_ROLE_COORDINATOR, &io, cli->why);
	if (err == 0)
		err = ctl_conn_create(cli->loop, io, &params, &conn_ops, cli, &cli->conn);
	if (err != 0) {
		cli_error("%s", cli->why);
		return err;
	}
	cli->why[0] = '\0';
	while (!cli->ready && cli->why[0] == '\0')
		loop_once(cli->loop, -1);
	if (cli->ready)
		return 0;
	cli_error("%s", cli->why);
	return ERR_CONNECT;
}

struct call {
	bool done;
	int err;
	uint16_t type;
	void *reply;
	struct ctl_fault *fault;
};

static void on_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct call *c = arg;
	enum ctl_msg kind = ctl_type_reply(c->type);

	c->done = true;
	c->err = err;
	if (err != 0) {
		*c->fault = *fault;
		return;
	}
	c->reply = malloc(ctl_msg_bytes(kind));
	c->err = c->reply == NULL ? ERR_NO_MEMORY : ctl_msg_copy(kind, c->reply, msg);
	if (c->err == 0)
		return;
	free(c->reply);
	c->reply = NULL;
	snprintf(c->fault->text, sizeof(c->fault->text), "out of memory");
}

int cli_try(struct cli *cli, uint16_t type, const void *msg, void **reply, struct ctl_fault *fault)
{
	struct call c = {.type = type, .fault = fault};

	memset(fault, 0, sizeof(*fault));
	*reply = NULL;
	int err = cli->conn == NULL
			  ? ERR_LINK_DOWN
			  : ctl_conn_request(cli->conn, type, msg, NULL, 0, 0, on_reply, &c, NULL);
	if (err != 0) {
		fault->code = (uint32_t)-err;
		snprintf(fault->text, sizeof(fault->text), "%s", err_text(err));
		return err;
	}
	while (!c.done)
		loop_once(cli->loop, -1);
	*reply = c.reply;
	return c.err;
}

int cli_call(struct cli *cli, uint16_t type, const void *msg, void **reply)
{
	struct ctl_fault fault;
	int err = cli_connect(cli);

	if (err != 0)
		return err;
	err = cli_try(cli, type, msg, reply, &fault);
	if (err != 0)
		cli_error("%s%s%s", fault.text, fault.hint[0] == '\0' ? "" : "\n  ", fault.hint);
	return err;
}

void cli_free(uint16_t type, void *reply)
{
	if (reply == NULL)
		return;
	ctl_msg_fini(ctl_type_reply(type), reply);
	free(reply);
}

static const char *env_or(const char *name, const char *fallback)
{
	const char *v = getenv(name);

	return v == NULL || *v == '\0' ? fallback : v;
}

const char *cli_bytes(uint64_t bytes, char out[32])
{
	static const char units[] = "KMGT";
	unsigned u = 0;
	uint64_t v = bytes / 1024;

	for (; u + 1 < sizeof(units) - 1 && v >= 10240; u++)
		v /= 1024;
	if (bytes < 10240)
		snprintf(out, 32, "%llu B", (unsigned long long)bytes);
	else
		snprintf(out, 32, "%llu %ciB", (unsigned long long)v, units[u]);
	return out;
}

const char *cli_time(uint64_t unix_ms, char out[32])
{
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;

	if (unix_ms == 0 || localtime_r(&t, &tm) == NULL ||
		strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, 32, "never");
	return out;
}

int main(int argc, char **argv)
{
	struct cli cli = {
		.coordinator = env_or("MIRRORBALL_COORDINATOR", "127.0.0.1:7440"),
		.pki = env_or("MIRRORBALL_PKI", "/etc/mirrorball/pki"),
		.identity = env_or("MIRRORBALL_IDENTITY", "admin"),
		.output = "text",
	};

	if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
		printf("mirrorball %s, control protocol %u.%u\n", PACKAGE_VERSION,
			CTL_VERSION_MAJOR, CTL_VERSION_MINOR);
		return CLI_OK;
	}
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		usage(argc < 2 ? stderr : stdout, NULL);
		return argc < 2 ? CLI_USAGE : CLI_OK;
	}
	const struct verb *v = cli_verb(argv[1], argc > 2 ? argv[2] : NULL);
	if (v == NULL) {
		bool help = argc > 2 && strcmp(argv[2], "--help") == 0;
		usage(help ? stdout : stderr, cli_verb(argv[1], "list") == NULL ? NULL : argv[1]);
		if (!help && argc > 2)
			cli_error("there is no '%s %s'", argv[1], argv[2]);
		return help ? CLI_OK : CLI_USAGE;
	}
	log_init("mirrorball", NULL);
	log_set_level(LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	int skip = v->verb == NULL ? 1 : 2;
	int rc = v->run(&cli, argc - skip, argv + skip);
	ctl_conn_destroy(cli.conn);
	tls_ctx_destroy(cli.tls);
	if (cli.loop != NULL)
		loop_destroy(cli.loop);
	if (fflush(stdout) != 0 && rc == CLI_OK)
		rc = CLI_ERROR;
	return rc;
}
