/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "coordinator/cli.h"
#include "coordinator/cli_out.h"

#define LEAVE_KEY 0x1d /* Ctrl-] */
#define CHUNK     4096u
#define REBOOT_MS 120000u

struct console {
	struct cli *cli;
	const char *vm;
	struct ctl_stream *stream; /* NULL: closed, `close` says why */
	bool opened, leave, file;
	struct ctl_stream_close close;
	struct cli_out out;
	struct loop_fd *in; /* standard input; NULL: a file, or at its end */
	bool in_ended;
};

/* --- the terminal, which is restored whatever happens ---------------------------------------- */

static struct termios tty_saved;
static volatile sig_atomic_t tty_raw;

static void tty_restore(void)
{
	if (tty_raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &tty_saved);
	tty_raw = 0;
}

/* tcsetattr() and raise() may be called in a handler. */
static void tty_on_signal(int sig)
{
	tty_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void tty_set_raw(void)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS};
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &tty_saved) < 0)
		return;
	t = tty_saved;
	cfmakeraw(&t);
	atexit(tty_restore);
	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++)
		signal(sigs[i], tty_on_signal);
	tty_raw = 1;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

/* --- input ----------------------------------------------------------------------------------- */

static void input_events(struct console *c)
{
	if (c->in != NULL)
		loop_fd_set(
			c->in, c->stream != NULL && c->opened && ctl_stream_credit(c->stream) > 0
				       ? LOOP_READ
				       : 0);
}

/* One read, not more than there is credit for. False: nothing more can be read now. */
static bool input_some(struct console *c)
{
	char buf[CHUNK];
	size_t room = c->stream == NULL || !c->opened
			      ? 0
			      : MIN((size_t)CHUNK, ctl_stream_credit(c->stream));

	if (room == 0 || c->in_ended)
		return false;
	ssize_t n = read(STDIN_FILENO, buf, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		/* A script's input has ended; its output may still come. */
		c->in_ended = true;
		if (c->in != NULL)
			loop_fd_remove(c->in);
		c->in = NULL;
		return false;
	}
	char *key = tty_raw ? memchr(buf, LEAVE_KEY, (size_t)n) : NULL;
	size_t len = key == NULL ? (size_t)n : (size_t)(key - buf);
	if (len > 0)
		ctl_stream_write(c->stream, CTL_CHANNEL_MAIN, buf, len);
	c->leave |= key != NULL;
	return !c->leave;
}

static void on_input(void *arg, int fd, unsigned ready)
{
	struct console *c = arg;

	input_some(c);
	input_events(c);
}

static void input_pump(struct console *c)
{
	input_events(c);
	while (c->file && input_some(c))
		;
}

/* --- stream ---------------------------------------------------------------------------------- */

static void on_opened(void *arg, struct ctl_stream *s)
{
	struct console *c = arg;

	c->opened = true;
	input_pump(c);
}

static void on_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct console *c = arg;

	cli_out_put(&c->out, buf, len);
}

static void on_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	input_pump(arg);
}

static void on_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct console *c = arg;

	c->stream = NULL;
	c->out.stream = NULL;
	c->close = *close;
	input_events(c);
}

static const struct ctl_stream_ops stream_ops = {
	.opened = on_opened,
	.data = on_data,
	.credit = on_credit,
	.closed = on_closed,
};

/* Attach, and serve until the stream ends or the key is pressed. */
static int attach(struct console *c)
{
	struct ctl_stream_open open = {.kind = CTL_STREAM_CONSOLE};

	snprintf(open.vm, sizeof(open.vm), "%s", c->vm);
	c->opened = false;
	memset(&c->close, 0, sizeof(c->close));
	int err = c->cli->conn == NULL
			  ? ERR_LINK_DOWN
			  : ctl_stream_open(c->cli->conn, &open, &stream_ops, c, &c->stream);
	if (err != 0)
		return err;
	c->out.stream = c->stream;
	while (c->stream != NULL && !c->leave)
		loop_once(c->cli->loop, -1);
	if (c->stream != NULL) {
		struct ctl_stream_close bye = {.code = 0};
		ctl_stream_close(c->stream, &bye);
		c->stream = NULL;
		c->out.stream = NULL;
		loop_once(c->cli->loop, 0);
	}
	return 0;
}

/* After a reboot of the guest: until its next incarnation runs. */
static bool wait_running(struct console *c)
{
	struct ctl_vm_wait wait = {
		.states = 1u << CTL_VM_RUNNING | 1u << CTL_VM_FAILED | 1u << CTL_VM_STOPPED,
		.timeout_ms = REBOOT_MS};
	struct ctl_fault fault;
	void *reply;

	snprintf(wait.name, sizeof(wait.name), "%s", c->vm);
	int err = cli_try(c->cli, CTL_VM_WAIT, &wait, &reply, &fault);
	bool running = err == 0 && ((struct ctl_vm_info *)reply)->state == CTL_VM_RUNNING;
	cli_free(CTL_VM_WAIT, reply);
	return running;
}

static int console(struct console *c)
{
	int err;

	do {
		err = attach(c);
		cli_out_drain(&c->out);
	} while (err == 0 && !c->leave && c->close.reason == CTL_STOP_REBOOT && wait_running(c));
	tty_restore();
	if (c->leave) {
		fprintf(stderr, "\nleft the console of %s; the VM goes on\n", c->vm);
		return CLI_OK;
	}
	if (err != 0) {
		cli_error("%s", c->cli->why[0] != '\0' ? c->cli->why : err_text(err));
		return CLI_ERROR;
	}
	/* The VM's own end is a good end of a console. */
	fprintf(stderr, "\n%s: %s\n", c->vm, c->close.text[0] == '\0' ? "closed" : c->close.text);
	return c->close.reason == CTL_STOP_NONE ? CLI_ERROR : CLI_OK;
}

int cli_vm_console(struct cli *cli, int argc, char **argv)
{
	struct console c = {.cli = cli};
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	struct stat st;
	int status;

	if (!cli_parse(
		    cli, cli_verb("vm", "console"), opts, argc, argv, &c.vm, 1, 1, NULL, &status))
		return status;
	if (!ctl_name_valid(c.vm) || cli_connect(cli) != 0)
		return CLI_ERROR;
	c.file = fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode);
	if (cli_out_init(&c.out, cli->loop, STDOUT_FILENO) != 0)
		return CLI_ERROR;
	if (!c.file && loop_fd_add(cli->loop, STDIN_FILENO, LOOP_READ, on_input, &c, &c.in) != 0) {
		c.in = NULL; /* such as /dev/null */
		c.file = true;
	}
	input_events(&c);
	if (isatty(STDIN_FILENO))
		fprintf(stderr, "console of %s, Ctrl-] leaves\n", c.vm);
	tty_set_raw();
	status = console(&c);
	if (c.in != NULL)
		loop_fd_remove(c.in);
	cli_out_fini(&c.out);
	return status;
}
