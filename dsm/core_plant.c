/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "dsm/core_int.h"
#include "proto/credit.h"

#include "base/err.h"

#ifdef PLANT_BUGS

enum core_bug core_planted;

const char *const core_plant_names[] = {
	[BUG_SKIP_INV - 1] = "skipped-invalidation",
	[BUG_EARLY_GRANT - 1] = "early-grant",
	[BUG_LOST_ACK - 1] = "lost-ack",
	[BUG_STALE_DATA - 1] = "stale-data",
	[BUG_UPGRADE_DROPPED - 1] = "upgrade-dropped",
	[BUG_FORWARD_EVICTED - 1] = "forward-evicted",
	[BUG_EARLY_ACK - 1] = "early-ack",
	[BUG_MIGRATE_AS_READ - 1] = "migrate-as-read",
	[BUG_AHEAD_EARLY - 1] = "ahead-early",
	[BUG_HOLD_CYCLE - 1] = "hold-cycle",
	[BUG_LOST_AGE - 1] = "lost-age",
	[BUG_RESPONSE_CREDIT - 1] = "response-without-credit",
	[BUG_N - 1] = NULL,
};

int core_plant(const char *name)
{
	core_planted = BUG_NONE;
	credit_plant_response = false;
	if (name == NULL || *name == '\0')
		return 0;
	for (unsigned i = 0; core_plant_names[i] != NULL; i++) {
		if (strcmp(core_plant_names[i], name) != 0)
			continue;
		core_planted = (enum core_bug)(i + 1);
		credit_plant_response = core_planted == BUG_RESPONSE_CREDIT;
		return 0;
	}
	return ERR_NOT_FOUND;
}

#else
typedef int core_plant_is_empty; /* ISO C wants something in a file */
#endif
