/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "coordinator/cli.h"
#include "coordinator/cli_out.h"

#define REASON_MS                                                                                  \
	20000u /* how long the VM's end may take to be known, once its stream has broken */

struct exec {
	struct cli *cli;
	const char *vm;
	struct ctl_stream *stream;
	struct ctl_stream_close close;
	struct cli_out out, err;
	bool opened, timed_out;
};

static void on_opened(void *arg, struct ctl_stream *s)
{
	struct exec *x = arg;

	x->opened = true;
}

static void on_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct exec *x = arg;

	if (channel == CTL_CHANNEL_OUT)
		cli_out_put(&x->out, buf, len);
	else if (channel == CTL_CHANNEL_ERR)
		cli_out_put(&x->err, buf, len);
	else
		ctl_stream_consumed(s, len);
}

static void on_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	/* Nothing is sent: commands have no standard input. */
}

static void on_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct exec *x = arg;

	x->stream = x->out.stream = x->err.stream = NULL;
	x->close = *close;
}

static const struct ctl_stream_ops stream_ops = {
	.opened = on_opened,
	.data = on_data,
	.credit = on_credit,
	.closed = on_closed,
};

static void on_timeout(void *arg)
{
	struct exec *x = arg;

	x->timed_out = true;
}

static int status_of(uint32_t reason)
{
	switch (reason) {
	case CTL_STOP_PANIC:
		return CLI_EXEC_PANIC;
	case CTL_STOP_LOST:
		return CLI_EXEC_LOST;
	default:
		return CLI_EXEC_STOPPED;
	}
}

/* The stream has broken: is that because the VM has stopped? */
static int find_reason(struct exec *x)
{
	struct ctl_vm_wait wait = {
		.states = 1u << CTL_VM_STOPPED | 1u << CTL_VM_FAILED, .timeout_ms = REASON_MS};
	struct ctl_fault fault;
	struct ctl_vm_info *vm;
	void *reply;
	int status = CLI_EXEC_ERROR;

	snprintf(wait.name, sizeof(wait.name), "%s", x->vm);
	if (cli_try(x->cli, CTL_VM_WAIT, &wait, &reply, &fault) == 0) {
		vm = reply;
		status = status_of(vm->reason);
		cli_error("%s has stopped (%s): %s", x->vm, ctl_stop_reason_text(vm->reason),
			vm->text);
	} else {
		cli_error("the connection to the command was lost: %s; it may go on in the guest",
			x->close.text[0] == '\0' ? fault.text : x->close.text);
	}
	cli_free(CTL_VM_WAIT, reply);
	return status;
}

static int finish(struct exec *x)
{
	switch (-(int)x->close.code) {
	case 0:
		return (int)(x->close.exit_status & 0xff);
	case ERR_VM_STOPPED:
		if (x->close.reason == CTL_STOP_NONE)
			break;
		cli_error("%s has stopped (%s): %s", x->vm, ctl_stop_reason_text(x->close.reason),
			x->close.text);
		return status_of(x->close.reason);
	case ERR_LINK_DOWN:
	case ERR_CANCELED:
		if (x->opened)
			return find_reason(x);
		break;
	default:
		break;
	}
	cli_error("%s", x->close.text);
	return x->close.reason == CTL_STOP_REBOOT ? CLI_EXEC_STOPPED : CLI_EXEC_ERROR;
}

static int run(struct exec *x, const struct ctl_stream_open *open)
{
	int err = x->cli->conn == NULL
			  ? ERR_LINK_DOWN
			  : ctl_stream_open(x->cli->conn, open, &stream_ops, x, &x->stream);

	if (err != 0) {
		cli_error("%s", err_text(err));
		return CLI_EXEC_ERROR;
	}
	x->out.stream = x->err.stream = x->stream;
	while (x->stream != NULL && !x->timed_out)
		loop_once(x->cli->loop, -1);
	if (x->stream != NULL) {
		struct ctl_stream_close bye = {.code = -ERR_TIMEOUT, .text = "timed out"};
		ctl_stream_close(x->stream, &bye);
		x->stream = x->out.stream = x->err.stream = NULL;
		loop_once(x->cli->loop, 0);
	}
	cli_out_drain(&x->out);
	cli_out_drain(&x->err);
	if (x->timed_out) {
		cli_error("not finished in time; the command goes on in the guest");
		return CLI_EXEC_TIMEOUT;
	}
	return finish(x);
}

/* The guest's shell gets one text: the words, joined by blanks, as ssh does. */
static char *join(const char *const *words, unsigned n)
{
	size_t len = 1;
	char *text, *p;

	for (unsigned i = 0; i < n; i++)
		len += strlen(words[i]) + 1;
	text = p = malloc(len);
	if (text == NULL)
		return NULL;
	for (unsigned i = 0; i < n; i++)
		p += snprintf(p, len - (size_t)(p - text), "%s%s", i == 0 ? "" : " ", words[i]);
	return text;
}

int cli_vm_exec(struct cli *cli, int argc, char **argv)
{
	uint32_t timeout_s = 0;
	const struct opt opts[] = {
		{"timeout", OPT_U32, &timeout_s, "SECONDS",
			"give up after so long, with status 203"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	struct exec x = {.cli = cli};
	struct ctl_stream_open open = {.kind = CTL_STREAM_EXEC};
	struct loop_timer *timer;
	const char *words[256];
	unsigned n;
	int status;

	if (!cli_parse(cli, cli_verb("vm", "exec"), opts, argc, argv, words, 2, ARRAY_SIZE(words),
		    &n, &status))
		return status == CLI_OK ? CLI_OK : CLI_EXEC_ERROR;
	char *text = join(words + 1, n - 1);
	x.vm = words[0];
	if (text == NULL || strlen(text) > 65536 || !ctl_name_valid(x.vm) ||
		strlen(x.vm) >= sizeof(open.vm)) {
		cli_error(text != NULL && strlen(text) > 65536
				  ? "the command is longer than 64 KiB; put it into a file"
				  : "'%s' is no name of a VM",
			x.vm);
		free(text);
		return CLI_EXEC_ERROR;
	}
	snprintf(open.vm, sizeof(open.vm), "%s", x.vm);
	open.command = (uint8_t *)text;
	open.n_command = (uint32_t)strlen(text);
	status = CLI_EXEC_ERROR;
	if (cli_connect(cli) != 0)
		goto undo_text;
	if (loop_timer_create(cli->loop, on_timeout, &x, &timer) != 0)
		goto undo_text;
	if (timeout_s != 0)
		loop_timer_arm(timer, (uint64_t)timeout_s * 1000000000);
	if (cli_out_init(&x.out, cli->loop, STDOUT_FILENO) == 0) {
		if (cli_out_init(&x.err, cli->loop, STDERR_FILENO) == 0) {
			status = run(&x, &open);
			cli_out_fini(&x.err);
		}
		cli_out_fini(&x.out);
	}
	loop_timer_destroy(timer);
undo_text:
	free(text);
	return status;
}
