/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "coordinator/cli.h"

/* The one word of most verbs. */
static bool parse_name(struct cli *cli, const char *verb, const struct opt *opts, int argc,
	char **argv, char name[64], int *status)
{
	const char *word;

	if (!cli_parse(cli, cli_verb("vm", verb), opts, argc, argv, &word, 1, 1, NULL, status))
		return false;
	*status = CLI_USAGE;
	if (!ctl_name_valid(word) || strlen(word) >= 64) {
		cli_error("'%s' is no name: letters, digits, '.', '-' and '_', at most 63", word);
		return false;
	}
	snprintf(name, 64, "%s", word);
	return true;
}

static void print_json(enum ctl_msg kind, const void *msg)
{
	ctl_msg_json(kind, msg, stdout);
	putchar('\n');
}

/* --- create ---------------------------------------------------------------------------------- */

struct create {
	const char *kernel, *initrd, *append, *net, *uffd, *cpu, *engine, *provider;
	struct opt_texts disks, clocks, options;
};

static bool copy_text(char *out, size_t cap, const char *text, const char *what)
{
	if (text == NULL)
		text = "";
	if (strlen(text) < cap) {
		snprintf(out, cap, "%s", text);
		return true;
	}
	cli_error("--%s is too long: at most %zu bytes", what, cap - 1);
	return false;
}

static bool take_disk(const char *text, struct ctl_disk *out)
{
	static const char suffix[] = ",nonpersistent";
	size_t len = strlen(text), n = sizeof(suffix) - 1;

	out->nonpersistent = len > n && strcmp(text + len - n, suffix) == 0;
	if (out->nonpersistent)
		len -= n;
	if (text[0] != '/' || len >= sizeof(out->path)) {
		cli_error("--disk '%s': write an absolute path on the host of slice 0, and "
			  "',nonpersistent' if changes "
			  "are to be thrown away",
			text);
		return false;
	}
	memcpy(out->path, text, len);
	out->path[len] = '\0';
	return true;
}

static bool take_clock(const char *text, struct ctl_slice_clock *out)
{
	long long offset, ppm;
	char rest;

	if (sscanf(text, "%u:%lld:%lld%c", &out->slice, &offset, &ppm, &rest) != 3) {
		cli_error("--clock '%s': write SLICE:OFFSET_NS:PPM", text);
		return false;
	}
	out->offset_ns = offset;
	out->ppm = ppm;
	return true;
}

static bool take_option(const char *text, struct ctl_option *out)
{
	const char *eq = strchr(text, '=');

	if (eq == NULL || (size_t)(eq - text) >= sizeof(out->name) ||
		strlen(eq + 1) >= sizeof(out->value)) {
		cli_error("--option '%s': write NAME=VALUE", text);
		return false;
	}
	memcpy(out->name, text, (size_t)(eq - text));
	out->name[eq - text] = '\0';
	snprintf(out->value, sizeof(out->value), "%s", eq + 1);
	if (ctl_name_valid(out->name))
		return true;
	cli_error("--option '%s': that is no name", text);
	return false;
}

static bool fill_lists(const struct create *c, struct ctl_vm_spec *spec)
{
	spec->disks = calloc(c->disks.n + 1, sizeof(*spec->disks));
	spec->clocks = calloc(c->clocks.n + 1, sizeof(*spec->clocks));
	spec->options = calloc(c->options.n + 1, sizeof(*spec->options));
	if (spec->disks == NULL || spec->clocks == NULL || spec->options == NULL)
		return false;
	for (unsigned i = 0; i < c->disks.n; i++)
		if (!take_disk(c->disks.v[i], &spec->disks[spec->n_disks++]))
			return false;
	for (unsigned i = 0; i < c->clocks.n; i++)
		if (!take_clock(c->clocks.v[i], &spec->clocks[spec->n_clocks++]))
			return false;
	for (unsigned i = 0; i < c->options.n; i++)
		if (!take_option(c->options.v[i], &spec->options[spec->n_options++]))
			return false;
	return true;
}

