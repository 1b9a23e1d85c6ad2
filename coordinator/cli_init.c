/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "coordinator/cli.h"
#include "coordinator/pki.h"

static void remove_made(const char *dir, const char *name)
{
	char path[1200];

	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
	unlink(path);
}

static int make_all(const char *dir)
{
	static const struct {
		const char *name;
		enum tls_role role;
	} first[] = {{"coordinator", TLS_ROLE_COORDINATOR}, {"admin", TLS_ROLE_ADMIN}};
	char expires[32], why[256];
	size_t made;

	if (pki_make_ca(dir, expires, why) != 0) {
		cli_error("%s", why);
		return CLI_ERROR;
	}
	printf("%s/ca.crt         the CA, until %s; keep ca.key off all hosts\n", dir, expires);
	for (made = 0; made < ARRAY_SIZE(first); made++) {
		if (pki_make_cert(dir, first[made].name, first[made].name, first[made].role,
			    expires, why) != 0)
			goto undo;
		printf("%s/%s.crt  until %s\n", dir, first[made].name, expires);
	}
	printf("next: 'mirrorball init --dir %s --host NAME' for each host, and copy NAME.crt, "
	       "NAME.key and ca.crt to it\n"
	       "undo: remove %s\n",
		dir, dir);
	return CLI_OK;
undo:
	cli_error("%s", why);
	while (made-- > 0)
		remove_made(dir, first[made].name);
	remove_made(dir, "ca");
	return CLI_ERROR;
}

int cli_init(struct cli *cli, int argc, char **argv)
{
	const char *dir = cli->pki, *host = NULL, *user = NULL, *role_text = "operator";
	const struct opt opts[] = {
		{"dir", OPT_TEXT, &dir, "DIR", "where the files are (/etc/mirrorball/pki)"},
		{"host", OPT_TEXT, &host, "NAME", "make a certificate for the agent of a host"},
		{"user", OPT_TEXT, &user, "NAME", "make a certificate for a person"},
		{"role", OPT_TEXT, &role_text, "ROLE",
			"of the person: admin, operator (default) or viewer"},
		{"output", OPT_TEXT, &cli->output, "FORMAT", "text"},
		{"help", OPT_FLAG, &cli->help, NULL, "this text"},
		{.name = NULL},
	};
	char expires[32], why[256];
	int status;

	if (!cli_parse(cli, cli_verb("init", NULL), opts, argc, argv, NULL, 0, 0, NULL, &status))
		return status;
	if (host == NULL && user == NULL)
		return make_all(dir);
	const char *name = host != NULL ? host : user;
	enum tls_role role = host != NULL ? TLS_ROLE_AGENT : tls_role_of(role_text);
	if (!ctl_name_valid(name) || strlen(name) >= sizeof(((struct tls_identity *)0)->name) ||
		strcmp(name, "ca") == 0) {
		cli_error("'%s' is no name: letters, digits, '.', '-' and '_', beginning with a "
			  "letter or digit",
			name);
		return CLI_USAGE;
	}
	if ((host != NULL && user != NULL) ||
		(host == NULL && (role < TLS_ROLE_VIEWER || role > TLS_ROLE_ADMIN))) {
		cli_error(
			"either --host NAME, or --user NAME with --role admin, operator or viewer");
		return CLI_USAGE;
	}
	if (pki_make_cert(dir, name, name, role, expires, why) != 0) {
		cli_error("%s", why);
		return CLI_ERROR;
	}
	printf("%s/%s.crt  %s, until %s\nundo: remove %s.crt and %s.key\n", dir, name,
		tls_role_text(role), expires, name, name);
	return CLI_OK;
}
