/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice-driver: a VM on this machine without agent and coordinator, to try the slice process.
 *
 *	slice-driver --slice-program PROG --dir DIR --slices 2 --vcpus 4 --memory 1G --kernel Image
 *		[--initrd FILE] [--append TEXT] [--disk FILE[,nonpersistent]] [--exec COMMAND]...
 *
 * The console goes to stdout and comes from stdin; with --exec the command's output instead, and
 * its status is the program's. Several commands run one after another, whatever their statuses; the
 * status is then the last one's. With --out the Nth command (from 0) leaves OUT/N.out, N.err and
 * N.status, and the console OUT/console. Ends when the VM does: 0 power-off or reboot, 201 panic,
 * 202 lost slice, 203 --timeout or a signal, 204 anything else. --stats prints those counters of
 * all slices after each command, as "name slice value", to stderr or to OUT/N.stats.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/opts.h"
#include "tests/lib/slice_driver.h"

struct drive {
	struct loop *loop;
	struct slice_driver *d;
	const char *out; /* directory, or NULL */
	unsigned n;      /* of the command */
	unsigned slices;
	const char *stats;
	FILE *console, *to[2]; /* the command's stdout and stderr */
	struct ctl_stream *stream;
	struct ctl_stream_close close;
	bool exec, closed, over;
};

/* OUT/name, OUT/N.name for a command; without --out the stream given. */
static FILE *out_open(const struct drive *v, const char *name, FILE *otherwise)
{
	char path[512];

	if (v->out == NULL)
		return otherwise;
	if (v->exec)
		snprintf(path, sizeof(path), "%s/%u.%s", v->out, v->n, name);
	else
		snprintf(path, sizeof(path), "%s/%s", v->out, name);
	FILE *f = fopen(path, "w");
	if (f == NULL) {
		fprintf(stderr, "slice-driver: cannot write %s\n", path);
		exit(2);
	}
	return f;
}

static void out_close(FILE *f)
{
	if (f != stdout && f != stderr)
		fclose(f);
	else
		fflush(f);
}

static void on_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct drive *v = arg;
	FILE *f = v->to[channel == CTL_CHANNEL_ERR];

	fwrite(buf, 1, len, f);
	fflush(f);
	ctl_stream_consumed(s, len);
}

static void on_console(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct drive *v = arg;

	fwrite(buf, 1, len, v->console);
	fflush(v->console);
	ctl_stream_consumed(s, len);
}

static void on_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
}

static void on_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct drive *v = arg;

	v->closed = true;
	v->stream = NULL;
	v->close = *close;
}

static void on_console_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	/* The command's stream says why. */
}

static const struct ctl_stream_ops console_ops = {
	.data = on_console,
	.credit = on_credit,
	.closed = on_console_closed,
};

static const struct ctl_stream_ops stream_ops = {
	.data = on_data,
	.credit = on_credit,
	.closed = on_closed,
};

static void on_stdin(void *arg, int fd, unsigned ready)
{
	struct drive *v = arg;
	char buf[256];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0 && v->stream != NULL)
		ctl_stream_write(v->stream, CTL_CHANNEL_MAIN, buf, (size_t)n);
}

/* The time is over, or a signal has come: the slices must not outlive us. */
static void on_end(void *arg)
{
	struct drive *v = arg;

	v->over = true;
}

static int status_of(uint32_t reason)
{
	return reason == CTL_STOP_POWER_OFF || reason == CTL_STOP_REBOOT ? 0
	       : reason == CTL_STOP_PANIC                                ? 201
	       : reason == CTL_STOP_LOST                                 ? 202
									 : 204;
}

static void print_stats(struct drive *v)
{
	char list[1024];
	int64_t value;
	FILE *f;

	if (v->stats == NULL)
		return;
	f = out_open(v, "stats", stderr);
	snprintf(list, sizeof(list), "%s", v->stats);
	for (char *p = list, *name; (name = strsep(&p, ",")) != NULL;)
		for (unsigned i = 0; i < v->slices; i++)
			if (slice_driver_stat(v->d, i, name, &value))
				fprintf(f, "%s %u %lld\n", name, i, (long long)value);
	out_close(f);
}

/* One stream of the VM until it closes or the time is over; the status it gives. */
static int follow(struct drive *v, const struct ctl_stream_open *open)
{
	struct ctl_conn *conn = slice_driver_conn(v->d, 0);

	v->closed = false;
	if (conn == NULL || ctl_stream_open(conn, open, &stream_ops, v, &v->stream) != 0)
		return 204;
	while (!v->closed && !v->over)
		loop_once(v->loop, -1);
	if (v->over)
		return 203;
	if (v->close.code == 0)
		return (int)v->close.exit_status;
	fprintf(stderr, "slice-driver: %s: %s\n", ctl_stop_reason_text(v->close.reason),
		v->close.text);
	return status_of(v->close.reason);
}

