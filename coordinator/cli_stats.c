/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli.h"

static const struct ctl_stat *stat_find(const struct ctl_slice_stats *s, const char *name)
{
	for (uint32_t i = 0; i < s->n_stats; i++)
		if (strcmp(s->stats[i].name, name) == 0)
			return &s->stats[i];
	return NULL;
}

/* Has a slice before `index` this counter? Then its row is printed already. */
static bool seen_before(const struct ctl_vm_stats *v, uint32_t index, const char *name)
{
	for (uint32_t i = 0; i < index; i++)
		if (stat_find(&v->slices[i], name) != NULL)
			return true;
	return false;
}

static void table(const struct ctl_vm_stats *v)
{
	printf("%-28s %-6s", "COUNTER", "UNIT");
	for (uint32_t i = 0; i < v->n_slices; i++)
		printf(" %13s%u", "SLICE ", v->slices[i].status.ref.slice);
	putchar('\n');
	for (uint32_t i = 0; i < v->n_slices; i++) {
		for (uint32_t j = 0; j < v->slices[i].n_stats; j++) {
			const struct ctl_stat *first = &v->slices[i].stats[j];
			if (seen_before(v, i, first->name))
				continue;
			printf("%-28s %-6s", first->name, first->unit);
			for (uint32_t k = 0; k < v->n_slices; k++) {
				const struct ctl_stat *s = stat_find(&v->slices[k], first->name);
				if (s == NULL)
					printf(" %14s", "-");
				else
					printf(" %14lld", (long long)s->value);
			}
			putchar('\n');
		}
	}
}

int cli_vm_stats(struct cli *cli, int argc, char **argv)
{
	bool watch = false;
	uint32_t interval_s = 2;
	const struct opt opts[] = {
		{"watch", OPT_FLAG, &watch, NULL, "again and again, until the VM stops"},
		{"interval", OPT_U32, &interval_s, "SECONDS", "between two looks (2)"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	struct ctl_vm_ref ref = {.name = ""};
	const char *word;
	void *reply;
	int status;

	if (!cli_parse(cli, cli_verb("vm", "stats"), opts, argc, argv, &word, 1, 1, NULL, &status))
		return status;
	snprintf(ref.name, sizeof(ref.name), "%s", word);
	for (;;) {
		struct ctl_vm_wait wait = {.states = 1u << CTL_VM_STOPPED | 1u << CTL_VM_FAILED,
			.timeout_ms = MAX(interval_s, 1u) * 1000};
		struct ctl_fault fault;

		if (cli_call(cli, CTL_VM_STATS, &ref, &reply) != 0)
			return CLI_ERROR;
		if (watch && !cli->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		if (cli->json) {
			ctl_msg_json(CTL_MSG_vm_stats, reply, stdout);
			putchar('\n');
		} else {
			table(reply);
		}
		fflush(stdout);
		cli_free(CTL_VM_STATS, reply);
		if (!watch)
			return CLI_OK;
		snprintf(wait.name, sizeof(wait.name), "%s", ref.name);
		/* Waiting for its end is also the pause between two looks. */
		bool ended = cli_try(cli, CTL_VM_WAIT, &wait, &reply, &fault) == 0;
		cli_free(CTL_VM_WAIT, reply);
		if (ended || cli->conn == NULL)
			return CLI_OK;
	}
}
