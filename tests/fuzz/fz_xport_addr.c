/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address of a slice's fabric, as the coordinator passes it on: text of any kind. One that can
 * be read is then refused for the provider, so that nothing is opened.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/xport_ofi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It is the log's line that says what was refused, and here each would be. */
static void quiet(void *arg, enum log_level level, const char *line)
{
}

static int message(void *arg, const struct xport_rx *rx)
{
	return 0;
}

static void down(void *arg, slice_id_t peer, int err)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct xport_handler handler = {.message = message, .down = down};
	struct xport_ofi *x;
	char *text = malloc(size + 1);

	CHECK(text != NULL);
	log_set_sink(quiet, NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	const struct xport_ofi_cfg cfg = {.bind = text, .providers = "none", .handler = &handler};
	int err = xport_ofi_listen(&cfg, &x);
	CHECK(err == ERR_INVAL || err == ERR_UNSUPPORTED);
	free(text);
	return 0;
}
