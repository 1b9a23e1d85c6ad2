/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/opts.h"
#include "node-agent/slice_ctl.h"

/*
 * A slice without a guest, for tests of the control plane: takes a specification, "connects",
 * "runs", and plays a guest on the ports. The console echoes. Commands of the exec service are
 * words of its own:
 *
 *   out N STATUS     N bytes of a pattern on stdout
 *   both N STATUS    the same, and as many of another pattern on stderr
 *   hang             never ends
 *   panic, power-off, reboot, error   what happens to the guest
 *   status N         ends with status N
 *
 * Options of the VM (--option): refuse=prepare|connect|start makes that step fail; silent=yes has
 * no exec service.
 */
#define CHUNK 8192u

struct fake {
	struct loop *loop;
	struct slice_ctl *ctl;
	char refuse[256];
	bool silent;
	uint32_t slice, slices;
	/* the exec service */
	char line[65600];
	size_t line_len, want;
	uint64_t left[2], total[2], at[2];
	unsigned status;
	bool busy, exit_sent;
};

static void refuse(struct fake *f, const char *step)
{
	slice_ctl_refuse(f->ctl, ERR_IO, "asked to refuse %s", step);
}

static void fake_prepare(void *arg, const struct ctl_slice_spec *spec, const int *fds)
{
	struct fake *f = arg;
	char fabric[64], beat[64];

	f->slice = spec->slice;
	f->slices = spec->n_slices;
	for (uint32_t i = 0; i < spec->n_options; i++) {
		if (strcmp(spec->options[i].name, "refuse") == 0)
			snprintf(f->refuse, sizeof(f->refuse), "%s", spec->options[i].value);
		f->silent |= strcmp(spec->options[i].name, "silent") == 0;
	}
	for (uint32_t i = 0; i < spec->n_fds; i++) {
		struct stat st;
		CHECK(fstat(fds[i], &st) == 0);
		log_info(slice, "descriptor %s, %lld bytes", spec->fds[i].name,
			(long long)st.st_size);
	}
	if (strcmp(f->refuse, "prepare") == 0 && f->slice + 1 == f->slices) {
		refuse(f, "prepare");
		return;
	}
	snprintf(fabric, sizeof(fabric), "%.40s#%d", spec->fabric_bind, (int)getpid());
	snprintf(beat, sizeof(beat), "%.40s#beat%d", spec->fabric_bind, (int)getpid());
	slice_ctl_prepared(f->ctl, fabric, beat);
}

static void fake_connect(void *arg, const struct ctl_slice_mesh *mesh)
{
	struct fake *f = arg;

	for (uint32_t i = 0; i < mesh->n_peers; i++)
		log_info(slice, "slice %u is at %s, beats at %s", mesh->peers[i].slice,
			mesh->peers[i].address, mesh->peers[i].beat);
	if (strcmp(f->refuse, "connect") == 0 || mesh->n_peers != f->slices)
		refuse(f, "connect");
	else
		slice_ctl_done(f->ctl);
}

static void fake_start(void *arg)
{
	struct fake *f = arg;

	if (strcmp(f->refuse, "start") == 0) {
		refuse(f, "start");
		return;
	}
	slice_ctl_done(f->ctl);
	if (f->slice != 0 || f->silent)
		return;
	slice_ctl_port_write(f->ctl, SLICE_PORT_CONSOLE, "fake guest\r\n", 12);
	slice_ctl_port_write(f->ctl, SLICE_PORT_EXEC, "READY\n", 6);
}

static void fake_stop(void *arg, enum ctl_stop_reason reason, const char *text)
{
	struct fake *f = arg;

	slice_ctl_stopped(f->ctl, reason, "%s", text);
}

static void fake_stats(void *arg, struct slice_ctl_stats *out)
{
	struct fake *f = arg;

	slice_ctl_stat(out, "fault.read", "pages", 100 + f->slice);
	slice_ctl_stat(out, "clock.skew", "ns", -42);
}

/* As many as there can be. The weights of two slices interleave. */
static uint32_t fake_pages(void *arg, struct ctl_hot_page *out, uint32_t max)
{
	struct fake *f = arg;

	for (uint32_t i = 0; i < max; i++) {
		out[i] = (struct ctl_hot_page){
			.address = UINT64_C(0x80200000) + (uint64_t)(2 * i + f->slice) * 4096,
			.owner = f->slice,
			.weight = 10000 - 2 * i - f->slice,
			.reads = 1,
		};
		snprintf(out[i].pattern, sizeof(out[i].pattern), "private");
	}
	return max;
}

static void emit(struct fake *f, enum slice_port port, unsigned i)
{
	uint8_t buf[CHUNK];

	while (f->left[i] > 0) {
		size_t n = MIN(f->left[i], (uint64_t)CHUNK);
		for (size_t j = 0; j < n; j++)
			buf[j] = (uint8_t)((f->at[i] + j) * 7 + (f->at[i] + j) / 251 + i * 101);
		size_t took = slice_ctl_port_write(f->ctl, port, buf, n);
		f->left[i] -= took;
		f->at[i] += took;
		if (took < n)
			return;
	}
}

