/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_CTL_H
#define PROTO_WIRE_CTL_H

#include <stdio.h>

#include "base/check.h"
#include "proto/ids.h"

/*
 * Encoding of the control plane (CLI - coordinator - agent - slice). A frame is a header of 12
 * bytes, little-endian, and a payload: one protobuf message, or the bytes of a stream. protobuf-c's
 * types do not leave wire_ctl.c: everybody else sees the plain structs below, whose strings are
 * terminated, whose lists are within their limits, and whose numbers have been checked
 * (wire_ctl.def says how).
 */
#define CTL_VERSION_MAJOR 1u /* peers with another one are refused */
#define CTL_VERSION_MINOR 0u

#define CTL_HEAD_BYTES  12u
#define CTL_PAYLOAD_MAX (1u << 20) /* of a frame over TLS */
#define CTL_PAYLOAD_LOCAL_MAX                                                                      \
	(96u << 10) /* of a frame between agent and slice: one packet of a Unix socket */
#define CTL_STREAM_CHUNK_MAX (32u << 10) /* of one data frame */

/* Flags of a frame. */
#define CTL_FLAG_REPLY         1u /* answers the request of the same id and type */
#define CTL_FLAG_FAULT         2u /* with REPLY: the payload is a `fault` */
#define CTL_FLAG_CHANNEL_SHIFT 8  /* STREAM_DATA: channel in bits 8..9 */
#define CTL_FLAG_CHANNEL_MASK  0x300u

#define CTL_TYPE_STREAM_DATA 11

#define CTL_PAGES_MAX 256u /* pages in a slice_pages or vm_pages: see wire_ctl.def */

enum ctl_type {
#define CTL(name, number, request, reply) CTL_##name = (number),
#include "proto/wire_ctl_types.def"
#undef CTL
};

/* Same numbers as in the .proto files; new ones are added at the end. */
enum ctl_slice_state {
	CTL_SLICE_NONE,
	CTL_SLICE_NEW,
	CTL_SLICE_PREPARED,
	CTL_SLICE_CONNECTED,
	CTL_SLICE_RUNNING,
	CTL_SLICE_STOPPING,
	CTL_SLICE_STOPPED,
	CTL_SLICE_LAST = CTL_SLICE_STOPPED,
};

enum ctl_stop_reason {
	CTL_STOP_NONE,
	CTL_STOP_POWER_OFF,
	CTL_STOP_REBOOT,
	CTL_STOP_PANIC,
	CTL_STOP_LOST,
	CTL_STOP_REQUEST,
	CTL_STOP_ERROR,
	CTL_STOP_LAST = CTL_STOP_ERROR,
};

enum ctl_vm_state {
	CTL_VM_NONE,
	CTL_VM_CREATED,
	CTL_VM_STARTING,
	CTL_VM_RUNNING,
	CTL_VM_STOPPING,
	CTL_VM_STOPPED,
	CTL_VM_FAILED,
	CTL_VM_LAST = CTL_VM_FAILED,
};

enum ctl_stream_kind {
	CTL_STREAM_NONE,
	CTL_STREAM_CONSOLE,
	CTL_STREAM_EXEC,
	CTL_STREAM_LAST = CTL_STREAM_EXEC,
};

/* Channels of a stream. */
enum ctl_channel { CTL_CHANNEL_MAIN, CTL_CHANNEL_OUT, CTL_CHANNEL_ERR, CTL_CHANNEL_N };

/* The plain structs: struct ctl_hello, struct ctl_slice_spec ... as listed in wire_ctl.def. */
#define MSG(msg, wire) struct ctl_##msg {
#define END(msg)                                                                                   \
	}                                                                                          \
	;
#define NAME(f, max) char f[max];
#define STR(f, max)  char f[max];
#define TEXT(f, max) char f[max];
#define FIXED(f, n)  uint8_t f[n];
#define BLOB(f, max)                                                                               \
	uint8_t *f;                                                                                \
	uint32_t n_##f;