static bool fill(const struct create *c, struct ctl_vm_spec *spec)
{
	static const char *const modes[] = {"auto", "continue", "copy", "user-only"};
	bool known = false;

	if (c->kernel == NULL) {
		cli_error("--kernel is needed: the path of a kernel image on the host of slice 0");
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		known |= strcmp(c->uffd, modes[i]) == 0;
	if (!known) {
		cli_error("--uffd is auto, continue, copy or user-only, not '%s'", c->uffd);
		return false;
	}
	if (strcmp(c->net, "user") != 0 && strcmp(c->net, "none") != 0) {
		cli_error("--net is user or none, not '%s'", c->net);
		return false;
	}
	return copy_text(spec->kernel, sizeof(spec->kernel), c->kernel, "kernel") &&
	       copy_text(spec->initrd, sizeof(spec->initrd), c->initrd, "initrd") &&
	       copy_text(spec->append, sizeof(spec->append), c->append, "append") &&
	       copy_text(spec->net, sizeof(spec->net), c->net, "net") &&
	       copy_text(spec->uffd, sizeof(spec->uffd), c->uffd, "uffd") &&
	       copy_text(spec->cpu, sizeof(spec->cpu), c->cpu, "cpu") &&
	       copy_text(spec->engine, sizeof(spec->engine), c->engine, "engine") &&
	       copy_text(spec->provider, sizeof(spec->provider), c->provider, "provider") &&
	       fill_lists(c, spec);
}

int cli_vm_create(struct cli *cli, int argc, char **argv)
{
	struct ctl_vm_spec spec = {.vcpus = 0, .hosts = 1};
	struct create c = {.net = "user", .uffd = "auto", .engine = "rv64"};
	const struct opt opts[] = {
		{"vcpus", OPT_U32, &spec.vcpus, "V", "total over all hosts (one for each host)"},
		{"memory", OPT_BYTES, &spec.memory_bytes, "SIZE",
			"total over all hosts (512M for each host)"},
		{"hosts", OPT_U32, &spec.hosts, "N", "hosts, and so guest nodes (1)"},
		{"kernel", OPT_TEXT, &c.kernel, "FILE", "kernel image, on the host of slice 0"},
		{"initrd", OPT_TEXT, &c.initrd, "FILE", "initial ramdisk, there too"},
		{"append", OPT_TEXT, &c.append, "TEXT", "kernel command line"},
		{"disk", OPT_TEXTS, &c.disks, "FILE[,nonpersistent]",
			"raw image, there too; may be repeated"},
		{"net", OPT_TEXT, &c.net, "MODE", "user (NAT, default) or none"},
		{"cache", OPT_BYTES, &spec.cache_bytes, "SIZE",
			"what a slice may hold beyond its share (no limit)"},
		{"uffd", OPT_TEXT, &c.uffd, "MODE", "auto, continue, copy, user-only"},
		{"cpu", OPT_TEXT, &c.cpu, "LIST", "features, as svadu=off"},
		{"engine", OPT_TEXT, &c.engine, "ENGINE",
			"rv64 (default), or with options: rv64,jit=off"},
		{"lease-ms", OPT_U32, &spec.lease_ms, "MS",
			"a slice that is cut off for so long stops (5000)"},
		{"provider", OPT_TEXT, &c.provider, "NAME",
			"libfabric provider (the first that works)"},
		{"unsealed", OPT_FLAG, &spec.unsealed, NULL,
			"do not encrypt between slices: trusted networks only"},
		{"stop-on-reboot", OPT_FLAG, &spec.stop_on_reboot, NULL,
			"a reboot of the guest stops the VM"},
		{"clock", OPT_TEXTS, &c.clocks, "SLICE:NS:PPM",
			"set a slice's clock apart, for tests"},
		{"option", OPT_TEXTS, &c.options, "NAME=VALUE", "engine and test switches"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	void *reply;
	int status;

	if (!parse_name(cli, "create", opts, argc, argv, spec.name, &status))
		return status;
	if (spec.vcpus == 0)
		spec.vcpus = spec.hosts;
	if (spec.memory_bytes == 0)
		spec.memory_bytes = (UINT64_C(512) << 20) * spec.hosts;
	status = CLI_USAGE;
	if (fill(&c, &spec)) {
		status = cli_call(cli, CTL_VM_CREATE, &spec, &reply) == 0 ? CLI_OK : CLI_ERROR;
		if (status == CLI_OK && cli->json)
			print_json(CTL_MSG_vm_info, reply);
		cli_free(CTL_VM_CREATE, reply);
	}
	ctl_msg_fini(CTL_MSG_vm_spec, &spec);
	return status;
}

/* --- start, stop, destroy, wait -------------------------------------------------------------- */

/* Verbs that send a name and print the VM if asked for JSON. */
static int simple(struct cli *cli, const char *verb, uint16_t type, int argc, char **argv)
{
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	struct ctl_vm_ref ref;
	void *reply;
	int status;

	if (!parse_name(cli, verb, opts, argc, argv, ref.name, &status))
		return status;
	status = cli_call(cli, type, &ref, &reply) == 0 ? CLI_OK : CLI_ERROR;
	if (status == CLI_OK && cli->json && ctl_type_reply(type) == CTL_MSG_vm_info)
		print_json(CTL_MSG_vm_info, reply);
	cli_free(type, reply);
	return status;
}

int cli_vm_start(struct cli *cli, int argc, char **argv)
{
	return simple(cli, "start", CTL_VM_START, argc, argv);
}

int cli_vm_stop(struct cli *cli, int argc, char **argv)
{
	return simple(cli, "stop", CTL_VM_STOP, argc, argv);
}

int cli_vm_destroy(struct cli *cli, int argc, char **argv)
{
	return simple(cli, "destroy", CTL_VM_DESTROY, argc, argv);
}

int cli_vm_wait(struct cli *cli, int argc, char **argv)
{
	uint32_t timeout_s = 0;
	const struct opt opts[] = {
		{"timeout", OPT_U32, &timeout_s, "SECONDS", "give up after so long, with status 1"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	struct ctl_vm_wait wait = {
		.states = 1u << CTL_VM_CREATED | 1u << CTL_VM_STOPPED | 1u << CTL_VM_FAILED};
	void *reply;
	int status;

	if (!parse_name(cli, "wait", opts, argc, argv, wait.name, &status))
		return status;
	if (timeout_s > UINT32_MAX / 1000) {
		cli_error("--timeout is too long; leave it out to wait for ever");
		return CLI_USAGE;
	}
	wait.timeout_ms = timeout_s * 1000;
	if (cli_call(cli, CTL_VM_WAIT, &wait, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_vm_info *vm = reply;
	if (cli->json)
		print_json(CTL_MSG_vm_info, vm);
	else
		printf("%s %s: %s\n", ctl_vm_state_text(vm->state),
			ctl_stop_reason_text(vm->reason), vm->text);
	cli_free(CTL_VM_WAIT, reply);
	return CLI_OK;
}

/* --- list, show ------------------------------------------------------------------------------ */

int cli_vm_list(struct cli *cli, int argc, char **argv)
{
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	struct ctl_nothing nothing;
	char bytes[32];
	void *reply;
	int status;

	if (!cli_parse(cli, cli_verb("vm", "list"), opts, argc, argv, NULL, 0, 0, NULL, &status))
		return status;
	if (cli_call(cli, CTL_VM_LIST, &nothing, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_vm_list *list = reply;
	if (cli->json) {
		print_json(CTL_MSG_vm_list, list);
	} else {
		printf("%-20s %-9s %5s %10s %5s  %s\n", "NAME", "STATE", "VCPUS", "MEMORY", "HOSTS",
			"REASON");
		for (uint32_t i = 0; i < list->n_vms; i++) {
			const struct ctl_vm_info *vm = &list->vms[i];
			printf("%-20s %-9s %5u %10s %5u  %s\n", vm->spec.name,
				ctl_vm_state_text(vm->state), vm->spec.vcpus,
				cli_bytes(vm->spec.memory_bytes, bytes), vm->spec.hosts, vm->text);
		}
	}
	cli_free(CTL_VM_LIST, reply);
	return CLI_OK;
}

static void show(const struct ctl_vm_info *vm)
{
	const struct ctl_vm_spec *s = &vm->spec;
	char a[32], incarnation[33];

	printf("name         %s\n", s->name);
	printf("state        %s since %s\n", ctl_vm_state_text(vm->state),
		cli_time(vm->since_unix_ms, a));
	if (vm->reason != CTL_STOP_NONE)
		printf("reason       %s: %s\n", ctl_stop_reason_text(vm->reason), vm->text);
	printf("vcpus        %u\n", s->vcpus);
	printf("memory       %s\n", cli_bytes(s->memory_bytes, a));
	if (s->cache_bytes != 0)
		printf("cache        %s a slice\n", cli_bytes(s->cache_bytes, a));
	printf("engine       %s%s%s\n", s->engine, s->cpu[0] == '\0' ? "" : ", ", s->cpu);
	printf("kernel       %s\n", s->kernel);
	if (s->initrd[0] != '\0')
		printf("initrd       %s\n", s->initrd);
	if (s->append[0] != '\0')
		printf("append       %s\n", s->append);
	for (uint32_t i = 0; i < s->n_disks; i++)
		printf("disk %u       %s%s\n", i, s->disks[i].path,
			s->disks[i].nonpersistent ? ", nonpersistent" : "");
	printf("net          %s\n", s->net);
	if (vm->n_slices == 0)
		return;
	ctl_incarnation_text(vm->incarnation, incarnation);
	printf("incarnation  %s\n\n", incarnation);
	printf("%5s %-16s %5s %10s %-10s %8s  %s\n", "SLICE", "HOST", "VCPUS", "MEMORY", "STATE",
		"PID", "NOTE");
	for (uint32_t i = 0; i < vm->n_slices; i++) {
		const struct ctl_vm_slice *v = &vm->slices[i];
		bool alive = vm->state == CTL_VM_STARTING || vm->state == CTL_VM_RUNNING ||
			     vm->state == CTL_VM_STOPPING;
		printf("%5u %-16s %5u %10s %-10s %8llu  %s\n", v->part.slice, v->part.host,
			v->part.vcpus, cli_bytes(v->part.memory_bytes, a),
			ctl_slice_state_text(v->status.state), (unsigned long long)v->status.pid,
			alive && !v->known ? "last known state: its agent is not connected"
					   : v->status.text);
	}
}

int cli_vm_show(struct cli *cli, int argc, char **argv)
{
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	struct ctl_vm_ref ref;
	void *reply;
	int status;

	if (!parse_name(cli, "show", opts, argc, argv, ref.name, &status))
		return status;
	if (cli_call(cli, CTL_VM_SHOW, &ref, &reply) != 0)
		return CLI_ERROR;
	if (cli->json)
		print_json(CTL_MSG_vm_info, reply);
	else
		show(reply);
	cli_free(CTL_VM_SHOW, reply);
	return CLI_OK;
}