static void progress(struct fake *f)
{
	char line[96];

	if (!f->busy)
		return;
	/* The line overtakes the last bytes: nothing orders the ports. */
	if (!f->exit_sent && f->left[0] + f->left[1] < 100000) {
		f->exit_sent = true;
		int n = snprintf(line, sizeof(line), "EXIT %u %llu %llu\n", f->status,
			(unsigned long long)f->total[0], (unsigned long long)f->total[1]);
		slice_ctl_port_write(f->ctl, SLICE_PORT_EXEC, line, (size_t)n);
	}
	emit(f, SLICE_PORT_OUT, 0);
	emit(f, SLICE_PORT_ERR, 1);
	if (f->left[0] + f->left[1] == 0 && f->exit_sent)
		f->busy = false;
}

static void run(struct fake *f, const char *command)
{
	unsigned long long n = 0;
	unsigned status = 0;

	f->busy = true;
	f->exit_sent = false;
	memset(f->at, 0, sizeof(f->at));
	memset(f->total, 0, sizeof(f->total));
	f->status = 127;
	if (sscanf(command, "out %llu %u", &n, &status) == 2) {
		f->total[0] = n;
		f->status = status;
	} else if (sscanf(command, "both %llu %u", &n, &status) == 2) {
		f->total[0] = f->total[1] = n;
		f->status = status;
	} else if (sscanf(command, "status %u", &status) == 1) {
		f->status = status;
	} else if (strcmp(command, "panic") == 0) {
		slice_ctl_stopped(f->ctl, CTL_STOP_PANIC, "the guest's kernel panicked");
		return;
	} else if (strcmp(command, "power-off") == 0) {
		slice_ctl_stopped(f->ctl, CTL_STOP_POWER_OFF, "powered off by the guest");
		return;
	} else if (strcmp(command, "reboot") == 0) {
		slice_ctl_stopped(f->ctl, CTL_STOP_REBOOT, "rebooted by the guest");
		return;
	} else if (strcmp(command, "error") == 0) {
		slice_ctl_stopped(f->ctl, CTL_STOP_ERROR, "asked to fail");
		return;
	} else if (strcmp(command, "hang") == 0) {
		return;
	}
	memcpy(f->left, f->total, sizeof(f->left));
	progress(f);
}

static void exec_byte(struct fake *f, char c)
{
	unsigned n;

	f->line[f->line_len++] = c;
	CHECK(f->line_len < sizeof(f->line));
	if (f->want == 0) {
		if (c != '\n')
			return;
		f->line[f->line_len - 1] = '\0';
		CHECK(sscanf(f->line, "RUN %u", &n) == 1);
		f->line_len = 0;
		f->want = n;
		if (n != 0)
			return;
	} else if (f->line_len < f->want) {
		return;
	}
	f->line[f->line_len] = '\0';
	f->line_len = 0;
	f->want = 0;
	run(f, f->line);
}

static void fake_readable(void *arg, enum slice_port port)
{
	struct fake *f = arg;
	char buf[CHUNK];
	size_t n;

	while ((n = slice_ctl_port_read(f->ctl, port, buf, sizeof(buf))) > 0) {
		if (port == SLICE_PORT_CONSOLE)
			slice_ctl_port_write(f->ctl, SLICE_PORT_CONSOLE, buf, n);
		for (size_t i = 0; port == SLICE_PORT_EXEC && i < n; i++)
			exec_byte(f, buf[i]);
	}
}

static void fake_writable(void *arg, enum slice_port port)
{
	progress(arg);
}

static void fake_finished(void *arg)
{
	struct fake *f = arg;

	loop_stop(f->loop);
}

static const struct slice_ctl_ops ops = {
	.prepare = fake_prepare,
	.connect = fake_connect,
	.start = fake_start,
	.stop = fake_stop,
	.stats = fake_stats,
	.pages = fake_pages,
	.port_readable = fake_readable,
	.port_writable = fake_writable,
	.finished = fake_finished,
};

int main(int argc, char **argv)
{
	struct fake *f = calloc(1, sizeof(*f));
	uint32_t fd = 3;
	const char *log = "info";
	const struct opt opts[] = {
		{"ctl-fd", OPT_U32, &fd, "FD", ""},
		{"log", OPT_TEXT, &log, "SPEC", ""},
		{.name = NULL},
	};
	char why[256];

	if (f == NULL || opts_parse(opts, argc, argv, NULL, 0, NULL, why) < 0 ||
		loop_create(&f->loop) != 0)
		return 1;
	log_init("fake-slice", NULL);
	signal(SIGPIPE, SIG_IGN);
	if (slice_ctl_create(f->loop, (int)fd, &ops, f, &f->ctl) != 0)
		return 1;
	loop_run(f->loop);
	slice_ctl_destroy(f->ctl);
	loop_destroy(f->loop);
	free(f);
	return 0;
}
