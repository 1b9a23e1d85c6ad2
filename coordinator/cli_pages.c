/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "coordinator/cli.h"
#include "coordinator/symbols.h"

#define LOAD_DEFAULT "0x80200000" /* RAM's start and the text_offset of a riscv64 Image */

static void table(const struct ctl_vm_pages *v, const struct symbols *symbols)
{
	char names[256] = "";

	printf("%-12s %4s %5s %-17s %-8s %7s %7s %8s %8s %7s %7s %7s %7s%s\n", "ADDRESS", "HOME",
		"OWNER", "PATTERN", "POLICY", "READS", "WRITES", "UPGRADES", "MIGRATED", "TURNS",
		"QUEUED", "READERS", "WRITERS", symbols == NULL ? "" : " SYMBOLS");
	for (uint32_t i = 0; i < v->n_pages; i++) {
		const struct ctl_hot_page *p = &v->pages[i];
		if (symbols != NULL)
			symbols_page(symbols, p->address, names, sizeof(names));
		printf("%#-12llx %4u %5u %-17s %-8s %7u %7u %8u %8u %7u %7u %7u %7u",
			(unsigned long long)p->address, p->home, p->owner, p->pattern,
			p->policy[0] == '\0' ? "-" : p->policy, p->reads, p->writes, p->upgrades,
			p->migrated, p->turns, p->queued, p->readers, p->writers);
		printf(symbols == NULL ? "\n" : " %s\n", names[0] == '\0' ? "-" : names);
	}
}

/* false: what is said in `text` is wrong, or the file is; it has been printed. */
static bool open_symbols(const char *path, const char *text, struct symbols **out)
{
	char why[512], *end;
	unsigned long long load = strtoull(text, &end, 0);

	if (*end != '\0' || end == text || load % PAGE_BYTES != 0) {
		cli_error("--kernel-at is the address of a page, as %s, and not %s", LOAD_DEFAULT,
			text);
		return false;
	}
	if (path == NULL || symbols_load(path, load, out, why, sizeof(why)) == 0)
		return true;
	cli_error("%s", why);
	return false;
}

static int show(struct cli *cli, const struct ctl_vm_pages_query *query, const struct symbols *syms)
{
	void *reply;

	if (cli_call(cli, CTL_VM_PAGES, query, &reply) != 0)
		return CLI_ERROR;
	const struct ctl_vm_pages *v = reply;
	if (cli->json) {
		ctl_msg_json(CTL_MSG_vm_pages, v, stdout);
		putchar('\n');
	} else {
		table(v, syms);
	}
	if (v->missing != 0)
		cli_error("%u slices did not answer, their pages are missing", v->missing);
	cli_free(CTL_VM_PAGES, reply);
	return CLI_OK;
}

int cli_vm_pages(struct cli *cli, int argc, char **argv)
{
	const char *map = NULL, *load = LOAD_DEFAULT, *word;
	struct ctl_vm_pages_query query = {.top = 20};
	const struct opt opts[] = {
		{"top", OPT_U32, &query.top, "N", "pages at most, up to 256 (20)"},
		{"system-map", OPT_TEXT, &map, "FILE", "the guest kernel's symbols"},
		{"kernel-at", OPT_TEXT, &load, "ADDRESS",
			"where the kernel was loaded (" LOAD_DEFAULT ")"},
		CLI_OPTS(cli),
		{.name = NULL},
	};
	struct symbols *symbols = NULL;
	int status;

	if (!cli_parse(cli, cli_verb("vm", "pages"), opts, argc, argv, &word, 1, 1, NULL, &status))
		return status;
	if (query.top == 0 || query.top > CTL_PAGES_MAX) {
		cli_error("--top is 1 to %u", CTL_PAGES_MAX);
		return CLI_USAGE;
	}
	if (!open_symbols(map, load, &symbols))
		return CLI_USAGE;
	snprintf(query.name, sizeof(query.name), "%s", word);
	status = show(cli, &query, symbols);
	symbols_free(symbols);
	return status;
}