static int run_command(struct drive *v, const char *command)
{
	struct ctl_stream_open open = {.vm = "driven",
		.kind = CTL_STREAM_EXEC,
		.command = (uint8_t *)command,
		.n_command = (uint32_t)strlen(command)};
	FILE *status;
	int rc;

	v->to[0] = out_open(v, "out", stdout);
	v->to[1] = out_open(v, "err", stderr);
	rc = follow(v, &open);
	out_close(v->to[0]);
	out_close(v->to[1]);
	print_stats(v);
	if (v->out == NULL)
		return rc;
	status = out_open(v, "status", NULL);
	fprintf(status, "%d\n", rc);
	fclose(status);
	return rc;
}

static int run_commands(struct drive *v, const struct opt_texts *commands)
{
	const struct ctl_stream_open open = {.vm = "driven", .kind = CTL_STREAM_CONSOLE};
	struct ctl_stream *console;
	int rc = 204;

	if (v->out != NULL) {
		v->console = out_open(v, "console", NULL);
		if (ctl_stream_open(slice_driver_conn(v->d, 0), &open, &console_ops, v, &console) !=
			0)
			return rc;
	}
	v->exec = true;
	for (v->n = 0; v->n < commands->n; v->n++) {
		rc = run_command(v, commands->v[v->n]);
		if (v->over || v->close.code != 0)
			break;
	}
	return rc;
}

static int run_console(struct drive *v)
{
	const struct ctl_stream_open open = {.vm = "driven", .kind = CTL_STREAM_CONSOLE};
	struct loop_fd *in = NULL;
	int rc;

	v->to[0] = v->to[1] = stdout;
	if (loop_fd_add(v->loop, STDIN_FILENO, LOOP_READ, on_stdin, v, &in) != 0)
		in = NULL;
	rc = follow(v, &open);
	if (in != NULL)
		loop_fd_remove(in);
	print_stats(v);
	return rc;
}

static int run(struct drive *v, const struct opt_texts *commands)
{
	int rc;

	if (slice_driver_start(v->d) != 0 || slice_driver_conn(v->d, 0) == NULL)
		return 204;
	rc = commands->n > 0 ? run_commands(v, commands) : run_console(v);
	slice_driver_stop(v->d, CTL_STOP_REQUEST);
	slice_driver_wait(v->d, 10000);
	if (v->console != NULL)
		fclose(v->console);
	return rc;
}

static void take_disks(const struct opt_texts *texts, struct ctl_vm_spec *vm)
{
	static const char suffix[] = ",nonpersistent";

	vm->disks = calloc(texts->n + 1, sizeof(*vm->disks));
	for (unsigned i = 0; vm->disks != NULL && i < texts->n; i++) {
		struct ctl_disk *d = &vm->disks[vm->n_disks++];
		snprintf(d->path, sizeof(d->path), "%s", texts->v[i]);
		char *s = strstr(d->path, suffix);
		d->nonpersistent = s != NULL;
		if (s != NULL)
			*s = '\0';
	}
}

static void take_options(const struct opt_texts *texts, struct ctl_vm_spec *vm)
{
	vm->options = calloc(texts->n + 1, sizeof(*vm->options));
	for (unsigned i = 0; vm->options != NULL && i < texts->n; i++) {
		struct ctl_option *o = &vm->options[vm->n_options++];
		const char *eq = strchr(texts->v[i], '=');
		size_t len = eq == NULL ? strlen(texts->v[i]) : (size_t)(eq - texts->v[i]);
		snprintf(o->name, sizeof(o->name), "%.*s", (int)len, texts->v[i]);
		snprintf(o->value, sizeof(o->value), "%s", eq == NULL ? "yes" : eq + 1);
	}
}

static void take_clocks(const struct opt_texts *texts, struct ctl_vm_spec *vm)
{
	vm->clocks = calloc(texts->n + 1, sizeof(*vm->clocks));
	for (unsigned i = 0; vm->clocks != NULL && i < texts->n; i++) {
		struct ctl_slice_clock *c = &vm->clocks[vm->n_clocks++];
		long long offset = 0, ppm = 0;
		if (sscanf(texts->v[i], "%u:%lld:%lld", &c->slice, &offset, &ppm) != 3)
			fprintf(stderr, "slice-driver: --clock wants SLICE:NS:PPM\n");
		c->offset_ns = offset;
		c->ppm = ppm;
	}
}

