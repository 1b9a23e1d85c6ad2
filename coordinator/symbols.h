/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_SYMBOLS_H
#define COORDINATOR_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/*
 * Symbols of a guest's kernel by guest-physical address: a System.map, or the guest's
 * /proc/kallsyms read there as root. The image lies in one piece where it was loaded, whatever
 * address it is linked at or has moved itself to (KASLR changes virtual addresses only, and in
 * /proc/kallsyms those of _start and _end with them): so an address is the load address plus the
 * distance from _start.
 */
struct symbols;

/*
 * Read `path`. The image was loaded at guest-physical `load`. ERR_NOT_FOUND, ERR_RANGE (larger than
 * 64 MiB), ERR_FORMAT (no _start and _end with symbols in between), ERR_IO, ERR_NO_MEMORY; `why`
 * says it.
 */
MUST_CHECK int symbols_load(
	const char *path, uint64_t load, struct symbols **out, char *why, size_t why_bytes);
void symbols_free(struct symbols *s);

/*
 * Names of what lies on the page at `address` into `out`: the three largest, larger first, by how
 * much of them is on the page, and "+N" for N more. Empty: nothing of the kernel's image.
 */
void symbols_page(const struct symbols *s, uint64_t address, char *out, size_t bytes);

#endif
