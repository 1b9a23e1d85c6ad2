/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "proto/credit.h"

#include "base/err.h"

#ifdef PLANT_BUGS
bool credit_plant_response;
#endif

void credit_init(struct credit *c, const struct credit_cfg *cfg)
{
	memset(c, 0, sizeof(*c));
	c->cfg = *cfg;
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		CHECK(cfg->window[i] > 0);
		c->rx_left[i] = cfg->window[i];
	}
}

int credit_open(struct credit *c, const uint16_t window[MSG_CLASS_N])
{
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		CHECK(c->tx_window[i] == 0);
		if (window[i] == 0)
			return ERR_PROTOCOL;
	}
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		c->tx_window[i] = c->tx_left[i] = window[i];
	return 0;
}

static bool may_go(const struct credit *c, enum msg_class class)
{
#ifdef PLANT_BUGS
	if (credit_plant_response && class == MSG_RESPONSE)
		return true;
#endif
	return c->tx_left[class] > 0;
}

static void spend(struct credit *c, enum msg_class class)
{
	if (c->tx_left[class] > 0)
		c->tx_left[class]--;
}

int credit_send(struct credit *c, enum msg_class class, bool *now)
{
	CHECK(class < MSG_CLASS_N);
	/* A message never overtakes one of its own class (R-CRED-3). */
	if (c->queued[class] == 0 && may_go(c, class)) {
		spend(c, class);
		*now = true;
		return 0;
	}
	if (c->queued[class] >= c->cfg.queue_max[class])
		return ERR_FULL;
	c->queued[class]++;
	c->waits++;
	*now = false;
	return 0;
}

bool credit_next(struct credit *c, enum msg_class *class)
{
	for (unsigned i = MSG_CLASS_N; i-- > 0;) {
		if (c->queued[i] == 0 || !may_go(c, (enum msg_class)i))
			continue;
		c->queued[i]--;
		spend(c, (enum msg_class)i);
		*class = (enum msg_class)i;
		return true;
	}
	return false;
}

int credit_arrived(struct credit *c, enum msg_class class)
{
	CHECK(class < MSG_CLASS_N);
	if (c->rx_left[class] == 0)
		return ERR_PROTOCOL;
	c->rx_left[class]--;
	c->rx_held[class]++;
	return 0;
}

void credit_consumed(struct credit *c, enum msg_class class)
{
	CHECK(class < MSG_CLASS_N && c->rx_held[class] > 0);
	c->rx_held[class]--;
	c->rx_owed[class]++;
}

bool credit_due(const struct credit *c)
{
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		if (c->rx_owed[i] != 0 && c->rx_owed[i] >= c->cfg.window[i] / 2)
			return true;
	}
	return false;
}

bool credit_collect(struct credit *c, uint16_t out[MSG_CLASS_N])
{
	bool any = false;

	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		out[i] = c->rx_owed[i];
		c->rx_left[i] = (uint16_t)(c->rx_left[i] + out[i]);
		c->rx_owed[i] = 0;
		any = any || out[i] != 0;
	}
	return any;
}

int credit_returned(struct credit *c, const uint16_t n[MSG_CLASS_N])
{
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		if (n[i] > c->tx_window[i] - c->tx_left[i])
			return ERR_PROTOCOL;
	}
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		c->tx_left[i] = (uint16_t)(c->tx_left[i] + n[i]);
	return 0;
}
