/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/cli.h"

static void print_json(enum ctl_msg kind, const void *msg)
{
	ctl_msg_json(kind, msg, stdout);
	putchar('\n');
}

int cli_host_list(struct cli *cli, int argc, char **argv)
{
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	struct ctl_nothing nothing;
	char used[32], total[32];
	void *reply;
	int status;

	if (!cli_parse(cli, cli_verb("host", "list"), opts, argc, argv, NULL, 0, 0, NULL, &status))
		return status;
	if (cli_call(cli, CTL_HOST_LIST, &nothing, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_host_list *list = reply;
	if (cli->json) {
		print_json(CTL_MSG_host_list, list);
	} else {
		printf("%-20s %-8s %5s %10s %10s %10s  %s\n", "NAME", "STATE", "CPUS", "VCPUS USED",
			"MEMORY", "USED", "FABRIC");
		for (uint32_t i = 0; i < list->n_hosts; i++) {
			const struct ctl_host_info *h = &list->hosts[i];
			printf("%-20s %-8s %5u %10u %10s %10s  %s\n", h->name,
				h->online ? "online" : "offline", h->cpus, h->vcpus_used,
				cli_bytes(h->memory_bytes, total),
				cli_bytes(h->memory_used_bytes, used), h->fabric);
		}
	}
	cli_free(CTL_HOST_LIST, reply);
	return CLI_OK;
}

static bool parse_host(struct cli *cli, const char *verb, int argc, char **argv,
	struct ctl_host_ref *ref, int *status)
{
	const struct opt opts[] = {CLI_OPTS(cli), {.name = NULL}};
	const char *word;

	if (!cli_parse(cli, cli_verb("host", verb), opts, argc, argv, &word, 1, 1, NULL, status))
		return false;
	snprintf(ref->name, sizeof(ref->name), "%s", word);
	return true;
}

int cli_host_show(struct cli *cli, int argc, char **argv)
{
	struct ctl_host_ref ref;
	char a[32], b[32];
	void *reply;
	int status;

	if (!parse_host(cli, "show", argc, argv, &ref, &status))
		return status;
	if (cli_call(cli, CTL_HOST_SHOW, &ref, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_host_info *h = reply;
	if (cli->json) {
		print_json(CTL_MSG_host_info, h);
	} else {
		printf("name         %s\n", h->name);
		printf("state        %s, last seen %s\n", h->online ? "online" : "offline",
			cli_time(h->seen_unix_ms, a));
		printf("version      %s\n", h->version);
		printf("fabric       %s\n", h->fabric);
		printf("cpus         %u, vcpus on them %u\n", h->cpus, h->vcpus_used);
		printf("memory       %s, used %s\n", cli_bytes(h->memory_bytes, a),
			cli_bytes(h->memory_used_bytes, b));
		for (uint32_t i = 0; i < h->n_features; i++)
			printf("%-12s %s\n", h->features[i].name, h->features[i].value);
	}
	cli_free(CTL_HOST_SHOW, reply);
	return CLI_OK;
}

int cli_host_remove(struct cli *cli, int argc, char **argv)
{
	struct ctl_host_ref ref;
	void *reply;
	int status;

	if (!parse_host(cli, "remove", argc, argv, &ref, &status))
		return status;
	status = cli_call(cli, CTL_HOST_REMOVE, &ref, &reply) == 0 ? CLI_OK : CLI_ERROR;
	cli_free(CTL_HOST_REMOVE, reply);
	return status;
}

int cli_audit_list(struct cli *cli, int argc, char **argv)
{
	struct ctl_audit_query query = {.last = 100};
	const struct opt opts[] = {
		{"last", OPT_U32, &query.last, "N", "entries, the newest (100)"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	char when[32];
	void *reply;
	int status;

	if (!cli_parse(cli, cli_verb("audit", "list"), opts, argc, argv, NULL, 0, 0, NULL, &status))
		return status;
	if (cli_call(cli, CTL_AUDIT_LIST, &query, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_audit_list *list = reply;
	if (cli->json)
		print_json(CTL_MSG_audit_list, list);
	for (uint32_t i = 0; !cli->json && i < list->n_entries; i++) {
		const struct ctl_audit_entry *e = &list->entries[i];
		printf("%s %-8s %-16s %-12s %-20s %s\n", cli_time(e->unix_ms, when), e->role,
			e->who, e->what, e->object, e->result);
	}
	cli_free(CTL_AUDIT_LIST, reply);
	return CLI_OK;
}
