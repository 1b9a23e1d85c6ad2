/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_MSGS_H
#define PROTO_WIRE_MSGS_H

#include "proto/xport.h"

/* The numbers of wire_msgs.def: WIRE_<name>. */
enum wire_msg_type {
#define MSG(name, number, class, text) WIRE_##name = (number),
#include "proto/wire_msgs.def"
#undef MSG
};

/* Messages below this belong to the transports and are never given to a handler. */
#define WIRE_XPORT_END 0x0010

/*
 * Class of a message type. ERR_PROTOCOL: no such type. Context: any thread.
 */
MUST_CHECK int wire_msg_class(uint16_t type, enum msg_class *out);

/* Name of a type for logs ("XPORT_CREDIT"); never NULL. Context: any thread. */
const char *wire_msg_name(uint16_t type);

#endif
