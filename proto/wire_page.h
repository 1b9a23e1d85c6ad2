/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_PAGE_H
#define PROTO_WIRE_PAGE_H

#include "base/check.h"
#include "proto/ids.h"
#include "proto/xport.h"

/*
 * The messages of the coherence protocol (0x01xx), docs/protocol.md R-DSM. One plain struct in
 * memory; on the wire each type carries only its own fields (wire_page.def), little-endian, in the
 * order of the struct, without padding. A page's bytes are the transport's payload, never part of
 * the head.
 */
enum wire_page_type {
#define WIRE_PAGE(name, number, class, fields, bytes, text) WIRE_PAGE_##name = number,
#include "proto/wire_page.def"
#undef WIRE_PAGE
};

#define WIRE_PAGE_FIRST 0x0100u
#define WIRE_PAGE_LAST  0x01ffu

/* Bits of `flags`. */
#define WIRE_PAGE_EXCL 0x01u /* DATA: write access, otherwise read */
#define WIRE_PAGE_ZERO 0x02u /* DATA: the page is all zero, there is no payload */
#define WIRE_PAGE_UNCHANGED                                                                        \
	0x04u                   /* DATA: the requester's copy is the newest, there is no payload */
#define WIRE_PAGE_UPGRADE 0x08u /* GETM: the sender holds a read copy of `version` */
#define WIRE_PAGE_CLEAN                                                                            \
	0x20u /* DATA with EXCL: the sender had it to read and did not write it; DONE: DATA did */
#define WIRE_PAGE_YES   0x10u /* OWN_ACK: the sender is the owner now */
#define WIRE_PAGE_AHEAD 0x40u /* GETS: nobody waits for it, and it need not be written next */

/* Bits that a type's `fields` is made of; the order is that on the wire. */
enum wire_page_field {
	WPF_PAGE = 1u << 0,
	WPF_RUN = 1u << 1,
	WPF_REQ = 1u << 2,
	WPF_GEN = 1u << 3,
	WPF_VERSION = 1u << 4,
	WPF_STAMP = 1u << 5,
	WPF_THIRD = 1u << 6,
	WPF_ACKS = 1u << 7,
	WPF_KIND = 1u << 8,
	WPF_FLAGS = 1u << 9,
};

struct wire_page {
	uint16_t type; /* enum wire_page_type */
	gpage_t page;  /* first page */
	uint16_t run;  /* pages from there on; 1 but for R-DSM-14 */
	uint32_t req;  /* the requester's number of its request; every answer carries it */
	uint32_t gen; /* generation of the home that the sender knows (REDIRECT: of the new home) */
	uint32_t version; /* version of the page, see R-DSM-4 */
	uint64_t stamp; /* age of the instruction behind the request: smaller is older; 0: a device
			 */
	slice_id_t third; /* FWD_*, INV, NUDGE: the requester; REDIRECT: the home */
	uint16_t acks;    /* INV_ACKs that the requester has to await */
	uint16_t kind;    /* REDIRECT: type of the request that it answers */
	uint8_t flags;
};

#define WIRE_PAGE_HEAD_MAX 48u
#define WIRE_PAGE_RUN_MAX  16u

/* Write the head of `msg` to `out`. `msg` must be valid (a type of the table): CHECKed. Returns its
 * size. */
size_t wire_page_encode(const struct wire_page *msg, uint8_t out[WIRE_PAGE_HEAD_MAX]);

/* Read a head of `type`; `has_data`: exactly one page of payload came with it. Fields that the type
 * does not carry are 0 (run: 1). ERR_FORMAT: unknown type, wrong size, a value out of its range,
 * payload missing or where none may be. */
MUST_CHECK int wire_page_decode(uint16_t type, const void *head, size_t head_bytes,
	size_t data_bytes, struct wire_page *out);

/* Class and name of a type; MSG_CLASS_N and "?" when there is no such type. */
enum msg_class wire_page_class(uint16_t type);
const char *wire_page_name(uint16_t type);

/* May a message be about so many pages? */
bool wire_page_run_good(const struct wire_page *msg);

/* Does the message carry a page's bytes? */
bool wire_page_has_data(const struct wire_page *msg);

#endif
