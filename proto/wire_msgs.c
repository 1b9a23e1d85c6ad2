/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_msgs.h"

#include "base/err.h"

int wire_msg_class(uint16_t type, enum msg_class *out)
{
	/* A number that is given out twice does not compile. */
	switch (type) {
#define MSG(name, number, class, text)                                                             \
	case WIRE_##name:                                                                          \
		*out = MSG_##class;                                                                \
		return 0;
#include "proto/wire_msgs.def"
#undef MSG
	default:
		return ERR_PROTOCOL;
	}
}

const char *wire_msg_name(uint16_t type)
{
	switch (type) {
#define MSG(name, number, class, text)                                                             \
	case WIRE_##name:                                                                          \
		return #name;
#include "proto/wire_msgs.def"
#undef MSG
	default:
		return "unknown message";
	}
}