#define U32(f)        uint32_t f;
#define U64(f)        uint64_t f;
#define S64(f)        int64_t f;
#define FLAG(f)       bool f;
#define ENUM(f, last) uint32_t f;
#define SUB(f, msg)   struct ctl_##msg f;
#define LIST(f, msg, max)                                                                          \
	struct ctl_##msg *f;                                                                       \
	uint32_t n_##f;
#include "proto/wire_ctl.def"
#include "proto/wire_ctl_undef.h"

/* Names the messages for the functions below: CTL_MSG_hello ... CTL_MSG_none stands for "no
 * message". */
enum ctl_msg {
	CTL_MSG_none,
#define MSG(msg, wire) CTL_MSG_##msg,
#define END(msg)
#define NAME(f, max)
#define STR(f, max)
#define TEXT(f, max)
#define FIXED(f, n)
#define BLOB(f, max)
#define U32(f)
#define U64(f)
#define S64(f)
#define FLAG(f)
#define ENUM(f, last)
#define SUB(f, msg)
#define LIST(f, msg, max)
#include "proto/wire_ctl.def"
#include "proto/wire_ctl_undef.h"
	CTL_MSG_N
};

struct ctl_head {
	uint32_t payload_bytes;
	uint16_t type;
	uint16_t flags;
	uint32_t id;
};

/* Header to and from its 12 bytes. Decoding refuses a payload above `payload_max` (ERR_PROTOCOL).
 * Context: any. */
void ctl_head_encode(const struct ctl_head *head, uint8_t out[CTL_HEAD_BYTES]);
MUST_CHECK int ctl_head_decode(
	const uint8_t in[CTL_HEAD_BYTES], uint32_t payload_max, struct ctl_head *out);

/* Message of a type's request (or event) and of its answer; CTL_MSG_none for unknown types and for
 * events' answers. */
enum ctl_msg ctl_type_request(uint16_t type);
enum ctl_msg ctl_type_reply(uint16_t type);
/* "VM_START", for logs; NULL when unknown. */
const char *ctl_type_name(uint16_t type);

/* Bytes of the plain struct of a message. */
size_t ctl_msg_bytes(enum ctl_msg msg);

/*
 * Decode `len` bytes into the zeroed plain struct of `msg`, allocating lists; ctl_msg_fini() frees
 * them. Refuses with ERR_FORMAT (not protobuf, bad name, bad length of a fixed field), ERR_RANGE
 * (beyond a limit) or ERR_NO_MEMORY; *out is then empty. Memory used is bounded whatever the input.
 * Context: any thread.
 */
MUST_CHECK int ctl_msg_decode(enum ctl_msg msg, const void *buf, size_t len, void *out);

/* Encode into a new buffer, freed with free(). ERR_RANGE: larger than `max`. Context: any
 * thread. */
MUST_CHECK int ctl_msg_encode(
	enum ctl_msg msg, const void *plain, size_t max, uint8_t **out, size_t *out_len);

/* Free the lists in a plain struct and zero it; *plain itself belongs to the caller. NULL and
 * zeroed are fine. */
void ctl_msg_fini(enum ctl_msg msg, void *plain);

/* A deep copy into the uninitialised *dst. ERR_NO_MEMORY. */
MUST_CHECK int ctl_msg_copy(enum ctl_msg msg, void *dst, const void *src);

/* Write it as one JSON object: field names as in the .proto files, bytes in hexadecimal, states as
 * their words. */
void ctl_msg_json(enum ctl_msg msg, const void *plain, FILE *out);

/* May `s` be a NAME (of a host or VM)? */
bool ctl_name_valid(const char *s);

/* Words for people and JSON: "running", "power-off"; "unknown" for what is none. */
const char *ctl_slice_state_text(uint32_t state);
const char *ctl_stop_reason_text(uint32_t reason);
const char *ctl_vm_state_text(uint32_t state);

/* 32 hexadecimal digits and a NUL, for people. */
void ctl_incarnation_text(const uint8_t incarnation[16], char out[33]);

#endif