int main(int argc, char **argv)
{
	struct slice_driver_cfg cfg = {.slices = 1, .dir = "."};
	struct ctl_vm_spec *vm = &cfg.vm;
	const char *kernel = "", *initrd = "", *append = "", *net = "none", *uffd = "auto",
		   *cpu = "", *engine = "rv64", *provider = "";
	struct opt_texts disks = {.n = 0}, options = {.n = 0}, clocks = {.n = 0},
			 commands = {.n = 0};
	uint32_t timeout_s = 0, slices = 1;
	struct drive v = {.d = NULL};
	const struct opt opts[] = {
		{"slice-program", OPT_TEXT, &cfg.program, "FILE", ""},
		{"dir", OPT_TEXT, &cfg.dir, "DIR", ""},
		{"log", OPT_TEXT, &cfg.log, "SPEC", ""},
		{"slices", OPT_U32, &slices, "N", ""},
		{"vcpus", OPT_U32, &vm->vcpus, "N", ""},
		{"memory", OPT_BYTES, &vm->memory_bytes, "SIZE", ""},
		{"cache", OPT_BYTES, &vm->cache_bytes, "SIZE", ""},
		{"lease-ms", OPT_U32, &vm->lease_ms, "MS", ""},
		{"unsealed", OPT_FLAG, &vm->unsealed, NULL, ""},
		{"kernel", OPT_TEXT, &kernel, "FILE", ""},
		{"initrd", OPT_TEXT, &initrd, "FILE", ""},
		{"append", OPT_TEXT, &append, "TEXT", ""},
		{"disk", OPT_TEXTS, &disks, "FILE", ""},
		{"net", OPT_TEXT, &net, "MODE", ""},
		{"uffd", OPT_TEXT, &uffd, "MODE", ""},
		{"cpu", OPT_TEXT, &cpu, "LIST", ""},
		{"engine", OPT_TEXT, &engine, "ENGINE", ""},
		{"provider", OPT_TEXT, &provider, "NAME", ""},
		{"option", OPT_TEXTS, &options, "NAME=VALUE", ""},
		{"clock", OPT_TEXTS, &clocks, "SLICE:NS:PPM", ""},
		{"exec", OPT_TEXTS, &commands, "COMMAND", ""},
		{"out", OPT_TEXT, &v.out, "DIR", ""},
		{"timeout", OPT_U32, &timeout_s, "SECONDS", ""},
		{"stats", OPT_TEXT, &v.stats, "NAME,NAME", ""},
		{.name = NULL},
	};
	struct loop_timer *timer;
	char why[256];

	if (opts_parse(opts, argc, argv, NULL, 0, NULL, why) < 0 || cfg.program == NULL) {
		fprintf(stderr, "slice-driver: %s\n",
			cfg.program == NULL ? "--slice-program?" : why);
		return 2;
	}
	cfg.slices = MIN(MAX(slices, 1u), (uint32_t)SLICE_MAX);
	vm->vcpus = vm->vcpus == 0 ? cfg.slices : vm->vcpus;
	vm->memory_bytes =
		vm->memory_bytes == 0 ? (UINT64_C(256) << 20) * cfg.slices : vm->memory_bytes;
	snprintf(vm->kernel, sizeof(vm->kernel), "%s", kernel);
	snprintf(vm->initrd, sizeof(vm->initrd), "%s", initrd);
	snprintf(vm->append, sizeof(vm->append), "%s", append);
	snprintf(vm->net, sizeof(vm->net), "%s", net);
	snprintf(vm->uffd, sizeof(vm->uffd), "%s", uffd);
	snprintf(vm->cpu, sizeof(vm->cpu), "%s", cpu);
	snprintf(vm->engine, sizeof(vm->engine), "%s", engine);
	snprintf(vm->provider, sizeof(vm->provider), "%s", provider);
	take_disks(&disks, vm);
	take_options(&options, vm);
	take_clocks(&clocks, vm);
	log_init("slice-driver", NULL);
	signal(SIGPIPE, SIG_IGN);
	CHECK(loop_create(&v.loop) == 0 && loop_timer_create(v.loop, on_end, &v, &timer) == 0);
	CHECK(loop_signal_add(v.loop, SIGTERM, on_end, &v) == 0 &&
		loop_signal_add(v.loop, SIGINT, on_end, &v) == 0);
	if (timeout_s != 0)
		loop_timer_arm(timer, (uint64_t)timeout_s * 1000000000);
	int rc = 204;
	if (slice_driver_create(v.loop, &cfg, &v.d) == 0) {
		v.slices = cfg.slices;
		rc = run(&v, &commands);
		slice_driver_destroy(v.d);
	}
	loop_timer_destroy(timer);
	loop_destroy(v.loop);
	ctl_msg_fini(CTL_MSG_vm_spec, vm);
	return rc;
}
