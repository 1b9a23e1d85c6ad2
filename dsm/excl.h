/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_EXCL_H
#define DSM_EXCL_H

#include <stdatomic.h>

#include "dsm/dsm.h"
#include "dsm/ram.h"

/*
 * Windows: the few places where a thread relies on a right to a page for a moment without asking
 * the service thread: a vCPU between excl_begin and excl_end of a store-conditional, and a device
 * thread that pins pages whose rights are here anyway.
 *
 * The handshake is Dekker's. Thread: write the page into my window, then read its rights. Service:
 * take the rights away, then read all windows. All four are sequentially consistent, so at least
 * one sees the other: the thread finds no right and leaves, or the service thread finds the window,
 * marks it `wanted` and comes back when it is told that the window has closed. Neither waits here.
 */
#define EXCL_PAGES       8u  /* of a device's window; a vCPU's has one */
#define EXCL_PIN_WINDOWS 64u /* of devices */
#define EXCL_GENS        65536u

struct excl_window {
	_Alignas(64) _Atomic uint32_t page[EXCL_PAGES]; /* number + 1; 0: none */
	_Atomic bool wanted;
};

struct excl {
	const struct ram *ram;
	struct excl_window *vcpu; /* n_vcpus */
	unsigned n_vcpus;
	struct excl_window *pin;    /* EXCL_PIN_WINDOWS */
	_Atomic uint64_t pin_taken; /* bit i: pin[i] is somebody's */
	_Atomic uint32_t *gens;     /* EXCL_GENS, pages hashed onto them */
	void (*closed)(void *arg);  /* a wanted window has closed; any thread */
	void *arg;
};

/* ERR_NO_MEMORY. Context: main thread. */
MUST_CHECK int excl_init(struct excl *ex, const struct ram *ram, unsigned n_vcpus,
	void (*closed)(void *arg), void *arg);
void excl_fini(struct excl *ex);

/* As dsm_ram_ops says. Several pages share a generation, so a window may be lost for nothing now
 * and then. Context: the vCPU's thread. */
uint32_t excl_generation(const struct excl *ex, uint64_t page);
enum dsm_excl excl_begin(struct excl *ex, unsigned slot, uint64_t page, uint32_t gen);
void excl_end(struct excl *ex, unsigned slot);

/* Hold `n` pages without asking, if the rights are here. A number >= 0 for excl_unpin, or
 * ERR_AGAIN: ask the service thread. Context: device threads. */
int excl_pin(struct excl *ex, const uint64_t *pages, const bool *write, unsigned n);
void excl_unpin(struct excl *ex, unsigned window);

/* Is the page in a window? Its rights must have been taken away before. If so `closed` is called
 * later. Context: service thread. */
bool excl_busy(struct excl *ex, uint64_t page);

/* Is it in the window of this vCPU? Context: service thread. */
bool excl_is_mine(const struct excl *ex, unsigned slot, uint64_t page);

/* The page has left: after its mapping is gone and before anybody else may have it. A load-reserved
 * that read the old number can only have read the old bytes, one that reads the new number faults
 * first. Context: service thread. */
void excl_left(struct excl *ex, uint64_t page);

#endif
